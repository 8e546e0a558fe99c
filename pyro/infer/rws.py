"""Reweighted wake-sleep: guide and model each learn by their own objective."""

import math
from typing import Any, NamedTuple

import torch

from pyro.infer.dreams import sleep_loss
from pyro.infer.elbo import Args, Kwargs, Program
from pyro.infer.enum import get_importance_trace
from pyro.infer.joint_elbo import JointELBO
from pyro.infer.nonfinite import warn_of_nan_loss
from pyro.infer.numerics import torch_backward, torch_item
from pyro.poutine.trace_struct import Trace


class _Losses(NamedTuple):
    """The model's loss and the guide's."""

    wake_theta: torch.Tensor
    phi: torch.Tensor


class ReweightedWakeSleep(JointELBO):
    r"""Estimates :math:`-\log \frac1K \sum_k w_k` and :math:`E_{p(z|x)}[-\log q_\phi(z \mid x)]`.

    With draws :math:`z_k` of the guide and weights :math:`w_k = p_\theta(x, z_k) / q_\phi(z_k|x)`,
    no gradient going through either, the three losses are

    .. math::
        \text{wake-}\theta &= -\log \frac1K \sum_k w_k, \\
        \text{wake-}\phi &= -\sum_k \frac{w_k}{\sum_j w_j} \log q_\phi(z_k \mid x), \\
        \text{sleep-}\phi &= -\frac1S \sum_s \log q_\phi(z_s \mid x_s),
        \qquad z_s, x_s \sim p_\theta.

    Parameters of the model descend on the first, those of the guide on
    ``insomnia * wake_phi + (1 - insomnia) * sleep_phi``. The gradient of wake-:math:`\theta` is
    unbiased for that of the expected loss, a bound on the evidence, and so is that of
    sleep-:math:`\phi`; wake-:math:`\phi` is consistent as :math:`K` grows. Draws need not be
    differentiable.

    With ``insomnia < 1`` the guide takes the data in a keyword argument ``observations``, a dict by
    site, and is called with data that the model has drawn.

    Losses come as pairs, of the model and of the guide.

    :param num_particles: how many draws of the guide, at least two.
    :param insomnia: the share of wake-:math:`\phi` in the guide's loss, from 0 to 1.
    :param model_has_params: whether to compute gradients for the model.
    :param num_sleep_particles: how many draws of the model; by default ``num_particles``.
    :param vectorize_particles: draw all particles at once, in one more plate on the left.
    :param max_plate_nesting: as of :class:`~pyro.infer.elbo.ELBO`.
    :param strict_enumeration_warning: as of :class:`~pyro.infer.elbo.ELBO`.
    :raises ValueError: where one of these is out of its range.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(observations):
    ...     z = pyro.sample("z", dist.Bernoulli(0.5))
    ...     pyro.sample("x", dist.Normal(4 * z, 1.0), obs=observations["x"])
    >>> def guide(observations):
    ...     slope = pyro.param("slope", torch.tensor(0.0))
    ...     pyro.sample("z", dist.Bernoulli(logits=slope * (observations["x"] - 2.0)))
    >>> rws = ReweightedWakeSleep(num_particles=10, insomnia=0.5)
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), rws)
    >>> losses = [svi.step(observations={"x": torch.tensor(3.5)}) for _ in range(20)]
    >>> bool(pyro.param("slope") > 1.0)  # the exact one is 4
    True

    Source: Bornschein and Bengio 2015, *Reweighted Wake-Sleep*, arXiv:1406.2751; Le et al. 2018,
    *Revisiting Reweighted Wake-Sleep*, arXiv:1805.10469.
    """

    def __init__(
        self,
        num_particles: int = 2,
        insomnia: float = 1.0,
        model_has_params: bool = True,
        num_sleep_particles: int | None = None,
        vectorize_particles: bool = True,
        max_plate_nesting: float = math.inf,
        strict_enumeration_warning: bool = True,
    ) -> None:
        if num_particles < 2:
            raise ValueError(f"Reweighting needs two particles or more, got {num_particles}.")
        if not 0 <= insomnia <= 1:
            raise ValueError(f"insomnia must be from 0 to 1, got {insomnia}.")
        if num_sleep_particles is not None and num_sleep_particles < 1:
            raise ValueError(f"num_sleep_particles must be positive, got {num_sleep_particles}.")
        super().__init__(
            num_particles=num_particles,
            max_plate_nesting=max_plate_nesting,
            vectorize_particles=vectorize_particles,
            strict_enumeration_warning=strict_enumeration_warning,
        )
        self.insomnia = insomnia
        self.model_has_params = model_has_params
        self.num_sleep_particles = num_sleep_particles or num_particles

    def _get_trace(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Trace, Trace]:
        return get_importance_trace(
            "flat", self.max_plate_nesting, model, guide, args, kwargs, detach=True
        )

    def _losses(self, model: Program, guide: Program, args: Args, kwargs: Kwargs) -> _Losses:
        runs = list(self._get_traces(model, guide, args, kwargs))
        models, guides = zip(*runs, strict=True)
        log_p, log_q = self._log_densities(models), self._log_densities(guides)
        if not self.model_has_params:
            log_p = log_p.detach()
        log_weights = log_p - log_q.detach()
        wake_theta = math.log(self.num_particles) - log_weights.logsumexp(0)
        phi = -self.insomnia * (log_weights.detach().softmax(0) * log_q).sum()
        for loss in (wake_theta, phi):
            warn_of_nan_loss(torch_item(loss), [trace for run in runs for trace in reversed(run)])
        if self.insomnia < 1:
            dim = -int(self.max_plate_nesting) if self._batches_particles else None
            asleep = sleep_loss(model, guide, args, kwargs, self.num_sleep_particles, dim)
            phi = phi + (1 - self.insomnia) * asleep
        return _Losses(wake_theta, phi)

    def loss(  # type: ignore[override]
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> tuple[float, float]:
        """Return estimates of the model's loss and of the guide's.

        :param model: the model.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        """
        with torch.no_grad():
            wake_theta, phi = self._losses(model, guide, args, kwargs)
        return wake_theta.item(), phi.item()

    def loss_and_grads(  # type: ignore[override]
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> tuple[float, float]:
        """Return estimates of both losses, and add those of their gradients to ``grad``.

        :param model: the model.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        """
        wake_theta, phi = self._losses(model, guide, args, kwargs)
        torch_backward(wake_theta + phi, self.retain_graph)
        return wake_theta.item(), phi.item()

    def differentiable_loss(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return the sum of both losses, whose gradient by each parameter is that of its own loss.

        :param model: the model.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        """
        return torch.stack(self._losses(model, guide, args, kwargs)).sum()
