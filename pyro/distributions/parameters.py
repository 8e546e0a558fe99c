"""Parameters that stay as they were passed until somebody looks at them.

``Normal(0.0, 1.0)`` holds two Python numbers, ``Normal(loc, 1.0)`` a tensor and a number. Most of
what a law does needs no more: a number can be checked, and constants be folded, without a tensor.
Reading ``law.loc`` gives the tensor of the batch's shape that torch promises; the law keeps it from
then on, so that whoever changes it or asks for its gradient is obeyed.
"""

from collections.abc import Callable
from typing import Any, overload

import torch

from pyro.distributions.law import TorchLaw
from pyro.distributions.torch_mixin import NO_SHAPE, Shape
from pyro.ops.shapes import broadcast_shape, expands_to

Real = torch.Tensor | float

_CPU = torch.device("cpu")
_default_device_in_force = torch._C._len_torch_function_stack


def constant(number: float, like: torch.Tensor) -> torch.Tensor:
    """Return a number as a tensor without dimensions, the cheapest partner for another tensor.

    :param number: the number.
    :param like: the tensor that it shall meet.

    >>> constant(2.0, torch.ones(3)) + torch.ones(3)
    tensor([3., 3., 3.])
    """
    return torch.scalar_tensor(number, dtype=like.dtype, device=like.device)


def as_operand(value: Real, like: torch.Tensor) -> torch.Tensor:
    """Return a parameter as a tensor that may meet another.

    :param value: a number or a tensor.
    :param like: the other tensor.

    >>> as_operand(2.0, torch.ones(3))
    tensor(2.)
    """
    return constant(value, like) if isinstance(value, float) else value


def blank(shape: torch.Size, like: torch.Tensor) -> torch.Tensor:
    """Return an uninitialised tensor, to be filled with noise in the order of its entries.

    :param shape: its shape.
    :param like: the tensor whose dtype and device it shall have.

    >>> blank(torch.Size([2]), torch.ones(3)).shape
    torch.Size([2])
    """
    if like.shape == shape and like.is_contiguous():
        return torch.empty_like(like)
    return torch.empty(shape, dtype=like.dtype, device=like.device)


