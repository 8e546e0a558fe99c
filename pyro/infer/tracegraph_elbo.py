"""The evidence lower bound of guides whose draws answer only for what was computed from them."""

from contextlib import ExitStack
from functools import cached_property
from typing import Any, TypeVar

import torch

from pyro.distributions.distribution import Distribution
from pyro.infer.baselines import Baselines
from pyro.infer.elbo import Args, Kwargs, ParticleLoss, Program
from pyro.infer.jit_elbo import JitELBO
from pyro.infer.rao_blackwell import MultiFrameTensor
from pyro.infer.trace_elbo import (
    Term,
    Trace_ELBO,
    costs_of,
    is_pathwise,
    surrogate_loss,
    total_of,
)
from pyro.ops.provenance import (
    Provenance,
    detach_provenance,
    get_provenance,
    plain_afterwards,
    track_provenance,
    values_read,
)
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_latent
from pyro.poutine.trace_struct import Trace

# Laws and scores look at values to check them; the numbers that come of it know their origin.
CHECKING = (
    "torch.distributions.",
    "pyro.distributions.",
    "pyro.poutine.log_density",
    "pyro.poutine.plate_shapes",
    "pyro.poutine.equalize",
)
Self = TypeVar("Self", bound="TrackNonReparam")


class TrackNonReparam(Messenger):
    """Let values remember which draws they come from that cannot be differentiated.

    A value that comes of such draws through torch functions has their names as its provenance. Once
    a program turns one into a plain Python value, for an ``if`` or a loop, all sites that follow
    depend on it.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.ops.provenance import get_provenance
    >>> with TrackNonReparam():
    ...     z = pyro.sample("z", dist.Bernoulli(0.5))
    ...     x = pyro.sample("x", dist.Normal(z, 1.0))
    >>> get_provenance(x)
    frozenset({'z'})
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading = ExitStack()
        self._read: set[Any] = set()

    def __enter__(self: Self) -> Self:
        entered = super().__enter__()
        self._read = self._reading.enter_context(values_read(CHECKING))
        return entered

    def __exit__(self, *args: Any, **kwargs: Any) -> None:
        self._reading.close()
        super().__exit__(*args, **kwargs)

    def _pyro_post_sample(self, msg: Message) -> None:
        origins = set(self._read)
        if site_is_latent(msg) and not getattr(msg["fn"], "has_rsample", False):
            origins.add(msg["name"])
            origins |= _law_origins(msg["fn"])
        if origins:
            msg["value"] = track_provenance(msg["value"], frozenset(origins))


def _law_origins(law: Any) -> Provenance:
    """Return what a law was computed from; draws of some laws do not tell."""
    parts = vars(law).values()
    inner = (_law_origins(part) for part in parts if isinstance(part, Distribution))
    return get_provenance(tuple(parts)).union(*inner)


class TraceGraph_ELBO(Trace_ELBO):
    r"""Estimates :math:`-\mathrm{ELBO} = -E_{q(z)}[\log p(x, z) - \log q(z)]` by draws of ``q``.

    The estimate of the loss is that of :class:`~pyro.infer.trace_elbo.Trace_ELBO`; that of the
    gradient varies less where draws are not differentiable. Such a draw :math:`z_i` contributes

    .. math:: \nabla \log q(z_i) \, \Big(\sum_{j \in D(i)} c_j - b_i\Big),

    where :math:`D(i)` holds those terms :math:`c_j` of the loss that were computed from
    :math:`z_i`, in the same elements of the plates around it, and :math:`b_i` is a baseline, 0
    unless the guide's site asks for one by ``infer={"baseline": {...}}`` with these options:

    - ``use_decaying_avg_baseline``: whether to take off the average of earlier costs, which
      forgets them at the rate ``baseline_beta`` (0.9 if left out);
    - ``nn_baseline`` and ``nn_baseline_input``: a function, such as a module, and what it is called
      with; it returns a number for each element of the site's batch, and its parameters are fitted
      along with all others;
    - ``baseline_value``: such numbers, computed by the guide before the draw.

    Baselines leave the expectation of the gradient alone. Averages belong to the objective, so one
    objective is made for many steps.

    What a draw was used for is seen through torch functions and plain Python values alike, but not
    through ``torch.tensor([z])``, which torch shows to nobody; write ``torch.stack([z])``.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Bernoulli(0.5))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.0))
    >>> def guide():
    ...     options = {"use_decaying_avg_baseline": True}
    ...     p = pyro.param("p", torch.tensor(0.5), constraint=dist.constraints.unit_interval)
    ...     pyro.sample("z", dist.Bernoulli(p), infer={"baseline": options})
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), TraceGraph_ELBO())
    >>> for _ in range(50):
    ...     _ = svi.step()
    >>> bool(pyro.param("p") > 0.5)  # the exact one is 0.62
    True

    Source: Schulman, Heess, Weber and Abbeel 2015, *Gradient Estimation Using Stochastic
    Computation Graphs*, arXiv:1506.05254; Mnih and Gregor 2014, arXiv:1402.0030.
    """

    @cached_property
    def _baselines(self) -> Baselines:
        return Baselines()

    @property
    def _memory(self) -> dict[str, torch.Tensor]:
        return self._baselines.averages

    def _get_trace(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Trace, Trace]:
        if not torch.is_grad_enabled():
            return super()._get_trace(model, guide, args, kwargs)
        with plain_afterwards(), TrackNonReparam():
            return super()._get_trace(model, guide, args, kwargs)

    def _particle_loss(self, model_trace: Trace, guide_trace: Trace) -> ParticleLoss:
        tracked = self._terms(model_trace, guide_trace)
        gains, charges = ([_plain(term) for term in terms] for terms in tracked)
        loss = total_of(charges) - total_of(gains)
        if not torch.is_grad_enabled() or all(is_pathwise(term) for term in charges):
            return ParticleLoss(loss, loss)
        origins = [_origins(term) for terms in reversed(tracked) for term in terms]
        costs = list(zip(origins, costs_of(gains, charges), strict=True))
        misfits = []

        def answers_for(term: Term) -> MultiFrameTensor:
            name = term.site["name"]
            is_tracked = name in get_provenance(term.site["value"])
            return MultiFrameTensor(
                *(cost for origin, cost in costs if not is_tracked or name in origin)
            )

        def steady(term: Term, cost: torch.Tensor) -> torch.Tensor:
            steadied = self._baselines.steady(term.site, cost, tuple(term.value.shape))
            if steadied.misfit is not None:
                misfits.append(steadied.misfit)
            return steadied.cost

        surrogate = surrogate_loss(gains, charges, answers_for, steady)
        return ParticleLoss(loss, surrogate + sum(misfits))

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss, which leaves the baselines as they are.

        :param model: the model.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        """
        with torch.no_grad():
            return super().loss(model, guide, *args, **kwargs)


