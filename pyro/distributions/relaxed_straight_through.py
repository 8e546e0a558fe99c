"""Relaxed discrete laws whose draws are discrete, with the gradient of the relaxed ones.

A draw is *hard*: the relaxed, or soft, draw rounded to a corner of its set. The gradient passes
through the rounding as if it were not there, which is biased and often useful. A hard draw
remembers the soft one, and is scored by the relaxed density there. A hard value that was not drawn,
as one that is observed, is scored by the probability that a soft draw is rounded to it, which does
not depend on the temperature.

Source: Jang, Gu and Poole 2017, *Categorical Reparameterization with Gumbel-Softmax*,
arXiv:1611.01144; Bengio, Leonard and Courville 2013, arXiv:1308.3432.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from pyro.distributions.bernoulli import RelaxedBernoulli
from pyro.distributions.categorical import RelaxedOneHotCategorical
from pyro.distributions.remembered import origin_of, remember
from pyro.distributions.torch_mixin import NO_SHAPE, Shape


class QuantizeCategorical(Function):
    """Round proportions to a one-hot vector, and pass the gradient as it comes.

    >>> QuantizeCategorical.apply(torch.tensor([0.2, 0.5, 0.3]))
    tensor([0., 1., 0.])
    """

    @staticmethod
    def forward(ctx: Any, soft_value: Tensor) -> Tensor:
        """Put 1 where an entry is the largest, the first one of several.

        :param ctx: not used.
        :param soft_value: proportions along the rightmost dimension.
        """
        largest = soft_value.argmax(-1, keepdim=True)
        return torch.zeros_like(soft_value).scatter_(-1, largest, 1.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Return the gradient unchanged.

        :param ctx: not used.
        :param grad: the gradient by the one-hot vector.
        """
        return grad


class QuantizeBernoulli(Function):
    """Round numbers of the unit interval to 0 or 1, and pass the gradient as it comes.

    >>> QuantizeBernoulli.apply(torch.tensor([0.2, 0.8]))
    tensor([0., 1.])
    """

    @staticmethod
    def forward(ctx: Any, soft_value: Tensor) -> Tensor:
        """Put 1 above one half and 0 elsewhere.

        :param ctx: not used.
        :param soft_value: numbers of the unit interval.
        """
        return (soft_value > 0.5).to(soft_value.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Return the gradient unchanged.

        :param ctx: not used.
        :param grad: the gradient by the rounded numbers.
        """
        return grad


class RelaxedOneHotCategoricalStraightThrough(RelaxedOneHotCategorical):
    r"""One-hot law, with the gradients of the relaxed law that it is rounded from.

    A draw scores the density of the relaxed value that it was rounded from; any other value the
    probability of being rounded to it, :math:`p_k=w_k/\sum_j w_j` for the :math:`k`-th choice.

    :param temperature: the temperature of the relaxed law, positive.
    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.

    >>> law = RelaxedOneHotCategoricalStraightThrough(torch.tensor(0.5), torch.tensor([0.2, 0.8]))
    >>> law().sum(), law.log_prob(torch.tensor([0.0, 1.0])).exp()
    (tensor(1.), tensor(0.8000))
    """

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw a one-hot vector, with the gradient of the relaxed draw.

        :param sample_shape: the shape of independent draws.
        """
        soft = super().rsample(torch.Size(sample_shape))
        return remember(QuantizeCategorical.apply(soft), soft)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of a drawn or soft value, or the log probability of a hard one.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        soft = origin_of(value)
        if soft is not None:
            remembered: Tensor = super().log_prob(soft)
            return remembered
        hard = (value == 1).any(-1)
        logits = self.logits
        inside = torch.where(hard[..., None], 1.0 / value.size(-1), value)
        chosen = torch.where(value == 1, logits - logits.logsumexp(-1, True), 0.0).sum(-1)
        density: Tensor = super().log_prob(inside)
        return torch.where(hard, chosen, density)


class RelaxedBernoulliStraightThrough(RelaxedBernoulli):
    r"""Bernoulli law, with the gradients of the relaxed law that it is rounded from.

    A draw scores the density of the relaxed value that it was rounded from; any other value the
    probability of being rounded to it, :math:`p^x(1-p)^{1-x}`.

    :param temperature: the temperature of the relaxed law, positive.
    :param probs: the probability of 1.
    :param logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.

    >>> law = RelaxedBernoulliStraightThrough(0.5, probs=0.8)
    >>> law.log_prob(torch.tensor([0.0, 1.0])).exp()
    tensor([0.2000, 0.8000])
    """

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw 0 or 1, with the gradient of the relaxed draw.

        :param sample_shape: the shape of independent draws.
        """
        soft = super().rsample(sample_shape)
        return remember(QuantizeBernoulli.apply(soft), soft)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of a drawn or soft value, or the log probability of a hard one.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        soft = origin_of(value)
        if soft is not None:
            return super().log_prob(soft)
        hard = (value == 0) | (value == 1)
        inside = torch.where(hard, 0.5, value)
        signed = torch.where(value == 1, self.logits, -self.logits)
        chosen: Tensor = torch.nn.functional.logsigmoid(signed)
        return torch.where(hard, chosen, super().log_prob(inside))
