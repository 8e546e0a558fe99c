"""Optimisers that are handed a loss, and differentiate it as often as they need."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from pyro._foundation.errors import site_error
from pyro.ops.newton import newton_step
from pyro.optim.arguments import PerParam
from pyro.optim.optim import PyroOptim

Params = Mapping[str, Tensor]


class MultiOptimizer:
    """The base of optimisers that take a loss and parameters by name.

    A subclass defines :meth:`get_step`, or :meth:`step` if its steps are not differentiable.
    """

    def step(self, loss: Tensor, params: Params) -> None:
        """Step parameters in place.

        :param loss: a scalar, differentiable in the parameters.
        :param params: the parameters by name.
        """
        self._prepare(loss, params)()

    def get_step(self, loss: Tensor, params: Params) -> dict[str, Tensor]:
        """Compute where a step leads, differentiably, and leave the parameters as they are.

        :param loss: a scalar, differentiable in the parameters.
        :param params: the parameters by name.
        :returns: new values by name.
        :raises NotImplementedError: where the steps are not differentiable.
        """
        raise NotImplementedError(f"The steps of {type(self).__name__} are not differentiable.")

    def _prepare(self, loss: Tensor, params: Params) -> Callable[[], None]:
        """Do all that needs the loss, and give a function that changes the parameters.

        Optimisers that share a loss all prepare before the first one changes what it depends on.
        """
        if type(self).step is not MultiOptimizer.step:
            return lambda: self.step(loss, params)
        updated = self.get_step(loss, params)

        @torch.no_grad()
        def apply() -> None:
            for name, value in updated.items():
                params[name].copy_(value)

        return apply


class PyroMultiOptimizer(MultiOptimizer):
    """Lets a :class:`~pyro.optim.optim.PyroOptim` be used where a loss is given.

    :param optim: the optimiser.

    >>> x = torch.zeros((), requires_grad=True)
    >>> optim = PyroMultiOptimizer(PyroOptim(torch.optim.SGD, {"lr": 0.25}))
    >>> optim.step((x - 2.0).pow(2), {"x": x})
    >>> x
    tensor(1., requires_grad=True)
    """

    def __init__(self, optim: PyroOptim) -> None:
        self.optim = optim

    def step(self, loss: Tensor, params: Params) -> None:
        """Step parameters in place by their gradients.

        :param loss: a scalar, differentiable in the parameters.
        :param params: the parameters by name.
        """
        self._prepare(loss, params)()

    def _prepare(self, loss: Tensor, params: Params) -> Callable[[], None]:
        leaves = list(params.values())
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True)

        def apply() -> None:
            for leaf, gradient in zip(leaves, gradients, strict=True):
                leaf.grad = gradient
            self.optim(leaves)

        return apply


class TorchMultiOptimizer(PyroMultiOptimizer):
    """Lets a torch optimiser be used where a loss is given.

    :param optim_constructor: a class of torch optimisers.
    :param optim_args: its arguments, or a function from a parameter's name to them.

    >>> x = torch.zeros((), requires_grad=True)
    >>> TorchMultiOptimizer(torch.optim.SGD, {"lr": 0.25}).step((x - 2.0).pow(2), {"x": x})
    >>> x
    tensor(1., requires_grad=True)
    """

    def __init__(self, optim_constructor: Callable[..., Optimizer], optim_args: PerParam) -> None:
        super().__init__(PyroOptim(optim_constructor, optim_args))


class MixedMultiOptimizer(MultiOptimizer):
    """Gives the parameters to several optimisers, which all step by one and the same loss.

    :param parts: pairs of parameters' names and the optimiser of these.
    :raises ValueError: where a name stands in two parts.

    >>> x, y = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    >>> sgd = TorchMultiOptimizer(torch.optim.SGD, {"lr": 0.25})
    >>> optim = MixedMultiOptimizer([(["x"], Newton()), (["y"], sgd)])
    >>> optim.step((x - 3.0).pow(2).sum() + (y - 2.0).pow(2).sum(), {"x": x, "y": y})
    >>> x.item(), y.item()
    (3.0, 1.0)
    """

    def __init__(self, parts: Iterable[tuple[Iterable[str], MultiOptimizer]]) -> None:
        self.parts = [(list(names), optim) for names, optim in parts]
        owners: dict[str, MultiOptimizer] = {}
        for names, optim in self.parts:
            for name in names:
                if name in owners:
                    raise site_error(
                        name,
                        f"both {type(owners[name]).__name__} and {type(optim).__name__} are to "
                        "optimise the parameter",
                        "Name it in one part.",
                    )
                owners[name] = optim

    def get_step(self, loss: Tensor, params: Params) -> dict[str, Tensor]:
        """Compute where the steps of all parts lead, differentiably.

        :param loss: a scalar, differentiable in the parameters.
        :param params: the parameters by name.
        :returns: new values by name.
        :raises NotImplementedError: where a part's steps are not differentiable.
        :raises ValueError: where a parameter belongs to no part.
        """
        updated: dict[str, Tensor] = {}
        for optim, own in self._split(params):
            updated.update(optim.get_step(loss, own))
        return updated

    def _prepare(self, loss: Tensor, params: Params) -> Callable[[], None]:
        prepared = [optim._prepare(loss, own) for optim, own in self._split(params)]

        def apply() -> None:
            for change in prepared:
                change()

        return apply

    def _split(self, params: Params) -> list[tuple[MultiOptimizer, Params]]:
        named = {name for names, _ in self.parts for name in names}
        for name in params:
            if name not in named:
                raise site_error(name, "no part is to optimise the parameter")
        shares = [
            (optim, {name: params[name] for name in names if name in params})
            for names, optim in self.parts
        ]
        return [(optim, own) for optim, own in shares if own]


class Newton(MultiOptimizer):
    """Steps batches of low-dimensional parameters by Newton's method.

    Each vector along a parameter's last dimension is a problem of its own, as in
    :func:`pyro.ops.newton.newton_step`; the loss must be a sum over these.

    :param trust_radii: the largest length of a step, by parameters' names; without limit for
        parameters that are not named.

    >>> x = torch.zeros(2, requires_grad=True)
    >>> Newton().step((x - 3.0).pow(4).sum(), {"x": x})
    >>> x
    tensor([1., 1.], requires_grad=True)
    """

    def __init__(self, trust_radii: Mapping[str, float] = {}) -> None:
        self.trust_radii = trust_radii

    def get_step(self, loss: Tensor, params: Params) -> dict[str, Tensor]:
        """Compute where the steps lead, differentiably.

        :param loss: a scalar, twice differentiable in the parameters.
        :param params: the parameters by name, each of shape ``batch_shape + (size,)``.
        :returns: new values by name.
        """
        return {
            name: newton_step(loss, value, self.trust_radii.get(name))[0]
            for name, value in params.items()
        }
