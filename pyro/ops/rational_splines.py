"""Increasing splines of rational functions, and their inverses."""

from collections.abc import Callable

import torch
from torch import Tensor

# Inside a bin, both coordinates go from 0 to 1. These functions take a position, the slopes at both
# ends relative to the bin's, and what else shapes the bin, and return the other coordinate with the
# logarithm of the slope there.
Bin = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _quadratic(t: Tensor, start: Tensor, end: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    rest = 1 - t
    both = t * rest
    scale = 1 + (start + end - 2) * both
    slope = end * t.square() + 2 * both + start * rest.square()
    return (t.square() + start * both) / scale, slope.log() - 2 * scale.log()


def _quadratic_inverse(y: Tensor, start: Tensor, end: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    middle = start - (start + end - 2) * y
    t = 2 * y / (middle + (middle.square() + 4 * (1 - middle) * y).sqrt())
    return t, _quadratic(t, start, end, y)[1]


def _segment(t: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Map 0 to 1 onto itself by a ratio of linear functions, with slope ``ratio`` at 0."""
    scale = 1 - t + ratio * t
    return ratio * t / scale, ratio.log() - 2 * scale.log()


def _weights(start: Tensor, end: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weights at the middle and end of a bin, and where the middle is mapped to."""
    last = (start / end).sqrt()
    middle = share * start + (1 - share) * last * end
    return middle, last, share * last / (1 - share + share * last)


def _linear(t: Tensor, start: Tensor, end: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    middle, last, knee = _weights(start, end, share)
    is_first = t < share
    width = torch.where(is_first, share, 1 - share)
    height = torch.where(is_first, knee, 1 - knee)
    part = torch.where(is_first, t, t - share) / width
    y, log_slope = _segment(part, torch.where(is_first, middle, last / middle))
    return torch.where(is_first, 0.0, knee) + height * y, log_slope + (height / width).log()


def _linear_inverse(y: Tensor, start: Tensor, end: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    middle, last, knee = _weights(start, end, share)
    is_first = y < knee
    width = torch.where(is_first, share, 1 - share)
    height = torch.where(is_first, knee, 1 - knee)
    part = torch.where(is_first, y, y - knee) / height
    # A segment's inverse is a segment, with the ratio turned over.
    t, log_slope = _segment(part, torch.where(is_first, 1 / middle, middle / last))
    return torch.where(is_first, 0.0, share) + width * t, (height / width).log() - log_slope


BINS: dict[tuple[str, bool], Bin] = {
    ("linear", False): _linear,
    ("linear", True): _linear_inverse,
    ("quadratic", False): _quadratic,
    ("quadratic", True): _quadratic_inverse,
}


def rational_spline(
    inputs: Tensor,
    widths: Tensor,
    heights: Tensor,
    derivatives: Tensor,
    lambdas: Tensor | None = None,
    *,
    bound: float = 3.0,
    order: str = "linear",
    inverse: bool = False,
    min_bin_width: float = 1e-3,
    min_bin_height: float = 1e-3,
    min_derivative: float = 1e-3,
    min_lambda: float = 0.025,
) -> tuple[Tensor, Tensor]:
    r"""Map numbers by an increasing spline on :math:`[-B, B]`, and by the identity outside.

    In each of :math:`K` bins the spline is a ratio of two quadratic functions, or two ratios of
    linear ones that meet in between, both with given slopes at the bin's ends. Either is inverted
    in closed form.

    :param inputs: the numbers.
    :param widths: what share each bin has of the interval, ``(…, K)``, which broadcasts with
        ``inputs`` but for the last dimension.
    :param heights: what share each bin's image has of the interval, ``(…, K)``.
    :param derivatives: the slopes at the :math:`K - 1` inner knots, ``(…, K - 1)``, less
        ``min_derivative``. At the ends it is one, less that.
    :param lambdas: for linear order, where in each bin both ratios meet, between 0 and 1,
        ``(…, K)``.
    :param bound: :math:`B`.
    :param order: ``"linear"`` or ``"quadratic"``.
    :param inverse: whether to map by the inverse.
    :param min_bin_width: the least share of a bin.
    :param min_bin_height: the least share of its image.
    :param min_derivative: the least slope at a knot.
    :param min_lambda: how far from the ends of a bin two ratios meet at least.
    :returns: the images, and the logarithms of the slope of the spline, or of its inverse.
    :raises ValueError: where there are too many bins for their least share.

    >>> thirds, slopes = torch.ones(3) / 3, torch.ones(2)
    >>> widths = torch.tensor([0.2, 0.4, 0.4])
    >>> x = torch.tensor([-9.0, 0.0])
    >>> y, log_slope = rational_spline(x, widths, thirds, slopes, order="quadratic")
    >>> y
    tensor([-9.0000,  0.4638])

    Sources: Durkan, Bekasov, Murray and Papamakarios 2019, *Neural Spline Flows*, arXiv:1906.04032;
    Dolatabadi, Erfani and Leckie 2020, *Invertible Generative Modeling using Linear Rational
    Splines*, arXiv:2001.05168.
    """
    count = widths.size(-1)
    if max(min_bin_width, min_bin_height) * count > 1:
        raise ValueError(
            f"A spline of {count} bins has no room for each to have a share of "
            f"{max(min_bin_width, min_bin_height)}. Use fewer bins."
        )
    widths = min_bin_width + (1 - count * min_bin_width) * widths
    heights = min_bin_height + (1 - count * min_bin_height) * heights
    ends = derivatives.new_full((*derivatives.shape[:-1], 1), 1 - min_derivative)
    slopes = torch.cat([ends, derivatives + min_derivative, ends], -1)
    columns = [widths.cumsum(-1) - widths, widths, heights.cumsum(-1) - heights, heights]
    columns += [slopes[..., :-1], slopes[..., 1:]]
    if lambdas is not None and order == "linear":
        columns.append(min_lambda + (1 - 2 * min_lambda) * lambdas)
    is_inside = inputs.abs() <= bound
    position = (inputs.clamp(-bound, bound) / bound + 1) / 2
    bins = _bins_at(position, torch.stack(columns, -1), by=2 if inverse else 0)
    left, width, bottom, height, start, end = bins[:6]
    scale = height / width
    begin, extent, origin, size = (
        (bottom, height, left, width) if inverse else (left, width, bottom, height)
    )
    part = ((position - begin) / extent).clamp(0, 1)
    mapped, log_slope = BINS[order, inverse](part, start / scale, end / scale, bins[-1])
    outputs = bound * (2 * (origin + size * mapped) - 1)
    log_slope = scale.log() + log_slope
    return (
        torch.where(is_inside, outputs, inputs),
        torch.where(is_inside, -log_slope if inverse else log_slope, 0.0),
    )


def _bins_at(position: Tensor, table: Tensor, by: int) -> list[Tensor]:
    """Return the columns of a table ``(…, K, C)`` in the rows in which positions fall."""
    edges = table[..., 1:, by]
    row = (position.unsqueeze(-1) >= edges).sum(-1, keepdim=True)
    shape = (*row.shape[:-1], *table.shape[-2:])
    index = row.unsqueeze(-1).expand(*row.shape, table.size(-1))
    return list(table.expand(shape).gather(-2, index).squeeze(-2).unbind(-1))
