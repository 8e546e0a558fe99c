import math
import warnings
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer.nonfinite import (
    torch_isinf,
    torch_isnan,
    warn_if_inf,
    warn_if_nan,
    warn_of_nan_loss,
)
from tests.helpers import trace_of

NAN, INF = math.nan, math.inf


class NanDensity(dist.Normal):
    def log_prob(self, value: Any) -> Any:
        return torch.full_like(value, NAN)


@pytest.mark.parametrize(
    "x, is_nan, is_inf",
    [
        (0.0, False, False),
        (NAN, True, False),
        (-INF, False, True),
        (torch.tensor([1.0, NAN]), True, False),
        (torch.tensor([[INF], [0.0]]), False, True),
        (torch.tensor([1, 2]), False, False),
    ],
)
def test_finding_nan_and_inf(x: Any, is_nan: Any, is_inf: Any) -> None:
    assert bool(torch_isnan(x)) is is_nan
    assert bool(torch_isinf(x)) is is_inf


def test_warn_if_nan_names_the_value_and_returns_it() -> None:
    x = torch.tensor([0.0, NAN])
    with pytest.warns(UserWarning, match="NaN in the weights") as caught:
        assert warn_if_nan(x, "the weights") is x
    assert caught[0].filename == __file__


def test_warn_if_nan_points_where_it_is_told() -> None:
    with pytest.warns(UserWarning, match="NaN in a value") as caught:
        warn_if_nan(NAN, filename="model.py", lineno=7)
    assert (caught[0].filename, caught[0].lineno) == ("model.py", 7)


def test_warn_if_nan_watches_the_gradient() -> None:
    x = torch.tensor(0.0, requires_grad=True)
    y = warn_if_nan(x * 1.0, "y")
    with pytest.warns(UserWarning, match="NaN in the gradient of y"):
        (y * NAN).backward()


@pytest.mark.parametrize(
    "value, allowed, text",
    [
        (INF, {}, r"\+inf in m"),
        (-INF, {}, "-inf in m"),
        (torch.tensor([0.0, -INF]), {"allow_posinf": True}, "-inf in m"),
        (torch.tensor([0.0, INF]), {"allow_neginf": True}, r"\+inf in m"),
    ],
)
def test_warn_if_inf_names_the_sign(value: Any, allowed: Any, text: Any) -> None:
    with pytest.warns(UserWarning, match=text):
        assert warn_if_inf(value, "m", **allowed) is value


def test_warn_if_inf_watches_the_gradient() -> None:
    x = torch.tensor(0.0, requires_grad=True)
    y = warn_if_inf(x * 1.0, "y")
    with pytest.warns(UserWarning, match=r"\+inf in the gradient of y"):
        (y * INF).backward()


def test_nothing_is_said_of_finite_and_allowed_values() -> None:
    warn_if_nan(torch.zeros(2))
    warn_if_inf(torch.tensor([INF, 1.0]), allow_posinf=True)
    warn_if_inf(-INF, allow_neginf=True)


def scored(fn: Any) -> Any:
    trace = trace_of(fn)
    trace.compute_log_prob()
    return trace


def test_a_nan_loss_names_the_parameters_and_the_sites() -> None:
    def model() -> None:
        pyro.param("scale", torch.tensor(1.0))
        pyro.sample("fine", dist.Normal(0.0, 1.0))
        pyro.sample("broken", NanDensity(0.0, 1.0))

    pyro.param("scale", torch.tensor(1.0)).data.fill_(NAN)
    trace = scored(model)
    with pytest.warns(UserWarning) as caught:
        warn_of_nan_loss(NAN, [trace])
    text = str(caught[0].message)
    assert (
        "NaN parameters: 'scale'" in text
        and "density at: 'broken'" in text
        and "'fine'" not in text
    )


def test_a_nan_loss_without_a_culprit_is_called_cancellation() -> None:
    with pytest.warns(UserWarning, match="infinities of opposite sign"):
        warn_of_nan_loss(NAN, [])


def test_a_nan_loss_is_warned_of_once_and_under_validation_only() -> None:
    with pyro.validation_enabled(False):
        warn_of_nan_loss(NAN, [])
    with pytest.warns(UserWarning):
        warn_of_nan_loss(NAN, [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_nan_loss(NAN, [])
        warn_of_nan_loss(INF, [])
