"""``condition``: fix sites to values."""

from collections.abc import Mapping
from typing import Any

from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.trace_struct import Trace


class ConditionMessenger(Messenger):
    """Observe sites at given values, as if the model had been written with ``obs=``.

    :param data: values by site name, or a trace whose values to take. A value of None leaves its
        site as it is.
    :raises TypeError: where ``data`` is neither.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     return pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> poutine.condition(model, data={"x": torch.tensor(2.0)})()
    tensor(2.)
    """

    def __init__(self, data: Mapping[str, Any] | Trace) -> None:
        super().__init__()
        if not isinstance(data, (Mapping, Trace)):
            raise TypeError(
                f"condition() takes a dict of values by site name or a trace, got {data!r}."
            )
        self.data = data
        self._values = (
            {name: node.get("value") for name, node in data.nodes.items()}
            if isinstance(data, Trace)
            else data
        )

    def _pyro_sample(self, msg: Message) -> None:
        value = self._values.get(msg["name"])
        if value is not None:
            msg["value"] = value
            msg["is_observed"] = True
