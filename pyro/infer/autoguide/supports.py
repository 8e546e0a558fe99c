"""What a guide asks of the supports of sites."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import ComposeTransform, IndependentTransform, Transform

from pyro._foundation.errors import site_error


@contextmanager
def helpful_support_errors(site: Any) -> Iterator[None]:
    """Say, where a support has no unconstrained coordinates, what to do about it.

    :param site: the site, whose support the block asks for a transform.
    :raises ValueError: that names the site, where its support is discrete.
    :raises NotImplementedError: that names the site, where no transform leads onto its support.

    >>> import pyro.distributions as dist
    >>> with helpful_support_errors({"name": "coin", "fn": dist.Bernoulli(0.5)}):
    ...     torch.distributions.biject_to(dist.constraints.boolean)
    Traceback (most recent call last):
    ValueError: At site 'coin': it is discrete, and this guide is for continuous sites. ...
    """
    try:
        yield
    except NotImplementedError as error:
        name, support = site["name"], getattr(site["fn"], "support", None)
        if support is not None and support.is_discrete:
            raise site_error(
                name,
                "it is discrete, and this guide is for continuous sites",
                "Hide it from the guide and sum it out in the model: mark it with "
                f"infer={{'enumerate': 'parallel'}}, write AutoNormal(poutine.block(model, "
                f"hide=[{name!r}])), and fit with TraceEnum_ELBO.",
            ) from error
        raise site_error(
            name,
            f"no smooth map leads from unconstrained numbers onto its support {support!r}",
            "Write the model in other coordinates, or give the site a guide of its own.",
            NotImplementedError,
        ) from error


def is_identity(transform: Transform) -> bool:
    """Tell whether a transform is known to leave everything as it is.

    :param transform: the transform.

    >>> constraints = torch.distributions.constraints
    >>> is_identity(torch.distributions.biject_to(constraints.real_vector))
    True
    """
    if isinstance(transform, IndependentTransform):
        return is_identity(transform.base_transform)
    return isinstance(transform, ComposeTransform) and all(map(is_identity, transform.parts))


def levels_in_coordinates(transform: Transform | None, levels: Tensor) -> Tensor:
    """Return the levels of unconstrained quantiles that become quantiles of given levels.

    A decreasing map of numbers turns the ``q`` quantile into the ``1 - q`` quantile. Maps of whole
    vectors have no order to keep; their levels are meant coordinate by coordinate.

    :param transform: from unconstrained coordinates to the support; None is the identity.
    :param levels: the levels.

    >>> below_one = torch.distributions.constraints.less_than(1.0)
    >>> levels_in_coordinates(torch.distributions.biject_to(below_one), torch.tensor([0.25]))
    tensor([0.7500])
    """
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    if transform is None or transform.codomain.event_dim > 0 or is_identity(transform):
        return levels
    try:
        falls = torch.as_tensor(transform.sign, device=levels.device) < 0
    except NotImplementedError:  # a map of somebody's own, which does not say
        return levels
    return torch.where(falls, 1 - levels, levels)


def checked_levels(quantiles: Any, like: Tensor) -> Tensor:
    """Read the levels of quantiles.

    :param quantiles: a number, a list of them, or a tensor.
    :param like: the tensor whose dtype and device they are to have.
    :returns: shape ``(len(quantiles),)``.
    :raises ValueError: where one lies outside of the unit interval.

    >>> checked_levels([0.05, 0.95], torch.zeros(()))
    tensor([0.0500, 0.9500])
    """
    levels = torch.as_tensor(quantiles, dtype=like.dtype, device=like.device).reshape(-1)
    if not bool(((levels >= 0) & (levels <= 1)).all()):
        raise ValueError(f"Quantiles have levels between 0 and 1, got {quantiles!r}.")
    return levels
