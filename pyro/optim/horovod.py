"""Optimisers that average gradients over the processes of a Horovod job."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from pyro._foundation.optional import import_optional
from pyro.optim.optim import PyroOptim
from pyro.params.param_store import _PYRO_PARAM_STORE


class HorovodOptimizer(PyroOptim):
    """Steps parameters by their gradients' average over all processes.

    Every process must step the same parameters; they are stepped in the order of their names.

    Reference: Sergeev and Del Balso (2018), "Horovod: fast and easy distributed deep learning in
    TensorFlow", arXiv:1802.05799.

    :param pyro_optim: the optimiser to distribute; not one with a scheduler.
    :param horovod_kwargs: arguments of ``horovod.torch.DistributedOptimizer``.
    :raises ImportError: where Horovod is not installed.
    :raises TypeError: where ``pyro_optim`` is of another kind.
    """

    def __init__(self, pyro_optim: PyroOptim, **horovod_kwargs: Any) -> None:
        if type(pyro_optim) is not PyroOptim:
            raise TypeError(
                f"HorovodOptimizer distributes a PyroOptim, got a {type(pyro_optim).__name__}."
            )
        distributed = import_optional("horovod.torch", "horovod").DistributedOptimizer

        def constructor(params: Iterable[Tensor], **arguments: Any) -> Optimizer:
            optimizer: Optimizer = distributed(
                pyro_optim.pt_optim_constructor(params, **arguments), **horovod_kwargs
            )
            return optimizer

        super().__init__(constructor, pyro_optim.pt_optim_args, pyro_optim.pt_clip_args)

    def __call__(self, params: Iterable[Tensor], *args: Any, **kwargs: Any) -> None:
        """Step parameters in the order of their names.

        :param params: unconstrained leaves of the param store.
        :param args: arguments of the ``step`` of every parameter's optimiser.
        :param kwargs: more of them.
        """
        in_order = sorted(params, key=lambda p: _PYRO_PARAM_STORE.param_name(p) or "")
        super().__call__(in_order, *args, **kwargs)
