"""Quantiles and intervals, against numpy and by trying all."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro.ops.stats import hpdi, pi, quantile, resample, weighed_quantile
from tests.helpers import assert_close, assert_fits_probabilities

LEVELS = [0.0, 0.07, 0.25, 0.5, 0.66, 0.93, 1.0]


def draws(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 51])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_quantiles_are_those_of_numpy(count: int, dim: int) -> None:
    x = draws(count, 3) if dim == 0 else draws(3, count)
    expected = np.moveaxis(np.quantile(x.numpy(), LEVELS, axis=dim), 0, dim)
    assert_close(quantile(x, LEVELS, dim), torch.tensor(expected))
    assert_close(quantile(x, torch.tensor(LEVELS), dim), torch.tensor(expected), atol=1e-6)
    assert_close(quantile(x, 0.3, dim), torch.tensor(np.quantile(x.numpy(), 0.3, axis=dim)))
    equal = torch.full((count,), -3.0)
    assert_close(weighed_quantile(x, LEVELS, equal, dim), torch.tensor(expected))
    assert_close(weighed_quantile(x, 0.3, equal, dim), quantile(x, 0.3, dim))


def test_weighed_quantiles_interpolate_the_cumulative_weights() -> None:
    x, log_weights = draws(7, 2), draws(7)
    for column in range(2):
        order = x[:, column].argsort()
        mass = log_weights.softmax(0)[order].cumsum(0).numpy()
        expected = np.interp(LEVELS, (mass - mass[0]) / (1 - mass[0]), x[order, column].numpy())
        found = weighed_quantile(x, LEVELS, log_weights)[:, column]
        assert_close(found, torch.tensor(expected), atol=1e-9)


def test_quantiles_of_integers_lie_between_them() -> None:
    assert_close(quantile(torch.arange(4), [0.5, 1.0]), [1.5, 3.0])


def test_an_interval_leaves_the_same_on_either_side() -> None:
    x = draws(20, 2)
    assert_close(pi(x, 0.8), torch.tensor(np.quantile(x.numpy(), [0.1, 0.9], axis=0)))
    assert pi(x.t(), 0.8, dim=1).shape == (2, 2)


@pytest.mark.parametrize("prob", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_narrowest_interval_is_found_by_trying_all(prob: float) -> None:
    x = draws(13, 2).exp()
    gaps = min(int(prob * 13), 12)
    for column in range(2):
        ordered = x[:, column].sort().values.tolist()
        low = min(range(13 - gaps), key=lambda i: ordered[i + gaps] - ordered[i])
        assert_close(hpdi(x, prob)[:, column], [ordered[low], ordered[low + gaps]])
    assert_close(hpdi(x.t(), prob, dim=1), hpdi(x, prob).t())
    assert_close(hpdi(x.t(), prob, dim=-1), hpdi(x, prob).t())


def test_resampling_without_replacement_is_a_choice() -> None:
    x = torch.arange(20.0).reshape(2, 10)
    drawn = resample(x, 10, dim=1)
    assert_close(drawn.sort(1).values, x)
    assert resample(x, 3, dim=1).shape == (2, 3)
    assert len(resample(x, 7, dim=1)[0].unique()) == 7


def test_resampling_is_uniform() -> None:
    law = torch.full((5,), 0.2)
    assert_fits_probabilities(resample(torch.arange(5), 2000, replacement=True), law)
    firsts = torch.cat([resample(torch.arange(5), 1) for _ in range(500)])
    assert_fits_probabilities(firsts, law)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="8 of 5 samples cannot .* replacement=True"):
        resample(torch.arange(5), 8)
    for call in (quantile, hpdi, pi):
        with pytest.raises(ValueError, match="lie between 0 and 1, got"):
            call(torch.arange(5.0), 1.2)
    with pytest.raises(ValueError, match=r"shape \(4,\), expected one a sample: \(5,\)"):
        weighed_quantile(torch.arange(5.0), 0.5, torch.zeros(4))
