"""Laws made of other laws: transformed ones and mixtures."""

from typing import Any

import torch
from torch.distributions import Transform, constraints

from pyro.distributions.distribution import Distribution, noise_score
from pyro.distributions.independent import Independent
from pyro.distributions.law import TorchLaw
from pyro.distributions.torch_distribution import DerivedDistribution, FromBase
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin


class ExponentialFamily(TorchLaw, torch.distributions.ExponentialFamily, TorchDistributionMixin):
    r"""Base class of laws with density :math:`\exp(\langle t(x),\theta\rangle-F(\theta)+k(x))`.

    A subclass that gives the natural parameters and the log normalizer :math:`F` has entropies and
    divergences by automatic differentiation of :math:`F`.

    :param batch_shape: the shape over which parameters are batched.
    :param event_shape: the shape of one event.
    :param validate_args: whether to check parameters and values.

    >>> ExponentialFamily(torch.Size([2])).batch_shape
    torch.Size([2])
    """

    arg_constraints: dict[str, Any] = {}

    def __init__(
        self,
        batch_shape: Shape = NO_SHAPE,
        event_shape: Shape = NO_SHAPE,
        validate_args: bool | None = None,
    ) -> None:
        self._init_torch(validate_args, torch.Size(batch_shape), torch.Size(event_shape))
        self._check_parameters(validate_args)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        return TorchDistributionMixin.expand(self, batch_shape, _instance)


class TransformedDistribution(
    TorchLaw, torch.distributions.TransformedDistribution, TorchDistributionMixin
):
    r"""Law of :math:`y=f(x)`, where :math:`x` follows a base law and :math:`f` is invertible.

    :math:`\log p(y)=\log p(x)-\log|\det\,\partial f/\partial x|`.

    :param base_distribution: the law of :math:`x`.
    :param transforms: one transform or a list of them, applied from the first to the last.
    :param validate_args: whether to check values.

    >>> from pyro.distributions.normal import Normal
    >>> law = TransformedDistribution(Normal(0.0, 1.0), torch.distributions.ExpTransform())
    >>> law.log_prob(torch.tensor(1.0))
    tensor(-0.9189)
    """

    has_rsample = FromBase[bool]("has_rsample")

    def __init__(
        self,
        base_distribution: Any,
        transforms: Transform | list[Transform],
        validate_args: bool | None = None,
    ) -> None:
        self._init_torch(validate_args, base_distribution, transforms)
        base = self.base_dist
        if type(base) is torch.distributions.Independent:
            # torch moved batch dimensions into the event, with its own class
            self.base_dist = Independent(base.base_dist, base.reinterpreted_batch_ndims)

    def _noise_score(self, value: torch.Tensor) -> torch.Tensor | float:
        base: Any = self.base_dist
        while isinstance(base, (DerivedDistribution, Independent, TransformedDistribution)):
            base = base.base_dist
        if not isinstance(base, Distribution) or (
            type(base)._noise_score is Distribution._noise_score
        ):
            return 0.0  # inverses may be dear
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return noise_score(self.base_dist, value)


class MixtureSameFamily(TorchLaw, torch.distributions.MixtureSameFamily, TorchDistributionMixin):
    r"""Mixture of laws of one kind: :math:`p(x)=\sum_k w_k\,p_k(x)`.

    :param mixture_distribution: a :class:`~pyro.distributions.Categorical` of the weights.
    :param component_distribution: the components, along the rightmost batch dimension.
    :param validate_args: whether to check values.

    >>> from pyro.distributions.categorical import Categorical
    >>> from pyro.distributions.normal import Normal
    >>> parts = Normal(torch.tensor([-1.0, 1.0]), 1.0)
    >>> MixtureSameFamily(Categorical(torch.ones(2)), parts).log_prob(torch.tensor(0.0))
    tensor(-1.4189)
    """

    def __init__(
        self,
        mixture_distribution: Any,
        component_distribution: Any,
        validate_args: bool | None = None,
    ) -> None:
        self._init_torch(validate_args, mixture_distribution, component_distribution)

    @constraints.dependent_property
    def support(self) -> Any:
        """That of the components; where it differs among them, what all of them admit."""
        shared = self._component_distribution.support
        if _has_batch(shared):
            return constraints.MixtureSameFamilyConstraint(shared)
        return shared


def _has_batch(constraint: Any) -> bool:
    """Tell whether a set has bounds of its own for each entry of a batch."""
    held = vars(constraint).values() if hasattr(constraint, "__dict__") else ()
    return any(
        isinstance(part, torch.Tensor)
        or (isinstance(part, constraints.Constraint) and _has_batch(part))
        for part in held
    )
