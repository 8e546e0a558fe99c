"""Importance weights: their mean is the evidence, by enumeration, and the diagnostics of them."""

import io
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import Importance
from pyro.infer.importance import (
    LogWeightsMixin,
    psis_diagnostic,
    tail_shape,
    vectorized_importance_weights,
)
from tests.helpers import assert_close, assert_fits_probabilities, assert_mean
from tests.infer.exact import Drawing, constant, finite_outcomes

P_A, Q_A, Q_B = 0.3, 0.6, 0.25
DATUM = torch.tensor(1.3)


def p_b(a: Any) -> Any:
    return 0.2 + 0.5 * a


def model() -> Tensor:
    a = pyro.sample("a", dist.Bernoulli(P_A))
    b = pyro.sample("b", dist.Bernoulli(p_b(a)))
    pyro.sample("x", dist.Normal(a + 2 * b, 1.0), obs=DATUM)
    return torch.as_tensor(a + 2 * b)


def guide() -> None:
    a = pyro.sample("a", dist.Bernoulli(Q_A))
    pyro.sample("b", dist.Bernoulli(Q_B + 0.1 * a))


def partial_guide() -> None:
    pyro.sample("a", dist.Bernoulli(Q_A))


def log_joint(a: float, b: float) -> float:
    log_p = math.log(P_A if a else 1 - P_A) + math.log(p_b(a) if b else 1 - p_b(a))
    return log_p + dist.Normal(a + 2 * b, 1.0).log_prob(DATUM).item()


OUTCOMES = [(a, b) for a in (0.0, 1.0) for b in (0.0, 1.0)]
EVIDENCE = sum(math.exp(log_joint(*ab)) for ab in OUTCOMES)


def proposal(kind: str, a: float, b: float) -> float:
    """The probability with which guide and model together draw these values."""
    p_of_a = P_A if kind == "prior" else Q_A
    p_of_b = Q_B + 0.1 * a if kind == "full" else p_b(a)
    return (p_of_a if a else 1 - p_of_a) * (p_of_b if b else 1 - p_of_b)


def outcomes() -> Iterator[tuple[float, float, Any]]:
    support = torch.tensor([0.0, 1.0])
    for values in finite_outcomes({"a": support, "b": support}, {}):
        yield (
            values["a"].item(),
            values["b"].item(),
            {name: constant(value) for name, value in values.items()},
        )


class DrawnModel:
    """Runs a program with given draws."""

    def __init__(self, program: Any, draws: Any) -> None:
        self.program = program
        self.draws = draws

    def __call__(self) -> Any:
        with Drawing(self.draws):
            return self.program()


@pytest.mark.parametrize("kind", ["prior", "full", "partial"])
def test_the_mean_weight_is_the_evidence(kind: str) -> None:
    proposals = {"prior": None, "full": guide, "partial": partial_guide}
    total = 0.0
    for a, b, draws in outcomes():
        chosen: Any = proposals[kind]
        chosen = None if chosen is None else DrawnModel(chosen, draws)
        posterior = Importance(DrawnModel(model, draws), chosen, num_samples=1).run()
        weight = posterior.get_log_normalizer().exp().item()
        assert weight == pytest.approx(math.exp(log_joint(a, b)) / proposal(kind, a, b))
        total += proposal(kind, a, b) * weight
    assert_close(total, EVIDENCE, rtol=1e-6)


@pytest.mark.parametrize("kind", ["full", "partial"])
def test_the_mean_of_weights_made_at_once_is_the_evidence(kind: str) -> None:
    """Four draws hold every outcome once, and are weighed by the probability of each."""
    columns = torch.tensor(OUTCOMES).t()
    draws = {name: constant(column) for name, column in zip("ab", columns, strict=True)}
    chosen = guide if kind == "full" else partial_guide
    log_weights, record, drawn = vectorized_importance_weights(
        DrawnModel(model, draws), DrawnModel(chosen, draws), num_samples=4
    )
    shares = torch.tensor([proposal(kind, *ab) for ab in OUTCOMES])
    assert_close((shares * log_weights.exp()).sum(), EVIDENCE)
    assert record.nodes["x"]["log_prob"].shape == (4,)
    assert "x" not in drawn


