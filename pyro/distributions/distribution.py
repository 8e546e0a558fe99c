"""What pyro asks of a law, whatever it is made of."""

from abc import ABCMeta
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from pyro.distributions.score_parts import ScoreParts

D = TypeVar("D", bound="Distribution")

#: Functions ``(cls, args, kwargs) -> object or None`` that may build something else in place of a
#: law; the first that returns a value wins. A backend that replaces laws appends to it.
COERCIONS: list[Callable[[type, tuple[Any, ...], dict[str, Any]], Any]] = []


class DistributionMeta(ABCMeta):
    """The class of law classes: it lets a backend build its own objects in a law's place."""

    # A law is one only by inheritance, so isinstance need not consult the registry of ABCMeta.
    __instancecheck__ = type.__instancecheck__

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if COERCIONS:
            for coerce in COERCIONS:
                made = coerce(cls, args, kwargs)
                if made is not None:
                    return made
        return type.__call__(cls, *args, **kwargs)


class Distribution(metaclass=DistributionMeta):
    """Base class of the laws that a sample site may have.

    A law draws values when it is called and scores them with :meth:`log_prob`. Those that are made
    of tensors, and that is nearly all, inherit from
    :class:`~pyro.distributions.TorchDistribution` instead.

    A stochastic function whose density is unknown overrides :meth:`score_parts` where it can.
    """

    has_rsample = False
    has_enumerate_support = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Draw a random value, differentiably where the law can.

        :param args: passed on to :meth:`sample`.
        :param kwargs: passed on to :meth:`sample`.
        """
        return self.sample(*args, **kwargs)

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        """Draw a random value.

        :raises NotImplementedError: where a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no sample().")

    def log_prob(self, x: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the logarithm of the density or of the probability mass at a value.

        :param x: the value; the result has one entry for each event in it.
        :raises NotImplementedError: where a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no log_prob().")

    def score_parts(self, x: Any, *args: Any, **kwargs: Any) -> ScoreParts:
        """Return the parts of the log density that an ELBO's gradient estimator needs.

        :param x: a value that this law drew.

        >>> from pyro.distributions.bernoulli import Bernoulli
        >>> Bernoulli(0.5).score_parts(torch.tensor(1.0))
        ScoreParts(log_prob=tensor(-0.6931), score_function=tensor(-0.6931), entropy_term=0.0)
        """
        log_prob = self.log_prob(x, *args, **kwargs)
        if self.has_rsample:
            return ScoreParts(log_prob, self._noise_score(x), log_prob)
        return ScoreParts(log_prob, log_prob, 0.0)

    def _noise_score(self, value: Any) -> torch.Tensor | float:
        """Return the log density, up to a constant, of the noise behind a differentiable draw.

        It is 0 unless the law of that noise has parameters, as after rejections.

        :param value: a value that this law drew, with the gradients of the draw.
        """
        return 0.0

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """List the values that the law can take, along a new dimension on the left.

        :param expand: whether to repeat the list for each entry of the batch.
        :raises NotImplementedError: where there are infinitely many, or a subclass does not tell.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot enumerate its support.")

    def conjugate_update(self: D, other: Any) -> tuple[D, torch.Tensor]:
        """Multiply this density by another of a form that is conjugate to it.

        ``self.log_prob(x) + other.log_prob(x) == updated.log_prob(x) + log_normalizer``.

        :param other: a law over the same values.
        :return: the updated law and the log normalizer, which has one entry for each of the batch.
        :raises NotImplementedError: where the law has no conjugate form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no conjugate_update().")

    def has_rsample_(self: D, value: bool) -> D:
        """Make this one object draw differentiably, or stop it from doing so.

        :param value: whether :meth:`__call__` shall use ``rsample``.
        :return: the law itself, changed in place. Laws derived from it follow.
        :raises ValueError: where ``value`` is no boolean.
        :raises NotImplementedError: where it is true and the law cannot.

        >>> from pyro.distributions.normal import Normal
        >>> Normal(0.0, 1.0).has_rsample_(False).expand([2]).has_rsample
        False
        """
        if value is not True and value is not False:
            raise ValueError(f"has_rsample_ takes True or False, not {value!r}.")
        if (
            value
            and getattr(type(self), "rsample", None) is torch.distributions.Distribution.rsample
        ):
            raise NotImplementedError(
                f"{type(self).__name__} cannot draw differentiably: it defines no rsample()."
            )
        self.has_rsample = value
        return self

    @property
    def rv(self) -> Any:
        """A random variable with this law, for arithmetic on laws; a contribution not kept here.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError(
            "Arithmetic on random variables (pyro.contrib.randomvariable) is not part of this "
            "distribution. Use a TransformedDistribution, or transform the sampled value."
        )


def noise_score(law: Any, value: Any) -> torch.Tensor | float:
    """Return what :meth:`Distribution.score_parts` adds for a base law that draws by rejection.

    :param law: a law; one of :mod:`torch.distributions` does not.
    :param value: a value that it drew, with the gradients of the draw.

    >>> noise_score(torch.distributions.Normal(0.0, 1.0), torch.tensor(0.0))
    0.0
    """
    return law._noise_score(value) if isinstance(law, Distribution) else 0.0
