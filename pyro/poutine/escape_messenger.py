"""``escape``: leave a run at a site."""

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message, NonlocalExit
from pyro.poutine.sites import site_is_subsample


class EscapeMessenger(Messenger):
    """Leave the run at the first site that a function picks, before it has a value.

    The run ends with a :class:`~pyro.poutine.runtime.NonlocalExit` that holds the site as it came
    here; handlers outside of this one do not see the site.

    :param escape_fn: tells of a sample message whether to leave there; it may read all of it.
    :raises TypeError: where it cannot be called.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("y", dist.Normal(0.0, 1.0))
    >>> with poutine.trace() as record:
    ...     try:
    ...         poutine.escape(model, escape_fn=lambda msg: msg["name"] == "y")()
    ...     except poutine.NonlocalExit as end:
    ...         print("left at", end.site["name"])
    left at y
    >>> list(record.trace)
    ['x']
    """

    def __init__(self, escape_fn: Callable[[Message], Any]) -> None:
        super().__init__()
        if not callable(escape_fn):
            raise TypeError(f"escape_fn must be a function of a message, got {escape_fn!r}.")
        self.escape_fn = escape_fn

    def _pyro_sample(self, msg: Message) -> None:
        if not site_is_subsample(msg) and self.escape_fn(msg):
            msg["continuation"] = partial(_leave, site=msg.copy())
            msg["done"] = True
            msg["stop"] = True


def _leave(msg: Message, site: Message) -> NoReturn:
    raise NonlocalExit(site)
