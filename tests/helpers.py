"""What several tests share: tolerances that follow from a dtype or from a false-alarm rate.

Numbers that have an exact answer are compared with :func:`assert_close`. Samples are compared
with :func:`assert_mean`, :func:`assert_fits_cdf` or :func:`assert_fits_probabilities`, each of
which states how often it fails for correct code. With the fixed seed of ``conftest.py`` such a
false alarm is decided once, when the test is written; it never comes and goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pyro.poutine.handlers import trace
from pyro.poutine.trace_struct import Trace

MAX_Z = 4.5  # two-sided tail probability 6.8e-6
MIN_P_VALUE = 1e-5


def trace_of(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Trace:
    """Runs ``fn`` and returns the record of its sites."""
    return trace(fn).get_trace(*args, **kwargs)


def rounding_tolerance(dtype: torch.dtype) -> float:
    """Leaves a quarter of a dtype's digits to rounding: 6e-6 in float32, 2e-12 in float64."""
    if not (dtype.is_floating_point or dtype.is_complex):
        return 0.0
    return float(torch.finfo(dtype).eps ** 0.75)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Asserts equal shapes, and equal numbers up to the rounding of the coarser dtype.

    :param actual: a tensor, a number, or a mapping or sequence of them.
    :param expected: the same structure; a number or nested list may stand for a tensor.
    :param rtol: relative tolerance; give one only where an error bound is known, and say which.
    :param atol: absolute tolerance, likewise.
    """
    if isinstance(expected, Mapping):
        assert list(actual) == list(expected), f"keys {list(actual)}, expected {list(expected)}"
        for key in expected:
            assert_close(actual[key], expected[key], rtol=rtol, atol=atol)
        return
    if isinstance(expected, Sequence) and not isinstance(actual, Tensor):
        assert len(actual) == len(expected), f"{len(actual)} items, expected {len(expected)}"
        for one, other in zip(actual, expected, strict=True):
            assert_close(one, other, rtol=rtol, atol=atol)
        return
    one, other = _as_pair(actual, expected)
    tolerance = max(rounding_tolerance(one.dtype), rounding_tolerance(other.dtype))
    torch.testing.assert_close(
        one,
        other,
        rtol=tolerance if rtol is None else rtol,
        atol=tolerance if atol is None else atol,
        equal_nan=True,
        check_dtype=False,
    )


def _as_pair(actual: Any, expected: Any) -> tuple[Tensor, Tensor]:
    if isinstance(actual, Tensor) and not isinstance(expected, Tensor):
        expected = torch.as_tensor(expected, dtype=actual.dtype)
    elif isinstance(expected, Tensor) and not isinstance(actual, Tensor):
        actual = torch.as_tensor(actual, dtype=expected.dtype)
    else:
        actual, expected = (_as_double(x) for x in (actual, expected))
    return actual.detach(), expected.detach()


def _as_double(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.double)


def z_scores(samples: Tensor, mean: Any, sd: Any = None) -> Tensor:
    """Distance of the sample mean from an exact mean, in standard errors.

    :param samples: independent draws along dim 0.
    :param mean: exact mean, broadcastable to ``samples.shape[1:]``.
    :param sd: exact standard deviation of one draw; estimated from the draws when left out.
    """
    samples = samples.detach().double()
    spread = samples.std(0) if sd is None else torch.as_tensor(sd, dtype=torch.double)
    standard_error = spread / math.sqrt(len(samples))
    return (samples.mean(0) - torch.as_tensor(mean, dtype=torch.double)) / standard_error


def assert_mean(samples: Tensor, mean: Any, sd: Any = None) -> None:
    """Asserts that draws have this mean: at most ``MAX_Z`` standard errors off, every entry.

    False-alarm rate 7e-6 an entry. The normal limit wants some hundreds of draws and a law with
    a finite variance.
    """
    worst = z_scores(samples, mean, sd).abs().max().item()
    assert worst <= MAX_Z, f"sample mean is {worst:.1f} standard errors off (at most {MAX_Z})"


def assert_fits_cdf(samples: Tensor, cdf: Callable[[Tensor], Tensor]) -> None:
    """Asserts that scalar draws follow a continuous law (Kolmogorov-Smirnov).

    False-alarm rate ``MIN_P_VALUE`` = 1e-5.

    :param samples: independent scalar draws, shape ``(n,)``.
    :param cdf: the cumulative distribution function of the law.
    """
    from scipy.stats import kstest

    def as_numpy(x: Any) -> Any:
        return cdf(torch.as_tensor(x)).numpy()

    p_value = kstest(samples.detach().double().numpy(), as_numpy).pvalue
    assert p_value >= MIN_P_VALUE, f"Kolmogorov-Smirnov p-value {p_value:.1e} < {MIN_P_VALUE}"


def assert_fits_probabilities(samples: Tensor, probabilities: Tensor) -> None:
    """Asserts that integer draws follow a law over ``0, 1, ..., K - 1`` (Pearson's chi-square).

    False-alarm rate ``MIN_P_VALUE`` = 1e-5. Each expected count should be five or more.

    :param samples: independent integer draws, shape ``(n,)``.
    :param probabilities: shape ``(K,)``, summing to one.
    """
    from scipy.stats import chisquare

    counts = torch.bincount(samples.detach().long(), minlength=len(probabilities)).double()
    assert len(counts) == len(probabilities), f"a draw lies outside 0..{len(probabilities) - 1}"
    law = probabilities.double() / probabilities.double().sum()
    impossible = law == 0
    assert not counts[impossible].any(), "a draw has probability zero"
    possible = ~impossible
    expected = law[possible] * len(samples)
    p_value = chisquare(counts[possible].numpy(), expected.numpy()).pvalue
    assert p_value >= MIN_P_VALUE, f"chi-square p-value {p_value:.1e} < {MIN_P_VALUE}"
