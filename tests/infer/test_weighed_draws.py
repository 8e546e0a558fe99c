"""Weighted predictions, and chains that resample them."""

import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.infer import MHResampler, WeighedPredictive
from pyro.infer.predictive import WeighedPredictiveResults
from pyro.infer.util import CloneMixin
from tests.helpers import assert_close, assert_fits_probabilities

DATA = torch.tensor([0.5, 1.0, -0.3])


def model(data: Tensor | None = None) -> Tensor:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    w = pyro.sample("w", dist.Normal(z, 0.5))
    with pyro.plate("data", 3):
        return torch.as_tensor(pyro.sample("x", dist.Normal(z + w, 1.0), obs=data))


def guide(data: Tensor | None = None) -> None:
    pyro.sample("z", dist.Normal(0.3, 0.8))


def ratio(z: Tensor) -> Tensor:
    return dist.Normal(0.0, 1.0).log_prob(z) - dist.Normal(0.3, 0.8).log_prob(z)


@pytest.mark.parametrize("parallel", [False, True])
def test_draws_are_weighed_by_the_ratio_of_densities(parallel: bool) -> None:
    predict = WeighedPredictive(model, guide=guide, num_samples=6, parallel=parallel)
    found = predict(DATA)
    z, w = found.samples["z"][:, 0], found.samples["w"][:, 0]
    likelihood = dist.Normal((z + w).unsqueeze(-1), 1.0).log_prob(DATA).sum(-1)
    assert {name: value.shape for name, value in found.samples.items()} == {
        "z": (6, 1),
        "w": (6, 1),
        "x": (6, 3),
    }
    assert_close(found.guide_log_prob, dist.Normal(0.3, 0.8).log_prob(z))
    assert_close(found.model_log_prob, dist.Normal(0.0, 1.0).log_prob(z) + likelihood, atol=1e-5)
    assert_close(found.log_weights, ratio(z) + likelihood, atol=1e-5)
    assert_close(found.get_ESS(), 1 / found.get_normalized_weights().square().sum())


@pytest.mark.parametrize("parallel", [False, True])
def test_what_the_model_draws_does_not_weigh(parallel: bool) -> None:
    predict = WeighedPredictive(model, guide=guide, num_samples=6, parallel=parallel)
    found = predict.call()
    assert_close(found.log_weights, ratio(found.samples["z"][:, 0]))


@pytest.mark.parametrize("parallel", [False, True])
def test_another_model_may_weigh(parallel: bool) -> None:
    def with_data(data: Any = None) -> None:
        with pyro.plate("rows", 2, dim=-2):
            pyro.sample("y", dist.Normal(pyro.sample("z", dist.Normal(0.0, 1.0)), 1.0))

    def weighing(data: Any = None) -> None:
        pyro.sample("z", dist.Normal(1.0, 1.0))

    predict = WeighedPredictive(model, guide=guide, num_samples=4, parallel=parallel)
    found = predict(model_guide=weighing)
    z = found.samples["z"].reshape(4)
    assert_close(found.model_log_prob, dist.Normal(1.0, 1.0).log_prob(z))
    assert found.samples["x"].shape == (4, 3)


def test_sites_and_results_are_chosen_as_by_predictive() -> None:
    for parallel in (False, True):
        predict = WeighedPredictive(
            model, None, guide, 4, return_sites=["x", "_RETURN"], parallel=parallel
        )
        found = predict()
        assert list(found.samples) == ["x", "_RETURN"]
        assert_close(found.samples["x"], found.samples["_RETURN"])


def test_a_guide_is_needed() -> None:
    with pytest.raises(ValueError, match="WeighedPredictive weighs the draws of a guide"):
        WeighedPredictive(model, num_samples=3)
    with pytest.raises(ValueError, match="a guide, not both"):
        WeighedPredictive(model, {"z": torch.zeros(2)}, guide)


def test_a_site_that_some_runs_pass_by_is_named() -> None:
    calls = iter(range(9))

    def fickle() -> None:
        pyro.sample("z", dist.Normal(0.0, 1.0))
        if next(calls) % 2 == 0:
            pyro.sample("sometimes", dist.Normal(0.0, 1.0))

    predict = WeighedPredictive(fickle, guide=guide, num_samples=4)
    with pytest.raises(ValueError, match="At site 'sometimes': the site runs in some draws only"):
        predict()


