"""Lend a torch module other tensors for its parameters."""

import weakref

import torch
from torch import Tensor, nn

# Parameters that a module computes without for the time being, by their path in it.
_own: "weakref.WeakKeyDictionary[nn.Module, dict[str, nn.Parameter]]" = weakref.WeakKeyDictionary()


def _put(module: nn.Module, path: str, value: Tensor) -> None:
    *outer, attribute = path.split(".")
    holder = module.get_submodule(".".join(outer))
    if isinstance(value, nn.Parameter):
        holder.__dict__.pop(attribute, None)
        holder._parameters[attribute] = value
    else:
        # A tensor that is computed, or drawn: an attribute like any other, not to be optimised.
        holder._parameters.pop(attribute, None)
        holder.__dict__[attribute] = value


def lend_parameter(module: nn.Module, path: str, value: Tensor) -> None:
    """Make a module compute with another tensor in place of one of its parameters.

    :param module: the module, changed in place.
    :param path: the parameter's dotted path in the module.
    :param value: what to compute with; gradients flow into it.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> lend_parameter(net, "weight", torch.tensor([[2.0]]))
    >>> net(torch.tensor([3.0]))
    tensor([6.])
    >>> restore_parameters(net)
    >>> type(net.weight).__name__
    'Parameter'
    """
    own = module.get_parameter(path)
    _put(module, path, value)
    _own.setdefault(module, {})[path] = own


def restore_parameters(module: nn.Module) -> None:
    """Give a module the parameters back that others were lent for.

    :param module: the module, changed in place.
    """
    for path, own in _own.pop(module, {}).items():
        _put(module, path, own)
