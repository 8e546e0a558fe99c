"""One step of torch's Adam for many parameters, without what torch does around it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

State = Mapping[str, Any]


def has_plain_step(params: list[Tensor], states: Sequence[State], group: State) -> bool:
    """Tell whether :func:`adam_step` is the step of these parameters.

    :param params: the parameters.
    :param states: for each, what its optimiser holds, nothing before the first step.
    :param group: the hyperparameters that they share, none of them a tensor.
    """
    modes = ("amsgrad", "maximize", "decoupled_weight_decay")
    if any(group.get(mode) for mode in modes):
        return False
    return all(states) and all(_is_plain(p) for p in params)


def _is_plain(p: Tensor) -> bool:
    return p.grad is not None and not p.grad.is_sparse and p.is_floating_point()


@torch.no_grad()
def adam_step(params: list[Tensor], states: Sequence[State], group: State) -> None:
    r"""Take one step :math:`x \leftarrow x - \eta \hat m / (\sqrt{\hat v} + \epsilon)`.

    Each operation is that of :class:`torch.optim.Adam`, so that each bit is.

    :param params: the parameters, which change in place.
    :param states: for each, its number of steps and running averages, which change in place.
    :param group: the hyperparameters that they share.

    >>> x = torch.ones(2, requires_grad=True)
    >>> optim = torch.optim.Adam([x], lr=0.5)
    >>> for _ in range(2):
    ...     x.grad = torch.ones(2)
    ...     optim.step()
    >>> adam_step([x], [optim.state[x]], optim.param_groups[0])
    >>> x.detach()
    tensor([-0.5000, -0.5000])

    Source: Kingma and Ba 2015, *Adam: A Method for Stochastic Optimization*, arXiv:1412.6980.
    """
    beta1, beta2 = group["betas"]
    gradients: Any = [p.grad for p in params]
    steps = [state["step"] for state in states]
    means = [state["exp_avg"] for state in states]
    variances = [state["exp_avg_sq"] for state in states]
    torch._foreach_add_(steps, 1)
    if group["weight_decay"]:
        gradients = torch._foreach_add(gradients, params, alpha=group["weight_decay"])
    torch._foreach_lerp_(means, gradients, 1 - beta1)
    torch._foreach_mul_(variances, beta2)
    torch._foreach_addcmul_(variances, gradients, gradients, 1 - beta2)
    counts = [step.item() for step in steps]
    scales = torch._foreach_sqrt(variances)
    torch._foreach_div_(scales, [math.sqrt(1 - beta2**count) for count in counts])
    torch._foreach_add_(scales, group["eps"])
    sizes = [-(group["lr"] / (1 - beta1**count)) for count in counts]
    torch._foreach_addcdiv_(params, means, scales, sizes)