@pytest.mark.parametrize("keep_dist", [False, True])
def test_weights_of_tied_normals_are_exact(keep_dist: bool) -> None:
    """Under the exact posterior each weight is the evidence; log N(0; 5, 10) where it is kept."""

    def free() -> None:
        pyro.sample("x", dist.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0))
        pyro.sample("y", dist.Normal(torch.tensor(5.0, dtype=torch.float64), 3.0))

    def exact() -> None:
        mean, variance = (0.5, 0.9) if keep_dist else (0.0, 1.0)
        loc = torch.tensor(mean, dtype=torch.float64)
        pyro.sample("x", dist.Normal(loc, math.sqrt(variance)))

    tied = poutine.equalize(free, ["x", "y"], keep_dist=keep_dist)
    expected = -3.320231105 if keep_dist else 0.0
    posterior = Importance(tied, exact, num_samples=5).run()
    weights = torch.stack(list(posterior.log_weights))
    assert_close(weights, torch.full((5,), expected), atol=1e-7)
    assert_close(posterior.get_log_normalizer(), expected, atol=1e-7)
    assert_close(posterior.get_ESS(), 5.0)
    at_once, _, _ = vectorized_importance_weights(tied, exact, num_samples=3)
    assert_close(at_once, torch.full((3,), expected), atol=1e-7)
    prior = torch.stack(list(Importance(tied, num_samples=500).run().log_weights))
    if keep_dist:
        assert_mean(prior.exp(), math.exp(expected))
    else:
        assert_close(prior, torch.zeros(500))


def test_plates_are_summed_draw_by_draw() -> None:
    data = torch.randn(3)

    def plated() -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 6, subsample_size=3):
            w = pyro.sample("w", dist.Normal(z, 1.0))
            pyro.sample("x", dist.Normal(w, 1.0), obs=data)

    def proposals() -> None:
        pyro.sample("z", dist.Normal(0.5, 1.0))
        with pyro.plate("data", 6, subsample_size=3):
            pyro.sample("w", dist.Normal(0.0, 2.0))

    for options in ({}, {"max_plate_nesting": 1}):
        found, record, drawn = vectorized_importance_weights(
            plated, proposals, num_samples=5, **options
        )
        z, w = (record.nodes[name]["value"] for name in "zw")
        assert z.shape == (5, 1) and w.shape == (5, 3)
        gain = 2 * (dist.Normal(z, 1.0).log_prob(w) + dist.Normal(w, 1.0).log_prob(data))
        charge = 2 * dist.Normal(0.0, 2.0).log_prob(w)
        ratio = dist.Normal(0.0, 1.0).log_prob(z) - dist.Normal(0.5, 1.0).log_prob(z)
        assert_close(found, (gain - charge).sum(-1) + ratio.squeeze(-1), atol=1e-5)


def test_weights_are_normalised_on_demand() -> None:
    pyro.set_rng_seed(1)
    plain, _, _ = vectorized_importance_weights(model, guide, num_samples=6)
    pyro.set_rng_seed(1)
    found, _, _ = vectorized_importance_weights(model, guide, num_samples=6, normalized=True)
    assert_close(found, plain - plain.exp().sum().log())
    assert vectorized_importance_weights(model, guide)[0].shape == (1,)


class Weighed(LogWeightsMixin):
    def __init__(self, log_weights: Any) -> None:
        self.log_weights = log_weights


@pytest.mark.parametrize("as_list", [False, True])
def test_what_weights_tell(as_list: bool) -> None:
    w = torch.tensor([0.5, 2.0, 0.0, 1.5], dtype=torch.float64)
    log_weights = w.log()
    weighed = Weighed(list(log_weights) if as_list else log_weights)
    assert_close(weighed.get_log_normalizer(), w.mean().log())
    assert_close(weighed.get_normalized_weights(), w / 4)
    assert_close(weighed.get_normalized_weights(log_scale=True), (w / 4).log())
    assert_close(weighed.get_ESS(), 16.0 / (w**2).sum())


