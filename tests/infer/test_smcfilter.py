"""Particle filters against the Kalman filter and the forward algorithm."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.infer import SMCFilter
from pyro.infer.smcfilter import SMCFailed, SMCState, systematic_sample
from tests.helpers import assert_close, assert_mean

DATA = torch.tensor([0.9, 1.7, -0.4, 0.3], dtype=torch.float64)
A, Q, R = 0.8, 0.6, 0.7  # the decay of the state, its noise, and that of the data


class Numbered:
    """Counts its steps, whose sites have names of their own."""

    t = 0

    def name(self, site: str) -> str:
        return f"{site}_{self.t}"


class Walk(Numbered):
    """A linear Gaussian model."""

    def init(self, state: Any) -> None:
        self.t = 0
        loc = torch.tensor(0.0, dtype=torch.float64)
        state["z"] = pyro.sample(self.name("z"), dist.Normal(loc, 1.0))

    def step(self, state: Any, x: Tensor) -> None:
        self.t += 1
        state["z"] = pyro.sample(self.name("z"), dist.Normal(A * state["z"], Q))
        pyro.sample(self.name("x"), dist.Normal(state["z"], R), obs=x)


class Bootstrap:
    def init(self, state: Any) -> None: ...

    def step(self, state: Any, x: Tensor) -> None: ...


class Wide(Numbered):
    """A guide of its own, wider than the model."""

    def init(self, state: Any) -> None:
        self.t = 0
        pyro.sample("z_0", dist.Normal(torch.tensor(0.2, dtype=torch.float64), 1.3))

    def step(self, state: Any, x: Tensor) -> None:
        self.t += 1
        pyro.sample(self.name("z"), dist.Normal(0.7 * A * state["z"] + 0.3 * x, 1.5 * Q))


class Optimal(Numbered):
    """The law of the next state given the state before and the datum."""

    def init(self, state: Any) -> None:
        self.t = 0

    def step(self, state: Any, x: Tensor) -> None:
        self.t += 1
        precision = Q**-2 + R**-2
        mean = (A * state["z"] / Q**2 + x / R**2) / precision
        pyro.sample(self.name("z"), dist.Normal(mean, precision**-0.5))


def kalman(data: Tensor) -> tuple[float, float]:
    """The log evidence, and the mean of the last state."""
    mean, variance, total = 0.0, 1.0, 0.0
    for x in data.tolist():
        mean, variance = A * mean, A**2 * variance + Q**2
        spread = variance + R**2
        total += dist.Normal(mean, math.sqrt(spread)).log_prob(torch.tensor(x)).item()
        gain = variance / spread
        mean, variance = mean + gain * (x - mean), (1 - gain) * variance
    return total, mean


def filtered(model: Any, guide: Any, data: Tensor, **options: Any) -> SMCFilter:
    smc = SMCFilter(model, guide, **{"max_plate_nesting": 0, "num_particles": 30, **options})
    smc.init()
    for x in data:
        smc.step(x)
    return smc


@pytest.mark.parametrize("ess_threshold", [0.5, 1.0])
@pytest.mark.parametrize("guide", [Bootstrap, Wide, Optimal])
def test_evidence_and_means_are_kalmans(guide: Any, ess_threshold: float) -> None:
    """Both are unbiased: E[Z] = p(x), and E[Z * mean] = p(x) E[z | x]; 5e-5 false alarms in all."""
    log_evidence, mean = kalman(DATA)
    ratios, apart = [], []
    for _ in range(150):
        smc = filtered(Walk(), guide(), DATA, ess_threshold=ess_threshold)
        ratios.append((smc.log_evidence - log_evidence).exp())
        apart.append(ratios[-1] * (smc.get_empirical()["z"].mean - mean))
    assert_mean(torch.stack(ratios), 1.0)
    assert_mean(torch.stack(apart), 0.0)


def test_the_evidence_of_one_step_is_exact_under_the_exact_posterior() -> None:
    class Exact(Numbered):
        def init(self, state: Any) -> None:
            loc = torch.tensor(0.5, dtype=torch.float64)
            pyro.sample("z", dist.Normal(loc, 0.5**0.5))

    class Model:
        def init(self, state: Any) -> None:
            loc = torch.tensor(0.0, dtype=torch.float64)
            state["z"] = pyro.sample("z", dist.Normal(loc, 1.0))
            pyro.sample("x", dist.Normal(state["z"], 1.0), obs=torch.tensor(1.0))

    smc = SMCFilter(Model(), Exact(), 4, 0)
    smc.init()
    assert_close(smc.log_evidence, dist.Normal(0.0, 2**0.5).log_prob(torch.tensor(1.0)), rtol=1e-6)
    assert_close(smc.state._log_weights, torch.full((4,), -math.log(4)), atol=1e-7)


START = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
MOVES = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8]], dtype=torch.float64)
LOCS = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)


class Chain(Numbered):
    """A hidden Markov model whose data come in a plate of two."""

    def init(self, state: Any) -> None:
        self.t = 0
        state["z"] = pyro.sample("z_0", dist.Categorical(START))

    def step(self, state: Any, x: Tensor) -> None:
        self.t += 1
        state["z"] = pyro.sample(self.name("z"), dist.Categorical(MOVES[state["z"]]))
        with pyro.plate(self.name("rows"), 2):
            pyro.sample(self.name("x"), dist.Normal(LOCS[state["z"]], 1.0), obs=x)


def forward(data: Tensor) -> tuple[Tensor, Tensor]:
    """The log evidence, and the law of the last state."""
    alpha = START
    for x in data:
        likelihood = dist.Normal(LOCS, 1.0).log_prob(x.unsqueeze(-1)).sum(0).exp()
        alpha = (alpha @ MOVES) * likelihood
    return alpha.sum().log(), alpha / alpha.sum()


def test_evidence_and_law_of_a_hidden_markov_model() -> None:
    data = torch.tensor([[0.1, 0.4], [0.9, 0.0], [-0.2, 0.8]], dtype=torch.float64)
    log_evidence, law = forward(data)
    ratios, apart = [], []
    for _ in range(200):
        smc = filtered(Chain(), Bootstrap(), data, max_plate_nesting=1)
        assert smc.state["z"].shape == (30, 1)
        ratios.append((smc.log_evidence - log_evidence).exp())
        found = dist.Empirical(smc.state["z"][:, 0], smc.state._log_weights)
        apart.append(ratios[-1] * (found.log_prob(torch.arange(3)).exp() - law))
    assert_mean(torch.stack(ratios), 1.0)
    assert_mean(torch.stack(apart), torch.zeros(3))


def test_systematic_draws_come_up_by_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a grid of the one random number, the mean count of an index is exact."""
    weights = torch.tensor([3.0, 0.0, 1.0, 7.0, 5.0], dtype=torch.float64) / 16
    counts = []
    for i in range(64):
        u = torch.tensor((i + 0.5) / 64, dtype=torch.float64)
        monkeypatch.setattr(torch, "rand", lambda *args, u=u, **kwargs: u)
        count = torch.bincount(systematic_sample(weights.log()), minlength=5)
        assert ((count - 5 * weights).abs() < 1).all()
        counts.append(count)
    assert_close(torch.stack(counts).double().mean(0), 5 * weights)


