"""Let values remember the sites of a run that they come from."""

from collections.abc import Callable

from pyro.ops.provenance import detach_provenance, track_provenance
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message


class ProvenanceMessenger(Messenger):
    """Give the values of sites their names as provenance, in place of what they came from.

    Outside of a trace it shows, at each site, which sites its law was computed from. Where a site
    is not to be named its value keeps the provenance that it has.

    :param is_named: tells of a message, on its way back with a value, whether the value shall have
        its name.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.ops.provenance import get_provenance
    >>> with ProvenanceMessenger(lambda msg: True):
    ...     x = pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     get_provenance(2 * x)
    frozenset({'x'})
    """

    def __init__(self, is_named: Callable[[Message], bool]) -> None:
        super().__init__()
        self.is_named = is_named

    def _pyro_post_sample(self, msg: Message) -> None:
        if self.is_named(msg):
            name = frozenset({msg["name"]})
            msg["value"] = track_provenance(detach_provenance(msg["value"]), name)

    def _pyro_post_param(self, msg: Message) -> None:
        self._pyro_post_sample(msg)
