"""Laws of the times at which lineages of a sample meet, backwards in time (Kingman's coalescent).

Time runs forwards: the leaves of a tree are sampled at ``leaf_times``, and pairs of lineages meet
before them. A tree of ``L`` leaves has ``L - 1`` such times.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform, biject_to, transform_to

import pyro.distributions.constraints as constraints
from pyro.distributions.parameters import Real
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.lineages import (
    cumulative_rate,
    draw_meetings,
    exposures,
    inverse_cumulative_rate,
    log_pairs,
    merged,
)
from pyro.ops.shapes import broadcast_shape


class CoalescentTimesConstraint(constraints.Constraint):
    """Vectors of times at which lineages meet, each when at least two of them are there.

    :param leaf_times: the times of the leaves, along the rightmost dimension.
    :param ordered: whether the times must not decrease.

    >>> support = CoalescentTimesConstraint(torch.tensor([0.0, 1.0, 2.0]))
    >>> support.check(torch.tensor([[-1.0, 0.5], [0.5, -1.0], [0.5, 0.7]]))
    tensor([ True, False, False])
    """

    event_dim = 1

    def __init__(self, leaf_times: Tensor, *, ordered: bool = True) -> None:
        self.leaf_times = leaf_times
        self.ordered = ordered
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Tell which vectors are possible.

        :param value: vectors, along the rightmost dimension.
        """
        times = value.sort(-1).values
        leaves = self.leaf_times.sort(-1).values
        # the k-th but last meeting needs k + 1 leaves after it
        possible = (times <= leaves[..., :-1]).all(-1) & ~value.isnan().any(-1)
        if self.ordered:
            possible = possible & (value[..., 1:] >= value[..., :-1]).all(-1)
        return possible

    def __repr__(self) -> str:
        return f"{type(self).__name__}(leaf_times of shape {tuple(self.leaf_times.shape)})"


