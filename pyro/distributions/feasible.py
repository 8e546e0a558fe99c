"""One point inside each set, to stand in for a value that is missing."""

from collections.abc import Callable
from typing import Any

import torch
from torch.distributions import constraints, transform_to

Point = torch.Tensor | float

_POINTS: dict[Any, Callable[[Any], Point]] = {
    type(constraints.real): lambda c: 0.0,
    type(constraints.boolean): lambda c: 0,
    constraints.greater_than: lambda c: c.lower_bound + 1.0,
    constraints.greater_than_eq: lambda c: c.lower_bound + 1.0,
    constraints.less_than: lambda c: c.upper_bound - 1.0,
    constraints.interval: lambda c: 0.5 * (c.lower_bound + c.upper_bound),
    constraints.half_open_interval: lambda c: 0.5 * (c.lower_bound + c.upper_bound),
    constraints.integer_interval: lambda c: c.lower_bound,
    type(constraints.nonnegative_integer): lambda c: c.lower_bound,
}


def feasible_point(support: Any, event_shape: torch.Size) -> Point | None:
    """Return a point of a set, away from its edges where there is room.

    :param support: the set.
    :param event_shape: the shape of one event in it.
    :return: a number, where one serves for every entry, or a tensor that broadcasts to the event
        shape; None where no point is known.

    >>> feasible_point(constraints.positive, torch.Size())
    1.0
    >>> feasible_point(constraints.simplex, torch.Size([2]))
    tensor([0.5000, 0.5000])
    """
    while type(support) is constraints.independent:
        support = support.base_constraint
    if type(support) in _POINTS:
        return _POINTS[type(support)](support)
    if constraints.is_dependent(support):
        return None
    event_shape = event_shape[len(event_shape) - support.event_dim :]
    if type(support) is type(constraints.one_hot):
        return torch.nn.functional.one_hot(torch.tensor(0), event_shape[-1])
    return _image_of_simple_point(support, event_shape)


def _image_of_simple_point(support: Any, event_shape: torch.Size) -> torch.Tensor | None:
    try:
        transform = transform_to(support)
    except NotImplementedError:
        return None
    shape = transform.inverse_shape(event_shape)
    for start in (torch.zeros(shape), torch.ones(shape)):
        point: torch.Tensor = transform(start)
        if bool(support.check(point).all()):
            return point
    return None
