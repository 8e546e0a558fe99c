"""Arguments that may differ from parameter to parameter."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pyro._foundation.errors import site_error
from pyro.params.names import (
    module_from_param_with_module_name,
    normalize_param_name,
    user_param_name,
)

Arguments = Mapping[str, Any]
PerParam = Arguments | Callable[..., Arguments]


def check_arguments(what: str, arguments: object) -> None:
    """Raise a TypeError unless arguments are a dictionary or a function that gives one.

    :param what: what the arguments are called.
    :param arguments: what the user gave.
    """
    if not (isinstance(arguments, Mapping) or callable(arguments)):
        raise TypeError(
            f"{what} must be a dictionary, or a function from a parameter's name to one, "
            f"got {arguments!r}."
        )


def check_accepted(constructor: Callable[..., Any], arguments: Arguments, *given: str) -> None:
    """Raise a TypeError that names the arguments which a constructor does not take.

    :param constructor: makes an optimiser or a scheduler.
    :param arguments: its keyword arguments.
    :param given: the names of parameters that are given besides.
    """
    try:
        parameters = inspect.signature(constructor).parameters
    except (TypeError, ValueError):
        return
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    accepted = [name for name in parameters if name not in given]
    unknown = [name for name in arguments if name not in accepted]
    if unknown:
        name = getattr(constructor, "__name__", repr(constructor))
        raise TypeError(
            f"{name} has no argument {', '.join(map(repr, unknown))}; it takes "
            f"{', '.join(map(repr, accepted))}."
        )


def arguments_for(what: str, arguments: PerParam, name: str | None) -> Arguments:
    """Find the arguments of one parameter.

    :param what: what the arguments are called.
    :param arguments: the arguments of every parameter, or a function of either the parameter's
        full name, written with dots, or of two names: the module's and the parameter's within it.
    :param name: the parameter's name in the store, None where it has none.
    :raises TypeError: where the function gives no dictionary.
    :raises ValueError: where there is a function but no name.

    >>> arguments_for("optim_args", lambda name: {"lr": len(name) / 10}, "net$$$bias")
    {'lr': 0.8}
    >>> arguments_for("optim_args", lambda module, name: {"lr": len(name) / 10}, "net$$$bias")
    {'lr': 0.4}
    """
    if isinstance(arguments, Mapping):
        return arguments
    if name is None:
        raise ValueError(
            f"{what} depends on the parameter's name, but the parameter is not in the param store."
        )
    if _takes_two(arguments):
        found = arguments(module_from_param_with_module_name(name), user_param_name(name))
    else:
        found = arguments(normalize_param_name(name))
    if not isinstance(found, Mapping):
        raise site_error(name, f"{what} gave {found!r}, expected a dictionary", kind=TypeError)
    return found


def _takes_two(function: Callable[..., Arguments]) -> bool:
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    return kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) == 2
