"""``reparam``: write sites in terms of others that are easier to infer."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch

from pyro._foundation.errors import site_error
from pyro._foundation.threads import PerThread
from pyro._foundation.validation import is_validation_enabled
from pyro._foundation.warnings import warn_once
from pyro.ops.shapes import expands_to
from pyro.poutine.messenger import HandledCallable, Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import (
    site_is_deterministic,
    site_is_equalized,
    site_is_reparameterized,
    site_is_subsample,
)

CallArguments = tuple[tuple[Any, ...], dict[str, Any]]


@runtime_checkable
class AppliesToSites(Protocol):
    """A reparameterisation, as :class:`~pyro.infer.reparam.reparam.Reparam` is one."""

    def apply(self, msg: Any) -> Any:
        """Draw auxiliary sites, and return a site's new law and its value, if that follows."""


@runtime_checkable
class ChoosesReparams(Protocol):
    """A strategy: chooses a reparameterisation for each site."""

    def configure(self, msg: Any) -> Any:
        """Return the reparameterisation of a site, None to leave the site alone."""


Config = Mapping[str, Any] | ChoosesReparams | Callable[[Message], Any]


class _Applied(PerThread):
    """The call of a reparameterised model within which a thread applies a reparameterisation."""

    def __init__(self) -> None:
        self.call: CallArguments | None = None


class _Call(_Applied):
    """The call of its model that a handler is in."""


_applied = _Applied()


def wrapped_call() -> CallArguments | None:
    """Return the arguments that the reparameterised model was called with, for who applies to it.

    :returns: positional and keyword arguments; None outside of such a call.

    >>> wrapped_call() is None
    True
    """
    return _applied.call


