"""One point inside each set, to stand in for a value that is missing."""

from typing import Any

import torch
from torch.distributions import constraints, transform_to

_LOWEST = (
    constraints.integer_interval,
    type(constraints.nonnegative_integer),
    constraints.greater_than_eq,
)


def feasible_point(support: Any, event_shape: torch.Size) -> torch.Tensor | float | None:
    """Return a point of a set, away from its edges where there is room.

    :param support: the set.
    :param event_shape: the shape of one event in it.
    :return: a number, where one serves for every entry, or a tensor; None where none is known.

    >>> feasible_point(constraints.positive, torch.Size())
    1.0
    >>> feasible_point(constraints.simplex, torch.Size([2]))
    tensor([0.5000, 0.5000])
    """
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    if type(support) is type(constraints.real):
        return 0.0
    if constraints.is_dependent(support):
        return None
    if support.is_discrete:
        return _discrete_point(support, event_shape)
    event_shape = event_shape[len(event_shape) - support.event_dim :]
    try:
        transform = transform_to(support)
    except NotImplementedError:
        return None
    point: torch.Tensor = transform(torch.zeros(transform.inverse_shape(event_shape)))
    return point.item() if point.dim() == 0 else point


def _discrete_point(support: Any, event_shape: torch.Size) -> torch.Tensor | float | None:
    if isinstance(support, type(constraints.boolean)):
        return 0
    if isinstance(support, _LOWEST):
        lowest: torch.Tensor | float = support.lower_bound
        return lowest
    if isinstance(support, type(constraints.one_hot)):
        return torch.nn.functional.one_hot(torch.tensor(0), event_shape[-1]).float()
    return None
