"""NaN and infinities: finding them, warning of them, and saying where in a run they arose."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from pyro._foundation.warnings import warn_once
from pyro.poutine.sites import site_is_param, site_is_sample
from pyro.poutine.trace_struct import Trace

V = TypeVar("V")


def torch_isnan(x: Any) -> Any:
    """Tell whether a number, or any element of a tensor, is NaN.

    :param x: a tensor or a number.
    :returns: a boolean; a tensor with one boolean for a tensor.

    >>> torch_isnan(1.0), torch_isnan(torch.tensor([0.0, float("nan")]))
    (False, tensor(True))
    """
    return torch.isnan(x).any() if isinstance(x, torch.Tensor) else math.isnan(x)


def torch_isinf(x: Any) -> Any:
    """Tell whether a number, or any element of a tensor, is infinite.

    :param x: a tensor or a number.
    :returns: a boolean; a tensor with one boolean for a tensor.

    >>> torch_isinf(float("-inf")), torch_isinf(torch.tensor([0.0, 1.0]))
    (True, tensor(False))
    """
    return torch.isinf(x).any() if isinstance(x, torch.Tensor) else math.isinf(x)


def warn_if_nan(
    value: V, msg: str = "", *, filename: str | None = None, lineno: int | None = None
) -> V:
    """Warn if a value, or later the gradient that flows back to it, holds a NaN.

    :param value: a tensor or a number.
    :param msg: what the value is.
    :param filename: the file that the warning points to; the caller's if None.
    :param lineno: the line that the warning points to.
    :returns: the value.

    >>> warn_if_nan(torch.tensor(1.0), "loss")
    tensor(1.)
    """

    def look(x: Any, what: str, stacklevel: int) -> None:
        if torch_isnan(x):
            _warn_at(f"There is a NaN in {what}.", filename, lineno, stacklevel)

    _look_now_and_later(value, msg, look)
    return value


def warn_if_inf(
    value: V,
    msg: str = "",
    allow_posinf: bool = False,
    allow_neginf: bool = False,
    *,
    filename: str | None = None,
    lineno: int | None = None,
) -> V:
    """Warn if a value, or later the gradient that flows back to it, is infinite anywhere.

    :param value: a tensor or a number.
    :param msg: what the value is.
    :param allow_posinf: whether positive infinity is in order.
    :param allow_neginf: whether negative infinity is in order.
    :param filename: the file that the warning points to; the caller's if None.
    :param lineno: the line that the warning points to.
    :returns: the value.

    >>> warn_if_inf(float("-inf"), "log density", allow_neginf=True)
    -inf
    """
    refused = ([] if allow_posinf else [math.inf]) + ([] if allow_neginf else [-math.inf])

    def look(x: Any, what: str, stacklevel: int) -> None:
        for infinity in refused:
            if _contains(x, infinity):
                _warn_at(f"There is a {infinity:+} in {what}.", filename, lineno, stacklevel)

    _look_now_and_later(value, msg, look)
    return value


def _contains(x: Any, number: float) -> bool:
    return bool((x == number).any()) if isinstance(x, torch.Tensor) else x == number


def _look_now_and_later(value: Any, msg: str, look: Any) -> None:
    what = msg or "a value"
    if isinstance(value, torch.Tensor) and value.requires_grad:
        value.register_hook(lambda grad: look(grad, f"the gradient of {what}", 5))
    look(value, what, 5)


def _warn_at(text: str, filename: str | None, lineno: int | None, stacklevel: int) -> None:
    if filename is None:
        warnings.warn(text, UserWarning, stacklevel=stacklevel)
    else:
        warnings.warn_explicit(text, UserWarning, filename, lineno or 0)


def warn_of_nan_loss(loss: float, traces: Iterable[Trace]) -> None:
    """Warn, under validation and once for each culprit, where a loss is NaN and what made it so.

    :param loss: the loss of the run.
    :param traces: the scored traces of the run, in the order in which they ran.
    """
    if not math.isnan(loss):
        return
    records = list(traces)
    where = _found(records, torch_isnan, "NaN")
    if not where:
        infinite = _found(records, torch_isinf, "infinite") or "of no known origin"
        where = f"infinities of opposite sign cancelled, {infinite}"
    warn_once(
        ("nan loss", where),
        f"The loss is NaN ({where}). Look for overflow, a log of zero or a scale that became zero "
        "there; a smaller learning rate or pyro.optim.ClippedAdam often helps.",
        stacklevel=4,
    )


def _found(traces: Iterable[Trace], is_bad: Callable[[Tensor], Any], what: str) -> str:
    """List the parameters, values, densities and divergences that are bad."""
    lists: dict[str, dict[str, None]] = {}
    for trace in traces:
        for name, site in trace.nodes.items():
            for part, number in _numbers(site):
                if isinstance(number, Tensor) and is_bad(number.detach()):
                    lists.setdefault(part, {})[name] = None
    return "; ".join(f"{what} {part}: {', '.join(map(repr, n))}" for part, n in lists.items())


def _numbers(site: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The numbers of a site that a loss is made of, by what they are."""
    if site_is_param(site):
        yield "parameters", site["value"]
    elif site_is_sample(site):
        if not site["is_observed"]:  # data may hold NaN where they are masked
            yield "values", site["value"]
        yield "log density at", site.get("log_prob")
        yield "divergence at", site.get("divergence")
