"""Laws of a choice among several, and their continuous relatives."""

import torch

from pyro.distributions.law import TorchLaw
from pyro.distributions.torch_mixin import Shape, TorchDistributionMixin


class Categorical(TorchLaw, torch.distributions.Categorical, TorchDistributionMixin):  # type: ignore[misc]
    """Law of a choice among ``0, ..., n - 1``.

    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.

    >>> Categorical(torch.tensor([1.0, 3.0])).log_prob(torch.tensor(1))
    tensor(-0.2877)
    """

    def __init__(
        self,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args=False)
        self._check_after_torch(validate_args)


class OneHotCategorical(  # type: ignore[misc]
    TorchLaw, torch.distributions.OneHotCategorical, TorchDistributionMixin
):
    """Law of a choice among several, as a vector that is 1 at the choice and 0 elsewhere.

    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.

    >>> OneHotCategorical(torch.tensor([1.0, 3.0])).log_prob(torch.tensor([0.0, 1.0]))
    tensor(-0.2877)
    """

    def __init__(
        self,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args=False)
        self._check_after_torch(validate_args)

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls, probs: Shape | None = None, logits: Shape | None = None
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from that of the parameter given.

        :param probs: the shape of the weights.
        :param logits: the shape of their logarithms.
        """
        return choice_shapes(cls, probs, logits)


def choice_shapes(
    law: type, probs: Shape | None, logits: Shape | None
) -> tuple[torch.Size, torch.Size]:
    """Return the batch and event shape of a law over vectors with one entry for each choice.

    :param law: its class, for the error.
    :param probs: the shape of the weights.
    :param logits: the shape of their logarithms.
    """
    given = probs if probs is not None else logits
    if given is None:
        raise ValueError(f"{law.__name__}.infer_shapes needs the shape of 'probs' or of 'logits'.")
    shape = torch.Size(given)
    return shape[:-1], shape[-1:]


class OneHotCategoricalStraightThrough(  # type: ignore[misc]
    TorchLaw, torch.distributions.OneHotCategoricalStraightThrough, TorchDistributionMixin
):
    """One-hot law whose draws let the gradient of the probabilities pass, with bias.

    Bengio, Leonard and Courville (2013), arXiv:1308.3432.

    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.

    >>> OneHotCategoricalStraightThrough(torch.ones(2)).log_prob(torch.tensor([0.0, 1.0]))
    tensor(-0.6931)
    """

    infer_shapes = OneHotCategorical.infer_shapes

    def __init__(
        self,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args=False)
        self._check_after_torch(validate_args)


class RelaxedOneHotCategorical(  # type: ignore[misc]
    TorchLaw, torch.distributions.RelaxedOneHotCategorical, TorchDistributionMixin
):
    """Relaxed one-hot law on the simplex, which tends to the one-hot law as it cools.

    Maddison, Mnih and Teh (2017), arXiv:1611.00712.

    :param temperature: the temperature, a positive tensor.
    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.

    >>> RelaxedOneHotCategorical(torch.tensor(1.0), torch.ones(3))().shape
    torch.Size([3])
    """

    def __init__(
        self,
        temperature: torch.Tensor,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(temperature, probs, logits, validate_args=False)
        self._check_after_torch(validate_args)