class Parameter:
    """A parameter of a :class:`HoldingLaw`, read as a tensor of the law's batch shape.

    Once read it is an attribute of the law like any other.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, law: None, owner: type) -> "Parameter": ...

    @overload
    def __get__(self, law: object, owner: type) -> torch.Tensor: ...

    def __get__(self, law: Any, owner: type) -> Any:
        if law is None:
            return self
        held = law.__dict__
        raw = held.get("_raw", {})
        if self.name not in raw:
            raise AttributeError(f"{owner.__name__} has no {self.name!r} yet.")
        value = raw[self.name]
        if not isinstance(value, torch.Tensor):
            value = torch.scalar_tensor(value, dtype=held["_dtype"], device=law._device)
        if value.shape != held["_batch_shape"]:
            with torch.enable_grad():  # it outlives the draw, made without gradients, that reads it
                value = value.expand(held["_batch_shape"])
        held[self.name] = value
        return value


class Alternative(Parameter):
    """A parameter that is computed from another one, where that was given in its place.

    :param other: the other one's name.
    :param convert: the function from a tensor of the other to one of this.
    """

    def __init__(self, other: str, convert: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.other = other
        self.convert = convert

    def __get__(self, law: Any, owner: type) -> Any:
        if law is not None and self.name not in law._raw:
            given = law._given_as(self.other)
            if not isinstance(given, torch.Tensor):
                given = getattr(law, self.other)
            with torch.enable_grad():
                law._raw[self.name] = self.convert(given)
        return super().__get__(law, owner)


class HoldingLaw(TorchLaw):
    """A law with univariate parameters, each declared as a :class:`Parameter`.

    ``_raw`` maps their names to what was passed: a number or a tensor that broadcasts to the batch
    shape. An attribute of a parameter's name in ``vars(law)`` takes precedence over it.
    ``_numeric`` tells that only numbers were passed, ``_dtype`` what their tensors shall have.
    """

    _parameters: tuple[str, ...] = ()
    _memoised: tuple[str, ...] = ()  # what torch keeps on an object though it depends on shape
    _settings: tuple[str, ...] = ()  # what else a law is constructed with
    _batch_shape: torch.Size
    _raw: dict[str, Any]
    _numeric: bool
    _dtype: torch.dtype

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared = [item for base in reversed(cls.__mro__) for item in vars(base).items()]
        names = [name for name, value in declared if isinstance(value, Parameter)]
        cls._parameters = tuple(dict.fromkeys(names))

    def _parameter_values(self) -> dict[str, Any]:
        return self._raw

    def _hold(self, owner: type, **values: Any) -> None:
        """Take the parameters as they are, and find the batch shape and dtype.

        :param owner: the law's class, for errors.
        """
        shape, like = NO_SHAPE, None
        for name, value in values.items():
            kind = type(value)
            if kind is float:
                continue
            if not isinstance(value, torch.Tensor):
                values[name] = _as_number(owner, name, value)
                continue
            if not value.is_floating_point():
                value = values[name] = value.to(_floating_dtype(values))
            if like is None:
                shape, like = value.shape, value
            elif value.shape != shape:
                shape = _common_shape(owner, shape, value.shape, values)
        held = self.__dict__
        held["_raw"] = values
        held["_batch_shape"] = shape
        held["_event_shape"] = NO_SHAPE
        held["_numeric"] = like is None
        if like is not None:
            held["_dtype"] = like.dtype
            for name, value in values.items():
                if type(value) is not float and value.shape == shape:
                    held[name] = value
        else:
            held["_dtype"] = torch.get_default_dtype()
            if _default_device_in_force():
                for name, value in values.items():  # now, for the default may change
                    held[name] = torch.scalar_tensor(value, dtype=held["_dtype"])

    @property
    def _device(self) -> torch.device:
        tensors = (value for value in self._raw.values() if isinstance(value, torch.Tensor))
        return next((tensor.device for tensor in tensors), _CPU)

    def _numbers(self) -> dict[str, Any] | None:
        """Return the parameters, where they are numbers and torch would put them on the CPU."""
        held = self.__dict__
        if held["_numeric"] and not _default_device_in_force():
            for name in self._parameters:
                if name in held:
                    return None
            raw: dict[str, Any] = held["_raw"]
            return raw
        return None

    def _operands(self, value: torch.Tensor) -> list[Any]:
        """Return the parameters as they shall meet a value, numbers or tensors.

        Where dtypes differ they are tensors, for a tensor may widen the result and a number not.

        :param value: the value.
        """
        return [self._operand(name, value) for name in self._parameters]

    def _operand(self, name: str, value: torch.Tensor) -> Any:
        held = self.__dict__
        if name in held:
            return held[name]
        if getattr(value, "dtype", None) is not held["_dtype"]:
            return getattr(self, name)
        return held["_raw"][name]

    def _given_as(self, name: str) -> Any:
        """Return a parameter as it was passed, or as it has been read or set since."""
        held = self.__dict__
        return held[name] if name in held else held["_raw"][name]

    def _filled(self, name: str, shape: torch.Size) -> torch.Tensor:
        """Return a parameter as a tensor to draw with; a number stays one to the law.

        :param name: its name.
        :param shape: the shape of what is drawn.
        """
        value = self._given_as(name)
        if isinstance(value, float):
            return torch.full(shape, value, dtype=self._dtype, device=self._device)
        filled: torch.Tensor = value if value.shape == shape else value.expand(shape)
        return filled

    def _over_batch(self, log_prob: torch.Tensor) -> torch.Tensor:
        """Repeat a log density over those batch dimensions that no operand had."""
        shape = self._batch_shape
        if not shape or log_prob.shape == shape:
            return log_prob
        return log_prob.expand(broadcast_shape(log_prob.shape, shape))

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        :raises RuntimeError: where it does not broadcast.
        """
        batch_shape = torch.Size(batch_shape)
        held = self.__dict__
        old = held["_batch_shape"]
        if old and old != batch_shape and not expands_to(old, batch_shape):
            raise RuntimeError(
                f"{self} has batch shape {tuple(old)}, which does not expand to "
                f"{tuple(batch_shape)}."
            )
        if _instance is None:
            self._require_known_init()
            new = object.__new__(type(self))
            state = new.__dict__
            state.update(held)
        else:
            new = self._pass_on(_instance)
            state = new.__dict__
            for name in ("_event_shape", "_numeric", "_dtype", *self._settings):
                state[name] = held[name]
        raw = state["_raw"] = held["_raw"].copy()
        for name in self._parameters:
            if name in held:
                raw[name] = held[name]
                state.pop(name, None)
                state["_numeric"] = False
        for name in self._memoised:
            state.pop(name, None)
        state["_batch_shape"] = batch_shape
        return new

    def _view_as(self, law_class: type, **values: Real) -> Any:
        """Return an unchecked law of another class, of this batch shape.

        :param law_class: the class.
        :param values: its parameters.
        """
        new: Any = object.__new__(law_class)
        new._hold(law_class, **values)
        if new._batch_shape != self._batch_shape:
            new = new.expand(self._batch_shape)
        if "_validate_args" in self.__dict__:
            new._validate_args = self._validate_args
        return new

    def __repr__(self) -> str:
        held, parts = self.__dict__, []
        for name in self._parameters:
            value = held.get(name, held["_raw"].get(name))
            if value is not None:
                large = isinstance(value, torch.Tensor) and value.numel() != 1
                parts.append(f"{name}: {value.size() if large else value}")
        return f"{type(self).__name__}({', '.join(parts)})"


