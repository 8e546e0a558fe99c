"""Unconstrained coordinates of a site's values, in which guides have their laws."""

from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import biject_to
from torch.distributions.transforms import Transform

from pyro.distributions.delta import Delta
from pyro.distributions.normal import Normal
from pyro.infer.autoguide.supports import (
    checked_levels,
    helpful_support_errors,
    is_identity,
    levels_in_coordinates,
)
from pyro.ops.shapes import sum_rightmost
from pyro.primitives import subsample


class Coordinates(NamedTuple):
    """How unconstrained numbers become a site's value; none of it changes between runs.

    :param name: the site's name.
    :param event_dim: how many of the value's rightmost dimensions are the event's.
    :param transform: from unconstrained numbers to the value; None is the identity.
    """

    name: str
    event_dim: int
    transform: Transform | None

    def of(self, value: Tensor) -> Tensor:
        """Return the coordinates of a value.

        :param value: the value.
        """
        if self.transform is None:
            return value
        unconstrained: Tensor = self.transform.inv(value)
        return unconstrained

    def value_at(self, unconstrained: Tensor) -> Tensor:
        """Return the value that has these coordinates.

        :param unconstrained: the coordinates.
        """
        if self.transform is None:
            return unconstrained
        value: Tensor = self.transform(unconstrained)
        return value

    def point_at(self, unconstrained: Tensor) -> Delta:
        r"""Return the law of the value alone that has these coordinates.

        Its log density is :math:`-\log|\det \partial T / \partial u|`, what the density of the
        coordinates becomes the density of the value with.

        :param unconstrained: the coordinates.
        """
        value = self.value_at(unconstrained)
        log_density: Tensor | float = 0.0
        if self.transform is not None:
            log_det = self.transform.log_abs_det_jacobian(unconstrained, value)
            batch_dim = value.dim() - self.event_dim
            log_density = -sum_rightmost(log_det, log_det.dim() - batch_dim)
        return Delta(value, log_density, event_dim=self.event_dim, validate_args=False)

    def quantiles(self, loc: Tensor, scale: Tensor, quantiles: Any) -> Tensor:
        """Return quantiles of the value where the coordinates are normal, each by itself.

        :param loc: their means.
        :param scale: their standard deviations; zeros where they are sure.
        :param quantiles: the levels, between 0 and 1: a list, a tensor or a number.
        :returns: a tensor whose leftmost dimension runs over the levels.
        :raises ValueError: where a level is not between 0 and 1.
        """
        levels = checked_levels(quantiles, loc).reshape((-1,) + (1,) * loc.dim())
        levels = levels_in_coordinates(self.transform, levels)
        return self.value_at(Normal(loc, scale, validate_args=False).icdf(levels))


def coordinates_of(site: Any) -> Coordinates:
    """Return the unconstrained coordinates of a site.

    :param site: the site.
    :raises ValueError: that names the site, where it is discrete.
    :raises NotImplementedError: that names the site, where its support has none.

    >>> import torch, pyro.distributions as dist
    >>> coordinates = coordinates_of({"name": "x", "fn": dist.Gamma(2.0, 1.0)})
    >>> coordinates.of(torch.tensor(1.0)), coordinates.value_at(torch.tensor(0.0))
    (tensor(0.), tensor(1.))
    """
    with helpful_support_errors(site):
        transform = biject_to(site["fn"].support)
    known = None if is_identity(transform) else transform
    return Coordinates(site["name"], site["fn"].event_dim, known)


def elements_that_run(vector: Tensor, shape: torch.Size, event_dim: int) -> Tensor:
    """Give the coordinates of a site its shape, and select those that the plates around run on.

    :param vector: all coordinates, along the rightmost dimension; on its left are only plates that
        the model knows nothing of, and the places of those that it has.
    :param shape: the shape of the coordinates, ``batch + event``.
    :param event_dim: how many of its rightmost dimensions are the event's.

    >>> elements_that_run(torch.zeros(10, 1, 6), torch.Size([3, 2]), 1).shape
    torch.Size([10, 3, 2])
    """
    outer = vector.shape[:-1]
    kept = outer[: max(0, len(outer) - (len(shape) - event_dim))]
    coordinates: Tensor = subsample(vector.reshape(kept + shape), event_dim)
    return coordinates


def checked_scale(init_scale: Any) -> float:
    """Read an initial standard deviation.

    :param init_scale: the number.
    :raises ValueError: where it is no positive number.

    >>> checked_scale(1)
    1.0
    """
    if not (isinstance(init_scale, Real) and float(init_scale) > 0):
        raise ValueError(f"init_scale must be a positive number, got {init_scale!r}.")
    return float(init_scale)
