"""Draws of a guide, weighed anew for one model after another."""

from typing import Any

import torch
from torch import Tensor

from pyro.infer.checks import refuse_outer_ties
from pyro.infer.elbo import PARTICLE_PLATE, Program
from pyro.infer.log_weights import particle_log_prob
from pyro.infer.plates import guess_max_plate_nesting, inside_plate
from pyro.ops.shapes import sum_rightmost
from pyro.poutine.handlers import block, replay, trace
from pyro.poutine.sites import site_is_latent


class Resampler:
    r"""Draws from :math:`p(z)` by resampling draws :math:`z_i \sim q(z)` with weights
    :math:`p(z_i) / q(z_i)`.

    The draws of the guide are made once, with what a simulator makes of them, and serve for any
    number of models; this suits models that change while a person watches.

    :param guide: draws the latent sites.
    :param simulator: a model that runs at the guide's draws and whose further sites are wanted too;
        by default there are none. What it draws may be observed in a model, or be drawn there.
    :param num_guide_samples: how many draws to make, all at once, for which guide, simulator and
        models must be vectorised.
    :param max_plate_nesting: how many batch dimensions the plates take up; found by a run of guide
        and simulator where it is left out. Needed where a model has more plates than these.
    :raises ValueError: for fewer than one sample.

    >>> import pyro, pyro.distributions as dist
    >>> def guide():
    ...     pyro.sample("z", dist.Normal(0.0, 2.0))
    >>> def model():
    ...     pyro.sample("z", dist.Normal(1.0, 0.5))
    >>> resampler = Resampler(guide, num_guide_samples=10_000)
    >>> bool((resampler.sample(model, num_samples=1000)["z"].mean() - 1.0).abs() < 0.1)
    True

    Source: Smith and Gelfand 1992, *Bayesian Statistics without Tears*, The American Statistician
    46(2).
    """

    @torch.no_grad()
    def __init__(
        self,
        guide: Program,
        simulator: Program | None = None,
        *,
        num_guide_samples: int,
        max_plate_nesting: int | None = None,
    ) -> None:
        if num_guide_samples < 1:
            raise ValueError(
                f"num_guide_samples must be a positive integer, got {num_guide_samples}."
            )
        refuse_outer_ties()
        if simulator is None:
            simulator = guide
        if max_plate_nesting is None:
            max_plate_nesting = guess_max_plate_nesting(simulator, guide, (), {})
        self._depth = max_plate_nesting
        self._count = num_guide_samples
        with block():
            proposal = trace(self._at_once(guide)).get_trace()
            simulated = trace(self._at_once(replay(simulator, trace=proposal))).get_trace()
        for name, site in simulated.nodes.items():
            if name not in proposal.nodes and site_is_latent(site):
                proposal.nodes[name] = site
        self._proposal = proposal
        particle_log_prob(proposal, self._count, self._depth)  # each site keeps its own
        self._noise = torch.zeros(0, num_guide_samples)

    def _at_once(self, fn: Program) -> Program:
        return inside_plate(fn, PARTICLE_PLATE, self._count, -1 - self._depth)

    @torch.no_grad()
    def sample(self, model: Program, num_samples: int, stable: bool = True) -> dict[str, Tensor]:
        """Return draws of a model, with replacement from those of the guide.

        :param model: the model, conditioned on its data; it takes no arguments. It may leave sites
            of the guide out, which then keep the guide's law.
        :param num_samples: how many to draw.
        :param stable: whether to use the same random numbers in every call, so that draws change
            only as far as models do.
        :returns: the values of the latent sites of guide and simulator by name, with the draws
            along the first dimension.
        """
        refuse_outer_ties()
        log_weights = self._log_weights(model)
        if stable:
            chosen = (log_weights + self._gumbels(num_samples)).argmax(-1)
        else:
            chosen = torch.multinomial(log_weights.softmax(0), num_samples, replacement=True)
        return {
            name: site["value"].index_select(0, chosen)
            for name, site in self._proposal.nodes.items()
            if site_is_latent(site)
        }

    def _log_weights(self, model: Program) -> Tensor:
        nodes = self._proposal.nodes
        with block():
            record = trace(self._at_once(replay(model, trace=self._proposal))).get_trace()

        def is_weighed(name: str, site: Any) -> bool:
            return name in nodes or not site_is_latent(site)

        gain = particle_log_prob(record, self._count, self._depth, is_weighed)
        for name, site in record.nodes.items():
            if site_is_latent(site) and name in nodes:
                gain = gain - sum_rightmost(nodes[name]["log_prob"], self._depth)
        return gain

    def _gumbels(self, num_samples: int) -> Tensor:
        """Return noise whose rows are the same in every call."""
        missing = num_samples - len(self._noise)
        if missing > 0:
            more = -torch.empty(missing, self._count).exponential_().log()
            self._noise = torch.cat([self._noise, more])
        return self._noise[:num_samples]
