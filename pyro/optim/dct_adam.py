"""Adam that also works in the frequency domain, for parameters that vary slowly over time."""

from collections.abc import Callable, Iterable, Mapping
from types import EllipsisType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from pyro.ops.signals import dct, idct
from pyro.optim.clipped_adam import clipped_adam_step

Index = EllipsisType | tuple[Tensor, ...]


class DCTAdam(Optimizer):
    r"""Clipped Adam that treats a time series as the sum of itself and its cosine series.

    A parameter with an attribute ``_pyro_dct_dim``, the dimension of time counted from the right,
    is written as :math:`x + C^{-1} y`, where :math:`C` is the orthonormal discrete cosine
    transform along time. Adam steps :math:`x` and :math:`y` together: slow trends then take as
    few steps as fast ones. Other parameters are stepped as by
    :class:`~pyro.optim.clipped_adam.ClippedAdam`.

    :param params: tensors, or dictionaries that define groups of them.
    :param lr: the learning rate.
    :param betas: how much of the running averages of a gradient and its square a step keeps.
    :param eps: what keeps the denominator from zero.
    :param clip_norm: the largest magnitude of an element of a gradient.
    :param lrd: the factor by which each step, the first too, scales the learning rate.
    :param subsample_aware: whether a step leaves alone the parts of a parameter, and of its
        running averages, that lie outside the subsamples of its plates.

    >>> x = torch.zeros(4, requires_grad=True)
    >>> x._pyro_dct_dim = -1
    >>> optimizer = DCTAdam([x], lr=0.1)
    >>> x.sum().backward()
    >>> optimizer.step()
    >>> x
    tensor([-0.1500, -0.1500, -0.1500, -0.1500], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        clip_norm: float = 10.0,
        lrd: float = 1.0,
        subsample_aware: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "clip_norm": clip_norm,
            "lrd": lrd,
            "subsample_aware": subsample_aware,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step for every parameter that has a gradient.

        :param closure: computes the loss and gradients afresh.
        :returns: what ``closure`` returned.
        :raises ValueError: where a parameter is subsampled along its dimension of time.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            group["lr"] *= group["lrd"]
            plain = []
            for p in group["params"]:
                if p.grad is not None and self._is_plain(p, group):
                    plain.append(p)
                elif p.grad is not None:
                    self._step_param(p, p.grad, group)
            if plain:
                clipped_adam_step(plain, [self._state_of(p) for p in plain], group)
        return loss

    def _is_plain(self, p: Tensor, group: dict[str, Any]) -> bool:
        # An element of a parameter that was subsampled once counts its own steps.
        return (
            getattr(p, "_pyro_dct_dim", None) is None
            and not _subsample(p, group)
            and not isinstance(self.state[p].get("step"), Tensor)
        )

    def _state_of(self, p: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[p]
        if not state:
            whole = _augmented(torch.zeros_like(p), getattr(p, "_pyro_dct_dim", None))
            state.update(step=0, exp_avg=whole, exp_avg_sq=whole.clone())
        return state

    def _step_param(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        time_dim: int | None = getattr(p, "_pyro_dct_dim", None)
        subsample = _subsample(p, group)
        if time_dim in subsample:
            raise ValueError(
                f"DCTAdam cannot transform dimension {time_dim} of a parameter of shape "
                f"{tuple(p.shape)}: the dimension is subsampled."
            )
        here = _block(p, subsample)
        gradient = gradient[here].clamp(-group["clip_norm"], group["clip_norm"])
        update = self._adam_update(p, _augmented(gradient, time_dim), subsample, group)
        p[here] -= _merged(update, time_dim)

    def _adam_update(
        self, p: Tensor, gradient: Tensor, subsample: Mapping[int, Tensor], group: dict[str, Any]
    ) -> Tensor:
        state = self._state_of(p)
        here = _block(state["exp_avg"], subsample)
        beta1, beta2 = group["betas"]
        mean = state["exp_avg"][here].lerp(gradient, 1 - beta1)
        square = state["exp_avg_sq"][here].lerp(gradient * gradient, 1 - beta2)
        state["exp_avg"][here] = mean
        state["exp_avg_sq"][here] = square
        step = self._advanced_step(state, here, bool(subsample))
        size = group["lr"] * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        update: Tensor = size * mean / (square.sqrt() + group["eps"])
        return update

    @staticmethod
    def _advanced_step(state: dict[str, Any], here: Index, is_subsampled: bool) -> Any:
        # Each element counts its own steps once a part of them was left alone.
        if is_subsampled and not isinstance(state["step"], Tensor):
            state["step"] = torch.full_like(state["exp_avg"], state["step"])
        if not isinstance(state["step"], Tensor):
            state["step"] += 1
            return state["step"]
        state["step"][here] += 1
        return state["step"][here]


def _subsample(p: Tensor, group: dict[str, Any]) -> Mapping[int, Tensor]:
    """Give the indices that a model used of a parameter, {dim from the right: indices}."""
    return getattr(p, "_pyro_subsample", {}) if group["subsample_aware"] else {}


def _block(x: Tensor, subsample: Mapping[int, Tensor]) -> Index:
    """Index the block of a tensor that lies in a subsample."""
    if not subsample:
        return ...
    ndim = x.dim()
    chosen = [subsample.get(dim - ndim, torch.arange(size)) for dim, size in enumerate(x.shape)]
    return tuple(
        indices.to(x.device).reshape((-1,) + (1,) * (ndim - dim - 1))
        for dim, indices in enumerate(chosen)
    )


def _augmented(x: Tensor, time_dim: int | None) -> Tensor:
    return x if time_dim is None else torch.cat([x, dct(x, time_dim)], time_dim)


def _merged(x: Tensor, time_dim: int | None) -> Tensor:
    if time_dim is None:
        return x
    itself, series = x.chunk(2, time_dim)
    return itself + idct(series, time_dim)
