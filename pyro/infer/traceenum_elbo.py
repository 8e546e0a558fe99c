"""The evidence lower bound, exact in its discrete variables."""

import math
from collections.abc import Iterator
from typing import Any, TypeVar

from torch import Tensor

from pyro._foundation.warnings import warn_once
from pyro.infer.dice import Dice, ordinal_of, weighs
from pyro.infer.elbo import ELBO, Args, Kwargs, ParticleLoss, Program
from pyro.infer.enum import follow, iter_discrete_traces
from pyro.infer.enum_factors import ModelFactors, check_context, enumerated_sites, packed_density
from pyro.infer.enum_posterior import posterior_marginals, posterior_values
from pyro.infer.jit_elbo import JitELBO
from pyro.ops.masking import is_identically_zero
from pyro.ops.packed import dims_of, named
from pyro.ops.rings import SampleRing
from pyro.poutine.handlers import block, enum, replay
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_latent, site_is_sample
from pyro.poutine.trace_packing import pack_site
from pyro.poutine.trace_struct import Trace

Self = TypeVar("Self", bound="BackwardSampleMessenger")
Node = dict[str, Any]


class TraceEnum_ELBO(ELBO):
    r"""Estimates :math:`-\mathrm{ELBO} = -E_{q(z)}[\log \sum_m p(x, z, m) - \log q(z)]`.

    The sum over the sites :math:`m` that the model enumerates is exact, and so is the expectation
    over those of the guide's sites :math:`z` that the guide enumerates; the others are drawn. A
    site is enumerated that asks for it: ``infer={"enumerate": "parallel"}``, or
    :func:`~pyro.infer.enum.config_enumerate` for all sites at once. In the guide,
    ``"sequential"`` runs guide and model once for each value, and a whole number as
    ``"num_samples"`` draws so many values in place of the support.

    The model's sums run over a plated factor graph by variable elimination, one plate after the
    other, and use the independence that :func:`~pyro.poutine.handlers.markov` declares: a chain
    costs one step a site. In the guide each term of the bound is weighed by the marginal of the
    variables that it depends on. Gradients are unbiased: pathwise where draws are differentiable,
    by DiCE where they are not.

    A model without a guide's sites, all enumerated, has its log evidence as the bound:

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(data):
    ...     with pyro.plate("data", len(data)):
    ...         z = pyro.sample("z", dist.Bernoulli(0.25), infer={"enumerate": "parallel"})
    ...         pyro.sample("x", dist.Normal(4.0 * z, 1.0), obs=data)
    >>> def guide(data):
    ...     pass
    >>> data = torch.tensor([0.0, 4.0])
    >>> law = dist.Normal(torch.tensor([0.0, 4.0]), 1.0)
    >>> parts = torch.tensor([0.75, 0.25]).log() + law.log_prob(data.unsqueeze(-1))
    >>> loss = TraceEnum_ELBO().loss(model, guide, data)
    >>> bool((loss + parts.logsumexp(-1).sum()).abs() < 1e-5)
    True

    **References**

    - F. Obermeyer et al. (2019), *Tensor variable elimination for plated factor graphs*,
      arXiv:1902.03210.
    - J. Foerster et al. (2018), *DiCE: the infinitely differentiable Monte Carlo estimator*,
      arXiv:1802.05098.
    """

    def _get_trace(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Trace, Trace]:
        return next(self._runs(model, guide, args, kwargs))

    def _particles(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> Iterator[tuple[Program, Program]]:
        if self.max_plate_nesting == math.inf:
            self._guess_max_plate_nesting(model, guide, args, kwargs)
        yield from super()._particles(model, guide, args, kwargs)

    def _runs(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> Iterator[tuple[Trace, Trace]]:
        """Run guide and model with all values of what the guide enumerates sequentially."""
        depth = int(self.max_plate_nesting)
        enumerated_guide = enum(guide, first_available_dim=-1 - depth)
        for guide_trace in iter_discrete_traces("flat", enumerated_guide, *args, **kwargs):
            model_trace = follow(guide_trace, depth, enum(model), args, kwargs, False)
            if self.strict_enumeration_warning:
                _warn_if_idle(model_trace, guide_trace)
            guide_trace.symbolize_dims()
            yield model_trace, guide_trace

    def _particle_loss(self, model_trace: Trace, guide_trace: Trace) -> ParticleLoss:
        loss = -expected_bound(model_trace, guide_trace)
        return ParticleLoss(loss, loss)

    def _particle_losses(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> Iterator[tuple[float, ParticleLoss]]:
        """Yield every particle's loss, the runs of a sequential enumeration added up."""
        for one_model, one_guide in self._particles(model, guide, args, kwargs):
            runs = list(self._runs(one_model, one_guide, args, kwargs))
            particle = self._particle_loss(*runs[0])
            for pair in runs[1:]:
                more = self._particle_loss(*pair)
                particle = ParticleLoss(*(a + b for a, b in zip(particle, more, strict=True)))
            records = [record for pair in runs for record in reversed(pair)]
            yield self._as_number(particle, records), particle

    def compute_marginals(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the posterior law of each site that the model enumerates.

        The laws are given one draw of the guide, and all that is observed.

        :param model: the model.
        :param guide: its guide, which enumerates nothing.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        :returns: laws by site name, in the batch shapes of the sites' plates.
        :raises NotImplementedError: for several particles, a guide that enumerates, and a site with
            a support that no law is written for.

        >>> import torch, pyro, pyro.distributions as dist
        >>> def model():
        ...     z = pyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
        ...     pyro.sample("x", dist.Bernoulli(0.2 + 0.6 * z), obs=torch.tensor(1.0))
        >>> TraceEnum_ELBO().compute_marginals(model, lambda: None)["z"].probs
        tensor(0.8000)
        """
        pair = self._only_run("compute_marginals", model, guide, args, kwargs)
        return posterior_marginals(*pair)

    def sample_posterior(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Any:
        """Run the model with the sites that it enumerates drawn from their exact joint posterior.

        The posterior is that given one draw of the guide, and all that is observed. To see the
        draws, record the run: ``poutine.trace(elbo.sample_posterior).get_trace(model, guide)``.

        :param model: the model.
        :param guide: its guide, which enumerates nothing.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        :returns: what the model returns.
        :raises NotImplementedError: for several particles, and a guide that enumerates.

        >>> import torch, pyro, pyro.distributions as dist
        >>> def model():
        ...     z = pyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
        ...     pyro.sample("x", dist.Delta(z), obs=torch.tensor(1.0))
        ...     return z
        >>> TraceEnum_ELBO().sample_posterior(model, lambda: None)
        tensor(1.)
        """
        pair = self._only_run("sample_posterior", model, guide, args, kwargs)
        with BackwardSampleMessenger(*pair):
            return replay(model, trace=pair[1])(*args, **kwargs)

    def _only_run(
        self, what: str, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Trace, Trace]:
        if self.num_particles != 1:
            raise NotImplementedError(
                f"{what}() is about one draw of the guide, but num_particles is "
                f"{self.num_particles}. Call it on an objective with one particle, as often as "
                "draws are wanted."
            )
        with block():
            ((one_model, one_guide),) = self._particles(model, guide, args, kwargs)
            pair = next(self._runs(one_model, one_guide, args, kwargs))
        refuse_enumeration(what, pair[1])
        return pair


class JitTraceEnum_ELBO(JitELBO, TraceEnum_ELBO):
    """Like :class:`TraceEnum_ELBO`, compiled.

    From the third step on, no Python of model and guide is run, and none that plans the sums; see
    :class:`~pyro.infer.jit_elbo.JitELBO` for what that asks of them. To compile takes time that
    grows with the number of sites, as a chain's loop over its steps is laid out.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(data):
    ...     p = pyro.param("p", torch.tensor(0.5), constraint=dist.constraints.unit_interval)
    ...     with pyro.plate("data", len(data)):
    ...         z = pyro.sample("z", dist.Bernoulli(p), infer={"enumerate": "parallel"})
    ...         pyro.sample("x", dist.Normal(9.0 * z, 1.0), obs=data)
    >>> def guide(data):
    ...     pass
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), JitTraceEnum_ELBO())
    >>> losses = [svi.step(torch.tensor([0.0, 9.0, 9.0, 9.0])) for _ in range(100)]
    >>> round(pyro.param("p").item(), 2)
    0.75
    """


class BackwardSampleMessenger(Messenger):
    """Give the sites that a model enumerated values from their exact joint posterior.

    Sums run forward over the factors and draws back (*forward filtering, backward sampling*). Each
    time the block is entered, values are drawn anew.

    :param enum_trace: a scored run of the enumerated model.
    :param guide_trace: the run of the guide that it follows, which enumerates nothing.

    >>> import torch, pyro, pyro.distributions as dist
    >>> from pyro.infer.enum import get_importance_trace
    >>> def model():
    ...     z = pyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
    ...     pyro.sample("x", dist.Delta(z), obs=torch.tensor(1.0))
    ...     return z
    >>> enumerated = enum(model, first_available_dim=-1)
    >>> runs = get_importance_trace("flat", 0, enumerated, lambda: None, (), {})
    >>> with BackwardSampleMessenger(*runs):
    ...     model()
    tensor(1.)
    """

    def __init__(self, enum_trace: Trace, guide_trace: Trace) -> None:
        super().__init__()
        self.enum_trace = enum_trace
        self.guide_trace = guide_trace
        self._values: dict[str, Tensor] = {}

    def __enter__(self: Self) -> Self:
        """Draw the values."""
        self._values = posterior_values(self.enum_trace, self.guide_trace, SampleRing)
        return super().__enter__()

    def __exit__(self, *args: Any, **kwargs: Any) -> None:
        """Forget the values."""
        self._values = {}
        super().__exit__(*args, **kwargs)

    def _pyro_sample(self, msg: Message) -> None:
        if msg["name"] in self._values and site_is_latent(msg):
            msg["value"] = self._values[msg["name"]]
            msg["done"] = True


def expected_bound(model_trace: Trace, guide_trace: Trace) -> Tensor:
    """Return the expectation of ``log p - log q`` over what was enumerated, given what was drawn.

    :param model_trace: a scored run of the model.
    :param guide_trace: the run of the guide that it follows, whose dims have letters.
    :returns: a scalar whose gradient is, in the mean over the draws, that of the bound.
    :raises ValueError: as :class:`~pyro.infer.enum_factors.ModelFactors`.
    """
    costs = ModelFactors(model_trace, guide_trace).summed()
    ordering = {}
    owners = enumerated_sites(guide_trace)
    for name, site in guide_trace.nodes.items():
        if site_is_sample(site):
            ordering[name] = ordinal_of(site, guide_trace.plate_to_symbol)
            if weighs(site):
                pack_site(site)
            charge = _charge(site)
            check_context(site, dims_of(charge), owners)
            costs.setdefault(ordering[name], []).append(charge)
    return Dice(guide_trace, ordering).compute_expectation(costs)


def _charge(site: Node) -> Tensor:
    """Return ``-log q`` of a guide site, with a gradient that is the bound's in the mean."""
    infer, score_function = site["infer"], site["score_parts"].score_function
    log_prob = packed_density(site, "log_prob")
    is_summed = "_enumerate_dim" in infer and infer.get("num_samples") is None
    if not is_summed and not infer.get("_enum_total") and not is_identically_zero(score_function):
        log_prob = named(log_prob.detach(), dims_of(log_prob))  # its own gradient has mean 0
    return named(-log_prob, dims_of(log_prob))


def refuse_enumeration(what: str, guide_trace: Trace) -> None:
    """Refuse a guide that enumerates.

    :param what: who refuses.
    :param guide_trace: the run of the guide.
    :raises NotImplementedError: that names the sites.
    """
    names = [name for name, site in guide_trace.nodes.items() if _is_enumerated(site)]
    if names:
        raise NotImplementedError(
            f"{what}() is given a draw of the guide, but the guide enumerates "
            f"{', '.join(map(repr, names))}. Leave 'enumerate' out of the guide, or the sites, so "
            "that the model enumerates them."
        )


def _is_enumerated(site: Node) -> bool:
    if not site_is_sample(site):
        return False
    infer = site["infer"] or {}
    return "_enumerate_dim" in infer or "_enum_total" in infer


def _warn_if_idle(model_trace: Trace, guide_trace: Trace) -> None:
    for record in (model_trace, guide_trace):
        if any(_is_enumerated(site) for site in record.nodes.values()):
            return
    warn_once(
        "nothing to enumerate",
        "TraceEnum_ELBO found no site to enumerate. Decorate the model or the guide with "
        "config_enumerate, or write infer={'enumerate': 'parallel'} at the sites; if none is "
        "meant to be, Trace_ELBO does the same at less cost, and strict_enumeration_warning=False "
        "silences this.",
        stacklevel=4,
    )
