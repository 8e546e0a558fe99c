"""Laws of counts."""

import math
from typing import Any

import torch

from pyro.distributions.categorical import choice_shapes
from pyro.distributions.law import TorchLaw
from pyro.distributions.parameters import HoldingLaw, Parameter, Real
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin
from pyro.ops.shapes import broadcast_shape


class Binomial(TorchLaw, torch.distributions.Binomial, TorchDistributionMixin):  # type: ignore[misc]
    r"""Binomial law of the number of successes in independent trials.

    :param total_count: the number of trials.
    :param probs: the probability of success.
    :param logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.

    >>> Binomial(2, torch.tensor(0.5)).log_prob(torch.tensor(1.0))
    tensor(-0.6931)
    """

    approx_sample_thresh = math.inf
    approx_log_prob_tol = 0.0

    def __init__(
        self,
        total_count: torch.Tensor | int = 1,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(total_count, probs, logits, validate_args=False)
        self._check_after_torch(validate_args)


class Geometric(TorchLaw, torch.distributions.Geometric, TorchDistributionMixin):  # type: ignore[misc]
    r"""Geometric law of the number of failures before the first success.

    :param probs: the probability of success, positive.
    :param logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.

    >>> Geometric(0.5).log_prob(torch.tensor(1.0))
    tensor(-1.3863)
    """

    def __init__(
        self,
        probs: Real | None = None,
        logits: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args=False)
        self._check_after_torch(validate_args)


class NegativeBinomial(  # type: ignore[misc]
    TorchLaw, torch.distributions.NegativeBinomial, TorchDistributionMixin
):
    r"""Negative binomial law of the number of successes before a given number of failures.

    :param total_count: the number of failures at which to stop, nonnegative; need not be whole.
    :param probs: the probability of success, below 1.
    :param logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.

    >>> NegativeBinomial(1.0, torch.tensor(0.5)).log_prob(torch.tensor(1.0))
    tensor(-1.3863)
    """

    def __init__(
        self,
        total_count: Real,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(total_count, probs, logits, validate_args=False)
        self._check_after_torch(validate_args)


class Multinomial(TorchLaw, torch.distributions.Multinomial, TorchDistributionMixin):  # type: ignore[misc]
    r"""Multinomial law of how often each of several outcomes comes up in independent trials.

    :param total_count: the number of trials.
    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.

    >>> Multinomial(2, torch.ones(2)).log_prob(torch.tensor([1.0, 1.0]))
    tensor(-0.6931)
    """

    def __init__(
        self,
        total_count: int = 1,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(total_count, probs, logits, validate_args=False)
        self._check_after_torch(validate_args)

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls,
        total_count: Shape | None = None,
        probs: Shape | None = None,
        logits: Shape | None = None,
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param total_count: the shape of the number of trials.
        :param probs: the shape of the weights.
        :param logits: the shape of their logarithms.
        """
        batch_shape, event_shape = choice_shapes(cls, probs, logits)
        return torch.Size(broadcast_shape(total_count or (), batch_shape)), event_shape


class Poisson(HoldingLaw, torch.distributions.Poisson, TorchDistributionMixin):  # type: ignore[misc]
    r"""Poisson law with probabilities :math:`\lambda^k e^{-\lambda}/k!`.

    :param rate: the mean :math:`\lambda`, nonnegative.
    :param is_sparse: whether most values are 0: :meth:`log_prob` then computes the logarithm and
        the factorial at the others only.
    :param validate_args: whether to check parameters and values.

    >>> Poisson(1.0).log_prob(torch.tensor(0.0))
    tensor(-1.)
    """

    rate = Parameter()

    def __init__(
        self, rate: Real, *, is_sparse: bool = False, validate_args: bool | None = None
    ) -> None:
        self._hold(Poisson, rate=rate)
        self.is_sparse = is_sparse
        self._check_parameters(validate_args)
