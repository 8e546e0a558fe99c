"""Lend a torch module other tensors for its parameters."""

import weakref
from collections.abc import Callable

from torch import Tensor, nn

# The parameters that a module computes without for the time being, by their names in it.
_own: "weakref.WeakKeyDictionary[nn.Module, dict[str, nn.Parameter]]" = weakref.WeakKeyDictionary()


def _put(holder: nn.Module, name: str, value: Tensor) -> None:
    if isinstance(value, nn.Parameter):
        holder.__dict__.pop(name, None)
        holder._parameters[name] = value
    else:
        # A tensor that is computed, or drawn: an attribute like any other, not to be optimised.
        holder._parameters.pop(name, None)
        holder.__dict__[name] = value


def lend_parameter(module: nn.Module, path: str, value: Tensor) -> None:
    """Make a module compute with another tensor in place of one of its parameters.

    :param module: the module, changed in place.
    :param path: the parameter's dotted path in the module.
    :param value: what to compute with; gradients flow into it.

    >>> import torch
    >>> net = nn.Linear(1, 1, bias=False)
    >>> lend_parameter(net, "weight", torch.tensor([[2.0]]))
    >>> net(torch.tensor([3.0]))
    tensor([6.])
    >>> restore_parameters(net)
    >>> type(net.weight).__name__
    'Parameter'
    """
    where, _, name = path.rpartition(".")
    holder = module.get_submodule(where)
    if name not in _own.get(holder, {}):
        own = holder.get_parameter(name)
        _own.setdefault(holder, {})[name] = own
    _put(holder, name, value)


def restore_parameters(module: nn.Module) -> None:
    """Give a module, and the modules in it, the parameters back that others were lent for.

    :param module: the module, changed in place.
    """
    for holder in module.modules() if _own else ():
        for name, own in _own.pop(holder, {}).items():
            _put(holder, name, own)


def take_back(is_lent: Callable[[Tensor], bool]) -> None:
    """Give every module its own parameters back for those of the lent tensors that are meant.

    :param is_lent: tells of a tensor that a module computes with whether it was lent to be taken
        back now; what others lent stays.

    >>> import torch
    >>> net, two = nn.Linear(1, 1, bias=False), torch.tensor([[2.0]])
    >>> lend_parameter(net, "weight", two)
    >>> take_back(lambda tensor: tensor is two)
    >>> type(net.weight).__name__
    'Parameter'
    """
    for holder, parameters in list(_own.items()):
        for name in list(parameters):
            if is_lent(getattr(holder, name)):
                _put(holder, name, parameters.pop(name))
        if not parameters:
            _own.pop(holder, None)


def tensors_in_use(module: nn.Module) -> list[Tensor]:
    """List what a module computes with in place of its parameters: lent tensors, else its own.

    :param module: the module, with the modules in it.

    >>> import torch
    >>> net, two = nn.Linear(1, 1, bias=False), torch.tensor([[2.0]])
    >>> lend_parameter(net, "weight", two)
    >>> tensors_in_use(net)[0] is two
    True
    >>> restore_parameters(net)
    """
    # Flows ask this at each call; torch's iterators, which also make up names, take far longer.
    tensors: list[Tensor] = []
    waiting, seen = [module], {module}
    while waiting:
        holder = waiting.pop()
        tensors.extend(own for own in holder._parameters.values() if own is not None)
        if _own and holder in _own:
            tensors.extend(getattr(holder, name) for name in _own[holder])
        for part in holder._modules.values():
            if part is not None and part not in seen:
                seen.add(part)
                waiting.append(part)
    return tensors
