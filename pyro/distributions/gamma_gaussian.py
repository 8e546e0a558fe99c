"""Gaussians whose precision is scaled by a gamma variable, in information form."""

import math

import torch
from torch import Tensor

from pyro.distributions.multivariate import MultivariateNormal
from pyro.distributions.multivariate_studentt import MultivariateStudentT
from pyro.ops.form_chains import as_chain, chain_product
from pyro.ops.gaussian import mvn_to_gaussian
from pyro.ops.information_form import (
    Elimination,
    InformationForm,
    evaluate,
    join,
    pull_back,
    substitute_last,
)
from pyro.ops.matrices import cholesky_solve, precision_to_scale_tril, safe_cholesky

LOG_TAU = math.log(2 * math.pi)


class Gamma:
    r"""A function of the form :math:`f(s)=\exp(c+(a-1)\log s-bs)` of a positive number.

    :param log_normalizer: the constant :math:`c`.
    :param concentration: the number :math:`a`.
    :param rate: the number :math:`b`.

    >>> f = Gamma(torch.tensor(0.0), torch.tensor(3.0), torch.tensor(1.0))
    >>> f.logsumexp()  # the logarithm of 2
    tensor(0.6931)
    """

    def __init__(self, log_normalizer: Tensor, concentration: Tensor, rate: Tensor) -> None:
        self.log_normalizer = log_normalizer
        self.concentration = concentration
        self.rate = rate

    def log_density(self, s: Tensor) -> Tensor:
        r"""Return :math:`\log f(s)`.

        :param s: positive numbers.
        """
        return self.log_normalizer + (self.concentration - 1) * s.log() - self.rate * s

    def logsumexp(self) -> Tensor:
        """Return the logarithm of the integral over all positive numbers.

        It is finite where concentration and rate are positive.
        """
        powers = torch.lgamma(self.concentration) - self.concentration * self.rate.log()
        return self.log_normalizer + powers


class GammaGaussian(InformationForm):
    r"""A function :math:`f(x,s)=\exp(c+\alpha\log s+s\,(x^\top u-\frac{1}{2}x^\top Px-\beta))`.

    Given the positive number :math:`s`, it is Gaussian in :math:`x` with precision :math:`sP`;
    given :math:`x`, it is a gamma function of :math:`s`. Products are sums of the parts.

    :param log_normalizer: the constant :math:`c`, of shape ``batch_shape``.
    :param info_vec: the information vector :math:`u`, of shape ``batch_shape + (dim,)``.
    :param precision: the symmetric matrix :math:`P`, of shape ``batch_shape + (dim, dim)``.
    :param alpha: the power :math:`\alpha` of :math:`s`, of shape ``batch_shape``.
    :param beta: the number :math:`\beta`, of shape ``batch_shape``.

    >>> one = torch.tensor(1.0)
    >>> f = GammaGaussian(0 * one, torch.zeros(2), torch.eye(2), 2 * one, one)
    >>> f.log_density(torch.tensor([1.0, 0.0]), one)
    tensor(-1.5000)
    >>> f.compound().df
    tensor(4.)
    """

    _ranks = {"log_normalizer": 0, "info_vec": 1, "precision": 2, "alpha": 0, "beta": 0}

    def __init__(
        self,
        log_normalizer: Tensor,
        info_vec: Tensor,
        precision: Tensor,
        alpha: Tensor,
        beta: Tensor,
    ) -> None:
        super().__init__(info_vec, precision)
        self.log_normalizer = log_normalizer
        self.alpha = alpha
        self.beta = beta

    def __add__(self, other: "GammaGaussian") -> "GammaGaussian":
        """Multiply with another function of the same variables.

        :param other: a function of ``x`` and ``s``, or log factors that broadcast with the batch.
        """
        if isinstance(other, GammaGaussian):
            return self._plus_form(other)
        if isinstance(other, Tensor | int | float):
            return self._with(log_normalizer=self.log_normalizer + other)
        return NotImplemented

    __radd__ = __add__

    def log_density(self, value: Tensor, s: Tensor) -> Tensor:
        r"""Return :math:`\log f(x,s)`.

        :param value: the point :math:`x`, of shape ``(..., dim)``.
        :param s: positive numbers of shape ``(...)``.
        """
        form = evaluate(self.info_vec, self.precision, value)
        return self.log_normalizer + self.alpha * s.log() + s * (form - self.beta)

    def condition(self, value: Tensor) -> "GammaGaussian":
        """Put values in for the last variables.

        :param value: of shape ``(..., count)``.
        :return: a function of the others, and of ``s``.
        :raises ValueError: where there are more values than variables.
        """
        self._check_count(value.size(-1), "There are values for")
        rest = substitute_last(self.info_vec, self.precision, value)
        return self._with(
            info_vec=rest.info_vec, precision=rest.precision, beta=self.beta - rest.constant
        )

    def marginalize(self, left: int = 0, right: int = 0) -> "GammaGaussian":
        """Integrate variables out, on the left, on the right, or on both sides.

        :param left: how many of the first.
        :param right: how many of the last.
        :return: a function of the others, and of ``s``.
        :raises ValueError: where there are not so many.
        """
        if not self._check_sides(left, right):
            return self
        return self._without(self._integrated(left, right))

    def _merged(self, other: "GammaGaussian", middle: Elimination) -> "GammaGaussian":
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("log_normalizer", "alpha", "beta")
        }
        return self._with(**sums)._without(middle)

    def _without(self, rest: Elimination) -> "GammaGaussian":
        count = rest.shift.size(-1)
        return GammaGaussian(
            self.log_normalizer + 0.5 * LOG_TAU * count - rest.half_log_det,
            rest.info_vec,
            rest.precision,
            self.alpha - 0.5 * count,
            self.beta - rest.quadratic,
        )

    def event_logsumexp(self) -> Gamma:
        """Integrate out all of ``x``; a function of ``s`` is left."""
        rest = self.marginalize(right=self.dim())
        log_normalizer = rest.log_normalizer.expand(self.batch_shape)
        return Gamma(log_normalizer, rest.alpha + 1, rest.beta)

    def compound(self) -> MultivariateStudentT:
        """Return the law of ``x`` when ``s`` is integrated out, and all is normalised.

        :raises ValueError: where the law is not proper.
        """
        gamma = self.event_logsumexp()
        factor = safe_cholesky(self.precision)
        loc = cholesky_solve(self.info_vec[..., None], factor)[..., 0]
        spread = (gamma.rate / gamma.concentration).sqrt()[..., None, None]
        scale_tril = precision_to_scale_tril(self.precision) * spread
        return MultivariateStudentT(2 * gamma.concentration, loc, scale_tril)


