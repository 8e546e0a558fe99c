"""Laws in layers: what stands at the core, and what events, batches and masks are put around it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.distributions.independent import Independent
from pyro.distributions.torch_distribution import ExpandedDistribution, MaskedDistribution
from pyro.infer.reparam.reparam import Reparam, ReparamMessage
from pyro.ops.shapes import broadcast_shape, sum_rightmost

_LAYERS = (Independent, ExpandedDistribution, MaskedDistribution)


def core_of(law: Any) -> Any:
    """Return the law that stands inside of ``to_event``, ``mask`` and expansion.

    Its parameters broadcast with the values of the whole.

    :param law: the whole.

    >>> from pyro.distributions.normal import Normal
    >>> core_of(Normal(torch.zeros(3), 1.0).mask(False).to_event(1))
    Normal(loc: torch.Size([3]), scale: 1.0)
    """
    while isinstance(law, _LAYERS):
        law = law.base_dist
    return law


def core_of_kind(msg: ReparamMessage, kind: type, reparam: Reparam) -> Any:
    """Return the core of a site's law, for a reparameterisation of laws of one kind.

    :param msg: the site.
    :param kind: the kind.
    :param reparam: the reparameterisation, for the error.
    :raises ValueError: that names the site, where the law is of another kind.
    """
    core = core_of(msg["fn"])
    if not isinstance(core, kind):
        raise site_error(
            msg["name"],
            f"{type(reparam).__name__} is for {kind.__name__}, but the law is {core}",
            "Leave the site out of the configuration, or choose another reparameterisation.",
        )
    return core


def refuse_datum(msg: ReparamMessage, reparam: Reparam, remedy: str) -> None:
    """Refuse a site that is observed, where nothing could be conditioned on the datum.

    :param msg: the site.
    :param reparam: the reparameterisation, for the error.
    :param remedy: what to do instead.
    :raises NotImplementedError: that names the site, where it is observed.
    """
    if msg["is_observed"]:
        raise site_error(
            msg["name"],
            f"it is observed, and {type(reparam).__name__} computes the site's value from others",
            remedy,
            NotImplementedError,
        )


def around(law: Any, change: Callable[[Any], Any], masks: bool = True) -> Any:
    """Replace the core of a law and leave what is put around it.

    :param law: the law.
    :param change: returns another core in place of the one it is given.
    :param masks: whether the new law has the masks too.

    >>> from pyro.distributions.heavy_tailed import Cauchy
    >>> from pyro.distributions.normal import Normal
    >>> around(Cauchy(torch.zeros(2), 1.0).to_event(1), lambda core: Normal(core.loc, 2.0))
    Independent(Normal(loc: torch.Size([2]), scale: 2.0), 1)
    """
    if not isinstance(law, _LAYERS):
        return change(law)
    inner = around(law.base_dist, change, masks)
    if isinstance(law, Independent):
        return inner.to_event(law.reinterpreted_batch_ndims)
    if isinstance(law, MaskedDistribution) and masks:
        inner = inner.mask(law._mask)
    shape = torch.Size(broadcast_shape(law.batch_shape, inner.batch_shape))
    return inner if inner.batch_shape == shape else inner.expand(shape)


def total(law: Any, parts: Tensor) -> Tensor:
    """Sum and mask what belongs to the elements of the core, as the law does with their densities.

    :param law: the law.
    :param parts: a number for each element of the core, or what broadcasts to that.

    >>> from pyro.distributions.normal import Normal
    >>> total(Normal(torch.zeros(3), 1.0).to_event(1), torch.tensor(2.0))
    tensor(6.)
    """
    if not isinstance(law, _LAYERS):
        return parts.expand(broadcast_shape(parts.shape, law.batch_shape))
    parts = total(law.base_dist, parts)
    if isinstance(law, Independent):
        return sum_rightmost(parts, law.reinterpreted_batch_ndims)
    if isinstance(law, MaskedDistribution):
        parts = torch.where(torch.as_tensor(law._mask), parts, torch.zeros_like(parts))
    return parts.expand(broadcast_shape(parts.shape, law.batch_shape))
