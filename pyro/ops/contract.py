"""Sums over the discrete variables of plated factor graphs.

A *tensor tree* maps ordinals, which are frozensets of plates, to lists of packed tensors, the
factors in just these plates. Plates and variables are named by the letters of the tensors' dims.
:mod:`pyro.ops.plated_elimination` has the mathematics: what is local and global, in which order
plates are left, and when that is impossible.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from pyro.ops.einsum.adjoint import lettered
from pyro.ops.einsum.expressions import Cache, sizes_of
from pyro.ops.einsum.layout import shape_of, split_many
from pyro.ops.packed import aligned, dims_of, named
from pyro.ops.plated_elimination import IntractableError, Structure, ordinals_of, schedule
from pyro.ops.rings import BACKEND_TO_RING, LogRing, Ordinal, Ring
from pyro.ops.unrolling import naive_ubersum

TensorTree = Mapping[Ordinal, Sequence[Tensor]]


def contract_tensor_tree(
    tensor_tree: TensorTree,
    sum_dims: Iterable[str],
    cache: Cache | None = None,
    ring: Ring | None = None,
) -> "OrderedDict[Ordinal, list[Tensor]]":
    """Sum variables out of a tensor tree, and leave what is left of each component in its plates.

    The result is a tree without the variables: the product of its terms, each over its own plates,
    is the sum over all variables of the product of all factors. A term varies in all of its plates
    whose size is known from the tree.

    :param tensor_tree: packed factors by the plates that they are in.
    :param sum_dims: the letters of the variables.
    :param cache: a dict to share intermediate results in, where no ring is given.
    :param ring: the semiring, :class:`~pyro.ops.rings.LogRing` if left out.
    :raises ValueError: where the plates cannot be left one by one; it is an
        :class:`~pyro.ops.plated_elimination.IntractableError`.

    >>> import torch
    >>> x = named(torch.zeros(3, 2), "ix")
    >>> contract_tensor_tree({frozenset("i"): [x]}, {"x"})[frozenset("i")][0].exp()
    tensor([2., 2., 2.])
    """
    ring = LogRing(cache) if ring is None else ring
    terms = _terms_of(tensor_tree, ring)
    result: OrderedDict[Ordinal, list[Tensor]] = OrderedDict()
    for move in schedule(_structure_of(tensor_tree), frozenset(sum_dims)):
        term = _summed(ring, [terms[i] for i in move.terms], move.summed)
        if move.parent is None:
            term = ring.broadcast(term, ring.lacking(term, move.leaf))
            result.setdefault(move.leaf, []).append(term)
        else:
            term = ring.product(term, move.leaf - move.parent)
        terms.append(term)
    return result


def contract_to_tensor(
    tensor_tree: TensorTree,
    sum_dims: Iterable[str],
    target_ordinal: Ordinal | None = None,
    target_dims: Iterable[str] | None = None,
    cache: Cache | None = None,
    ring: Ring | None = None,
) -> Tensor:
    """Sum all variables but a few out of a tensor tree, into a single tensor.

    In a plate of the target the result is, for each element, the sum over all variables of all
    elements but its own: a marginal that is not normalised. What a pass back would need is recorded
    only where no target is in a plate.

    :param tensor_tree: packed factors by the plates that they are in.
    :param sum_dims: the letters of all variables.
    :param target_ordinal: the plates to keep, none if left out.
    :param target_dims: the variables to keep, none if left out.
    :param cache: a dict to share intermediate results in, where no ring is given. With one dict,
        many targets cost little more than one.
    :param ring: the semiring, :class:`~pyro.ops.rings.LogRing` if left out.
    :raises ValueError: where the plates cannot be left one by one, or a target is no variable of
        the tree or is in a plate that is not kept.

    >>> import torch
    >>> x, y = named(torch.zeros(3, 2), "ix"), named(torch.zeros(2, 2), "xy")
    >>> contract_to_tensor({frozenset("i"): [x], frozenset(): [y]}, {"x", "y"}, frozenset(), {"y"})
    tensor([0.6931, 0.6931])
    """
    ring = LogRing(cache) if ring is None else ring
    target_ordinal = frozenset() if target_ordinal is None else frozenset(target_ordinal)
    sum_dims, targets = frozenset(sum_dims), frozenset(target_dims or ())
    terms = _terms_of(tensor_tree, ring)
    structure = _structure_of(tensor_tree)
    _check_targets(ordinals_of(structure, sum_dims), target_ordinal, targets)
    parts: list[Tensor] = []
    moves = schedule(structure, sum_dims, targets)
    for move in moves:
        factors = [terms[i] for i in move.terms]
        if move.kept and not move.leaf:
            parts.extend(factors)  # the last sum finds its own order
            terms.extend(factors[:1] * 2)
            continue
        term = _summed(ring, factors, move.summed)
        plates = move.leaf.difference(move.parent or ())
        if move.kept:
            message, conditional = ring.global_local(term, move.kept, plates)
            parts.append(conditional)
            terms.extend([message, conditional])
        else:
            message = ring.product(term, plates)
            terms.append(message)
        if move.parent is None:
            parts.append(message)
    result = ring.sumproduct(parts, sum_dims - targets)
    result = ring.broadcast(result, ring.lacking(result, target_ordinal))
    if any(move.kept and move.leaf for move in moves):
        vars(result).pop("_pyro_backward", None)
    return result


def _terms_of(tensor_tree: TensorTree, ring: Ring) -> list[Tensor]:
    terms = [term for group in tensor_tree.values() for term in group]
    ring.learn_sizes(terms)
    if ring.per_element:
        ordinals = [ordinal for ordinal, group in tensor_tree.items() for _ in group]
        for i, (term, ordinal) in enumerate(zip(terms, ordinals, strict=True)):
            terms[i] = ring.broadcast(term, ring.lacking(term, ordinal))
    return terms


def _structure_of(tensor_tree: TensorTree) -> Structure:
    return tuple(
        [
            (ordinal, tuple([dims_of(term) for term in group]))
            for ordinal, group in tensor_tree.items()
        ]
    )


def _summed(ring: Ring, terms: Sequence[Tensor], dims: str) -> Tensor:
    return ring.sumproduct(terms, dims) if dims or len(terms) > 1 else terms[0]


def _check_targets(
    ordinals: Mapping[str, Ordinal], target_ordinal: Ordinal, targets: frozenset[str]
) -> None:
    for dim in sorted(targets):
        if dim not in ordinals:
            raise ValueError(f"cannot keep {dim!r}: it is not a variable of any factor.")
        missing = sorted(ordinals[dim] - target_ordinal)
        if missing:
            raise ValueError(
                f"cannot keep variable {dim!r} without its plate {missing[0]!r}, in which there is "
                "one for each element. Keep the plate too."
            )


def einsum(equation: str, *operands: Tensor, **kwargs: Any) -> tuple[Tensor, ...]:
    r"""Return sums of products over a plated factor graph, one for each output.

    Each plate stands for many copies of what it contains, and the copies are multiplied:
    ``einsum("ix,y,ixy->", ..., plates="i")`` is
    :math:`\sum_y f_y \prod_i \sum_{x} f_{ix} f_{ixy}`. An output with plates and variables keeps,
    for each element, its own variables, and sums those of all other elements out.

    :param equation: inputs and outputs, both separated by commas: ``"ix,y,ixy->,y,ix"``.
    :param operands: the factors.
    :param kwargs: ``plates``, the letters of the plates; ``backend``, ``"torch"`` if left out, or
        the path of another module in :mod:`pyro.ops.einsum`; ``cache``, a dict to share
        intermediate results in; ``modulo_total``, which allows each output a factor of its own,
        and makes no difference, for all outputs are exact.
    :return: a tuple of packed tensors, their dims as the equation has them.
    :raises ValueError: where the graph is intractable, equation and operands do not fit each other,
        or an output keeps a variable without its plates.
    :raises TypeError: for an option that is none of these.

    >>> import torch
    >>> einsum("ixy,y->,y", torch.ones(3, 2, 4), torch.ones(4), plates="i")
    (tensor(32.), tensor([8., 8., 8., 8.]))
    """
    plates = frozenset(kwargs.pop("plates", kwargs.pop("batch_dims", "")))
    backend = kwargs.pop("backend", "torch")
    cache = kwargs.pop("cache", None)
    kwargs.pop("modulo_total", None)
    if kwargs:
        raise TypeError(f"einsum() takes plates, backend and cache, got {', '.join(kwargs)}.")
    if backend not in BACKEND_TO_RING:
        raise ValueError(f"backend {backend!r} is none of {', '.join(BACKEND_TO_RING)}.")
    inputs, outputs = split_many(equation)
    sizes = sizes_of(inputs, [shape_of(operand) for operand in operands])
    tree: dict[Ordinal, list[Tensor]] = {}
    for dims, operand in zip(inputs, operands, strict=True):
        tree.setdefault(plates & frozenset(dims), []).append(lettered(operand, dims))
    variables = frozenset(sizes) - plates
    cache = {} if cache is None else cache
    results = []
    for output in outputs:
        ring = BACKEND_TO_RING[backend](cache, dict(sizes))
        kept = frozenset(output)
        result = contract_to_tensor(tree, variables, kept & plates, kept & variables, ring=ring)
        results.append(_ordered(result, output))
    return tuple(results)


def _ordered(result: Tensor, dims: str) -> Tensor:
    if dims_of(result) == dims:
        return result
    ordered = named(aligned(result, dims), dims)
    ordered.__dict__.update({k: v for k, v in vars(result).items() if k == "_pyro_backward"})
    return ordered


def ubersum(equation: str, *operands: Tensor, **kwargs: Any) -> tuple[Tensor, ...]:
    """Do what :func:`einsum` does, under its former name.

    :param equation: inputs and outputs, both separated by commas.
    :param operands: the factors.
    :param kwargs: as :func:`einsum` takes them; ``batch_dims`` for ``plates``.

    >>> import torch
    >>> ubersum("ix->", torch.ones(3, 2), batch_dims="i")
    (tensor(8.),)
    """
    return einsum(equation, *operands, **kwargs)


__all__ = [
    "IntractableError",
    "contract_tensor_tree",
    "contract_to_tensor",
    "einsum",
    "naive_ubersum",
    "ubersum",
]
