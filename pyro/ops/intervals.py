"""Quantiles and intervals of samples, and samples of samples."""

from collections.abc import Sequence

import torch
from torch import Tensor

Levels = float | Sequence[float] | Tensor


def quantile(input: Tensor, probs: Levels, dim: int = 0) -> Tensor:
    r"""Return the values below which given shares of the samples lie.

    Between the order statistics :math:`x_{(1)} \le \dots \le x_{(N)}`, which stand at the levels
    :math:`\frac{i - 1}{N - 1}`, values are interpolated.

    :param input: samples along one dimension.
    :param probs: the levels, between 0 and 1: a number, or several along one dimension.
    :param dim: the dimension of the samples.
    :returns: the quantiles; several levels stand along ``dim``, which a single number drops.
    :raises ValueError: where a level lies outside.

    >>> quantile(torch.arange(5.0), [0.0, 0.3])
    tensor([0.0000, 1.2000])

    Source: Hyndman and Fan 1996, The American Statistician 50(4), definition 7.
    """
    ordered = _as_floats(input).movedim(dim, -1).sort(-1).values
    levels = _as_levels(probs, ordered)
    count = ordered.size(-1)
    places = levels * (count - 1)
    below = places.floor().clamp(max=max(count - 2, 0)).long()
    above = (below + 1).clamp(max=count - 1)
    low, high = (ordered.index_select(-1, at.reshape(-1)) for at in (below, above))
    found = torch.lerp(low, high, (places - below).reshape(-1))
    return found.movedim(-1, dim) if levels.dim() else found.squeeze(-1)


def weighed_quantile(input: Tensor, probs: Levels, log_weights: Tensor, dim: int = 0) -> Tensor:
    r"""Return quantiles of weighted samples.

    With :math:`C_i` the sum of the normalised weights of the :math:`i` smallest samples, the
    :math:`i`-th smallest stands at the level :math:`\frac{C_i - C_1}{1 - C_1}`; between, values are
    interpolated. Equal weights give :func:`quantile`.

    :param input: samples along one dimension.
    :param probs: the levels, between 0 and 1: a number, or several along one dimension.
    :param log_weights: the logarithms of the samples' weights, up to a constant; of shape ``(N,)``.
    :param dim: the dimension of the samples.
    :returns: the quantiles; several levels stand along ``dim``, which a single number drops.
    :raises ValueError: where a level lies outside, or there is not one weight a sample.

    >>> weighed_quantile(torch.arange(3.0), [0.25, 1.0], torch.tensor([1.0, 1.0, 3.0]).log())
    tensor([1., 2.])
    """
    samples = _as_floats(input).movedim(dim, -1)
    if log_weights.shape != samples.shape[-1:]:
        raise ValueError(
            f"log_weights have shape {tuple(log_weights.shape)}, expected one a sample: "
            f"{tuple(samples.shape[-1:])}."
        )
    levels = _as_levels(probs, samples)
    ordered, order = samples.sort(-1)
    mass = torch.softmax(log_weights.to(samples), -1)[order].cumsum(-1)
    rank = mass - mass[..., :1]
    rank = rank / rank[..., -1:].clamp(min=torch.finfo(rank.dtype).tiny)
    wanted = levels.reshape(-1).expand(samples.shape[:-1] + (-1,)).contiguous()
    above = torch.searchsorted(rank, wanted).clamp(1, max(samples.size(-1) - 1, 1))
    if samples.size(-1) == 1:
        found = ordered.expand(wanted.shape)
    else:
        start, end = rank.gather(-1, above - 1), rank.gather(-1, above)
        share = (wanted - start) / (end - start).clamp(min=torch.finfo(rank.dtype).tiny)
        low, high = ordered.gather(-1, above - 1), ordered.gather(-1, above)
        found = torch.lerp(low, high, share.clamp(0, 1))
    return found.movedim(-1, dim) if levels.dim() else found.squeeze(-1)


def pi(input: Tensor, prob: float, dim: int = 0) -> Tensor:
    """Return the interval that leaves the same share of the samples out on either side.

    :param input: samples along one dimension.
    :param prob: the share of the samples inside, between 0 and 1.
    :param dim: the dimension of the samples.
    :returns: the lower and the upper end, along ``dim``.
    :raises ValueError: where ``prob`` lies outside.

    >>> pi(torch.arange(101.0), 0.9)
    tensor([ 5., 95.])
    """
    return quantile(input, [(1 - prob) / 2, (1 + prob) / 2], dim)


def hpdi(input: Tensor, prob: float, dim: int = 0) -> Tensor:
    """Return the narrowest interval that holds a share of the samples.

    It reaches over ``int(prob * N)`` gaps between neighbouring samples; of equally narrow ones it
    is the first.

    :param input: samples along one dimension.
    :param prob: the share of the samples inside, between 0 and 1.
    :param dim: the dimension of the samples.
    :returns: the lower and the upper end, along ``dim``.
    :raises ValueError: where ``prob`` lies outside.

    >>> hpdi(torch.tensor([0.0, 10.0, 11.0, 12.0, 13.0]), 0.6)
    tensor([10., 13.])

    Source: Chen and Shao 1999, Journal of Computational and Graphical Statistics 8(1).
    """
    ordered = input.movedim(dim, -1).sort(-1).values
    _as_levels(prob, _as_floats(ordered))
    count = ordered.size(-1)
    gaps = min(int(prob * count), count - 1)
    start = (ordered[..., gaps:] - ordered[..., : count - gaps]).argmin(-1, keepdim=True)
    return ordered.gather(-1, torch.cat([start, start + gaps], -1)).movedim(-1, dim)


def resample(input: Tensor, num_samples: int, dim: int = 0, replacement: bool = False) -> Tensor:
    """Draw from samples, all alike.

    :param input: samples along one dimension.
    :param num_samples: how many to draw.
    :param dim: the dimension of the samples.
    :param replacement: whether one may be drawn again.
    :returns: the draws, along ``dim``.
    :raises ValueError: where more are to be drawn than there are, without replacement.

    >>> resample(torch.tensor([4.0, 4.0, 4.0]), 2)
    tensor([4., 4.])
    """
    count = input.size(dim)
    if num_samples > count and not replacement:
        raise ValueError(
            f"{num_samples} of {count} samples cannot be drawn without replacement. Pass "
            "replacement=True, or a smaller num_samples."
        )
    if replacement:
        chosen = torch.randint(count, (num_samples,), device=input.device)
    else:
        chosen = torch.randperm(count, device=input.device)[:num_samples]
    return input.index_select(dim, chosen)


def _as_floats(samples: Tensor) -> Tensor:
    return samples if samples.is_floating_point() else samples.to(torch.get_default_dtype())


def _as_levels(probs: Levels, like: Tensor) -> Tensor:
    levels = torch.as_tensor(probs, dtype=like.dtype, device=like.device)
    if not bool(((levels >= 0) & (levels <= 1)).all()):
        raise ValueError(f"Shares and levels lie between 0 and 1, got {probs!r}.")
    return levels