def test_particles_are_resampled_below_the_threshold_only() -> None:
    for threshold, is_resampled in ((1e-6, False), (1.0, True)):
        smc = filtered(Walk(), Bootstrap(), DATA[:1], ess_threshold=threshold)
        equal = torch.full((30,), -math.log(30), dtype=torch.float64)
        assert torch.allclose(smc.state._log_weights, equal) is is_resampled
        assert (len(smc.state["z"].unique()) < 30) is is_resampled
        assert_close(smc.state._log_weights.exp().sum(), 1.0)


def test_a_filter_begins_anew_and_hides_its_sites() -> None:
    smc = filtered(Walk(), Bootstrap(), DATA)
    with pyro.poutine.trace() as outer:
        smc.init()
    assert_close(smc.log_evidence, 0.0)
    assert list(outer.trace.nodes) == []


def test_a_state_holds_rows_of_particles() -> None:
    state = SMCState(3)
    state["z"] = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"SMCState\['z'\] has shape \(2,\), expected one row for"):
        state["z"] = torch.zeros(2)
    with pytest.raises(ValueError, match=r"has shape \(\), expected"):
        state["z"] = torch.zeros(())
    with pytest.raises(TypeError, match="must be a tensor with one row a particle, got float"):
        state["z"] = 1.0  # type: ignore[assignment]


def test_the_guide_does_not_write() -> None:
    class Writing(Walk): ...

    smc = SMCFilter(Walk(), Writing(), 3, 0)
    with pytest.raises(RuntimeError, match="The guide may read .* but not write 'z'"):
        smc.init()
    smc.state["z"] = torch.zeros(3)  # open again


def test_a_filter_that_lost_its_particles_names_the_site() -> None:
    class Impossible(Walk):
        def step(self, state: Any, x: Tensor) -> None:
            super().step(state, x)
            pyro.factor("ruled_out", torch.tensor(-math.inf))

    smc = SMCFilter(Impossible(), Bootstrap(), 5, 0)
    smc.init()
    with pytest.raises(SMCFailed, match="At site 'ruled_out': no particle of 5 is left"):
        smc.step(DATA[0])


def test_arguments_are_checked() -> None:
    with pytest.raises(RuntimeError, match=r"no particles yet: call init\(\)"):
        SMCFilter(Walk(), Bootstrap(), 5, 0).step(DATA[0])
    with pytest.raises(ValueError, match="num_particles must be a positive integer"):
        SMCFilter(Walk(), Bootstrap(), 0, 0)
    with pytest.raises(ValueError, match="ess_threshold must lie above 0 and up to 1, got 0.0"):
        SMCFilter(Walk(), Bootstrap(), 5, 0, ess_threshold=0.0)
