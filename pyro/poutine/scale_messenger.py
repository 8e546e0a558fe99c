"""``scale``: weigh the log densities of sites."""

from numbers import Real

import torch

from pyro._foundation.validation import is_validation_enabled
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message


class ScaleMessenger(Messenger):
    """Multiply the log density of every site inside by a positive factor.

    Scales of nested handlers multiply. A site's value does not change.

    :param scale: a positive number, or a tensor of them that broadcasts with the sites' batches.
    :raises ValueError: where the scale is not positive.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(0.0))
    >>> once = poutine.trace(model).get_trace().log_prob_sum()
    >>> half = poutine.trace(poutine.scale(model, scale=0.5)).get_trace().log_prob_sum()
    >>> torch.allclose(half, 0.5 * once)
    True
    """

    def __init__(self, scale: float | torch.Tensor) -> None:
        super().__init__()
        if isinstance(scale, torch.Tensor):
            positive = not is_validation_enabled() or bool((scale > 0).all())
        else:
            positive = isinstance(scale, Real) and scale > 0
        if not positive:
            raise ValueError(
                f"scale must be positive, got {scale!r}. To leave sites out, use mask()."
            )
        self.scale = scale

    def _process_message(self, msg: Message) -> None:
        msg["scale"] = self.scale * msg["scale"]
