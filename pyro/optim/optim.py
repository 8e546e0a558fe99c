"""Optimisers whose parameters come and go, each with arguments and state of its own."""

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pyro._foundation.errors import site_error
from pyro.optim.adagrad_rmsprop import AdagradRMSProp as _AdagradRMSProp
from pyro.optim.arguments import Arguments, PerParam, arguments_for, check_accepted, check_arguments
from pyro.optim.clipped_adam import ClippedAdam as _ClippedAdam
from pyro.optim.clipping import Bounds, clip_bounds, clip_gradients
from pyro.optim.dct_adam import DCTAdam as _DCTAdam
from pyro.optim.joint import step_together
from pyro.params.param_store import _PYRO_PARAM_STORE
from pyro.params.state_file import MapLocation, read_state_file, write_state_file, wrong_file


def is_scheduler(optimizer: object) -> bool:
    """Tell whether an object adjusts the learning rate of an optimiser.

    :param optimizer: an optimiser or a scheduler.

    >>> is_scheduler(_ClippedAdam([Tensor([0.0])]))
    False
    """
    return isinstance(optimizer, LRScheduler)


class PyroOptim:
    """A torch optimiser for each parameter, made when the parameter is first seen.

    A model may use other parameters at each step. Those that are passed in are stepped, and no
    others; those that share their hyperparameters are stepped at once.

    :param optim_constructor: a class of torch optimisers.
    :param optim_args: the constructor's keyword arguments, or a function from a parameter's name
        to them. The name is written with dots, as ``"net.layer.weight"``; a function of two
        arguments is given the module's name and the parameter's name within it.
    :param clip_args: a dictionary with the optional keys ``"clip_norm"``, the largest norm of a
        parameter's gradient, and ``"clip_value"``, the largest magnitude of an element; or a
        function from a parameter's name to one.
    :raises TypeError: where an argument is of the wrong type or has an unknown key.

    >>> import torch
    >>> x = torch.zeros(2, requires_grad=True)
    >>> optim = PyroOptim(torch.optim.SGD, {"lr": 0.5})
    >>> x.sum().backward()
    >>> optim([x])
    >>> x
    tensor([-0.5000, -0.5000], requires_grad=True)
    """

    def __init__(
        self,
        optim_constructor: Callable[..., Optimizer],
        optim_args: PerParam,
        clip_args: PerParam | None = None,
    ) -> None:
        clip_args = {} if clip_args is None else clip_args
        check_arguments("optim_args", optim_args)
        check_arguments("clip_args", clip_args)
        if isinstance(optim_args, Mapping):
            check_accepted(optim_constructor, optim_args, "params")
        if isinstance(clip_args, Mapping):
            clip_bounds(clip_args)
        self.pt_optim_constructor = optim_constructor
        self.pt_optim_args = optim_args
        self.pt_clip_args = clip_args
        self.optim_objs: dict[Tensor, Any] = {}
        self._bounds: dict[Tensor, Bounds] = {}
        self._names: dict[Tensor, str | None] = {}
        self._waiting: dict[str, Any] = {}

    def __call__(self, params: Iterable[Tensor], *args: Any, **kwargs: Any) -> None:
        """Step parameters by their gradients.

        :param params: unconstrained leaves.
        :param args: arguments of the ``step`` of every parameter's optimiser, such as a closure.
        :param kwargs: more of them.
        """
        made = {}
        for p in params:
            known = self.optim_objs.get(p)
            made[p] = self._see(p) if known is None else known
        if self.pt_clip_args:
            clip_gradients((p, self._bounds.get(p, (None, None))) for p in made)
        optimizers = [self._optimizer_of(each) for each in made.values()]
        if args or kwargs:
            for optimizer in optimizers:
                optimizer.step(*args, **kwargs)
        else:
            step_together(optimizers)

    def _see(self, p: Tensor) -> Any:
        """Make what steps a parameter that was not there before."""
        name = _PYRO_PARAM_STORE.param_name(p)
        bounds = clip_bounds(arguments_for("clip_args", self.pt_clip_args, name))
        arguments = arguments_for("optim_args", self.pt_optim_args, name)
        check_accepted(self.pt_optim_constructor, arguments, "params")
        try:
            made = self._make(p, arguments)
        except (TypeError, ValueError) as error:
            raise site_error(name, str(error), kind=type(error)) from error
        if name in self._waiting:
            self._restore(made, self._waiting[name], name)
            del self._waiting[name]
        self._bounds[p] = bounds
        self._names[p] = name
        self.optim_objs[p] = made
        return made

    def get_state(self) -> dict[str, Any]:
        """Copy the state of every parameter's optimiser.

        :returns: states by the parameters' names; parameters without a name are left out.
        """
        states: dict[str, Any] = {}
        for p, made in self.optim_objs.items():
            name = _PYRO_PARAM_STORE.param_name(p)
            if name is not None:
                states[name] = made
            elif (once := self._names.get(p)) is not None:
                states.setdefault(once, made)
        return {name: copy.deepcopy(self._state_of(made)) for name, made in states.items()}

    def set_state(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the states of parameters' optimisers.

        The state of a parameter that was not seen yet waits for it to be.

        :param state_dict: states by the parameters' names, as :meth:`get_state` gave.
        :raises TypeError: where it is not a dictionary.
        :raises ValueError: where a state is not one of such an optimiser.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"The state is {state_dict!r}, expected a dictionary by names.")
        for name, state in state_dict.items():
            self._check_state(state, name)
        self._waiting.update(copy.deepcopy(dict(state_dict)))
        for p, made in self.optim_objs.items():
            current = _PYRO_PARAM_STORE.param_name(p)
            if current in self._waiting:
                self._restore(made, self._waiting.pop(current), current)

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write the state of every parameter's optimiser to a file of tensors and plain data.

        :param filename: the file; it is written whole or left as it was.
        """
        write_state_file(self.get_state(), filename)

    def load(self, filename: str | os.PathLike[str], map_location: MapLocation = None) -> None:
        """Take over the states that :meth:`save` wrote; no code in the file is run.

        :param filename: the file.
        :param map_location: where the tensors go, as for :func:`torch.load`.
        :raises ValueError: where the file is damaged, foreign, or names code.
        """
        what = "the state of an optimiser"
        state = read_state_file(filename, what, map_location)
        try:
            self.set_state(state)
        except (TypeError, ValueError) as error:
            raise wrong_file(filename, what, str(error)) from error

    def _restore(self, made: Any, state: Any, name: str | None) -> None:
        try:
            self._load_state(made, state)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise site_error(
                name, f"the saved state does not fit the optimiser of the parameter: {error}"
            ) from error

    # What `optim_objs` holds for a parameter is up to these five; schedulers redefine them.

    def _make(self, p: Tensor, arguments: Arguments) -> Any:
        return self.pt_optim_constructor([p], **arguments)

    def _optimizer_of(self, made: Any) -> Optimizer:
        return cast(Optimizer, made)

    def _state_of(self, made: Any) -> dict[str, Any]:
        return cast(dict[str, Any], made.state_dict())

    def _load_state(self, made: Any, state: dict[str, Any]) -> None:
        made.load_state_dict(state)

    def _check_state(self, state: Any, name: str) -> None:
        if not (isinstance(state, Mapping) and {"state", "param_groups"} <= state.keys()):
            raise site_error(name, "there is no state of an optimiser for the parameter")


def AdagradRMSProp(optim_args: PerParam) -> PyroOptim:
    """Make a :class:`PyroOptim` of :class:`pyro.optim.adagrad_rmsprop.AdagradRMSProp`.

    :param optim_args: its arguments, or a function from a parameter's name to them.

    >>> optim = AdagradRMSProp({"eta": 0.5})
    """
    return PyroOptim(_AdagradRMSProp, optim_args)


def ClippedAdam(optim_args: PerParam) -> PyroOptim:
    """Make a :class:`PyroOptim` of :class:`pyro.optim.clipped_adam.ClippedAdam`.

    :param optim_args: its arguments, or a function from a parameter's name to them.

    >>> optim = ClippedAdam({"lr": 0.01, "lrd": 0.999})
    """
    return PyroOptim(_ClippedAdam, optim_args)


def DCTAdam(optim_args: PerParam) -> PyroOptim:
    """Make a :class:`PyroOptim` of :class:`pyro.optim.dct_adam.DCTAdam`.

    :param optim_args: its arguments, or a function from a parameter's name to them.

    >>> optim = DCTAdam({"lr": 0.01, "subsample_aware": True})
    """
    return PyroOptim(_DCTAdam, optim_args)