class ReparamMessenger(Messenger):
    """Replace the laws of sites by equivalent ones over auxiliary sites.

    A :class:`~pyro.infer.reparam.reparam.Reparam` draws auxiliary sites and returns the site's new
    law and, where the auxiliary sites determine it, its value. The joint distribution of what the
    model had before stays the same; inference sees other coordinates. Auxiliary sites are
    reparameterised in turn, until no site is left for which there is a reparameterisation.

    Plates and their indices, sites that were reparameterised by a handler inside, and members of a
    group that ``equalize`` tied are left alone.

    :param config: reparameterisations by site name; a function that returns one for a message, or
        None; or a strategy, whose ``configure`` does so.
    :raises TypeError: where ``config`` is none of these, or what it holds is no reparameterisation.
    :raises ValueError: that names the site, where the new law has other shapes, and where
        ``equalize`` outside was to keep the density that is now gone.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> from pyro.infer.reparam.reparam import Reparam
    >>> class Decentre(Reparam):
    ...     def apply(self, msg):
    ...         law = msg["fn"]
    ...         unit = dist.Normal(0.0, 1.0).expand(law.batch_shape)
    ...         value = law.loc + law.scale * pyro.sample(msg["name"] + "_unit", unit)
    ...         return {"fn": dist.Delta(value), "value": value, "is_observed": True}
    >>> def model():
    ...     return pyro.sample("x", dist.Normal(5.0, 2.0))
    >>> trace = poutine.trace(poutine.reparam(model, config={"x": Decentre()})).get_trace()
    >>> trace.stochastic_nodes
    ['x_unit']

    Source: Gorinova, Moore and Hoffman 2020, *Automatic Reparameterisation of Probabilistic
    Programs*, ICML, arXiv:1906.03028.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        if not isinstance(config, Mapping | ChoosesReparams) and not callable(config):
            raise TypeError(
                "reparam() takes a dict of reparameterisations by site name, a function from "
                f"messages to these, or a strategy, got {config!r}."
            )
        self.config = config
        self._is_strategy = isinstance(config, ChoosesReparams)
        self._call = _Call()

    def __call__(self, fn: Callable[..., Any]) -> "ReparamHandler":
        return ReparamHandler(self, fn)

    def _pyro_sample(self, msg: Message) -> None:
        if site_is_subsample(msg) or site_is_equalized(msg) or site_is_reparameterized(msg):
            return
        reparam = self._choose(msg)
        if reparam is not None:
            before, _applied.call = _applied.call, self._call.call
            try:
                _rewrite(msg, reparam)
            finally:
                _applied.call = before

    def _choose(self, msg: Message) -> Any:
        config: Any = self.config
        if self._is_strategy:
            return config.configure(msg)
        return config.get(msg["name"]) if isinstance(config, Mapping) else config(msg)

    def _pyro_post_sample(self, msg: Message) -> None:
        infer = msg["infer"]
        if not infer or not infer.get("_reparameterized") or not site_is_equalized(msg):
            return
        if not site_is_deterministic(msg):
            raise site_error(
                msg["name"],
                f"equalize() was to keep its density where it is tied to {infer['_equalized']!r}, "
                "but a reparam() inside has put another law in its place",
                "Put reparam() outside of equalize(), or tie without keep_dist.",
            )


class ReparamHandler(HandledCallable):
    """A model that is reparameterised whenever it runs.

    Reparameterisations that want the arguments of the call find them in their ``args_kwargs``.

    :param msngr: the handler.
    :param fn: the model.
    """

    msngr: ReparamMessenger

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self.msngr._call
        before, call.call = call.call, (args, kwargs)
        try:
            return super().__call__(*args, **kwargs)
        finally:
            call.call = before


def _rewrite(msg: Message, reparam: Any) -> None:
    given, was_observed = msg["value"], msg["is_observed"]
    fn, value, is_observed = _apply(msg, reparam)
    _check_shapes(msg, fn, reparam)
    if given is not None and not was_observed and not _agree(given, value):
        warn_once(
            ("reparam initial value", msg["name"]),
            f"At site {msg['name']!r}: the value that it was given is not kept by "
            f"{type(reparam).__name__}. Give values to the auxiliary sites instead: put what gives "
            "them outside of reparam().",
        )
    msg["fn"], msg["args"], msg["kwargs"] = fn, (), {}
    msg["value"], msg["is_observed"], msg["done"] = value, is_observed, value is not None
    before = "observed" if was_observed else "drawn"
    msg["infer"] = {**(msg["infer"] or {}), "_reparameterized": before}


def _apply(msg: Message, reparam: Any) -> tuple[Any, Any, bool]:
    """Return the new law, the value or None, and whether the value is given."""
    name = msg["name"]
    if isinstance(reparam, AppliesToSites):
        keys = ("name", "fn", "value", "is_observed")
        new = reparam.apply({key: msg[key] for key in keys})  # type: ignore[literal-required]
        if isinstance(new, Mapping) and {"fn", "value", "is_observed"} <= new.keys():
            return new["fn"], new["value"], bool(new["is_observed"])
        wanted = "a dict with the keys fn, value and is_observed"
    elif callable(reparam):
        new = reparam(name, msg["fn"], msg["value"] if msg["is_observed"] else None)
        if isinstance(new, tuple) and len(new) == 2:
            return new[0], new[1], new[1] is not None
        wanted = "a pair of a law and a value or None"
    else:
        raise site_error(
            name,
            f"{reparam!r} is no reparameterisation",
            "Derive it from pyro.infer.reparam.reparam.Reparam and define apply().",
            TypeError,
        )
    raise site_error(name, f"{reparam!r} returned {new!r}, expected {wanted}", kind=TypeError)


def _check_shapes(msg: Message, fn: Any, reparam: Any) -> None:
    old = msg["fn"]
    if not (hasattr(old, "batch_shape") and hasattr(fn, "batch_shape")):
        return
    if fn.event_shape != old.event_shape or not expands_to(old.batch_shape, fn.batch_shape):
        raise site_error(
            msg["name"],
            f"{type(reparam).__name__} returned a law of batch shape {tuple(fn.batch_shape)} and "
            f"event shape {tuple(fn.event_shape)}, expected {tuple(old.batch_shape)} and "
            f"{tuple(old.event_shape)}, which the site's has",
            "Expand the law to the batch shape, and give Delta its event_dim.",
        )


def _agree(given: Any, value: Any) -> bool:
    if not is_validation_enabled() or given is value:
        return True
    if value is None:
        return False
    try:
        return bool(torch.isclose(torch.as_tensor(given), torch.as_tensor(value), 1e-3).all())
    except RuntimeError:
        return False
