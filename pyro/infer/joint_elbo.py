"""What objectives share whose estimate is one function of all the particles, not their mean."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from pyro.infer.elbo import Args, Kwargs, ParticleLoss, Program
from pyro.infer.nonfinite import warn_of_nan_loss
from pyro.infer.numerics import torch_item
from pyro.infer.trace_elbo import Trace_ELBO
from pyro.ops.shapes import sum_rightmost
from pyro.poutine.sites import site_is_sample
from pyro.poutine.trace_struct import Trace

Run = tuple[Trace, Trace]


class JointELBO(Trace_ELBO):
    """Base of the objectives that put all particles into one estimate.

    A subclass says what all runs together are worth (``_joint_loss``).
    """

    def _joint_loss(self, runs: Sequence[Run]) -> ParticleLoss:
        """Return the loss of all scored runs: one a particle, or one that holds all as a plate.

        A subclass that has its own ``loss``, ``loss_and_grads`` and ``differentiable_loss`` needs
        none.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no _joint_loss().")

    def _particle_losses(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> Iterator[tuple[float, ParticleLoss]]:
        runs = list(self._get_traces(model, guide, args, kwargs))
        joint = self._joint_loss(runs)
        loss = torch_item(joint.loss)
        warn_of_nan_loss(loss, [trace for run in runs for trace in reversed(run)])
        yield loss, joint

    def _share(self, loss: torch.Tensor) -> torch.Tensor:
        return loss

    def _log_densities(self, traces: Sequence[Trace]) -> torch.Tensor:
        """Return the log density of every particle.

        :param traces: scored runs of the model, or of the guide.
        """
        return self._by_particle(
            [
                [site["log_prob"] for site in trace.nodes.values() if site_is_sample(site)]
                for trace in traces
            ]
        )

    def _by_particle(self, terms: Sequence[Sequence[Any]]) -> torch.Tensor:
        """Add up the terms of every particle.

        :param terms: for each run its terms, tensors of the batch shapes of sites.
        """
        if not self._batches_particles:
            return torch.stack([sum((x.sum() for x in each), torch.zeros(())) for each in terms])
        (of_all,) = terms
        depth, count = int(self.max_plate_nesting) - 1, self.num_particles
        return sum((sum_rightmost(x, depth) for x in of_all), torch.zeros(count))
