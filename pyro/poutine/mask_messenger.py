"""``mask``: leave elements of sites out of the density."""

import torch

from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message


class MaskMessenger(Messenger):
    """Count only the elements for which a mask is true in the log density of every site inside.

    Masks of nested handlers combine with *and*. A site's value does not change.

    :param mask: a bool, or a tensor of them that broadcasts with the sites' batches.
    :raises ValueError: where the mask is not boolean.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     with pyro.plate("data", 2):
    ...         pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> trace = poutine.trace(poutine.mask(model, mask=torch.tensor([True, False]))).get_trace()
    >>> trace.compute_log_prob()
    >>> bool(trace.nodes["x"]["log_prob"][1] == 0)
    True
    """

    def __init__(self, mask: bool | torch.Tensor) -> None:
        super().__init__()
        if (
            isinstance(mask, torch.Tensor)
            and mask.dtype != torch.bool
            or not isinstance(mask, (bool, torch.Tensor))
        ):
            kind = f"a tensor of {mask.dtype}" if isinstance(mask, torch.Tensor) else repr(mask)
            raise ValueError(f"mask must be a bool or a tensor of bools, got {kind}. Try mask > 0.")
        self.mask = mask

    def _process_message(self, msg: Message) -> None:
        msg["mask"] = self.mask if msg["mask"] is None else self.mask & msg["mask"]
