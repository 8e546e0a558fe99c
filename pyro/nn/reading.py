"""What an attribute of a Pyro module reads as: in calls a site, once; outside a plain value."""

from typing import Any

from torch import nn

from pyro.nn.declarations import draw_prior, sample_prior
from pyro.nn.parameters import (
    constrained_name,
    constrained_parameter_site,
    constrained_value,
    leaf_key,
    plain_module_sites,
    plain_parameter_site,
)


def full_name_of(module: Any, name: str) -> str:
    """Return the name of the site that an attribute is.

    :param module: the Pyro module.
    :param name: the attribute's name.
    """
    prefix = module._pyro_name
    return f"{prefix}.{name}" if prefix else name


def read_sample(module: Any, name: str, prior: Any) -> Any:
    """Give the value of a random attribute.

    :param module: the Pyro module.
    :param name: the attribute's name.
    :param prior: the law, or a function of the module.
    """
    fields = module.__dict__  # read without the cost of attributes: this is the way of every draw
    prefix, values = fields["_pyro_name"], fields["_pyro_context"].call.values
    full_name = f"{prefix}.{name}" if prefix else name
    if values is None:
        return draw_prior(full_name, module, prior)
    if full_name in values:
        return values[full_name]
    value = values[full_name] = sample_prior(full_name, module, prior)
    return value


def read_param(module: Any, name: str) -> Any:
    """Give the constrained value of a parameter.

    :param module: the Pyro module.
    :param name: the attribute's name.
    """
    full_name, key = full_name_of(module, name), leaf_key(name)
    values = module._pyro_context.call.values
    constraint, event_dim = module._pyro_params[name]
    leaves = module._parameters
    if key not in leaves:  # a handler lent another leaf to pyro.module()
        return constrained_value(full_name, vars(module)[key], constraint)
    if values is None:
        return constrained_value(full_name, leaves[key], constraint)
    if full_name in values:
        return values[full_name]
    value = constrained_parameter_site(full_name, leaves, key, constraint, event_dim)
    values[full_name] = value
    return value


def read_leaf(module: Any, key: str, leaf: nn.Parameter) -> Any:
    """Give the value of a parameter of torch's; the leaf of a constrained one is no site.

    :param module: the Pyro module.
    :param key: the attribute's name.
    :param leaf: the parameter.
    """
    values = module._pyro_context.call.values
    if values is None or constrained_name(key) in module._pyro_params:
        return leaf
    full_name = full_name_of(module, key)
    if full_name in values:
        return values[full_name]
    value = values[full_name] = plain_parameter_site(full_name, leaf)
    return value


def read_module(module: Any, name: str, child: nn.Module) -> nn.Module:
    """Give a plain torch module, each of its parameters a site within calls.

    :param module: the Pyro module that it is an attribute of.
    :param name: the attribute's name.
    :param child: the torch module.
    """
    values = module._pyro_context.call.values
    if values is not None:
        full_name = full_name_of(module, name)
        if full_name not in values:
            values[full_name] = plain_module_sites(full_name, child)
    return child
