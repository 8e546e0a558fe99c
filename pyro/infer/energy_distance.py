"""Likelihood-free inference: draws of the data are held against the data by their distances."""

import math
from typing import Any

import torch

from pyro._foundation.validation import is_validation_enabled
from pyro.infer.checks import check_model_guide_match, check_nothing_hidden, refuse_outer_ties
from pyro.infer.elbo import PARTICLE_PLATE, Program
from pyro.infer.log_weights import particle_log_prob
from pyro.infer.nonfinite import warn_of_nan_loss
from pyro.infer.plates import guess_max_plate_nesting, inside_plate
from pyro.poutine.handlers import replay, trace
from pyro.poutine.runtime import Message
from pyro.poutine.sites import (
    Site,
    site_is_deterministic,
    site_is_equalized,
    site_is_latent,
)
from pyro.poutine.uncondition_messenger import UnconditionMessenger


class EnergyDistance:
    r"""Estimates :math:`E\|X - x\|^\beta - \frac12 E\|X - X'\|^\beta - \lambda\,E_q[\log p(z)]`.

    The data are :math:`x`; :math:`X` and :math:`X'` are independent draws of them, made by the
    model at latent values :math:`z` from the guide. Up to a constant the first two terms are the
    energy distance between the law of :math:`X` and that of the data, the energy score: a proper
    one, so that it is least where the laws agree. No density of the data is needed, nor of the
    guide; what is optimised are predictions, and the guide's spread is no posterior's. With
    :math:`\lambda = 0` no density is computed at all.

    A draw of all the observed sites, with all their elements, is one vector to the norm. The
    estimate is unbiased, also of the gradient, for which every draw must be differentiable. A site
    tied by ``equalize(..., keep_dist=True)`` counts as observed at its owner's value.

    :param beta: the exponent, greater than 0 and less than 2.
    :param prior_scale: the factor :math:`\lambda` of the latent sites' prior log density; at least
        0. Parameters of priors are trained only if it is positive.
    :param num_particles: how many draws, at least two; they are one more plate on the left.
    :param max_plate_nesting: how many batch dimensions the plates of model and guide take up; found
        by a run of both if not given.
    :raises ValueError: where one of these is out of its range.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 10.0))
    ...     pyro.sample("x", dist.Normal(z, 0.1), obs=torch.tensor(2.0))
    >>> def guide():
    ...     pyro.sample("z", dist.Delta(pyro.param("at", torch.tensor(0.0))))
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), EnergyDistance())
    >>> losses = [svi.step() for _ in range(100)]
    >>> bool((pyro.param("at") - 2).abs() < 0.3)
    True

    Source: Gneiting and Raftery 2007, *Strictly Proper Scoring Rules, Prediction, and Estimation*,
    doi:10.1198/016214506000001437, section 5.1; Szekely and Rizzo 2013, *Energy Statistics*,
    doi:10.1016/j.jspi.2013.03.018.
    """

    def __init__(
        self,
        beta: float = 1.0,
        prior_scale: float = 0.0,
        num_particles: int = 2,
        max_plate_nesting: float = math.inf,
    ) -> None:
        if not 0 < beta < 2:
            raise ValueError(f"beta must be greater than 0 and less than 2, got {beta}.")
        if prior_scale < 0:
            raise ValueError(f"prior_scale must be at least 0, got {prior_scale}.")
        if num_particles < 2:
            raise ValueError(f"A distance needs two particles or more, got {num_particles}.")
        self.beta = beta
        self.prior_scale = prior_scale
        self.num_particles = num_particles
        self.max_plate_nesting = max_plate_nesting

    def __call__(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return a loss that can be differentiated.

        :param model: the model, whose observed sites hold the data.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        :raises NotImplementedError: that names a site whose draws cannot be differentiated.
        :raises ValueError: where the model observes nothing.
        """
        refuse_outer_ties()
        if self.max_plate_nesting == math.inf:
            self.max_plate_nesting = guess_max_plate_nesting(model, guide, args, kwargs)
        dim = -1 - int(self.max_plate_nesting)
        model, guide = (
            inside_plate(fn, PARTICLE_PLATE, self.num_particles, dim) for fn in (model, guide)
        )
        guide_trace = trace(guide).get_trace(*args, **kwargs)
        model = replay(model, trace=guide_trace)
        with _Forecast() as forecast:
            model_trace = trace(model).get_trace(*args, **kwargs)
        if is_validation_enabled():
            check_model_guide_match(model_trace, guide_trace, self.max_plate_nesting)
        for name, site in (guide_trace.nodes | model_trace.nodes).items():
            if site_is_latent(site):
                check_nothing_hidden(guide_trace.nodes.get(name, site))
        loss = self._energy(forecast)
        if self.prior_scale > 0:
            log_prior = particle_log_prob(model_trace, self.num_particles, -1 - dim, _is_prior)
            loss = loss - self.prior_scale * log_prior.mean()
        if is_validation_enabled():
            warn_of_nan_loss(loss.item(), (guide_trace, model_trace))
        return loss

    def loss(self, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss, as a number.

        :param args: model, guide and arguments of both.
        :param kwargs: keyword arguments of both.
        """
        with torch.no_grad():
            return self(*args, **kwargs).item()

    def _energy(self, forecast: "_Forecast") -> torch.Tensor:
        if not forecast.pairs:
            raise ValueError(
                "EnergyDistance holds draws of the data against the data, but the model observes "
                "nothing. Pass the data to pyro.sample(..., obs=data)."
            )
        draws, data = (
            torch.cat([part.reshape(self.num_particles, -1) for part in parts], -1)
            for parts in zip(*forecast.pairs, strict=True)
        )
        first, second = torch.triu_indices(len(draws), len(draws), offset=1)
        to_data, apart = draws - data, draws[first] - draws[second]
        return _distance(to_data, self.beta).mean() - 0.5 * _distance(apart, self.beta).mean()


def _is_prior(name: str, site: Site) -> bool:
    return site_is_latent(site) and not (site["infer"] or {}).get("was_observed")


class _Forecast(UnconditionMessenger):
    """Draws observed sites anew, and keeps each draw beside its datum, both of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def _pyro_post_sample(self, msg: Message) -> None:
        hints = msg["infer"] or {}
        if hints.get("was_observed"):
            draw, datum = msg["value"], hints["obs"]
        elif site_is_equalized(msg) and not site_is_deterministic(msg):  # tied with keep_dist
            draw, datum = msg["fn"](), msg["value"]
            check_nothing_hidden({**msg, "value": draw})
        else:
            return
        draw, datum = torch.broadcast_tensors(draw, torch.as_tensor(datum))
        if isinstance(msg["mask"], torch.Tensor):
            mask = msg["mask"].reshape(msg["mask"].shape + (1,) * msg["fn"].event_dim)
            draw, datum = (torch.where(mask, x, torch.zeros_like(x)) for x in (draw, datum))
        if msg["mask"] is not False:
            self.pairs.append((draw, datum))


def _distance(differences: torch.Tensor, beta: float) -> torch.Tensor:
    """Return the norms of rows to the power ``beta``; where a norm is 0 its gradient is 0 too."""
    squares = (differences**2).sum(-1)
    is_apart = squares > 0
    return torch.where(is_apart, torch.where(is_apart, squares, 1.0).pow(beta / 2), 0.0)
