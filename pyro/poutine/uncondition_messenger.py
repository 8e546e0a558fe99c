"""``uncondition``: draw what was observed."""

from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_computed, site_is_factor, site_is_observed


class UnconditionMessenger(Messenger):
    """Draw observed sites from their laws, as if there were no data.

    The site's ``infer`` then has ``was_observed`` set, and the datum in ``obs``. What is not drawn
    in the first place keeps its value: deterministic sites, members of a group that ``equalize``
    tied, values that a reparameterisation computed, and factors.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     return pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(100.0))
    >>> trace = poutine.trace(poutine.uncondition(model)).get_trace()
    >>> bool(trace.nodes["x"]["value"] < 50), trace.nodes["x"]["infer"]["obs"]
    (True, tensor(100.))
    """

    def __init__(self) -> None:
        super().__init__()

    def _pyro_sample(self, msg: Message) -> None:
        if not site_is_observed(msg) or site_is_computed(msg) or site_is_factor(msg):
            return
        msg["infer"] = {**(msg["infer"] or {}), "was_observed": True, "obs": msg["value"]}
        msg["is_observed"] = False
        msg["value"] = None
        msg["done"] = False
