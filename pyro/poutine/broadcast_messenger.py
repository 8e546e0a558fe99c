"""``broadcast``: give every site the batch shape of the plates around it."""

from pyro.poutine.messenger import Messenger
from pyro.poutine.plate_shapes import broadcast_to_plates
from pyro.poutine.runtime import Message


class BroadcastMessenger(Messenger):
    """Expand the laws of all sites inside to the plates around them.

    A :class:`~pyro.primitives.plate` does so by itself; this is for bare
    :class:`~pyro.poutine.indep_messenger.IndepMessenger` contexts.

    :raises ValueError: where a law has elements that a plate has not.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     with poutine.indep_messenger.IndepMessenger("data", 3):
    ...         return pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> poutine.broadcast(model)().shape
    torch.Size([3])
    """

    def _pyro_sample(self, msg: Message) -> None:
        broadcast_to_plates(msg)
