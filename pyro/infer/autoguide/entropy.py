"""The entropy of models whose sites are independent."""

from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor

from pyro.poutine.handlers import trace
from pyro.poutine.sites import site_is_sample, site_is_subsample


def mean_field_entropy(
    model: Callable[..., Any], args: Any, whitelist: Collection[str] | None = None
) -> Tensor | float:
    """Return the sum of the entropies of a model's sites, its entropy if they are independent.

    :param model: the model, or a guide.
    :param args: its arguments, in a tuple.
    :param whitelist: the names of the sites to count; all by default.
    :returns: the sum, of the sites' batch shape.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(scale):
    ...     pyro.sample("x", dist.Normal(0.0, scale))
    ...     pyro.sample("y", dist.Normal(0.0, scale))
    >>> mean_field_entropy(model, (torch.tensor(1.0),))
    tensor(2.8379)
    """
    total: Tensor | float = 0.0
    for name, site in trace(model).get_trace(*args).nodes.items():
        is_counted = whitelist is None or name in whitelist
        if is_counted and site_is_sample(site) and not site_is_subsample(site):
            total = total + site["fn"].entropy()
    return total