def gamma_and_mvn_to_gamma_gaussian(
    gamma: torch.distributions.Gamma, mvn: torch.distributions.Distribution
) -> GammaGaussian:
    """Return the joint density of a gamma variable and a normal vector whose precision it scales.

    :param gamma: the law of ``s``.
    :param mvn: the law of ``x`` where ``s`` is 1, as for
        :func:`~pyro.ops.gaussian.mvn_to_gaussian`.

    >>> s = torch.distributions.Gamma(torch.tensor(2.0), torch.tensor(3.0))
    >>> x = MultivariateNormal(torch.zeros(1), torch.eye(1))
    >>> gamma_and_mvn_to_gamma_gaussian(s, x).alpha
    tensor(1.5000)
    """
    scaled = _scaled_density(mvn)
    concentration, rate = gamma.concentration, gamma.rate
    constant = concentration * rate.log() - torch.lgamma(concentration)
    return GammaGaussian(
        scaled.log_normalizer + constant,
        scaled.info_vec,
        scaled.precision,
        scaled.alpha + concentration - 1,
        scaled.beta + rate,
    )


def matrix_and_mvn_to_gamma_gaussian(
    matrix: Tensor, mvn: torch.distributions.Distribution
) -> GammaGaussian:
    r"""Return the density of :math:`y=x^\top A+z` given :math:`x` and :math:`s`.

    :param matrix: the matrix :math:`A`, of shape ``(..., x_dim, y_dim)``.
    :param mvn: the law of :math:`z` where :math:`s=1`; its precision is multiplied with :math:`s`.
    :return: a function of :math:`(x, y)` and :math:`s`.
    """
    scaled = _scaled_density(mvn)
    info_vec, precision = pull_back(matrix, scaled.info_vec, scaled.precision)
    return scaled._with(info_vec=info_vec, precision=precision)


def gamma_gaussian_tensordot(x: GammaGaussian, y: GammaGaussian, dims: int = 0) -> GammaGaussian:
    r"""Multiply two functions and integrate over the variables that they share.

    .. math:: h(a, c, s) = \int f(a, b, s)\,g(b, c, s)\,db

    :param x: the function :math:`f`; the shared variables are its last.
    :param y: the function :math:`g`; they are its first.
    :param dims: how many are shared.
    :raises ValueError: where one of the two has fewer variables.
    """
    return join(x, y, dims).marginalize(right=dims)


def sequential_gamma_gaussian_tensordot(chain: GammaGaussian) -> GammaGaussian:
    r"""Integrate over the inner variables of a chain, in about :math:`\log_2 T` steps.

    .. math:: h(x_0, x_T, s) = \int \prod_{t=1}^T f_t(x_{t-1}, x_t, s)\;dx_1\cdots dx_{T-1}

    :param chain: functions of ``2 * dim`` variables and ``s``; time is the last dimension of the
        batch.
    :raises ValueError: where there is no time, or the number of variables is odd.
    """
    if not chain.batch_shape or not chain.batch_shape[-1] or chain.dim() % 2:
        raise ValueError(
            f"A chain needs a step at least and two states in each of its functions, but the batch "
            f"shape is {tuple(chain.batch_shape)} and there are {chain.dim()} variables."
        )
    return chain_product(as_chain(chain))


def scale_mvn(mvn: torch.distributions.MultivariateNormal, s: Tensor) -> MultivariateNormal:
    """Return a normal law with its precision multiplied by numbers.

    :param mvn: the law.
    :param s: positive numbers, that broadcast with its batch.

    >>> law = MultivariateNormal(torch.zeros(1), torch.eye(1))
    >>> scale_mvn(law, torch.tensor([1.0, 4.0])).stddev.flatten()
    tensor([1.0000, 0.5000])
    """
    scale_tril = mvn.scale_tril * s.rsqrt()[..., None, None]
    return MultivariateNormal(mvn.loc, scale_tril=scale_tril)


def _scaled_density(mvn: torch.distributions.Distribution) -> GammaGaussian:
    """Return the density of a normal vector as a function of what its precision is scaled by."""
    gaussian = mvn_to_gaussian(mvn)
    at_zero = gaussian.log_normalizer  # the log density there: a constant, and the form's minimum
    minimum = 0.5 * (gaussian.info_vec * mvn.mean).sum(-1)
    alpha = 0.5 * gaussian.dim() * torch.ones_like(at_zero)
    return GammaGaussian(at_zero + minimum, gaussian.info_vec, gaussian.precision, alpha, minimum)