# An independence sampler of three states, whose proposals and weights are known.

P = torch.tensor([0.2, 0.5, 0.3])
Q = torch.tensor([0.6, 0.3, 0.1])


def drawn_from(law: Tensor, chains: int) -> WeighedPredictiveResults:
    z = dist.Categorical(law).sample((chains,))
    gain, charge = P.log()[z], Q.log()[z]
    return WeighedPredictiveResults(
        {"z": z, "_RETURN": {"twice": (2 * z, None)}}, gain - charge, charge, gain
    )


def test_the_posterior_is_stationary() -> None:
    """Chains that begin in the target law keep it, step after step."""
    laws = iter([P, Q, Q, Q])
    resampler = MHResampler(lambda: drawn_from(next(laws), 3000))
    for _ in range(4):
        state = resampler()
        assert_fits_probabilities(state.samples["z"], P)
    assert (state.samples["_RETURN"]["twice"][0] == 2 * state.samples["z"]).all()
    assert state.samples["_RETURN"]["twice"][1] is None
    assert_close(state.log_weights, (P / Q).log()[state.samples["z"]])
    assert_close(state.model_log_prob, P.log()[state.samples["z"]])
    assert_close(state.guide_log_prob, Q.log()[state.samples["z"]])


def test_chains_move_by_the_kernel_of_an_independence_sampler() -> None:
    """The law after one step from a fixed state: q(z) min(1, w / w0), and what is left stays."""
    for start in range(3):
        laws = iter([torch.eye(3)[start], Q])
        resampler = MHResampler(lambda laws=laws: drawn_from(next(laws), 3000))
        resampler()
        moved = Q * (P / Q / (P / Q)[start]).clamp(max=1.0)
        moved[start] += 1 - moved.sum()
        assert_fits_probabilities(resampler().samples["z"], moved)


def test_moves_are_counted() -> None:
    def draw(log_weight: float) -> WeighedPredictiveResults:
        log_weights = torch.tensor([0.0, log_weight, -math.inf])
        return WeighedPredictiveResults({}, log_weights, log_weights, log_weights)

    rising = iter([0.0, 1.0, 2.0])
    resampler = MHResampler(lambda: draw(next(rising)))
    assert resampler.get_min_sample_transition_count() == 0
    for _ in range(3):
        resampler()
    assert resampler.transition_count.tolist() == [2, 2, 2]  # the impossible leaves for anything
    assert resampler.get_min_sample_transition_count() == 2
    assert resampler.get_total_transition_count() == 6


@pytest.mark.parametrize(
    "which, kept",
    [
        (slice(None), [0, 1, 2, 3, 4]),
        (slice(-2, None), [3, 4]),
        (slice(1, None, 2), [1, 3]),
        (slice(1, 3), [1, 2]),
    ],
)
def test_what_is_kept(which: slice, kept: list[int]) -> None:
    calls = iter(range(5))

    def sampler() -> WeighedPredictiveResults:
        i = torch.tensor([float(next(calls))])
        return WeighedPredictiveResults({"z": i}, i, i, i)

    resampler = MHResampler(sampler, which, which)
    for _ in range(5):
        resampler()
    for found in (resampler.get_source_samples(), resampler.get_stored_samples()):
        assert found.samples["z"].tolist() == kept  # each weight is above the one before
        assert found.log_weights.tolist() == kept


def test_nothing_is_kept_by_default() -> None:
    resampler = MHResampler(lambda: drawn_from(Q, 2))
    resampler()
    with pytest.raises(RuntimeError, match="keeps no samples: pass source_samples_slice"):
        resampler.get_source_samples()
    with pytest.raises(ValueError, match="counts from an end that is not there yet"):
        MHResampler(lambda: drawn_from(Q, 2), slice(None, -1))


def test_results_are_cloned_with_their_tensors() -> None:
    first = drawn_from(Q, 4)
    second = first.clone()
    assert isinstance(first, CloneMixin) and type(second) is type(first)
    second.samples["z"].fill_(7)
    second.log_weights.fill_(7.0)
    assert (first.samples["z"] < 3).all() and (first.log_weights < 7).all()
    assert_close(pickle.loads(pickle.dumps(first)).log_weights, first.log_weights)
