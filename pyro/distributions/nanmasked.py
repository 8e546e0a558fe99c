"""Normal laws that score what is observed: a NaN stands for what is not.

Entries that are NaN are integrated out, so that the density is that of the others. Neither the
value nor the gradients become NaN.
"""

import math

import torch
from torch import Tensor

from pyro.distributions.multivariate import MultivariateNormal
from pyro.distributions.normal import Normal
from pyro.ops.matrices import triangular_solve
from pyro.ops.readable import is_readable


class NanMaskedNormal(Normal):
    r"""Normal law of numbers that may be missing; a NaN has log density 0.

    A number :math:`x` has the density :math:`N(x; \mu, \sigma^2)`.

    :param loc: the mean.
    :param scale: the standard deviation, positive.
    :param validate_args: whether to check parameters and the shape of values.

    >>> NanMaskedNormal(0.0, 1.0).log_prob(torch.tensor([0.0, math.nan]))
    tensor([-0.9189,  0.0000])
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, 0 where a value is NaN.

        :param value: the value.
        """
        missing = value.isnan()
        scored = super().log_prob(value.masked_fill(missing, 0.0))
        return torch.where(missing, 0.0, scored)


class NanMaskedMultivariateNormal(MultivariateNormal):
    r"""Normal law of vectors with entries that may be missing; it scores the others' marginal.

    With :math:`o` the entries that are there, :math:`\log p(x)=\log N(x_o;\mu_o,\Sigma_{oo})`, and
    0 where there are none. Where entries are missing, each event costs a Cholesky factor.

    :param loc: the mean, along the rightmost dimension.
    :param covariance_matrix: the covariance, a positive definite matrix.
    :param precision_matrix: its inverse.
    :param scale_tril: its lower Cholesky factor.
    :param validate_args: whether to check parameters and the shape of values.

    >>> law = NanMaskedMultivariateNormal(torch.zeros(2), torch.eye(2))
    >>> law.log_prob(torch.tensor([0.0, math.nan]))
    tensor(-0.9189)
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of the entries that are no NaN.

        :param value: the value.
        """
        missing = value.isnan()
        if is_readable(missing) and not missing.any():
            whole: Tensor = super().log_prob(value)
            return whole
        if self._validate_args:
            self._validate_sample(value.masked_fill(missing, 0.0))
        there = ~missing
        scale = self._unbroadcasted_scale_tril
        pairs = there[..., None] & there[..., None, :]
        eye = torch.eye(there.size(-1), dtype=scale.dtype, device=scale.device)
        factor = torch.linalg.cholesky(torch.where(pairs, scale @ scale.mT, eye))
        apart = torch.where(there, value.masked_fill(missing, 0.0) - self.loc, 0.0)
        z = triangular_solve(apart[..., None], factor)[..., 0]
        volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = 0.5 * math.log(2 * math.pi) * there.to(scale.dtype).sum(-1)
        scored: Tensor = -0.5 * z.square().sum(-1) - volume - constant
        return scored
