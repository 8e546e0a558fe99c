"""Semirings on packed tensors, as variable elimination needs them.

A ring multiplies factors and sums variables out (:meth:`Ring.sumproduct`), multiplies over the
elements of plates (:meth:`Ring.product`), and splits a factor in a plate into what the rest of the
model sees of it and what stays (:meth:`Ring.global_local`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence

import torch
from torch import Tensor

from pyro.ops.einsum.adjoint import Backward, Message, backward_of, expand, record
from pyro.ops.einsum.expressions import Cache, sizes_of, sum_product
from pyro.ops.einsum.layout import common_order, shape_of
from pyro.ops.packed import aligned, dims_of, named

Ordinal = frozenset[str]


class Ring(ABC):
    """A semiring whose elements are packed tensors.

    :param cache: a dict in which results are shared between calls, or None to share none.
    :param dim_to_size: the lengths of plates, by letter; those of the terms that a ring sees are
        added.
    """

    #: Whether each element of a plate wants factors of its own, though they are equal.
    per_element = False

    def __init__(
        self, cache: Cache | None = None, dim_to_size: dict[str, int] | None = None
    ) -> None:
        self._cache = cache
        self._dim_to_size: dict[str, int] = {} if dim_to_size is None else dim_to_size

    def learn_sizes(self, terms: Iterable[Tensor]) -> None:
        """Note how long the dims of some terms are.

        :param terms: packed tensors.
        """
        for term in terms:
            self._dim_to_size.update(zip(dims_of(term), shape_of(term), strict=True))

    def lacking(self, term: Tensor, ordinal: Iterable[str]) -> str:
        """Return the plates that a term does not vary in, as far as their size is known.

        :param term: a packed tensor.
        :param ordinal: the plates that it is in.
        """
        dims = dims_of(term)
        return "".join(
            sorted(plate for plate in ordinal if plate not in dims and plate in self._dim_to_size)
        )

    @abstractmethod
    def sumproduct(self, terms: Sequence[Tensor], dims: Iterable[str]) -> Tensor:
        """Multiply terms, and sum some dims out.

        :param terms: packed tensors, at least one.
        :param dims: the letters to sum over.
        """

    @abstractmethod
    def product(self, term: Tensor, ordinal: Iterable[str]) -> Tensor:
        """Multiply a term over all elements of some plates.

        A plate that the term does not vary in multiplies it with itself, as often as the plate is
        long; one of unknown size has one element.

        :param term: a packed tensor.
        :param ordinal: the letters of the plates.
        """

    @abstractmethod
    def inv(self, term: Tensor) -> Tensor:
        """Return the inverse of a term; that of zero is some finite number, so that 0 / 0 is 0.

        :param term: a packed tensor.
        """

    def broadcast(self, term: Tensor, ordinal: Iterable[str]) -> Tensor:
        """Expand a term to plates that it does not vary in.

        :param term: a packed tensor.
        :param ordinal: the letters of the plates.
        :raises ValueError: where the size of a plate is unknown.
        """
        dims = "".join(sorted(set(ordinal).difference(dims_of(term))))
        unknown = [dim for dim in dims if dim not in self._dim_to_size]
        if unknown:
            raise ValueError(
                f"the size of plate {unknown[0]!r} is unknown; give it in dim_to_size."
            )
        return expand(term, dims, [self._dim_to_size[dim] for dim in dims]) if dims else term

    def global_local(
        self, term: Tensor, dims: Iterable[str], ordinal: Iterable[str]
    ) -> tuple[Tensor, Tensor]:
        r"""Split a factor :math:`f(i, x, y)` of the elements :math:`i` of a plate in two.

        With :math:`s(i, y) = \sum_x f(i, x, y)` these are the message :math:`\prod_i s(i, y)` of
        all elements to the variables outside, and what stays with each element, the conditional
        :math:`f(i, x, y) / s(i, y)`. Where the latter is 0 / 0 it is 0, and so is their product.

        :param term: the factor, a packed tensor.
        :param dims: the local variables :math:`x`.
        :param ordinal: the plates to multiply over.
        :return: the global part, and the local part.
        """
        summed = self.sumproduct([term], dims)
        local = self.sumproduct([term, self.inv(summed)], "")
        return self.product(summed, ordinal), local

    def _shared(self, what: Hashable, term: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """Compute what was not computed before from the same term."""
        if self._cache is None:
            return compute()
        key = "ring", type(self), what, id(term)
        result: Tensor | None = self._cache.get(key)
        if result is None:
            result = self._cache[key] = compute()
            self._cache["tensor", id(term)] = term
        return result


class _EinsumRing(Ring):
    _backend: str

    def sumproduct(self, terms: Sequence[Tensor], dims: Iterable[str]) -> Tensor:
        """Multiply terms, and sum some dims out.

        :param terms: packed tensors, at least one.
        :param dims: the letters to sum over.
        """
        inputs = tuple([dims_of(term) for term in terms])
        gone = frozenset(dims)
        output = "".join([dim for dim in common_order(inputs) if dim not in gone])
        sizes = sizes_of(inputs, [shape_of(term) for term in terms])
        self._dim_to_size.update(sizes)
        return sum_product(inputs, output, terms, self._backend, self._cache, sizes)

    def product(self, term: Tensor, ordinal: Iterable[str]) -> Tensor:
        """Multiply a term over all elements of some plates.

        :param term: a packed tensor.
        :param ordinal: the letters of the plates.
        """
        plates = "".join(sorted(ordinal))
        self.learn_sizes([term])
        if not plates:
            return term
        sizes = [self._dim_to_size[plate] for plate in self.lacking(term, plates)]
        key = "product", plates, *sizes
        return self._shared(key, term, lambda: self._product(term, plates))

    def _product(self, term: Tensor, plates: str) -> Tensor:
        dims = dims_of(term)
        times = 1
        for dim in self.lacking(term, plates):
            times *= self._dim_to_size[dim]
        axes = [dims.index(dim) for dim in plates if dim in dims]
        if times == 1 and not axes:
            return term
        kept = "".join(dim for dim in dims if dim not in plates)
        return named(self._power(term, axes, times), kept)

    def inv(self, term: Tensor) -> Tensor:
        """Return the inverse of a term; that of zero is some finite number, so that 0 / 0 is 0.

        :param term: a packed tensor.
        """
        return self._shared(("inv",), term, lambda: named(self._inverse(term), dims_of(term)))

    @abstractmethod
    def _power(self, term: Tensor, axes: list[int], times: int) -> Tensor:
        """Multiply over some axes, and the result with itself."""

    @abstractmethod
    def _inverse(self, term: Tensor) -> Tensor:
        """Return the inverse, element by element."""


class LinearRing(_EinsumRing):
    """Sums of products of plain numbers.

    :param cache: a dict in which results are shared between calls, or None to share none.
    :param dim_to_size: the lengths of plates, by letter.

    >>> x = named(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "ix")
    >>> ring = LinearRing()
    >>> ring.product(ring.sumproduct([x], "x"), "i")
    tensor(21.)
    """

    _backend = "torch"

    def _power(self, term: Tensor, axes: list[int], times: int) -> Tensor:
        for axis in sorted(axes, reverse=True):
            term = term.prod(axis)
        return term if times == 1 else term**times

    def _inverse(self, term: Tensor) -> Tensor:
        zero = term == 0
        return torch.where(zero, 1.0, torch.where(zero, 1.0, term).reciprocal())


class LogRing(_EinsumRing):
    """Sums of products of numbers that are given by their logarithms.

    :param cache: a dict in which results are shared between calls, or None to share none.
    :param dim_to_size: the lengths of plates, by letter.

    >>> x = named(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).log(), "ix")
    >>> ring = LogRing()
    >>> ring.product(ring.sumproduct([x], "x"), "i").exp().round()
    tensor(21.)
    """

    _backend = "pyro.ops.einsum.torch_log"

    def _power(self, term: Tensor, axes: list[int], times: int) -> Tensor:
        if axes:
            term = term.sum(axes)
        return term if times == 1 else term * times

    def _inverse(self, term: Tensor) -> Tensor:
        return -term.clamp(min=torch.finfo(term.dtype).min)


class _AdjointRing(LogRing):
    per_element = True

    def _product(self, term: Tensor, plates: str) -> Tensor:
        # Equal factors are not tied: each element chooses for itself, and asks for its own message.
        missing = self.lacking(term, plates)
        if missing:
            term = self.broadcast(term, missing)
        result = super()._product(term, plates)
        return (
            result if result is term else record(result, [term], lambda: self._passed(term, plates))
        )

    def _passed(self, term: Tensor, plates: str) -> Backward:
        return _ChoiceProduct(term)


class _ChoiceProduct(Backward):
    """What was chosen outside of a plate holds for each of its elements."""

    def __init__(self, term: Tensor) -> None:
        self.term = term

    def process(self, message: Message) -> Iterable[tuple[Backward, Message]]:
        """Pass an assignment on.

        :param message: an assignment, or None.
        """
        backward = backward_of(self.term)
        return () if backward is None else ((backward, message),)


class _MarginalProduct(_ChoiceProduct):
    """The marginal of what is outside of a plate is the same for each of its elements."""

    def __init__(self, term: Tensor, plates: str) -> None:
        super().__init__(term)
        self.plates = plates

    def process(self, message: Message) -> Iterable[tuple[Backward, Message]]:
        """Repeat a marginal for each element.

        :param message: a log marginal, or None where the product is all there is.
        """
        dims = dims_of(self.term)
        if message is None:
            axes = [dims.index(dim) for dim in self.plates if dim in dims]
            spread = self.term.sum(axes, keepdim=True)
        else:
            spread = aligned(message, dims)
        return super().process(named(spread.expand_as(self.term), dims))


class MapRing(_AdjointRing):
    """Maxima of products, whose pass back finds the most probable assignment.

    :param cache: a dict in which results are shared between calls, or None to share none.
    :param dim_to_size: the lengths of plates, by letter.

    >>> from pyro.ops.einsum.adjoint import require_backward
    >>> x = named(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), "ix")
    >>> require_backward(x)
    >>> ring = MapRing()
    >>> ring.product(ring.sumproduct([x], "x"), "i")._pyro_backward()
    >>> x._pyro_backward_result
    tensor([[1, 0]])
    """

    _backend = "pyro.ops.einsum.torch_map"


class SampleRing(_AdjointRing):
    """Sums of products given by their logarithms, whose pass back draws an exact joint sample.

    :param cache: a dict in which results are shared between calls, or None to share none.
    :param dim_to_size: the lengths of plates, by letter.
    """

    _backend = "pyro.ops.einsum.torch_sample"


class MarginalRing(_AdjointRing):
    """Sums of products given by their logarithms, whose pass back computes log marginals.

    :param cache: a dict in which results are shared between calls, or None to share none.
    :param dim_to_size: the lengths of plates, by letter.
    """

    _backend = "pyro.ops.einsum.torch_marginal"

    def _passed(self, term: Tensor, plates: str) -> Backward:
        return _MarginalProduct(term, plates)


BACKEND_TO_RING: dict[str, type[_EinsumRing]] = {
    "torch": LinearRing,
    **{ring._backend: ring for ring in (LogRing, MapRing, SampleRing, MarginalRing)},
}
