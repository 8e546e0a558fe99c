"""Sums of products of many factors, in any semiring."""

import functools
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from importlib import import_module
from typing import Any

from opt_einsum.sharing import currently_sharing, get_sharing_cache
from torch import Tensor

from pyro.ops.einsum.elimination import plan
from pyro.ops.einsum.layout import shape_of, split

Cache = MutableMapping[Any, Any]


def contract(equation: str, *operands: Tensor, **kwargs: Any) -> Tensor:
    """Return the sum over all letters that the result has not of the product of all operands.

    In the semiring of the backend, that is: ``torch_log`` adds logarithms and takes their
    logsumexp, ``torch_map`` adds and takes the maximum. Variables are eliminated one by one, in an
    order that is found once for each equation and set of sizes. Inside
    :func:`opt_einsum.shared_intermediates` what was computed before is not computed again.

    :param equation: such as ``"ab,bc->ac"``; letters may be any characters, and as many as needed.
    :param operands: the factors.
    :param kwargs: ``backend``, ``"torch"`` for plain numbers or the path of a module with a
        function ``einsum``; ``cache``, a dict to share intermediate results in.
    :raises ValueError: where equation and operands do not fit each other.

    >>> import torch
    >>> contract("ab,bc->ac", torch.ones(2, 3), torch.ones(3, 1))
    tensor([[3.], [3.]])
    >>> log = torch.tensor([0.0, 0.0])
    >>> contract("a->", log, backend="pyro.ops.einsum.torch_log").exp()
    tensor(2.)
    """
    inputs, output = split(equation)
    return sum_product(inputs, output, operands, **kwargs)


def contract_expression(
    equation: str, *shapes: Sequence[int], **kwargs: Any
) -> Callable[..., Tensor]:
    """Plan a contraction ahead, and return it as a function of its operands.

    :param equation: as :func:`contract` takes it.
    :param shapes: the shape of each operand.
    :param kwargs: as :func:`contract` takes them; the function takes them too.
    :raises ValueError: where equation and shapes do not fit each other.

    >>> import torch
    >>> multiply = contract_expression("ab,b->a", (2, 3), (3,))
    >>> multiply(torch.ones(2, 3), torch.ones(3))
    tensor([3., 3.])
    """
    inputs, output = split(equation)
    plan(inputs, output, tuple(sizes_of(inputs, shapes).items()))

    def expression(*operands: Tensor, **more: Any) -> Tensor:
        return sum_product(inputs, output, operands, **{**kwargs, **more})

    return expression


def sum_product(
    inputs: tuple[str, ...],
    output: str,
    operands: Sequence[Tensor],
    backend: str = "torch",
    cache: Cache | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Tensor:
    """Do what :func:`contract` does, for an equation that is already taken apart.

    :param inputs: the letters of each operand.
    :param output: the letters of the result.
    :param operands: the factors.
    :param backend: ``"torch"``, or the path of a module with a function ``einsum``.
    :param cache: a dict to share intermediate results in.
    :param sizes: what :func:`sizes_of` says of the operands, where it was asked already.
    :raises ValueError: where letters and operands do not fit each other.

    >>> import torch
    >>> sum_product(("a", "a"), "", [torch.ones(3), torch.ones(3)])
    tensor(3.)
    """
    if not operands:
        raise ValueError("there are no factors to multiply.")
    if sizes is None:
        sizes = sizes_of(inputs, [shape_of(operand) for operand in operands])
    einsum = _einsum_of(backend)
    if cache is None and currently_sharing():
        cache = get_sharing_cache()
    values = list(operands)
    for step in plan(inputs, output, tuple(sizes.items())):
        factors = [values[i] for i in step.operands]
        if cache is None:
            value = einsum(step.equation, *factors)
        else:
            names = sorted(zip(step.inputs, map(id, factors), strict=True))
            key = "sum_product", backend, step.output, tuple(names)
            if key not in cache:
                cache[key] = einsum(step.equation, *factors)
                # Alive as long as the cache, lest their ids be given to others.
                cache.update((("tensor", id(factor)), factor) for factor in factors)
            value = cache[key]
        value._pyro_dims = step.output  # type: ignore[attr-defined]
        values.append(value)
    return values[-1]


def sizes_of(inputs: Sequence[str], shapes: Sequence[Sequence[int]]) -> dict[str, int]:
    """Return the length of each dimension by letter.

    :param inputs: the letters of each operand.
    :param shapes: the shape of each operand.
    :raises ValueError: where they do not fit each other, or two operands disagree on a size.

    >>> sizes_of(["ab", "b"], [(2, 3), (3,)])
    {'a': 2, 'b': 3}
    """
    if len(inputs) != len(shapes):
        raise ValueError(f"the equation has {len(inputs)} inputs, but there are {len(shapes)}.")
    sizes: dict[str, int] = {}
    for dims, shape in zip(inputs, shapes, strict=True):
        if len(dims) != len(shape):
            raise ValueError(f"an operand of shape {tuple(shape)} cannot have the dims {dims!r}.")
        for letter, size in zip(dims, shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError(f"dim {letter!r} is both {sizes[letter]} and {size} long.")
    return sizes


@functools.cache
def _einsum_of(backend: str) -> Callable[..., Tensor]:
    path = "pyro.ops.einsum.torch_linear" if backend == "torch" else backend
    try:
        einsum: Callable[..., Tensor] = import_module(path).einsum
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"backend {backend!r} is neither 'torch' nor a module that defines einsum."
        ) from error
    return einsum
