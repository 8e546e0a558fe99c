"""``infer_config``: give sites hints to inference."""

from collections.abc import Callable, Mapping
from typing import Any

from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message


class InferConfigMessenger(Messenger):
    """Update the ``infer`` hints of the sample and param sites inside.

    :param config_fn: called with each message; returns the hints to add to it.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     pyro.sample("x", dist.Bernoulli(0.5))
    >>> hinted = poutine.infer_config(model, config_fn=lambda site: {"enumerate": "parallel"})
    >>> poutine.trace(hinted).get_trace().nodes["x"]["infer"]
    {'enumerate': 'parallel'}
    """

    def __init__(self, config_fn: Callable[[Message], Mapping[str, Any]]) -> None:
        super().__init__()
        self.config_fn = config_fn

    def _pyro_sample(self, msg: Message) -> None:
        msg["infer"] = {**(msg["infer"] or {}), **self.config_fn(msg)}

    def _pyro_param(self, msg: Message) -> None:
        self._pyro_sample(msg)
