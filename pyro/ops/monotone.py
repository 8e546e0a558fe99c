"""Inverses of increasing functions, and of maps whose Jacobian is triangular."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

# How far from its start a search looks, in powers of two; and how much farther each time, so that
# functions that overflow are bounded first.
_REACH = 64
_GROWTH = 16.0


def solve_increasing(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], target: Tensor, start: Tensor
) -> Tensor:
    r"""Solve :math:`f(x) = t` for :math:`x` to rounding, element by element, with gradients.

    Newton's method, kept between bounds: a step that leaves the bounds found so far, or follows one
    that did not halve the error, is replaced by bisection, or where there is no bound yet, by a
    step of limited length, longer each time. One more Newton step carries the gradients, which are
    those of the implicit function.

    :param function: gives :math:`f(x)` and the slope :math:`f'(x) > 0`, both of the shape of
        ``target``.
    :param target: :math:`t`.
    :param start: where to begin, of the same shape.
    :raises ValueError: where :math:`f` does not reach :math:`t` within :math:`2^{64}` of the start.

    >>> cube = lambda x: (x**3 + x, 3 * x**2 + 1)
    >>> solve_increasing(cube, torch.tensor([10.0, -2.0]), torch.zeros(2))
    tensor([ 2., -1.])

    Source: Press et al. 2007, *Numerical Recipes*, section 9.4.
    """
    with torch.no_grad():
        x = _search(function, target, start.detach())
    value, slope = function(x)
    return x - (value - target) / slope.detach()


def _search(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], target: Tensor, x: Tensor
) -> Tensor:
    eps = torch.finfo(x.dtype).eps
    low, high = torch.full_like(x, -math.inf), torch.full_like(x, math.inf)
    worst, reach = torch.full_like(x, math.inf), torch.full_like(x, _GROWTH)
    is_done = target.isnan()
    # Bisection alone ends after as many steps as a number has digits and the search had doublings.
    for _ in range(3 * _REACH - 2 * math.frexp(eps)[1]):
        value, slope = function(x)
        error = value - target
        low, high = torch.where(error < 0, x, low), torch.where(error > 0, x, high)
        is_open = low.isinf() | high.isinf()
        outwards = torch.where(high.isinf(), low + reach, high - reach)
        newton = x - error / slope
        is_good = (newton > low) & (newton < high) & (error.abs() <= worst / 2)
        is_good = is_good & ~(is_open & ((newton - x).abs() > reach))
        beyond = torch.where(is_good, newton, torch.where(is_open, outwards, (low + high) / 2))
        beyond = torch.where(is_done | (error == 0), x, beyond)
        is_done = is_done | ((beyond - x).abs() <= eps * x.abs())
        x = beyond
        if is_done.all():
            break
        worst = torch.where(is_good, error.abs(), math.inf)
        reach = torch.where(is_open & ~is_good & ~is_done, _GROWTH * reach, reach)
        if bool((reach > 2.0**_REACH).any()):
            missed = target[reach > 2.0**_REACH][0].item()
            raise ValueError(f"The map does not reach {missed:.4g}; it has no inverse there.")
    return x


def solve_plus_tanh(slope: Tensor, target: Tensor) -> Tensor:
    r"""Solve :math:`h + m \tanh h = t` for :math:`h`; the left side rises where :math:`m > -1`.

    :param slope: :math:`m`.
    :param target: :math:`t`.
    :returns: :math:`h`, to rounding and with gradients.

    >>> solve_plus_tanh(torch.tensor(0.0), torch.tensor(3.0))
    tensor(3.)
    """
    with torch.no_grad():
        low, high = target - slope.abs(), target + slope.abs()
        for _ in range(1 - math.frexp(torch.finfo(target.dtype).eps)[1]):
            middle = (low + high) / 2
            is_below = middle + slope * middle.tanh() < target
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        height = (low + high) / 2
    # One step of Newton's method, which has the gradients that the implicit function has.
    level = height.tanh()
    return height - (height + slope * level - target) / (1 + slope * (1 - level.square()))


def solve_in_order(
    order: Iterable[int] | Tensor, y: Tensor, entry: Callable[[int, Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Invert a map each entry of which depends on those before it in an order, entry by entry.

    :param order: the indices of the entries.
    :param y: the image, a vector.
    :param entry: takes an index and a vector, right in all entries before that one, and returns
        that entry, with whatever else is known of it.
    :returns: the vector, and the vector of what else is known.

    >>> y = torch.tensor([1.0, 3.0, 6.0])
    >>> before = lambda i, x: (y[i] - x[:i].sum(), x[:i].sum())
    >>> solve_in_order(range(3), y, before)
    (tensor([1., 2., 3.]), tensor([0., 1., 3.]))
    """
    entries = list(torch.zeros_like(y).unbind(-1))
    known = entries.copy()
    for i in order.tolist() if isinstance(order, Tensor) else order:
        entries[i], known[i] = entry(i, torch.stack(entries, -1))
    return torch.stack(entries, -1), torch.stack(known, -1)
