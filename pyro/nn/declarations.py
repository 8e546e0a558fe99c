"""What a module's attribute may be declared as: a learnable parameter or a random value."""

import functools
from collections.abc import Callable
from numbers import Number
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from pyro._foundation.errors import site_error
from pyro.primitives import deterministic, sample


class Named:
    """What a class has and an instance reads by its ``__getattr__`` all the same."""

    name: str

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            raise AttributeError(f"{self.name!r} is an attribute of instances.")
        return instance.__getattr__(self.name)


def tell_class(cls: type, name: str) -> None:
    """Let a class know of an attribute that an instance declares.

    Python finds what a class has at a fraction of the cost of what it does not find. What stands
    above all Pyro modules is told nothing.

    :param cls: the instance's class.
    :param name: the attribute's name.
    """
    if nn.Module in cls.__bases__ or any(name in vars(base) for base in cls.__mro__):
        return
    known = Named()
    known.name = name
    setattr(cls, name, known)


class _ParamFields(NamedTuple):
    init_value: Any = None
    constraint: Constraint = constraints.real
    event_dim: int | None = None


class PyroParam(_ParamFields, Named):
    """Declare an attribute of a :class:`~pyro.nn.module.PyroModule` to be a learnable parameter.

    The attribute reads as a value on the constrained set; what optimisers step, and what
    ``state_dict`` holds, is its unconstrained image ``{name}_unconstrained``. Inside a call of the
    module the attribute is a param site named by its dotted path.

    Declare it on an instance, ``self.x = PyroParam(...)``, or in the class body, also as a
    decorator of a method that gives the first value. A tensor in a class body is a parameter from
    the instance's start; a function runs when the attribute is first read, or the module's state
    is saved or loaded.

    :param init_value: the constrained value to start from, or a function that gives it; in a class
        body the function takes the module.
    :param constraint: the set that the value lives on.
    :param event_dim: how many of the rightmost dimensions belong to one element; plates subsample
        the dimensions left of them. None: no subsampling.

    >>> import torch
    >>> from pyro.nn.module import PyroModule
    >>> class Circle(PyroModule):
    ...     radius = PyroParam(torch.tensor(2.0), constraints.positive)
    ...     @PyroParam(constraint=constraints.positive)
    ...     def area(self):
    ...         return torch.pi * self.radius**2
    >>> print(f"{Circle().area.item():.2f}")
    12.57
    """

    def __call__(self, init_value: Callable[[Any], Any]) -> "PyroParam":
        """Return this declaration with a function that gives the first value, as a decorator does.

        :param init_value: the function.
        """
        return self._replace(init_value=init_value)

    def for_module(self, module: Any) -> "PyroParam":
        """Return this declaration of a class body as one of an instance.

        :param module: the instance, which a function that gives the first value takes.
        """
        initial = self.init_value
        if isinstance(initial, Tensor) or not callable(initial):
            return self
        return self(functools.partial(initial, module))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else instance.__getattr__(self.name)


class PyroSample(Named):
    """Declare an attribute of a :class:`~pyro.nn.module.PyroModule` to be a random value.

    Inside a call of the module the attribute is a sample site named by its dotted path; it is drawn
    when it is first read, and then stays the same until the outermost call returns. Outside of a
    call each read is a fresh draw of the prior, which no handler sees.

    Declare it on an instance, ``self.x = PyroSample(...)``, or in the class body, also as a
    decorator of a method that gives the law.

    :param prior: the law, or a function that takes the module and gives it; a function may also
        give a tensor, which is then recorded as a deterministic site.
    :raises TypeError: where this is neither.

    >>> import torch, pyro
    >>> import pyro.distributions as dist
    >>> from pyro.nn.module import PyroModule
    >>> class Walk(PyroModule):
    ...     start = PyroSample(dist.Normal(0.0, 1.0))
    ...     @PyroSample
    ...     def end(self):
    ...         return dist.Normal(self.start, 1.0)
    ...     def forward(self):
    ...         return self.end
    >>> list(pyro.poutine.trace(Walk()).get_trace())
    ['_INPUT', 'start', 'end', '_RETURN']
    """

    def __init__(self, prior: Any) -> None:
        if not callable(prior):
            raise TypeError(
                f"PyroSample needs a law, or a function of the module giving one, got {prior!r}. "
                "Laws stand in pyro.distributions; a number may be a plain attribute."
            )
        self.prior = prior

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else instance.__getattr__(self.name)

    def __repr__(self) -> str:
        return f"PyroSample(prior={self.prior!r})"


def _is_law(prior: Any) -> bool:
    return hasattr(prior, "log_prob")


def _check_drawn(name: str, value: Any) -> Any:
    if not isinstance(value, Tensor | Number):
        raise site_error(
            name,
            f"the function of the module that is to give a law gave {value!r}",
            "Return one of pyro.distributions, or a tensor.",
            TypeError,
        )
    return value


def draw_prior(full_name: str, module: Any, prior: Any) -> Any:
    """Draw what :class:`PyroSample` declares, unseen by any handler.

    :param full_name: the name that the site would have, for errors.
    :param module: the module that it is declared on.
    :param prior: the law, or a function of the module that gives it or a tensor.
    :raises TypeError: where the function gives neither.
    """
    law = prior if _is_law(prior) else prior(module)
    return law() if _is_law(law) else _check_drawn(full_name, law)


def sample_prior(full_name: str, module: Any, prior: Any) -> Any:
    """Make what :class:`PyroSample` declares a site.

    :param full_name: the site's name.
    :param module: the module that it is declared on.
    :param prior: the law, or a function of the module that gives it or a tensor.
    :raises TypeError: where the function gives neither.
    """
    law = prior if _is_law(prior) else prior(module)
    if law is prior or _is_law(law):
        return sample(full_name, law)
    return deterministic(full_name, _check_drawn(full_name, law))
