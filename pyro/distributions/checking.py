"""Checks of parameters and values: cheap where they pass, a lesson where they fail.

A number, or a tensor of one entry, is checked as a Python number; a larger tensor against a convex
set by its extremes. Only what fails, or lives in a stranger set, is checked entry by entry.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.distributions import constraints

from pyro._foundation.validation import is_validation_enabled
from pyro._foundation.warnings import warn_once
from pyro.ops.readable import is_readable as is_readable

Number = float | int


class QuickTest(NamedTuple):
    """Sufficient conditions for membership of a set, cheaper than the set's own check.

    ``admits`` tells of one number, exactly. ``contains`` may say no of a tensor that lies within.
    """

    admits: Callable[[Number], bool] | None
    contains: Callable[[torch.Tensor], bool] | None


def quick_test(constraint: Any) -> QuickTest | None:
    """Return the quick test of a set, or None where there is none.

    :param constraint: a constraint.

    >>> quick_test(constraints.positive).admits(0.0)
    False
    """
    while type(constraint) is constraints.independent:
        constraint = constraint.base_constraint
    kind = type(constraint)
    low = getattr(constraint, "lower_bound", None)
    high = getattr(constraint, "upper_bound", None)
    if isinstance(low, torch.Tensor) or isinstance(high, torch.Tensor):
        if kind is not constraints.interval and kind is not constraints.greater_than_eq:
            return None
        return _within_tensors(low, high)
    maker = _MAKERS.get(kind)
    return None if maker is None else maker(low, high)


def _within_tensors(low: Any, high: Any) -> QuickTest:
    """Test a closed interval with bounds of its own for each entry; ``high`` may be None."""
    if isinstance(low, float):
        low = torch.scalar_tensor(low, dtype=high.dtype, device=high.device)
    elif isinstance(high, float):
        high = torch.scalar_tensor(high, dtype=low.dtype, device=low.device)
    return QuickTest(None, lambda value: torch.equal(value.clamp(low, high), value))


def _above(admits: Callable[[Number], bool]) -> QuickTest:
    return QuickTest(admits, lambda value: admits(value.min().item()))


def _below(admits: Callable[[Number], bool]) -> QuickTest:
    return QuickTest(admits, lambda value: admits(value.max().item()))


def _extremes(value: torch.Tensor) -> tuple[Number, Number]:
    low, high = torch.aminmax(value)
    return low.item(), high.item()


def _between(admits: Callable[[Number], bool]) -> QuickTest:
    return QuickTest(admits, lambda value: all(map(admits, _extremes(value))))


def _whole(admits: Callable[[Number], bool]) -> QuickTest:
    def contains(value: torch.Tensor) -> bool:
        low, high = _extremes(value)
        if not (admits(low) and admits(high)):
            return False
        return not value.is_floating_point() or torch.equal(value, value.floor())

    return QuickTest(lambda v: v % 1 == 0 and admits(v), contains)


def _has_no_nan(value: torch.Tensor) -> bool:
    total = value.sum().item()
    return total == total  # opposite infinities fall to the full check


def _sums_to_one(value: torch.Tensor) -> bool:
    sums = value.sum(-1)
    room = max(1e-6, 2.0 * torch.finfo(value.dtype).eps * value.size(-1) ** 0.5)
    return all(abs(total - 1) < room for total in _extremes(sums))


def _is_one_hot(value: torch.Tensor) -> bool:
    return value.min().item() == 0 and value.amax(-1).min().item() == 1 and _sums_to_one(value)


def _is_lower_cholesky(value: torch.Tensor) -> bool:
    positive = value.diagonal(dim1=-2, dim2=-1).min().item() > 0
    return positive and torch.equal(value, value.tril())


def _is_positive_definite(value: torch.Tensor) -> bool:
    return torch.equal(value, value.mT) and not torch.linalg.cholesky_ex(value).info.any().item()


_MAKERS: dict[Any, Callable[[Any, Any], QuickTest]] = {
    type(constraints.real): lambda low, high: QuickTest(lambda v: v == v, _has_no_nan),
    constraints.greater_than: lambda low, high: _above(lambda v: v > low),
    constraints.greater_than_eq: lambda low, high: _above(lambda v: v >= low),
    constraints.less_than: lambda low, high: _below(lambda v: v < high),
    constraints.interval: lambda low, high: _between(lambda v: low <= v <= high),
    constraints.half_open_interval: lambda low, high: _between(lambda v: low <= v < high),
    type(constraints.boolean): lambda low, high: QuickTest(
        lambda v: v == 0 or v == 1,
        lambda value: value.max().item() <= 1 and torch.equal(value, value * value),
    ),
    constraints.integer_interval: lambda low, high: _whole(lambda v: low <= v <= high),
    type(constraints.nonnegative_integer): lambda low, high: _whole(lambda v: low <= v < math.inf),
    type(constraints.simplex): lambda low, high: QuickTest(
        None, lambda value: value.min().item() >= 0 and _sums_to_one(value)
    ),
    type(constraints.one_hot): lambda low, high: QuickTest(None, _is_one_hot),
    type(constraints.lower_cholesky): lambda low, high: QuickTest(None, _is_lower_cholesky),
    type(constraints.positive_definite): lambda low, high: QuickTest(None, _is_positive_definite),
}


def belongs(value: Any, constraint: Any, quick: QuickTest | None) -> bool:
    """Tell whether all of a parameter or value lies within a set.

    :param value: a number or a tensor; one that cannot be read passes.
    :param constraint: the set.
    :param quick: what :func:`quick_test` gave for it.

    >>> belongs(torch.tensor([1.0, -1.0]), constraints.positive, quick_test(constraints.positive))
    False
    """
    if not isinstance(value, torch.Tensor):
        value = torch.as_tensor(value)
    if not is_readable(value):
        return True
    if value.requires_grad:
        value = value.detach()
    count = value.numel()
    if not count:
        return True
    if quick:
        if count == 1 and quick.admits and not value.is_complex():
            return quick.admits(value.item())
        if quick.contains and quick.contains(value):
            return True
    return bool(torch._is_all_true(constraint.check(value)))


def surely_belongs(value: torch.Tensor, quick: QuickTest | None) -> bool:
    """Tell whether a value is known to lie within a set, at the price of next to nothing.

    :param value: a tensor.
    :param quick: the quick test of the set.
    """
    if quick is None or value.is_cuda or not is_readable(value) or not value.numel():
        return False
    if value.numel() == 1:
        return quick.admits is not None and quick.admits(value.item())
    return quick.contains is not None and quick.contains(value)


def _offence(value: Any, constraint: Any) -> str:
    """Say which entry is the first outside a set, and how many there are."""
    if not isinstance(value, torch.Tensor):
        return f"it is {value!r}"
    value = value.detach()
    valid = constraint.check(value)
    bad = (~valid).nonzero()
    if valid.dim() == 0 or not len(bad):
        return f"it is {value.tolist()!r}" if value.numel() <= 16 else f"it has shape {value.shape}"
    where = tuple(bad[0].tolist())
    entry = value[where].tolist() if value.dim() >= len(where) else value.tolist()
    return f"{len(bad)} of {valid.numel()} do not; the first, at {list(where)}, is {entry!r}"


def _has_nan(value: Any) -> bool:
    return bool(torch.as_tensor(value).isnan().any())


def parameter_error(law: Any, name: str, value: Any, constraint: Any) -> ValueError:
    """Build the error about a parameter outside its set.

    :param law: the law that was being built.
    :param name: the parameter's name.
    :param value: what was passed.
    :param constraint: the set.
    """
    remedy = (
        "A NaN comes from an earlier computation: look there, or lower the learning rate."
        if _has_nan(value)
        else f"Map an unconstrained number into it with transform_to({constraint}), or give "
        f"pyro.param(..., constraint=...) that constraint."
    )
    return ValueError(
        f"{type(law).__name__}: parameter {name!r} must satisfy {constraint}, but "
        f"{_offence(value, constraint)}. {remedy}"
    )


def value_error(law: Any, value: torch.Tensor, support: Any) -> ValueError:
    """Build the error about a value outside a law's support.

    :param law: the law that was to score it.
    :param value: what was passed.
    :param support: the law's support.
    """
    remedy = (
        "Leave out missing entries with .mask(~value.isnan())."
        if _has_nan(value)
        else "Correct the data, or choose a law whose support holds it."
    )
    return ValueError(
        f"{law}: the value to score must lie within the support {support}, but "
        f"{_offence(value, support)}. {remedy}"
    )


class _ProcessSwitch:
    """Whether to check, as long as an object has not been told otherwise.

    While :func:`torch.compile` looks on there is nothing to check. It also switches off, for good,
    the attribute of this name that torch keeps.
    """

    def __get__(self, law: object, owner: type) -> bool:
        return is_validation_enabled() and not torch.compiler.is_compiling()


class CheckedDistribution:
    """Validation shared by all laws; goes before :class:`torch.distributions.Distribution`."""

    _validate_args: Any = _ProcessSwitch()
    _parameter_tests: tuple[Any, list[tuple[str, Any, QuickTest | None]]] | None = None
    _support_test: tuple[Any, QuickTest | None] | None = None

    def _check_parameters(
        self, validate_args: bool | None, given: dict[str, Any] | None = None
    ) -> None:
        """Remember whether this object is to be checked and, if so, check its parameters.

        :param validate_args: whether to; None follows the process's switch from now on.
        :param given: parameters by name, where the object does not hold them yet.
        """
        if validate_args is not None:
            self._validate_args = validate_args
        if not self._validate_args:
            return
        given = given or self._parameter_values()
        held = vars(self) if given is None else given
        for name, constraint, quick in self._parameter_table():
            if name in held:
                value = held[name]
                if type(value) is float and quick and quick.admits and quick.admits(value):
                    continue
            elif given is None and type(getattr(type(self), name, None)) is property:
                value = getattr(self, name)
            else:  # computed on demand from one that was given
                continue
            if not belongs(value, constraint, quick):
                raise parameter_error(self, name, value, constraint)

    def _parameter_values(self) -> dict[str, Any] | None:
        """Return what was passed, where that is not among the attributes of the object."""
        return None

    def _parameter_table(self) -> list[tuple[str, Any, QuickTest | None]]:
        try:
            declared = self.arg_constraints  # type: ignore[attr-defined]
        except NotImplementedError:
            name = type(self).__name__
            warn_once(
                ("arg_constraints", type(self)),
                f"{name} defines no arg_constraints, so its parameters are not checked. Declare "
                f"them, arg_constraints = {{}} if there are none.",
                stacklevel=4,
            )
            return []
        known = self._parameter_tests
        if known is not None and known[0] is declared:
            return known[1]
        table = [
            (name, constraint, quick_test(constraint))
            for name, constraint in declared.items()
            if not constraints.is_dependent(constraint)
        ]
        if getattr(type(self), "arg_constraints", None) is declared:
            type(self)._parameter_tests = declared, table
        return table

    def _is_inside(self, value: torch.Tensor) -> bool:
        """Check a value, and tell whether it is now known to lie within the support.

        :param value: the value.
        """
        self._validate_sample(value)
        return is_readable(value)

    def _validate_sample(self, value: torch.Tensor) -> None:
        """Raise where a value to score does not fit the law's shape or support.

        :param value: the value.
        :raises ValueError: naming the law, what is wrong and what to do.
        """
        if not isinstance(value, torch.Tensor):
            raise ValueError(
                f"{self}: the value to score must be a tensor, not {type(value).__name__} "
                f"{value!r}. Wrap it in torch.tensor(...)."
            )
        shape = self._batch_shape + self._event_shape  # type: ignore[attr-defined]
        if value.shape != shape:
            self._validate_shape(value.shape, shape)
        try:
            support = self.support  # type: ignore[attr-defined]
        except NotImplementedError:
            name = type(self).__name__
            warn_once(
                ("support", type(self)),
                f"{name} defines no support, so values are not checked. Declare it, or construct "
                f"{name} with validate_args=False.",
                stacklevel=4,
            )
            return
        known = self._support_test
        if known is None or known[0] is not support:
            known = support, quick_test(support)
            if getattr(type(self), "support", None) is support:
                type(self)._support_test = known
        if not belongs(value, support, known[1]):
            raise value_error(self, value, support)

    def _validate_shape(self, actual: torch.Size, expected: torch.Size) -> None:
        event_shape = expected[len(expected) - len(self._event_shape) :]  # type: ignore[attr-defined]
        if actual[max(0, len(actual) - len(event_shape)) :] != event_shape:
            raise ValueError(
                f"{self}: the value to score has shape {tuple(actual)}, but its rightmost "
                f"dimensions must be the event shape {tuple(event_shape)}."
            )
        for have, want in zip(reversed(actual), reversed(expected), strict=False):
            if have != want and have != 1 and want != 1:
                raise ValueError(
                    f"{self}: the value to score has shape {tuple(actual)}, which does not "
                    f"broadcast with {tuple(expected)}, the batch shape and event shape. Expand "
                    f"the law, or reshape the value."
                )
