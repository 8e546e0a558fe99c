"""The base of guides that are effect handlers: they run the model and put posteriors for priors."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch

from pyro._foundation.errors import site_error
from pyro._foundation.threads import PerThread
from pyro.distributions.delta import Delta
from pyro.distributions.distribution import Distribution
from pyro.ops.shapes import expands_to
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_observed, site_is_subsample, site_is_untraced
from pyro.poutine.trace_messenger import TraceMessenger
from pyro.poutine.trace_struct import Trace

_UNTRACED = "_do_not_trace"


class _Run(PerThread):
    """What a thread's run recorded, and whether it is the guide that is at work."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.in_guide = False
        self.hidden: set[int] = set()  # ids of messages that others are not to trace
        self.model_trace = Trace()
        self.guide_trace = Trace()


class GuideMessenger(TraceMessenger, ABC):
    r"""Base of guides that run the model itself, with posteriors in place of priors.

    Calling the guide runs the model and draws each latent site from what :meth:`get_posterior`
    returns for it, so that later priors see the values drawn before:

    .. math::

        q(z) = \prod_i q_i\bigl(z_i \mid p_i(\cdot \mid z_{<i}), z_{<i}\bigr)

    Sites that are observed or computed run too, for the sake of what follows, but do not show in
    traces of the guide. Of sites that ``equalize`` tied only the owner is asked for.

    :param model: the model; the guide takes the same arguments.

    >>> import torch, pyro, pyro.distributions as dist
    >>> from pyro.infer import Trace_ELBO
    >>> def model(data):
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=data)
    >>> class Exact(GuideMessenger):
    ...     def get_posterior(self, name, prior):
    ...         return dist.Normal(1.0, 0.5**0.5)
    >>> loss = Trace_ELBO().loss(model, Exact(model), torch.tensor(2.0))
    >>> log_evidence = dist.Normal(0.0, 2**0.5).log_prob(torch.tensor(2.0))
    >>> bool((log_evidence + loss).abs() < 1e-5)
    True

    Source: Bingham et al. 2019, *Pyro*, JMLR 20(28), for guides and handlers; the factorisation
    above is that of an amortised guide in Webb et al. 2018, arXiv:1712.00287.
    """

    def __init__(self, model: Callable[..., Any]) -> None:
        super().__init__()
        self._model = (model,)  # in a tuple, that a guide which is a module does not own it
        self._guide_run = _Run()

    @property
    def model(self) -> Callable[..., Any]:
        """The model."""
        return self._model[0]

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Draw from the guide.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the value of each sample site of the model but plates, by name.
        """
        with self:
            self.model(*args, **kwargs)
        nodes = self._guide_run.model_trace.nodes
        return {name: site["value"] for name, site in nodes.items() if site["type"] == "sample"}

    @abstractmethod
    def get_posterior(self, name: str, prior: Any) -> Any:
        """Return the law to draw a site from.

        Sites and parameters that this makes belong to the guide: give a site that the model lacks
        the hint ``is_auxiliary``.

        :param name: the site's name.
        :param prior: its law in the model, expanded to the plates around it.
        :returns: a law of the prior's event shape, whose batch shape expands to the prior's; or
            a tensor, for the law that is sure of it.
        """

    def upstream_value(self, name: str) -> Any:
        """Return the value of a site that ran earlier in the current run.

        :param name: the site's name.
        :raises KeyError: where no such site ran.
        """
        nodes = self.trace.nodes
        if name not in nodes:
            raise site_error(
                name, "no such site ran before", f"Ask for one of {list(nodes)}.", KeyError
            )
        return nodes[name]["value"]

    def get_traces(self) -> tuple[Trace, Trace]:
        """Return the latest run as one of the model and one of the guide.

        They share the values; the former scores them by the priors, and has the observed sites and
        the model's parameters, the latter scores them by the posteriors. Plates are left out.
        """
        run = self._guide_run
        return run.model_trace.copy(), run.guide_trace.copy()

    def __enter__(self) -> "GuideMessenger":
        self._guide_run.begin()
        return super().__enter__()

    def _reset(self) -> None:
        self._guide_run.begin()
        super()._reset()

    def _pyro_sample(self, msg: Message) -> None:
        if self._guide_run.in_guide or site_is_subsample(msg):
            return
        if site_is_observed(msg):
            if not site_is_untraced(msg):
                self._guide_run.hidden.add(id(msg))
                msg["infer"] = {**(msg["infer"] or {}), _UNTRACED: True}
            return
        prior = msg["fn"]
        msg["fn"], msg["args"], msg["kwargs"] = self._ask(msg["name"], prior), (), {}
        msg["infer"] = {**(msg["infer"] or {}), "prior": prior}

    def _ask(self, name: str, prior: Any) -> Any:
        run = self._guide_run
        run.in_guide = True
        try:
            posterior = self.get_posterior(name, prior)
        finally:
            run.in_guide = False
        if isinstance(posterior, torch.Tensor):
            posterior = Delta(posterior, event_dim=getattr(prior, "event_dim", 0))
        if not isinstance(posterior, Distribution):
            raise site_error(
                name,
                f"{type(self).__name__}.get_posterior() returned {posterior!r}",
                "Return a law from pyro.distributions, or a tensor.",
                TypeError,
            )
        return _fit(name, posterior, prior)

    def _pyro_post_sample(self, msg: Message) -> None:
        run = self._guide_run
        if id(msg) in run.hidden:
            run.hidden.discard(id(msg))
            hints = msg["infer"] or {}
            msg["infer"] = {key: hint for key, hint in hints.items() if key != _UNTRACED}
        super()._pyro_post_sample(msg)
        if site_is_subsample(msg) or site_is_untraced(msg):
            return
        if run.in_guide:
            run.guide_trace.record_message(msg)
            return
        run.model_trace.record_message(msg)
        prior = (msg["infer"] or {}).get("prior")
        if prior is not None and not msg["is_observed"]:
            run.guide_trace.record_message(msg)
            run.model_trace.nodes[msg["name"]]["fn"] = _as_wide(prior, msg["fn"])

    def _pyro_post_param(self, msg: Message) -> None:
        super()._pyro_post_param(msg)
        run = self._guide_run
        (run.guide_trace if run.in_guide else run.model_trace).record_message(msg)


def _fit(name: str, posterior: Any, prior: Any) -> Any:
    """Return a posterior at the batch shape of its prior."""
    if not (hasattr(prior, "batch_shape") and hasattr(posterior, "batch_shape")):
        return posterior
    if posterior.event_shape != prior.event_shape or not expands_to(
        posterior.batch_shape, prior.batch_shape
    ):
        raise site_error(
            name,
            f"its posterior has batch shape {tuple(posterior.batch_shape)} and event shape "
            f"{tuple(posterior.event_shape)}, expected {tuple(prior.batch_shape)} and "
            f"{tuple(prior.event_shape)}, which the prior has",
            "Use .to_event() in get_posterior(), and pyro.subsample for what plates select.",
        )
    return _as_wide(posterior, prior)


def _as_wide(law: Any, other: Any) -> Any:
    """Expand a law to the batch shape of another."""
    shape = getattr(other, "batch_shape", None)
    return law if shape is None or law.batch_shape == shape else law.expand(shape)
