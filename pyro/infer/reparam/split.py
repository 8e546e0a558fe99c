"""One site in parts, so that each part can be treated on its own."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro._foundation.errors import site_error
from pyro.distributions.delta import Delta
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.infer.reparam.computed import auxiliary
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult


def same_support(fn: Any, *args: Any) -> Any:
    """Return a law's support, as that of each part.

    :param fn: the law.
    :param args: not used.
    """
    return fn.support


def real_support(fn: Any, *args: Any) -> Any:
    """Return all real arrays, as the support of each part.

    :param fn: the law.
    :param args: not used.
    """
    return constraints.independent(constraints.real, fn.event_dim)


def default_support(fn: Any, slice: Any, dim: int) -> Any:
    """Return the support of a part, where that of the whole is one for each entry.

    :param fn: the law.
    :param slice: where the part lies along the dimension.
    :param dim: the dimension, negative.
    :raises ValueError: where entries of different parts restrict each other, as on the simplex.

    >>> import pyro.distributions as dist
    >>> default_support(dist.Gamma(torch.ones(4), 1.0).to_event(1), slice(0, 2), -1)
    IndependentConstraint(GreaterThanEq(lower_bound=0.0), 1)
    """
    support = fn.support
    entry, count = support, 0
    while type(entry) is constraints.independent:
        count += entry.reinterpreted_batch_ndims
        entry = entry.base_constraint
    if entry is constraints.real_vector:
        entry, count = constraints.real, count + 1
    if entry.event_dim >= -dim:
        raise ValueError(
            f"SplitReparam: the parts of a value in {support} depend on each other. Give "
            "support_fn, a function of law, slice and dim that returns the support of a part."
        )
    return constraints.independent(_sliced(entry, slice, dim, fn.event_shape), count)


def _sliced(constraint: Any, part: Any, dim: int, shape: torch.Size) -> Any:
    """Cut those bounds of a set that differ from entry to entry."""
    bounds = {n: v for n, v in vars(constraint).items() if isinstance(v, Tensor) and v.dim()}
    if not bounds:
        return constraint
    new = object.__new__(type(constraint))
    new.__dict__.update(vars(constraint))
    right = constraint.event_dim
    for name, bound in bounds.items():
        if bound.dim() >= -dim - right and bound.size(dim + right) > 1:
            bound = bound.narrow(dim + right, part.start, part.stop - part.start)
        new.__dict__[name] = bound
    return new


class SplitReparam(Reparam):
    r"""Draw a site in parts along a dimension of its event.

    The auxiliary sites ``{name}_split_0``, ``{name}_split_1``, … are the parts, with no density of
    their own; the site is their concatenation, with its own density there. Parts can be treated
    differently, say one enumerated or in the guide and the other not. Where nothing else gives
    them values they are the parts of one draw of the law.

    :param sections: the sizes of the parts, along the dimension.
    :param dim: the dimension, negative; it and those right of it belong to an event.
    :param support_fn: a function of the law, a part's slice and the dimension that returns the
        part's support.
    :raises ValueError: where ``sections`` holds no positive sizes or ``dim`` is not negative; that
        names the site, where they do not fit its event.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.Normal(torch.zeros(5), 1.0).to_event(1))
    >>> parted = pyro.poutine.reparam(model, config={"x": SplitReparam([2, 3], dim=-1)})
    >>> pyro.poutine.trace(parted).get_trace().stochastic_nodes
    ['x_split_0', 'x_split_1']
    """

    def __init__(
        self,
        sections: Sequence[int],
        dim: int,
        support_fn: Callable[..., Any] = default_support,
    ) -> None:
        if isinstance(sections, int) or not all(isinstance(n, int) and n > 0 for n in sections):
            raise ValueError(f"SplitReparam: sections are the sizes of parts, not {sections!r}.")
        if not (isinstance(dim, int) and dim < 0):
            raise ValueError(f"SplitReparam: dim counts from the right, below 0; it is {dim!r}.")
        self.sections = list(sections)
        self.dim = dim
        self.support_fn = support_fn

    @property
    def event_dim(self) -> int:
        """How many dimensions of an event a part takes."""
        return -self.dim

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw the parts, and compute the site from them.

        :param msg: the site.
        """
        law, value, dim = msg["fn"], msg["value"], self.dim
        self._check(msg)
        starts = [None] * len(self.sections) if value is None else value.split(self.sections, dim)
        draws, parts, first = _Draws(law), [], 0
        for i, (size, start) in enumerate(zip(self.sections, starts, strict=True)):
            place = slice(first, first + size)
            part = _Part(draws, place, dim, self.support_fn(law, place, dim))
            name = f"{msg['name']}_split_{i}"
            parts.append(auxiliary(name, part, start, msg["is_observed"]))
            first += size
        known = msg["is_observed"] and all(p is s for p, s in zip(parts, starts, strict=True))
        whole = value if known else torch.cat(parts, dim)
        fn = Delta(whole, law.log_prob(whole), event_dim=law.event_dim, validate_args=False)
        return {"fn": fn, "value": whole, "is_observed": True}

    def _check(self, msg: ReparamMessage) -> None:
        shape, dim = msg["fn"].event_shape, self.dim
        if len(shape) < -dim or shape[dim] != sum(self.sections):
            raise site_error(
                msg["name"],
                f"SplitReparam cuts dimension {dim} into {self.sections}, but the event shape is "
                f"{tuple(shape)}",
                "Make batch dimensions those of an event by .to_event(), and let the sections add "
                "up to the dimension's size.",
            )


class _Draws:
    """Draws of the whole, of which every part takes its own piece."""

    def __init__(self, law: Any) -> None:
        self.law = law
        self.known: dict[torch.Size, Tensor] = {}

    def of(self, sample_shape: torch.Size) -> Tensor:
        if sample_shape not in self.known:
            self.known[sample_shape] = self.law(sample_shape)
        return self.known[sample_shape]


class _Part(TorchDistribution):
    """A part of a value: drawn with the whole, and without a density of its own."""

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, draws: _Draws, place: slice, dim: int, support: Any) -> None:
        self.draws, self.place, self.dim = draws, place, dim
        self._support = support
        event_shape = list(draws.law.event_shape)
        event_shape[dim] = place.stop - place.start
        super().__init__(draws.law.batch_shape, event_shape)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the law of the whole draws differentiably."""
        return bool(self.draws.law.has_rsample)

    @constraints.dependent_property
    def support(self) -> Any:
        """What the part can be."""
        return self._support

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Return the part of a draw of the whole.

        :param sample_shape: the shape of independent draws.
        """
        whole = self.draws.of(torch.Size(sample_shape))
        return whole.narrow(self.dim, self.place.start, self.place.stop - self.place.start)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Return the part of a draw of the whole, without gradients.

        :param sample_shape: the shape of independent draws.
        """
        return self.rsample(sample_shape).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return zero: the site made of the parts has the density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        return value.new_zeros(value.shape[: value.dim() - self.event_dim])
