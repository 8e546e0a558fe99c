"""The step size of automatic differentiation variational inference."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class AdagradRMSProp(Optimizer):
    r"""A blend of Adagrad's falling step size and RMSProp's running average.

    At step :math:`k`, with gradient :math:`g`,

    .. math::

        s &\leftarrow g^2 \text{ at first, later } t g^2 + (1 - t) s \\
        x &\leftarrow x - \eta \, k^{-1/2 + \delta} \frac{g}{1 + \sqrt{s}}

    Reference: Kucukelbir, Tran, Ranganath, Gelman and Blei (2016), "Automatic differentiation
    variational inference", arXiv:1603.00788, equations 10 and 11.

    :param params: tensors, or dictionaries that define groups of them.
    :param eta: the scale of the steps :math:`\eta`.
    :param delta: how much slower than :math:`k^{-1/2}` the steps shrink.
    :param t: how much of the average a new squared gradient makes up, from 0 to 1.

    >>> x = torch.zeros(1, requires_grad=True)
    >>> optimizer = AdagradRMSProp([x], eta=1.0)
    >>> (3.0 * x).sum().backward()
    >>> optimizer.step()
    >>> x
    tensor([-0.7500], requires_grad=True)
    """

    def __init__(
        self, params: Iterable[Any], eta: float = 1.0, delta: float = 1e-16, t: float = 0.1
    ) -> None:
        super().__init__(params, {"eta": eta, "delta": delta, "t": t})
        # From the start, so that share_memory has something to share.
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {"step": 0, "sum": torch.zeros_like(p)}

    def share_memory(self) -> None:
        """Move the running averages to memory that processes share."""
        for state in self.state.values():
            state["sum"].share_memory_()

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
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._step_group(params, group)
        return loss

    def _step_group(self, params: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [p.grad for p in params if p.grad is not None]
        states = [self.state[p] for p in params]
        averages = [state["sum"] for state in states]
        news = [1.0 if state["step"] == 0 else group["t"] for state in states]
        torch._foreach_mul_(averages, [1 - new for new in news])
        torch._foreach_addcmul_(averages, gradients, gradients, news)
        scales = torch._foreach_sqrt(averages)
        torch._foreach_add_(scales, 1.0)
        for state in states:
            state["step"] += 1
        exponent = group["delta"] - 0.5
        sizes = [-group["eta"] * state["step"] ** exponent for state in states]
        torch._foreach_addcdiv_(params, gradients, scales, sizes)
