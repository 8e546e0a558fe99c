"""The law of normal observations in groups, whose means are normal and integrated out."""

import math
from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.normal import Normal
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.shapes import broadcast_shape


class GroupedNormalNormal(TorchDistribution):
    r"""Law of :math:`x_i\sim\mathcal N(z_{g_i},\sigma_i)` where :math:`z_g\sim\mathcal N(m_g,s_g)`.

    The means :math:`z` of groups are integrated out, so observations of one group depend on each
    other: they are normal with covariance
    :math:`\mathrm{cov}(x_i,x_j)=[g_i=g_j]\,s_{g_i}^2+[i=j]\,\sigma_i^2`. Cost is linear in the
    number of observations.

    :param prior_loc: the expectation :math:`m` of the mean of each group, of shape
        ``(..., groups)``.
    :param prior_scale: its standard deviation :math:`s`, positive, likewise.
    :param obs_scale: the standard deviation :math:`\sigma` of observations around the mean of their
        group, positive, of shape ``(..., observations)`` or one that broadcasts to it.
    :param group_idx: the group of each observation, counted from 0, of shape ``(observations,)``.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where ``group_idx`` names groups that there are not.

    >>> group = torch.tensor([0, 0, 1])
    >>> law = GroupedNormalNormal(torch.zeros(2), torch.ones(2), torch.tensor(1.0), group)
    >>> law.log_prob(torch.zeros(3))
    tensor(-3.6527)
    >>> law.get_posterior(torch.tensor([1.0, 2.0, 0.0])).mean
    tensor([1., 0.])

    Source: Lindley and Smith 1972, *Bayes Estimates for the Linear Model*, Journal of the Royal
    Statistical Society B 34.
    """

    arg_constraints = {
        "prior_loc": constraints.real_vector,
        "prior_scale": constraints.independent(constraints.positive, 1),
        "obs_scale": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        prior_loc: Tensor,
        prior_scale: Tensor,
        obs_scale: Tensor,
        group_idx: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        batch_shape, event_shape = self.infer_shapes(
            prior_loc.shape, prior_scale.shape, obs_scale.shape, group_idx.shape
        )
        num_groups = broadcast_shape(prior_loc.shape[-1:], prior_scale.shape[-1:])
        _check_groups(group_idx, num_groups)
        self.prior_loc = prior_loc.expand(batch_shape + num_groups)
        self.prior_scale = prior_scale.expand(batch_shape + num_groups)
        self.obs_scale = obs_scale.expand(batch_shape + event_shape)
        self.group_idx = group_idx
        super().__init__(batch_shape, event_shape, validate_args)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        prior_loc: Shape, prior_scale: Shape, obs_scale: Shape, group_idx: Shape | None = None
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param prior_loc: the shape of the expectations of groups.
        :param prior_scale: the shape of their standard deviations.
        :param obs_scale: the shape of the standard deviations of observations.
        :param group_idx: the shape of the groups of observations.
        """
        batch_shape = broadcast_shape(prior_loc[:-1], prior_scale[:-1], obs_scale[:-1])
        event_shape = obs_scale[-1:] if group_idx is None else group_idx
        return torch.Size(batch_shape), torch.Size(event_shape)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "GroupedNormalNormal":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        for name in self.arg_constraints:
            value = held[name]
            held[name] = value.expand(batch_shape + value.shape[-1:])
        return new

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        return self.prior_loc[..., self.group_idx]

    @property
    def variance(self) -> Tensor:
        """The variance of each observation."""
        return self.prior_scale[..., self.group_idx].square() + self.obs_scale.square()

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably: first the means of groups.

        :param sample_shape: the shape of independent draws.
        """
        shape = torch.Size(sample_shape) + self._batch_shape
        like = self.prior_loc
        noise = [
            torch.randn(shape + scale.shape[-1:], dtype=like.dtype, device=like.device)
            for scale in (self.prior_scale, self.obs_scale)
        ]
        means = self.prior_loc + self.prior_scale * noise[0]
        return means[..., self.group_idx] + self.obs_scale * noise[1]

    def _evidence(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what observations say about each group, and how surprising they are at its prior.

        :returns: the sum of precisions; that of distances from the expectation, times precisions;
            and that of log densities with the group's mean at its expectation.
        """
        distance = value - self.prior_loc[..., self.group_idx]
        precision = self.obs_scale.square().reciprocal()
        weighted = distance * precision
        level = self.obs_scale.log() + 0.5 * math.log(math.tau)
        fixed = -(0.5 * distance * weighted + level).sum(-1)
        none = torch.zeros(
            weighted.shape[:-1] + self.prior_loc.shape[-1:], dtype=value.dtype, device=value.device
        )
        precision = precision.expand_as(weighted)
        return (
            none.index_add(-1, self.group_idx, precision),
            none.index_add(-1, self.group_idx, weighted),
            fixed,
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of all observations together.

        :param value: the observations, along the rightmost dimension.
        """
        if self._validate_args:
            self._validate_sample(value)
        precision, weighted, fixed = self._evidence(value)
        variance = self.prior_scale.square()
        gain = 1 + precision * variance
        return fixed + 0.5 * (weighted.square() * variance / gain - gain.log()).sum(-1)

    def get_posterior(self, value: Tensor) -> Normal:
        """Return the law of the means of groups, given observations.

        :param value: the observations, along the rightmost dimension.
        """
        if self._validate_args:
            self._validate_sample(value)
        precision, weighted, _ = self._evidence(value)
        variance = self.prior_scale.square()
        gain = 1 + precision * variance
        return Normal(self.prior_loc + weighted * variance / gain, self.prior_scale * gain.rsqrt())


def _check_groups(group_idx: Tensor, groups: tuple[int, ...]) -> None:
    if not groups:
        raise ValueError(
            "GroupedNormalNormal: 'prior_loc' and 'prior_scale' need a dimension for the groups."
        )
    if group_idx.dim() != 1 or group_idx.is_floating_point() or group_idx.dtype is torch.bool:
        raise ValueError(
            f"GroupedNormalNormal: 'group_idx' has shape {tuple(group_idx.shape)} and dtype "
            f"{group_idx.dtype}, expected a vector of integers."
        )
    low, high = group_idx.aminmax() if len(group_idx) else (0, 0)
    if low < 0 or high >= groups[0]:
        raise ValueError(
            f"GroupedNormalNormal: 'group_idx' has numbers from {int(low)} to {int(high)}, but "
            f"'prior_loc' and 'prior_scale' tell of groups 0 to {groups[0] - 1}."
        )
