"""Draws of a guide, resampled for a model: their law is that of the weighted draws."""

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer.resampler import Resampler
from tests.helpers import assert_close, assert_fits_probabilities

Q = torch.tensor([0.5, 0.3, 0.2])
P = torch.tensor([0.2, 0.2, 0.6])


def guide() -> None:
    pyro.sample("z", dist.Categorical(Q))


def model() -> None:
    pyro.sample("z", dist.Categorical(P))


def simulator() -> None:
    z = pyro.sample("z", dist.Categorical(Q))
    with pyro.plate("data", 2):
        pyro.sample("x", dist.Normal(z.to(torch.float), 1.0))


@pytest.mark.parametrize("stable", [False, True])
def test_draws_follow_the_weighted_draws_of_the_guide(stable: bool) -> None:
    resampler = Resampler(guide, num_guide_samples=50)
    drawn = resampler.sample(guide, 50 * 20, stable=False)["z"]
    counts = torch.bincount(resampler._proposal.nodes["z"]["value"], minlength=3)
    assert_fits_probabilities(drawn, counts / 50)
    found = resampler.sample(model, 2000, stable=stable)["z"]
    assert_fits_probabilities(found, counts * P / Q)


def test_stable_draws_change_as_far_as_models_do() -> None:
    resampler = Resampler(guide, num_guide_samples=40)
    first = resampler.sample(model, 30)["z"]
    assert_close(resampler.sample(model, 30)["z"], first)
    assert_close(resampler.sample(model, 50)["z"][:30], first)
    near = P + torch.tensor([1e-4, 0.0, -1e-4])
    nearly = resampler.sample(lambda: pyro.sample("z", dist.Categorical(near)), 30)["z"]
    assert (nearly != first).sum() <= 2
    unstable = [resampler.sample(model, 30, stable=False)["z"] for _ in range(2)]
    assert (unstable[0] != unstable[1]).any()


def test_weights_are_ratios_of_the_models_sites() -> None:
    """A simulated site that a model draws, observes, or lacks, weighs as it should."""
    resampler = Resampler(guide, simulator, num_guide_samples=30)
    nodes = resampler._proposal.nodes
    z, x = nodes["z"]["value"], nodes["x"]["value"]
    assert (z.shape, x.shape) == ((30, 1), (30, 2))
    prior = (P[z] / Q[z]).log().squeeze(-1)
    assert_close(resampler._log_weights(model), prior)
    assert_close(resampler._log_weights(simulator), torch.zeros(30))
    data = torch.tensor([0.3, 1.2])
    observed = poutine.condition(simulator, data={"x": data})
    likelihood = dist.Normal(z.to(torch.float), 1.0).log_prob(data).sum(-1)
    assert_close(resampler._log_weights(observed), likelihood)

    def shifted() -> None:
        z = pyro.sample("z", dist.Categorical(P))
        with pyro.plate("data", 2):
            pyro.sample("x", dist.Normal(z + 1.0, 1.0))

    ratio = dist.Normal(z + 1.0, 1.0).log_prob(x) - dist.Normal(z + 0.0, 1.0).log_prob(x)
    assert_close(resampler._log_weights(shifted), prior + ratio.sum(-1), atol=1e-5)


def test_samples_belong_together() -> None:
    resampler = Resampler(guide, simulator, num_guide_samples=30, max_plate_nesting=1)
    drawn = resampler.sample(model, 7)
    assert {name: value.shape for name, value in drawn.items()} == {"z": (7, 1), "x": (7, 2)}
    nodes = resampler._proposal.nodes
    for z, x in zip(drawn["z"], drawn["x"], strict=True):
        place = (nodes["x"]["value"] == x).all(-1).nonzero().item()
        assert nodes["z"]["value"][int(place)] == z


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="num_guide_samples must be a positive integer, got 0"):
        Resampler(guide, num_guide_samples=0)
