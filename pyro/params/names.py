"""Names of parameters, and of those that belong to a module."""

SEPARATOR = "$$$"


def normalize_param_name(name: str) -> str:
    """Write a parameter's full name with dots only.

    :param name: a full name, such as ``"net$$$layer.weight"``.

    >>> normalize_param_name("net$$$layer.weight")
    'net.layer.weight'
    """
    return ".".join(name.split(SEPARATOR))


def param_with_module_name(pyro_name: str, param_name: str) -> str:
    """Build the full name of a parameter that belongs to a module.

    :param pyro_name: the name under which ``pyro.module`` registered the module.
    :param param_name: the parameter's name within the module.

    >>> param_with_module_name("net", "layer.weight")
    'net$$$layer.weight'
    """
    return f"{pyro_name}{SEPARATOR}{param_name}"


def module_from_param_with_module_name(param_name: str) -> str:
    """Take the module's name off a full name; a name without a module is given back whole.

    :param param_name: a full name.

    >>> module_from_param_with_module_name("net$$$layer.weight")
    'net'
    """
    module, _, _ = param_name.partition(SEPARATOR)
    return module


def user_param_name(param_name: str) -> str:
    """Take the name within its module off a full name.

    :param param_name: a full name; one without a module is given back whole.

    >>> user_param_name("net$$$layer.weight"), user_param_name("loc")
    ('layer.weight', 'loc')
    """
    parts = param_name.split(SEPARATOR)
    return parts[min(1, len(parts) - 1)]
