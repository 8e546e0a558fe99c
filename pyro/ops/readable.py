"""Whether what is computed may depend on the entries of a tensor."""

import torch


def is_readable(value: torch.Tensor) -> bool:
    """Tell whether the entries of a tensor can be looked at.

    :param value: a tensor; inside :func:`torch.func.vmap`, and while tracing or compiling, there is
        nothing to see yet.

    >>> is_readable(torch.ones(2))
    True
    """
    if torch.compiler.is_compiling():
        return False
    return not (
        torch._C._functorch.is_functorch_wrapped_tensor(value)
        or torch._C._get_tracing_state()
        or value.is_meta
        or (type(value) is not torch.Tensor and hasattr(value, "fake_mode"))
    )
