"""Linear models of time, and their joint law without any shortcut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import pyro.distributions as dist

HIDDEN, SEEN = 2, 3
DOUBLE = torch.float64


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE)


def normal_vector(size: int, *batch: int) -> Any:
    root = randn(*batch, size, size)
    return dist.MultivariateNormal(randn(*batch, size), root @ root.mT + torch.eye(size))


def diagonal_vector(size: int, *batch: int) -> Any:
    return dist.Normal(randn(*batch, size), (randn(*batch, size) / 2).exp()).to_event(1)


def parts(time: int = 1, *batch: int, law: Callable[..., Any] = normal_vector) -> tuple[Any, ...]:
    """Random parts of a model; some have time or a batch, and others not."""
    return (
        law(HIDDEN, *batch),
        randn(*batch, time, HIDDEN, HIDDEN) / 2,
        law(HIDDEN, time),
        randn(HIDDEN, SEEN),
        law(SEEN, *batch, 1),
    )


class Joint(NamedTuple):
    """The normal law of states after each step, and of what is seen, one after the other."""

    mean: Tensor
    covariance: Tensor

    def of(self, index: Any) -> Any:
        return dist.MultivariateNormal(self.mean[index], self.covariance[index][:, index])

    def given(self, index: Any, other: Any, value: Tensor) -> Any:
        """The law of some entries where the values of others are known."""
        cross = self.covariance[index][:, other]
        gain = cross @ torch.linalg.inv(self.covariance[other][:, other])
        mean = self.mean[index] + gain @ (value - self.mean[other])
        covariance = self.covariance[index][:, index] - gain @ cross.mT
        return dist.MultivariateNormal(mean, (covariance + covariance.mT) / 2)


def states(steps: int) -> slice:
    return slice(0, steps * HIDDEN)


def seen(steps: int, first: int = 0, size: int = SEEN) -> slice:
    start = steps * HIDDEN
    return slice(start + first * size, start + steps * size)


def joint_of(model: tuple[Any, ...], steps: int, index: tuple[int, ...] = ()) -> Joint:
    """Return the joint law for one element of the batch."""
    initial, F, shock, H, noise = model

    def at(value: Tensor, t: int, event_dim: int) -> Tensor:
        cut = value.dim() - event_dim
        time = value.size(cut - 1) if cut else 1
        batch = value[(*index[len(index) - cut + 1 :],)] if cut > 1 else value
        return batch[t if time > 1 else 0] if cut else batch

    def moments(law: Any, t: int) -> tuple[Tensor, Tensor]:
        full = getattr(law, "covariance_matrix", None)
        full = torch.diag_embed(law.variance) if full is None else full
        return at(law.mean, t, 1), at(full, t, 2)

    size = H.size(-1)
    mean, cov = initial.mean, getattr(initial, "covariance_matrix", None)
    cov = torch.diag_embed(initial.variance) if cov is None else cov
    if index:
        mean, cov = mean[index], cov[index]
    # every state as an affine function of (z_0, w_1, ..., w_T)
    sources = [(mean, cov)] + [moments(shock, t) for t in range(steps)]
    maps = torch.eye(HIDDEN, dtype=DOUBLE)
    rows, means, mean_now = [], [], mean
    for t in range(steps):
        matrix = at(F, t, 2)
        maps = torch.cat([matrix.mT @ maps, torch.eye(HIDDEN, dtype=DOUBLE)], 1)
        mean_now = matrix.mT @ mean_now + sources[t + 1][0]
        means.append(mean_now)
        rows.append(torch.nn.functional.pad(maps, (0, HIDDEN * (steps - 1 - t))))
    A, spread = torch.cat(rows), torch.block_diag(*[c for _, c in sources])
    K = A @ spread @ A.mT
    watch = torch.block_diag(*[at(H, t, 2).mT for t in range(steps)])
    blur = torch.block_diag(*[moments(noise, t)[1] for t in range(steps)])
    drift = torch.cat([moments(noise, t)[0] for t in range(steps)])
    z = torch.cat(means)
    assert watch.shape == (steps * size, steps * HIDDEN)
    covariance = torch.cat(
        [torch.cat([K, K @ watch.mT], 1), torch.cat([watch @ K, watch @ K @ watch.mT + blur], 1)]
    )
    return Joint(torch.cat([z, watch @ z + drift]), covariance)


def moments_of_draws(draw: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """The exact mean and covariance of draws that are affine in standard normal numbers."""

    def with_noise(noise: Tensor) -> Tensor:
        left = [noise]

        def fake(shape: Any, **kwargs: Any) -> Tensor:
            count = torch.Size(shape).numel()
            taken, left[0] = left[0][:count], left[0][count:]
            return taken.reshape(shape)

        with patch.object(torch, "randn", fake):
            return draw().reshape(-1)

    counted: list[int] = []
    original = torch.randn

    def count(shape: Any, **kwargs: Any) -> Tensor:
        counted.append(torch.Size(shape).numel())
        return original(shape, **kwargs)

    with patch.object(torch, "randn", count):
        draw()
    zero = torch.zeros(sum(counted), dtype=DOUBLE)
    linear = torch.autograd.functional.jacobian(with_noise, zero)
    return with_noise(zero), linear @ linear.mT


class CountOperations(TorchDispatchMode):
    """Counts what is asked of torch, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))
