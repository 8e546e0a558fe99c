"""How a parameter that a module holds becomes a param site, and how it meets the param store.

Within calls of a module each of its parameters is an effect like ``pyro.param``. The leaf that an
optimiser steps stands in the module; unless ``module_local_params`` is set, the param store holds
the very same leaf under the parameter's full name.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import constraints, transform_to
from torch.distributions.constraints import Constraint

from pyro._foundation.errors import site_error
from pyro.params.module_swap import lend_parameter, restore_parameters
from pyro.params.names import param_with_module_name
from pyro.params.param_store import _PYRO_PARAM_STORE
from pyro.params.slot import slot_around, slot_from_value
from pyro.poutine.runtime import am_i_wrapped, emit, new_message
from pyro.settings import register

# Whether parameters of modules stay out of the param store.
_MODULE_LOCAL_PARAMS = False

_UNCONSTRAINED = "_unconstrained"


@register("module_local_params", __name__, "_MODULE_LOCAL_PARAMS")
def _check_flag(value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"module_local_params is either True or False, got {value!r}.")


def leaf_key(name: str) -> str:
    """Return the name that a module's unconstrained leaf has for a constrained parameter.

    :param name: the attribute that holds the constrained value.

    >>> leaf_key("scale")
    'scale_unconstrained'
    """
    return name + _UNCONSTRAINED


def constrained_name(key: str) -> str:
    """Undo :func:`leaf_key`; a name of another form gives the empty string.

    :param key: the name of a leaf.

    >>> constrained_name("scale_unconstrained"), constrained_name("weight")
    ('scale', '')
    """
    return key[: -len(_UNCONSTRAINED)] if key.endswith(_UNCONSTRAINED) else ""


def constrained_value(full_name: str, leaf: Tensor, constraint: Constraint) -> Tensor:
    """Compute a parameter's value from its leaf alone, without the param store.

    :param full_name: the parameter's name, for errors.
    :param leaf: the unconstrained leaf; one that requires no gradient is a constant, and what a
        handler lent is no leaf.
    :param constraint: the set that the value lives on.
    :returns: the value; its ``unconstrained()`` gives the leaf, where it is one to be learned.

    >>> leaf = nn.Parameter(torch.tensor(0.0))
    >>> constrained_value("scale", leaf, constraints.positive).item()
    1.0
    """
    if leaf.is_leaf and leaf.requires_grad:
        return slot_around(full_name, leaf, constraint).value()
    value: Tensor = transform_to(constraint)(leaf)
    return value


def plain_parameter_site(full_name: str, own: nn.Parameter) -> Tensor:
    """Make an unconstrained parameter of a module a param site.

    What the module holds goes to the store in place of another module's parameter of that name. A
    parameter in the store that belongs to no module, as after a load from a file, is copied into
    the module first. A parameter that requires no gradient is a constant and no site.

    :param full_name: the site's name.
    :param own: the module's parameter.
    :returns: ``own``, or what a handler gave instead.
    :raises ValueError: where the store holds a parameter of another shape.
    """
    if not own.requires_grad:
        return own
    if not am_i_wrapped():
        return _give_own(own, full_name)
    return _param_site(full_name, functools.partial(_give_own, own), own, constraints.real, None)


def _give_own(own: nn.Parameter, full_name: str, *args: Any, **kwargs: Any) -> Tensor:
    store = _PYRO_PARAM_STORE
    if _MODULE_LOCAL_PARAMS:
        return constrained_value(full_name, own, constraints.real)
    with store.lock:
        stored = store.unconstrained(full_name) if full_name in store else None
        if stored is own:
            return own
        if stored is not None and not isinstance(stored, nn.Parameter):
            _copy_stored(full_name, stored, own)
        store.bind(full_name, own)
        return own


def plain_module_sites(full_name: str, module: nn.Module) -> nn.Module:
    """Make every parameter of a torch module a param site, ``{full_name}$$${path.to.parameter}``.

    Where a handler gives another value, the module computes with that until it is asked again.

    :param full_name: the module's name.
    :param module: the module; it is returned.
    """
    restore_parameters(module)
    for path, own in list(module.named_parameters()):
        value = plain_parameter_site(param_with_module_name(full_name, path), own)
        if value is not own:
            lend_parameter(module, path, value)
    return module


def constrained_parameter_site(
    full_name: str,
    leaves: dict[str, Any],
    key: str,
    constraint: Constraint,
    event_dim: int | None,
) -> Tensor:
    """Make a constrained parameter of a module a param site.

    Where the store has the name already, the store's leaf becomes the module's, so that two
    modules of one name share it; a leaf that belongs to no module, as after a load from a file, is
    copied. A leaf that requires no gradient is a constant and no site.

    :param full_name: the site's name.
    :param leaves: the module's dictionary of parameters, in which the leaf may be replaced.
    :param key: the leaf's key there.
    :param constraint: the set that the value lives on.
    :param event_dim: how many of the rightmost dimensions belong to one element.
    :returns: the constrained value, or what a handler gave instead.
    :raises ValueError: where the store holds a parameter of another shape.
    """
    leaf = leaves[key]
    if not leaf.requires_grad:
        return constrained_value(full_name, leaf, constraint)
    if not am_i_wrapped():
        return _give_constrained(leaves, key, full_name, None, constraint)
    give = functools.partial(_give_constrained, leaves, key)
    first = _FirstValue(full_name, leaf, constraint)
    return _param_site(full_name, give, first, constraint, event_dim)


class _FirstValue:
    """What a constrained parameter starts from: a function that tells the shape beforehand.

    Most runs need none of it, and handlers that compare shapes need no more than that.
    """

    __slots__ = ("full_name", "leaf", "constraint")

    def __init__(self, full_name: str, leaf: Tensor, constraint: Constraint) -> None:
        self.full_name = full_name
        self.leaf = leaf
        self.constraint = constraint

    def __call__(self) -> Tensor:
        return constrained_value(self.full_name, self.leaf, self.constraint)

    @property
    def shape(self) -> torch.Size:
        return torch.Size(transform_to(self.constraint).forward_shape(self.leaf.shape))

    @property
    def dtype(self) -> torch.dtype:
        return self.leaf.dtype


def _give_constrained(
    leaves: dict[str, Any],
    key: str,
    full_name: str,
    first: Any,
    constraint: Constraint,
    event_dim: int | None = None,
) -> Tensor:
    store, own = _PYRO_PARAM_STORE, leaves[key]
    if _MODULE_LOCAL_PARAMS:
        return constrained_value(full_name, own, constraint)
    with store.lock:
        stored = store.unconstrained(full_name) if full_name in store else None
        if stored is None:
            store.bind(full_name, own, constraint)
        elif stored is not own:
            _check_same_shape(full_name, stored, own)
            if isinstance(stored, nn.Parameter):
                leaves[key] = stored
            else:
                _copy_stored(full_name, stored, own)
                store.rebind(full_name, own)
        return store[full_name]


def new_leaf(
    full_name: str, initial: Any, constraint: Constraint, event_dim: int | None
) -> nn.Parameter:
    """Make the leaf of a constrained parameter.

    :param full_name: the parameter's name, for errors.
    :param initial: the constrained value, copied, or a function without arguments that gives it.
    :param constraint: the set that the value lives on.
    :param event_dim: how many of the rightmost dimensions belong to one element.
    :raises TypeError: where an argument is of the wrong type.
    :raises ValueError: where the value breaks the constraint or lacks dimensions.

    >>> new_leaf("scale", torch.tensor(1.0), constraints.positive, None)
    Parameter containing:
    tensor(0., requires_grad=True)
    """
    value = initial if isinstance(initial, Tensor) or not callable(initial) else initial()
    value = value.detach() if isinstance(value, Tensor) else value
    slot = slot_from_value(full_name, value, constraint, event_dim)
    return nn.Parameter(slot.leaf.detach())


def _param_site(
    full_name: str,
    give: Callable[..., Tensor],
    first: Any,
    constraint: Constraint,
    event_dim: int | None,
) -> Tensor:
    kwargs = {"constraint": constraint, "event_dim": event_dim}
    value: Tensor = emit(new_message("param", full_name, give, (full_name, first), kwargs))
    return value


def _copy_stored(full_name: str, stored: Tensor, own: nn.Parameter) -> None:
    _check_same_shape(full_name, stored, own)
    with torch.no_grad():
        own.copy_(stored)


def _check_same_shape(full_name: str, stored: Tensor, own: Tensor) -> None:
    if stored.shape != own.shape:
        raise site_error(
            full_name,
            f"the param store holds a parameter of this name whose leaf has shape "
            f"{tuple(stored.shape)}, expected {tuple(own.shape)}, which this module's has",
            "Call pyro.clear_param_store() before fitting another model, or give the module a "
            "name of its own, PyroModule('name').",
        )


def forget_stored(own: Tensor) -> None:
    """Take a module's parameter out of the store, where it stands there.

    :param own: the module's leaf.
    """
    with _PYRO_PARAM_STORE.lock:
        full_name = _PYRO_PARAM_STORE.param_name(own)
        if full_name is not None:
            del _PYRO_PARAM_STORE[full_name]


def forget_module(module: nn.Module) -> None:
    """Take all parameters of a module out of the store.

    :param module: the module.
    """
    for leaf in module.parameters():
        forget_stored(leaf)


def publish_leaf(full_name: str, own: Tensor) -> None:
    """Make a module's new leaf the store's too, where the store has the name.

    :param full_name: the parameter's name.
    :param own: the leaf that was put into the module by hand.
    """
    with _PYRO_PARAM_STORE.lock:
        if full_name in _PYRO_PARAM_STORE:
            _PYRO_PARAM_STORE.rebind(full_name, own)
