"""Torch modules whose parameters and random weights are sites of a model."""

import functools
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from pyro.nn.classes import _PyroModuleMeta
from pyro.nn.context import _Context
from pyro.nn.declarations import Named, PyroParam, PyroSample, tell_class
from pyro.nn.members import ReadsMembers
from pyro.nn.parameters import (
    constrained_name,
    forget_module,
    forget_stored,
    leaf_key,
    new_leaf,
    publish_leaf,
)
from pyro.nn.reading import full_name_of, read_leaf, read_module, read_param, read_sample

__all__ = [
    "PyroModule",
    "PyroModuleList",
    "PyroParam",
    "PyroSample",
    "clear",
    "pyro_method",
    "to_pyro_module_",
]


class PyroModule(nn.Module, metaclass=_PyroModuleMeta):
    """A torch module whose parameters are param sites and which may have random attributes.

    What is declared by :class:`~pyro.nn.declarations.PyroParam` or
    :class:`~pyro.nn.declarations.PyroSample`, every :class:`torch.nn.Parameter`, and the parameters
    of plain torch modules inside are sites within calls of the module or of a
    :func:`pyro_method`. A value is asked for when the attribute is first read; it then stays the
    same until the outermost call of the tree of modules returns. All else is an ordinary attribute.

    ``PyroModule[nn.Linear]`` is :class:`torch.nn.Linear` with these abilities.

    :param name: what the names of all sites in it begin with; a module that becomes an attribute of
        another takes its name from there, as in ``"outer.inner"``.
    :raises TypeError: where the name is no string.

    >>> import torch, pyro
    >>> import pyro.distributions as dist
    >>> class Regression(PyroModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.linear = PyroModule[nn.Linear](2, 1)
    ...         self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))
    ...         self.noise = PyroParam(torch.tensor(1.0), dist.constraints.positive)
    ...     def forward(self, x):
    ...         return pyro.sample("y", dist.Normal(self.linear(x).squeeze(-1), self.noise))
    >>> list(pyro.poutine.trace(Regression()).get_trace(torch.ones(2)))
    ['_INPUT', 'linear.weight', 'linear.bias', 'noise', 'y', '_RETURN']
    """

    _pyro_name: str
    _pyro_context: _Context
    _pyro_params: OrderedDict[str, tuple[Constraint, int | None]]
    _pyro_samples: OrderedDict[str, Any]
    _pyro_declarations: Collection[str] = ()  # attributes that a class body declares parameters

    def __init__(self, name: str = "") -> None:
        if not isinstance(name, str):
            raise TypeError(
                f"PyroModule takes a name, got {name!r}. For a Pyro module like a class of torch's "
                "write PyroModule[nn.Linear](...); to change a module call to_pyro_module_(module)."
            )
        _become_root(self, name)
        super().__init__()
        for name, declared in self._pyro_declared():
            if isinstance(declared.init_value, Tensor):
                self._pyro_declare_param(name, declared)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        every = [item for base in reversed(cls.__mro__) for item in vars(base).items()]
        names = (name for name, value in every if isinstance(value, PyroParam))
        cls._pyro_declarations = list(dict.fromkeys(names))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``forward`` with the module's attributes as sites."""
        with self._pyro_context:
            return super().__call__(*args, **kwargs)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add a submodule under a name.

        :param name: the attribute's name.
        :param module: the submodule; a Pyro module joins this one's calls.
        """
        if isinstance(module, PyroModule):
            self._pyro_adopt(name, module)
        self._pyro_make_way(name, "_modules")
        super().add_module(name, module)

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Add a parameter, in place of what the attribute was declared as.

        :param name: the attribute's name.
        :param param: the parameter.
        """
        self._pyro_make_way(name, "_parameters")
        super().register_parameter(name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a buffer, in place of what the attribute was declared as.

        :param name: the attribute's name.
        :param tensor: the buffer.
        :param persistent: whether it belongs to the module's state.
        """
        self._pyro_make_way(name, "_buffers")
        super().register_buffer(name, tensor, persistent)

    def _pyro_make_way(self, name: str, kind: str) -> None:
        """Take a declaration away, and keep torch from reading the attribute to see if it exists.

        Reading may draw.
        """
        declared = name in self._pyro_params or name in self._pyro_samples
        if declared or isinstance(getattr(type(self), name, None), Named):
            self._pyro_undeclare(name)
            self.__dict__[kind].setdefault(name, None)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._pyro_declare_params()
        super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._pyro_declare_params()
        super()._load_from_state_dict(*args, **kwargs)

    def _pyro_declare_params(self) -> None:
        """Let the class body's parameters that have not been read yet begin now."""
        for name, declared in self._pyro_declared():
            if not any(name in holder for holder in self._pyro_holders()):
                self._pyro_declare_param(name, declared.for_module(self))

    def _pyro_declared(self) -> Iterator[tuple[str, PyroParam]]:
        for name in self._pyro_declarations:
            declared = getattr(type(self), name, None)
            if isinstance(declared, PyroParam):
                yield name, declared

    def _pyro_holders(self) -> Iterator[Any]:
        fields = self.__dict__
        yield fields
        for kind in ("_pyro_params", "_pyro_samples", "_parameters", "_modules", "_buffers"):
            yield fields[kind]

    def named_pyro_params(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Give pairs of a name and a value for the parameters of the module.

        :param prefix: what to put before each name.
        :param recurse: include the parameters of submodules.
        :returns: an iterator; values of constrained parameters are constrained.

        >>> import torch
        >>> module = PyroModule()
        >>> module.inner = PyroModule()
        >>> module.inner.scale = PyroParam(torch.tensor(3.0), event_dim=0)
        >>> [name for name, _ in module.named_pyro_params()]
        ['inner.scale']
        """
        modules = self.named_modules(prefix=prefix) if recurse else [(prefix, self)]
        for path, module in modules:
            for key, leaf in list(module._parameters.items()):
                if leaf is not None:
                    name = _attribute_of_leaf(module, key)
                    yield f"{path}.{name}" if path else name, getattr(module, name)

    def _pyro_get_fullname(self, name: str) -> str:
        return full_name_of(self, name)

    def _pyro_adopt(self, name: str, module: "PyroModule") -> None:
        module._pyro_set_supermodule(self._pyro_get_fullname(name), self._pyro_context)

    def _pyro_set_supermodule(self, name: str, context: _Context) -> None:
        self._pyro_name = name
        self._pyro_context = context
        for key, child in self._modules.items():
            if isinstance(child, PyroModule):
                self._pyro_adopt(key, child)

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__
        samples = fields.get("_pyro_samples")
        if samples is None:
            return super().__getattr__(name)
        if name in samples:
            return read_sample(self, name, samples[name])
        if name in fields["_pyro_params"]:
            return read_param(self, name)
        child = fields["_modules"].get(name)
        if child is not None:
            return child if "_pyro_name" in child.__dict__ else read_module(self, name, child)
        leaf = fields["_parameters"].get(name)
        if leaf is not None:
            return read_leaf(self, name, leaf)
        if (
            name in fields["_parameters"]
            or name in fields["_buffers"]
            or name in fields["_modules"]
        ):
            return super().__getattr__(name)
        declared = getattr(type(self), name, None)
        if isinstance(declared, PyroSample):
            return read_sample(self, name, declared.prior)
        if isinstance(declared, PyroParam):
            self._pyro_declare_param(name, declared.for_module(self))
            return read_param(self, name)
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_pyro_samples" not in self.__dict__:
            if isinstance(value, PyroParam | PyroSample):
                raise AttributeError(f"Call super().__init__() before declaring {name!r}.")
            super().__setattr__(name, value)
            return
        is_constrained = name in self._pyro_params
        if isinstance(value, PyroParam):
            self._pyro_declare_param(name, value)
        elif isinstance(value, PyroSample):
            self._pyro_undeclare(name)
            self._pyro_samples[name] = value.prior
            tell_class(type(self), name)
        elif is_constrained and isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            self._pyro_write_param(name, value)
        else:
            if is_constrained or name in self._pyro_samples:
                self._pyro_undeclare(name)
            self._pyro_set_torch_attribute(name, value)
        self._pyro_forget_value(name)

    def _pyro_forget_value(self, name: str) -> None:
        values = self._pyro_context.call.values
        if values:
            values.pop(self._pyro_get_fullname(name), None)

    def _pyro_set_torch_attribute(self, name: str, value: Any) -> None:
        if isinstance(value, PyroModule):
            self._pyro_adopt(name, value)
        super().__setattr__(name, value)
        declared = constrained_name(name)
        if declared in self._pyro_params:
            publish_leaf(self._pyro_get_fullname(declared), value)

    def __delattr__(self, name: str) -> None:
        leaf = self._parameters.get(leaf_key(name) if name in self._pyro_params else name)
        child = self._modules.get(name)
        if leaf is not None:
            forget_stored(leaf)
        if child is not None:
            forget_module(child)
        if leaf is not None or name in self._pyro_samples:
            self._pyro_forget_value(name)
            self._pyro_undeclare(name)
        else:
            super().__delattr__(name)

    def _pyro_undeclare(self, name: str) -> None:
        self._parameters.pop(leaf_key(name) if name in self._pyro_params else name, None)
        for holder in self._pyro_holders():
            holder.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def _pyro_declare_param(self, name: str, declared: PyroParam) -> None:
        initial, constraint, event_dim = declared
        leaf = new_leaf(self._pyro_get_fullname(name), initial, constraint, event_dim)
        self._pyro_undeclare(name)
        self._pyro_params[name] = constraint, event_dim
        self._parameters[leaf_key(name)] = leaf
        tell_class(type(self), name)

    def _pyro_write_param(self, name: str, value: Tensor) -> None:
        full_name, key = self._pyro_get_fullname(name), leaf_key(name)
        leaf = new_leaf(full_name, value, *self._pyro_params[name])
        own: Any = self._parameters[key]
        if own.shape == leaf.shape:
            with torch.no_grad():
                own.copy_(leaf)
        else:
            self._parameters[key] = leaf
            publish_leaf(full_name, leaf)


def _become_root(module: nn.Module, name: str) -> None:
    """Give a module what each Pyro module has, as one that is no other's attribute."""
    module.__dict__.update(
        _pyro_name=name,
        _pyro_context=_Context(),
        _pyro_params=OrderedDict(),
        _pyro_samples=OrderedDict(),
    )


def _attribute_of_leaf(module: nn.Module, key: str) -> str:
    """Return the attribute under which a parameter of a module is read."""
    name = constrained_name(key)
    return name if isinstance(module, PyroModule) and name in module._pyro_params else key


def pyro_method(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Make the attributes of a module sites within a method of it, as they are within ``forward``.

    :param fn: the method, in the body of a class of Pyro modules.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> class Coin(PyroModule):
    ...     bias = PyroSample(dist.Beta(1.0, 1.0))
    ...     @pyro_method
    ...     def flip(self):
    ...         return pyro.sample("side", dist.Bernoulli(self.bias))
    >>> list(pyro.poutine.trace(Coin().flip).get_trace())
    ['_INPUT', 'bias', 'side', '_RETURN']
    """

    @functools.wraps(fn)
    def method(self: PyroModule, *args: Any, **kwargs: Any) -> Any:
        with self._pyro_context:
            return fn(self, *args, **kwargs)

    return method


class PyroModuleList(ReadsMembers, nn.ModuleList, PyroModule):
    """A list of modules that is a Pyro module; the same as ``PyroModule[nn.ModuleList]``.

    :param modules: the members. A slice is an :class:`torch.nn.ModuleList` of the same members.

    >>> members = PyroModuleList([PyroModule(), PyroModule[nn.Linear](1, 1)])
    >>> len(members), len(members[:1])
    (2, 1)
    """

    def __init__(self, modules: Any) -> None:
        super().__init__(modules)


_PyroModuleMeta._made.update({nn.Module: PyroModule, nn.ModuleList: PyroModuleList})


def to_pyro_module_(m: nn.Module, recurse: bool = True) -> None:
    """Turn a torch module into a Pyro module in place.

    :param m: the module.
    :param recurse: turn its submodules too.
    :raises TypeError: where this is no module.

    >>> from torch import nn
    >>> module = nn.Sequential(nn.Linear(28, 28), nn.ReLU())
    >>> to_pyro_module_(module)
    >>> isinstance(module, PyroModule), isinstance(module[0], PyroModule[nn.Linear])
    (True, True)
    """
    if not isinstance(m, nn.Module):
        raise TypeError(f"to_pyro_module_() takes a torch.nn.Module, got {m!r}.")
    if not isinstance(m, PyroModule):
        m.__class__ = PyroModule[type(m)]
        _become_root(m, "")
    if recurse:
        for name, child in list(m._modules.items()):
            if child is not None:
                to_pyro_module_(child)
                setattr(m, name, child)


def clear(mod: PyroModule) -> None:
    """Take all parameters and submodules out of a module, and the former out of the param store.

    :param mod: the module.

    >>> import torch, pyro
    >>> module = PyroModule()
    >>> module.x = PyroParam(torch.tensor(1.0))
    >>> clear(module)
    >>> hasattr(module, "x")
    False
    """
    forget_module(mod)
    for key in list(mod._parameters):
        delattr(mod, _attribute_of_leaf(mod, key))
    for name in list(mod._modules):
        delattr(mod, name)