def test_the_posterior_draws_by_weight() -> None:
    posterior = Importance(model, guide, num_samples=600).run()
    values = torch.stack([record.nodes["_RETURN"]["value"] for record in posterior.exec_traces])
    by_outcome = torch.zeros(4).index_add_(0, values.long(), posterior.get_normalized_weights())
    drawn = posterior.marginal().empirical["_RETURN"].sample((2000,))
    assert_fits_probabilities(drawn, by_outcome)


def test_weights_carry_gradients() -> None:
    loc = torch.tensor(0.3, requires_grad=True)

    def learnable() -> None:
        pyro.sample("x", dist.Normal(loc, 1.0), obs=torch.tensor(1.0))

    Importance(learnable, num_samples=2).run().get_log_normalizer().backward()
    assert_close(loc.grad, 0.7)


def test_the_prior_runs_once_a_sample() -> None:
    calls = []
    Importance(lambda: calls.append(model()), num_samples=7).run()
    assert len(calls) == 7


def test_arguments_are_checked() -> None:
    with pytest.warns(UserWarning, match="takes 10 samples; pass num_samples"):
        assert Importance(model).num_samples == 10
    for call in (
        lambda: Importance(model, num_samples=0),
        lambda: vectorized_importance_weights(model, guide, num_samples=0),
    ):
        with pytest.raises(ValueError, match="num_samples must be a positive integer, got 0"):
            call()
    with pytest.raises(RuntimeError, match="Importance holds no weights yet: call run"):
        Importance(model, num_samples=1).get_ESS()
    tie = poutine.equalize(sites=["a", "b"])
    with pytest.raises(ValueError, match="Wrap the model instead"), tie:
        Importance(model, num_samples=1).run()
    with pytest.raises(ValueError, match="Wrap the model instead"), tie:
        vectorized_importance_weights(model, guide)


@pytest.mark.parametrize("k", [0.2, 0.7, 1.1])
def test_the_tail_of_pareto_weights_is_found(k: float) -> None:
    """Weights at equally likely quantiles; 3 sqrt(n) of them are in the tail."""
    levels = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    weights = -k * levels[torch.randperm(100_000)].log()
    assert_close(tail_shape(weights), k, atol=0.03)
    assert_close(tail_shape(weights + 700.0), tail_shape(weights))


def test_psis_tells_a_narrow_guide_from_a_wide_one() -> None:
    """The tail has shape 1 - s^2 for a guide of standard deviation s: 0.99 and below 0."""

    def target() -> None:
        pyro.sample("z", dist.Normal(0.0, 1.0))

    def normal(scale: float) -> Any:
        return lambda: pyro.sample("z", dist.Normal(0.0, scale))

    for options in (
        {},
        {"max_plate_nesting": 0, "max_simultaneous_particles": 300},
        {"vectorized": False},
    ):
        assert psis_diagnostic(target, normal(0.1), **options) > 0.7
        assert psis_diagnostic(target, normal(1.5), **options) < 0.5


def test_a_tail_needs_weights() -> None:
    with pytest.raises(ValueError, match="The tail of 10 weights .* Raise num_particles"):
        psis_diagnostic(model, guide, num_particles=10)
    with pytest.raises(ValueError, match="cannot be fitted"):
        tail_shape(torch.full((100,), -math.inf))


def test_a_long_run_shows_a_bar_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("pyro._foundation.progress.PATIENCE", 0.0)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    shown = []
    for stream, disabled in ((Terminal(), ""), (io.StringIO(), ""), (Terminal(), "1")):
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setenv("TQDM_DISABLE", disabled)
        Importance(model, guide, num_samples=3).run()
        shown.append("Importance" in stream.getvalue())
    assert shown == [True, False, False]
