"""The guide that is normal about the mode, as wide as the curvature there says."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pyro.distributions.delta import Delta
from pyro.distributions.multivariate import MultivariateNormal
from pyro.infer.autoguide.continuous import AutoContinuous
from pyro.infer.autoguide.multivariate import AutoMultivariateNormal
from pyro.infer.initialization import init_to_median, init_to_value
from pyro.poutine.handlers import block, condition, trace


class AutoLaplaceApproximation(AutoContinuous):
    r"""A guide for the mode, from which :meth:`laplace_approximation` makes a normal one.

    Fitting finds the mode :math:`\mu` of the posterior density of the unconstrained vector
    :math:`u`, the parameter ``loc``. About it, to second order,

    .. math:: \log p(u, \text{data}) \approx \text{const} - \tfrac12 (u - \mu)^\top H (u - \mu),
        \quad q(u) = N(\mu, H^{-1}),

    with :math:`H` the matrix of second derivatives of :math:`-\log p(u, \text{data})` at the mode.
    Where the posterior is normal, so that it is a matter of one step, this is exact.

    :param model: the model.
    :param init_loc_fn: the strategy for initial values of the sites, see
        :mod:`pyro.infer.initialization`.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.infer.initialization import init_to_mean
    >>> def model():
    ...     pyro.sample("x", dist.Normal(1.0, 2.0))
    >>> guide = AutoLaplaceApproximation(model, init_loc_fn=init_to_mean)
    >>> guide()["x"].item()
    1.0
    >>> normal = guide.laplace_approximation()
    >>> print(f"{normal.get_posterior().covariance_matrix.item():.2f}")
    4.00

    Source: Tierney and Kadane 1986, *Accurate Approximations for Posterior Moments and Marginal
    Densities*, Journal of the American Statistical Association 81(393).
    """

    loc: Tensor

    def __init__(
        self, model: Callable[..., Any], init_loc_fn: Callable[..., Any] = init_to_median
    ) -> None:
        super().__init__(model, init_loc_fn)

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        if self.latent_dim:
            self.loc = nn.Parameter(self._init_loc())

    def get_posterior(self, *args: Any, **kwargs: Any) -> Delta:
        """Return the law that is sure of the mode.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        return Delta(self.loc, event_dim=1, validate_args=False)

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.loc, torch.zeros_like(self.loc)

    def laplace_approximation(self, *args: Any, **kwargs: Any) -> AutoMultivariateNormal:
        """Return the normal guide about the present ``loc``.

        Its parameters are constants: no objective steps them and they stay out of the param store.
        To go on fitting from there call its ``requires_grad_()``.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :raises ValueError: where ``loc`` is no maximum.
        """
        start = init_to_value(values=self.median(*args, **kwargs))
        guide = AutoMultivariateNormal(self.model, init_loc_fn=start)
        guide._setup_prototype(*args, **kwargs)
        if self.latent_dim:
            loc = self.loc.detach()
            precision = self._curvature(loc, *args, **kwargs)
            factor = MultivariateNormal(loc, precision_matrix=precision).scale_tril
            guide.loc = nn.Parameter(loc.clone())
            guide.scale = factor.diagonal()
            guide.scale_tril = factor / factor.diagonal().unsqueeze(-1)
        return guide.requires_grad_(False)

    def _curvature(self, loc: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        def potential(latent: Tensor) -> Tensor:
            unconstrained = self._unpacked(latent)
            points = {
                name: part.coordinates.point_at(unconstrained[name])
                for name, part in self._parts.items()
            }
            values = {name: point.v for name, point in points.items()}
            with block():
                record = trace(condition(self.model, data=values)).get_trace(*args, **kwargs)
            log_det = sum(point.log_density.sum() for point in points.values())
            return torch.as_tensor(log_det - record.log_prob_sum())

        hessian: Tensor = torch.autograd.functional.hessian(potential, loc)
        precision = (hessian + hessian.mT) / 2
        least = torch.linalg.eigvalsh(precision).min()
        if not least > 0:
            raise ValueError(
                "loc is no maximum of the posterior density: among the second derivatives of "
                f"minus its logarithm there is the eigenvalue {least.item():.3g}, expected all "
                "above 0. Take more steps of SVI first; where it stays so, the model does not "
                "determine all of its latent values, and needs priors that do."
            )
        return precision