class JitTraceGraph_ELBO(JitELBO, TraceGraph_ELBO):
    """Like :class:`TraceGraph_ELBO`, compiled.

    From the third step on, or the fourth where averages of costs are baselines, no Python of model
    and guide is run; see :class:`~pyro.infer.jit_elbo.JitELBO` for what that asks of them. What
    depends on a draw by plain Python values cannot be compiled.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Bernoulli(0.5))
    ...     pyro.sample("x", dist.Normal(z, 0.5), obs=torch.tensor(1.0))
    >>> def guide():
    ...     options = {"use_decaying_avg_baseline": True}
    ...     p = pyro.param("p", torch.tensor(0.5), constraint=dist.constraints.unit_interval)
    ...     pyro.sample("z", dist.Bernoulli(p), infer={"baseline": options})
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), JitTraceGraph_ELBO())
    >>> for _ in range(50):
    ...     _ = svi.step()
    >>> bool(pyro.param("p") > 0.6)  # the exact one is 0.88
    True
    """


def _plain(term: Term) -> Term:
    return term._replace(
        site={**term.site, "score_parts": detach_provenance(term.site.get("score_parts"))},
        value=detach_provenance(term.value),
        total=detach_provenance(term.total),
    )


def _origins(term: Term) -> Provenance:
    return get_provenance(term.value) | get_provenance(term.site["value"])
