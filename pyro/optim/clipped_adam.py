"""Adam with clipped gradients and a decaying learning rate."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class ClippedAdam(Optimizer):
    r"""Adam whose gradients are clipped and whose learning rate decays from step to step.

    At step :math:`k`, with the gradient :math:`g` clipped elementwise to :math:`[-c, c]`,

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        x &\leftarrow x - \eta \, d^k \frac{\sqrt{1 - \beta_2^k}}{1 - \beta_1^k}
            \frac{m}{\sqrt{v} + \epsilon}

    Reference: Kingma and Ba (2014), "Adam: a method for stochastic optimization",
    arXiv:1412.6980.

    :param params: tensors, or dictionaries that define groups of them.
    :param lr: the learning rate :math:`\eta`.
    :param betas: how much of the running averages :math:`m` and :math:`v` a step keeps.
    :param eps: what keeps the denominator from zero.
    :param weight_decay: a multiple of the parameter that is added to its clipped gradient.
    :param clip_norm: the largest magnitude :math:`c` of an element of a gradient.
    :param lrd: the factor :math:`d` by which each step, the first too, scales the learning rate.
    :param centered_variance: whether :math:`v` averages :math:`(g - m)^2` in place of
        :math:`g^2`.

    >>> x = torch.zeros(1, requires_grad=True)
    >>> optimizer = ClippedAdam([x], lr=0.1, lrd=0.5)
    >>> (1000.0 * x).sum().backward()
    >>> optimizer.step()
    >>> x
    tensor([-0.0500], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        clip_norm: float = 10.0,
        lrd: float = 1.0,
        centered_variance: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
            "lrd": lrd,
            "centered_variance": centered_variance,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step for every parameter that has a gradient.

        :param closure: computes the loss and gradients afresh.
        :returns: what ``closure`` returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            group["lr"] *= group["lrd"]
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._step_group(params, group)
        return loss

    def _step_group(self, params: list[Tensor], group: dict[str, Any]) -> None:
        states = [self.state[p] for p in params]
        for p, state in zip(params, states, strict=True):
            if not state:
                state.update(step=0, exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
        clipped_adam_step(params, states, group)


def clipped_adam_step(
    params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]
) -> None:
    """Take one step of :class:`ClippedAdam` for parameters that have gradients.

    :param params: the parameters, which change in place.
    :param states: for each, its number of steps and running averages, which change in place.
    :param group: the hyperparameters that they share.
    """
    means = [state["exp_avg"] for state in states]
    variances = [state["exp_avg_sq"] for state in states]
    beta1, beta2 = group["betas"]
    gradients = torch._foreach_clamp_min(_gradients(params), -group["clip_norm"])
    torch._foreach_clamp_max_(gradients, group["clip_norm"])
    if group.get("weight_decay"):
        torch._foreach_add_(gradients, params, alpha=group["weight_decay"])
    torch._foreach_lerp_(means, gradients, 1 - beta1)
    if group.get("centered_variance"):
        torch._foreach_sub_(gradients, means)
    torch._foreach_mul_(variances, beta2)
    torch._foreach_addcmul_(variances, gradients, gradients, 1 - beta2)
    scales = torch._foreach_sqrt(variances)
    torch._foreach_add_(scales, group["eps"])
    sizes = []
    for state in states:
        state["step"] += 1
        corrections = 1 - beta1 ** state["step"], 1 - beta2 ** state["step"]
        sizes.append(-group["lr"] * math.sqrt(corrections[1]) / corrections[0])
    torch._foreach_addcdiv_(params, means, scales, sizes)


def _gradients(params: list[Tensor]) -> list[Tensor]:
    return [p.grad for p in params if p.grad is not None]
