"""``replay``: run a model with the values of another run."""

from collections.abc import Mapping
from typing import Any

from pyro._foundation.errors import site_error
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_equalized, site_is_latent, site_is_sample
from pyro.poutine.trace_struct import Trace


class ReplayMessenger(Messenger):
    """Give the sites of a model the values that they had in a recorded run.

    Drawn sites take the recorded value and the hints of the recorded site; observed ones keep their
    datum. Parameters take the values in ``params``.

    :param trace: the recorded run.
    :param params: parameter values by name.
    :raises ValueError: without either, or where the record of a site is no drawn value.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     return pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> record = poutine.trace(model).get_trace()
    >>> bool(poutine.replay(model, trace=record)() == record.nodes["x"]["value"])
    True
    """

    def __init__(self, trace: Trace | None = None, params: dict[str, Any] | None = None) -> None:
        super().__init__()
        if trace is None and params is None:
            raise ValueError("replay() needs a trace of a run, or params, or both.")
        self.trace = trace
        self.params = params

    def _pyro_sample(self, msg: Message) -> None:
        trace = self.trace
        recorded = None if trace is None else trace.nodes.get(msg["name"])
        if recorded is None:
            return
        if msg["is_observed"]:
            # A tied site is given, but by its owner: a record of another value must not go unsaid.
            if site_is_equalized(msg) and site_is_sample(recorded):
                msg["value"] = recorded["value"]
            return
        if not site_is_latent(recorded) and not site_is_sample(recorded) or recorded["is_observed"]:
            raise site_error(
                msg["name"],
                "the replayed trace holds no drawn value for it, but "
                + ("an observed one" if site_is_sample(recorded) else f"a {recorded['type']} site"),
                "Draw the site in the guide, or use condition() to fix it to a value.",
                _ReplayError,
            )
        msg["value"] = recorded["value"]
        msg["infer"] = _hints(msg["infer"] or {}, recorded["infer"] or {})
        msg["done"] = True

    def _pyro_param(self, msg: Message) -> None:
        if self.params is not None and msg["name"] in self.params:
            msg["value"] = self.params[msg["name"]]
            msg["done"] = True


def _hints(own: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Add the recorded hints, but for the steps of a Markov context: this run has its own."""
    hints = {**own, **recorded}
    hints.pop("_markov_scope", None)
    return hints | {"_markov_scope": own["_markov_scope"]} if "_markov_scope" in own else hints


class _ReplayError(ValueError, RuntimeError):
    """What is replayed does not fit; the released Pyro raises a RuntimeError here."""