class ReparameterisedLaw(HoldingLaw):
    """A :class:`HoldingLaw` that draws differentiably."""

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        value: torch.Tensor = self.rsample(sample_shape)  # type: ignore[attr-defined]
        return value.detach() if value.requires_grad else value


def one_of(owner: type, **values: Any) -> dict[str, Any]:
    """Return that one of several alternative parameters which was given.

    :param owner: the law's class, for the error.
    :param values: parameters by name, None where not given.
    :raises ValueError: where none or several were given.

    >>> one_of(Parameter, probs=None, logits=0.0)
    {'logits': 0.0}
    """
    given = {name: value for name, value in values.items() if value is not None}
    if len(given) != 1:
        listed = " or ".join(map(repr, values))
        raise ValueError(
            f"{owner.__name__} takes either {listed}, but "
            f"{' and '.join(map(repr, given)) if given else 'none of them'} was given."
        )
    return given


def _floating_dtype(values: dict[str, Any]) -> torch.dtype:
    """Return the dtype in which parameters of integer dtype shall join the others."""
    dtypes = (value.dtype for value in values.values() if isinstance(value, torch.Tensor))
    return next((dtype for dtype in dtypes if dtype.is_floating_point), torch.get_default_dtype())


def _as_number(owner: type, name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"{owner.__name__}: parameter {name!r} must be a number or a tensor, not "
            f"{type(value).__name__}. Wrap it in torch.tensor(...)."
        ) from None


def _common_shape(owner: type, a: torch.Size, b: torch.Size, values: dict[str, Any]) -> torch.Size:
    try:
        return torch.Size(broadcast_shape(a, b))
    except ValueError:
        shapes = ", ".join(f"{k} {tuple(getattr(v, 'shape', ()))}" for k, v in values.items())
        raise ValueError(
            f"{owner.__name__}: the shapes of the parameters do not broadcast: {shapes}."
        ) from None