class CoalescentTimesTransform(Transform):
    r"""Map a vector to times at which lineages meet: :math:`y_i=\min(l_i,y_{i+1})-e^{x_i}`.

    Here :math:`l_i` is the time before which at least two lineages are left for the meeting, that
    of a leaf. ``biject_to`` gives this map for the support of the laws here.

    :param leaf_times: the times of the leaves, along the rightmost dimension.
    :param cache_size: 1 to remember the latest pair of value and image.

    >>> CoalescentTimesTransform(torch.tensor([0.0, 0.0, 3.0]))(torch.zeros(2))
    tensor([-2., -1.])
    """

    domain = constraints.real_vector
    bijective = True

    def __init__(self, leaf_times: Tensor, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.leaf_times = leaf_times
        self._limits = leaf_times.sort(-1).values[..., :-1]

    @property
    def codomain(self) -> constraints.Constraint:  # type: ignore[override]
        """The support of coalescent times."""
        return CoalescentTimesConstraint(self.leaf_times)

    def with_cache(self, cache_size: int = 1) -> "CoalescentTimesTransform":
        """Return this transform with another size of its cache.

        :param cache_size: 1 to remember the latest pair of value and image.
        """
        if self._cache_size == cache_size:
            return self
        return type(self)(self.leaf_times, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        room = torch.finfo(x.dtype).max / (4 * x.size(-1))
        steps = x.exp().clamp(max=room)
        later = steps.flip(-1).cumsum(-1).flip(-1)  # how far all steps from here on lead
        top = (self._limits + later - steps).flip(-1).cummin(-1).values.flip(-1)
        # rounding must not lead out of the support
        return torch.minimum(top - later, self._limits).flip(-1).cummin(-1).values.flip(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        following = torch.nn.functional.pad(y[..., 1:], (0, 1), value=torch.inf)
        return (torch.minimum(self._limits, following) - y).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change; the Jacobian is triangular.

        :param x: a vector.
        :param y: its image.
        """
        return x.sum(-1)


@biject_to.register(CoalescentTimesConstraint)
@transform_to.register(CoalescentTimesConstraint)
def _to_coalescent_times(constraint: CoalescentTimesConstraint) -> CoalescentTimesTransform:
    if not constraint.ordered:
        raise NotImplementedError(f"No map leads to all of {constraint} without ordered=True.")
    return CoalescentTimesTransform(constraint.leaf_times)


class CoalescentTimes(TorchDistribution):
    r"""Law of the times at which lineages meet where each pair does so at a constant rate.

    With :math:`k(t)` lineages at time :math:`t`, and :math:`t_1\leq t_2\leq\dots` the meetings,

    .. math:: p(t) = \prod_i \lambda\tbinom{k(t_i)}{2}\;
        \exp\Big(-\int\lambda\tbinom{k(t)}{2}\,dt\Big) .

    :param leaf_times: the times of the leaves, along the rightmost dimension, in any order.
    :param rate: the rate :math:`\lambda` at which a pair meets, positive, of the batch shape.
    :param validate_args: whether to check parameters and values.

    >>> law = CoalescentTimes(torch.zeros(3))
    >>> law.log_prob(torch.tensor([-2.0, -1.0]))
    tensor(-2.9014)

    Source: Kingman 1982, *The Coalescent*, Stochastic Processes and their Applications 13.
    """

    arg_constraints = {"leaf_times": constraints.real_vector, "rate": constraints.positive}

    def __init__(
        self, leaf_times: Tensor, rate: Real = 1.0, *, validate_args: bool | None = None
    ) -> None:
        _check_leaves("CoalescentTimes", leaf_times)
        rate = torch.as_tensor(rate, dtype=leaf_times.dtype, device=leaf_times.device)
        batch_shape, event_shape = self.infer_shapes(leaf_times.shape, rate.shape)
        self.leaf_times = leaf_times.expand(batch_shape + leaf_times.shape[-1:])
        self.rate = rate.expand(batch_shape)
        super().__init__(batch_shape, event_shape, validate_args)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        leaf_times: Shape, rate: Shape = ()
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param leaf_times: the shape of the times of the leaves.
        :param rate: the shape of the rate.
        """
        batch_shape = broadcast_shape(leaf_times[:-1], rate)
        return torch.Size(batch_shape), torch.Size((leaf_times[-1] - 1,))

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "CoalescentTimes":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        held["leaf_times"] = self.leaf_times.expand(batch_shape + self.leaf_times.shape[-1:])
        held["rate"] = self.rate.expand(batch_shape)
        return new

    @property
    def support(self) -> constraints.Constraint:
        """All sequences of times at which there are at least two lineages."""
        return CoalescentTimesConstraint(self.leaf_times)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the times, in order, along the rightmost dimension.
        """
        if self._validate_args:
            self._validate_sample(value)
        times, is_meeting, pairs = merged(self.leaf_times, value)
        exposure = (pairs[..., :-1] * times.diff(dim=-1)).sum(-1)
        meetings = log_pairs(is_meeting, pairs).sum(-1) + self._event_shape[0] * self.rate.log()
        return meetings - self.rate * exposure

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw, exactly.

        :param sample_shape: the shape of independent draws.
        """
        with torch.no_grad():
            return draw_meetings(self.leaf_times, self.rate, sample_shape)


def _check_leaves(name: str, leaf_times: Tensor) -> None:
    if leaf_times.dim() < 1 or leaf_times.size(-1) < 2:
        raise ValueError(
            f"{name}: 'leaf_times' has shape {tuple(leaf_times.shape)}, expected (..., leaves) "
            f"with at least two leaves."
        )


class CoalescentTimesWithRate(TorchDistribution):
    r"""Law of the times at which lineages meet where the rate of a pair changes in time.

    Its density is that of :class:`CoalescentTimes` with :math:`\lambda(t)` in place of
    :math:`\lambda`, which is constant from :math:`i` to :math:`i+1`.

    :param leaf_times: the times of the leaves, along the rightmost dimension, in any order.
    :param rate_grid: the rates in intervals of length 1 from time 0 on, positive, along the
        rightmost dimension; the first holds before them and the last after them, too.
    :param validate_args: whether to check parameters and values.

    >>> law = CoalescentTimesWithRate(torch.full((3,), 2.0), torch.ones(2))
    >>> law.log_prob(torch.tensor([0.0, 1.0]))
    tensor(-2.9014)

    Source: Pybus, Rambaut and Harvey 2000, *An Integrated Framework for the Inference of Viral
    Population History from Reconstructed Genealogies*, Genetics 155.
    """

    arg_constraints = {
        "leaf_times": constraints.real_vector,
        "rate_grid": constraints.independent(constraints.positive, 1),
    }

    def __init__(
        self, leaf_times: Tensor, rate_grid: Tensor, *, validate_args: bool | None = None
    ) -> None:
        _check_leaves("CoalescentTimesWithRate", leaf_times)
        if rate_grid.dim() < 1 or not rate_grid.size(-1):
            raise ValueError(
                f"CoalescentTimesWithRate: 'rate_grid' has shape {tuple(rate_grid.shape)}, "
                f"expected (..., duration)."
            )
        batch_shape, event_shape = self.infer_shapes(leaf_times.shape, rate_grid.shape)
        self.leaf_times = leaf_times.expand(batch_shape + leaf_times.shape[-1:])
        self.rate_grid = rate_grid.expand(batch_shape + rate_grid.shape[-1:])
        super().__init__(batch_shape, event_shape, validate_args)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        leaf_times: Shape, rate_grid: Shape
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param leaf_times: the shape of the times of the leaves.
        :param rate_grid: the shape of the rates.
        """
        batch_shape = broadcast_shape(leaf_times[:-1], rate_grid[:-1])
        return torch.Size(batch_shape), torch.Size((leaf_times[-1] - 1,))

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "CoalescentTimesWithRate":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        for name in ("leaf_times", "rate_grid"):
            value = getattr(self, name)
            held[name] = value.expand(batch_shape + value.shape[-1:])
        return new

    @property
    def duration(self) -> int:
        """The number of intervals with a rate of their own."""
        return self.rate_grid.size(-1)

    @property
    def support(self) -> constraints.Constraint:
        """All sequences of times at which there are at least two lineages."""
        return CoalescentTimesConstraint(self.leaf_times)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, in time linear in the leaves and the duration but for sorting.

        :param value: the times, in order, along the rightmost dimension.
        """
        if self._validate_args:
            self._validate_sample(value)
        times, is_meeting, pairs = merged(self.leaf_times, value)
        exposure = (pairs[..., :-1] * cumulative_rate(self.rate_grid, times).diff(dim=-1)).sum(-1)
        shape = broadcast_shape(value.shape[:-1], self._batch_shape)
        cell = value.detach().floor().clamp(0, self.duration - 1).long()
        rates = self.rate_grid.expand(shape + self.rate_grid.shape[-1:])
        rates = rates.gather(-1, cell.expand(shape + self._event_shape))
        return rates.log().sum(-1) + log_pairs(is_meeting, pairs).sum(-1) - exposure

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw, exactly: with the integral of the rate for a clock, the rate is 1.

        :param sample_shape: the shape of independent draws.
        """
        with torch.no_grad():
            leaves = cumulative_rate(self.rate_grid, self.leaf_times)
            clock = draw_meetings(leaves, leaves.new_ones(()), sample_shape)
            return inverse_cumulative_rate(self.rate_grid, clock)


class CoalescentRateLikelihood:
    r"""The log density of :class:`CoalescentTimesWithRate` as a function of the rates.

    It is a sum over intervals of time of :math:`n_i\log\lambda_i-a_i\lambda_i+c_i`, in which times
    of leaves and meetings are fixed: computed once, it costs little for any rates, or for those of
    some intervals, in a subsampled plate over time.

    :param leaf_times: the times of the leaves, along the rightmost dimension, in any order.
    :param coal_times: the times at which lineages meet, in order, along the rightmost dimension.
    :param duration: the number of intervals.
    :param validate_args: whether to check the times.
    :raises ValueError: where no tree has these times.

    >>> likelihood = CoalescentRateLikelihood(torch.full((3,), 2.0), torch.tensor([0.0, 1.0]), 2)
    >>> likelihood(torch.ones(2))
    tensor([-1.0000, -1.9014])
    >>> likelihood(torch.ones(1), slice(1, 2))
    tensor([-1.9014])
    """

    def __init__(
        self,
        leaf_times: Tensor,
        coal_times: Tensor,
        duration: int,
        *,
        validate_args: bool | None = None,
    ) -> None:
        law = CoalescentTimesWithRate(
            leaf_times, leaf_times.new_ones(duration), validate_args=validate_args
        )
        if law._validate_args:
            law._validate_sample(coal_times)
        times, is_meeting, pairs = merged(leaf_times, coal_times)
        weights = times.new_zeros(pairs.shape[:-1] + (duration,))
        cell = times.floor().clamp(0, duration - 1).long()
        self._meetings = weights.scatter_add(-1, cell, is_meeting.to(weights.dtype))
        self._constant = weights.scatter_add(-1, cell, log_pairs(is_meeting, pairs))
        self._exposure = exposures(times, pairs, duration)

    def __call__(self, rate_grid: Tensor, t: Any = slice(None)) -> Tensor:
        """Return the part of the log density that each interval of time has.

        :param rate_grid: the rates in the intervals that ``t`` selects, positive, along the
            rightmost dimension.
        :param t: an index or slice along the intervals.
        """
        meetings, exposure = self._meetings[..., t], self._exposure[..., t]
        return meetings * rate_grid.log() - exposure * rate_grid + self._constant[..., t]


def bio_phylo_to_times(
    tree: Any, *, get_time: Callable[[Any], float] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the times of the leaves of a phylogeny, and those at which its lineages meet.

    :param tree: a tree of :mod:`Bio.Phylo`: it has a ``root``, and each of its clades ``clades``
        and a ``branch_length``. Where more than two branches meet, they do so pair by pair, at the
        same time.
    :param get_time: a function from a clade to its time. The default sums branch lengths, that of
        the root included, a missing one counting 1.
    :returns: the times of leaves, in the tree's order, and of meetings, in their own.

    >>> from types import SimpleNamespace as Clade
    >>> leaves = [Clade(clades=[], branch_length=2.0), Clade(clades=[], branch_length=3.0)]
    >>> bio_phylo_to_times(Clade(root=Clade(clades=leaves, branch_length=None)))
    (tensor([3., 4.]), tensor([1.]))
    """
    leaves, meetings = [], []
    waiting = [(tree.root, 0.0)]
    while waiting:
        clade, start = waiting.pop()
        length = 1.0 if clade.branch_length is None else clade.branch_length
        time = start + length if get_time is None else get_time(clade)
        if clade.clades:
            meetings += [time] * (len(clade.clades) - 1)
            waiting += [(child, time) for child in reversed(clade.clades)]
        else:
            leaves.append(time)
    return torch.tensor(leaves), torch.tensor(sorted(meetings))
