"""How runs are weighed: which sites count, and the sums over particles."""

import math

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer.log_weights import (
    effective_size,
    log_weight_terms,
    particle_log_prob,
    particle_log_weights,
)
from tests.helpers import assert_close, trace_of


def model() -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", 2, dim=-2), pyro.plate("columns", 3, dim=-1):
        w = pyro.sample("w", dist.Normal(z, 1.0))
        pyro.sample("x", dist.Normal(w, 1.0), obs=torch.zeros(2, 3))
    pyro.factor("f", z)


def guide() -> None:
    pyro.sample("z", dist.Normal(1.0, 0.5))


def particles(fn: object, count: int) -> object:
    def batched() -> None:
        with pyro.plate("particles", count, dim=-3):
            fn()  # type: ignore[operator]

    return batched


def test_a_run_and_each_of_many_weigh_the_same() -> None:
    drawn = trace_of(particles(guide, 4))  # type: ignore[arg-type]
    record = trace_of(poutine.replay(particles(model, 4), trace=drawn))
    gain, charge = particle_log_weights(record, drawn, 4, depth=2)
    assert gain.shape == charge.shape == (4,)
    for i in range(4):
        z, w = drawn.nodes["z"]["value"][i, 0, 0], record.nodes["w"]["value"][i]
        one = trace_of(poutine.condition(guide, data={"z": z}))
        one.nodes["z"]["is_observed"] = False
        run = trace_of(poutine.replay(poutine.condition(model, data={"w": w}), trace=one))
        run.nodes["w"]["is_observed"] = False
        terms = log_weight_terms(run, one)
        assert_close((gain[i], charge[i]), terms, atol=1e-5)
        likelihood = dist.Normal(w, 1.0).log_prob(torch.zeros(())).sum()
        assert_close(terms[0], dist.Normal(0.0, 1.0).log_prob(z) + z + likelihood, atol=1e-5)
        assert_close(terms[1], dist.Normal(1.0, 0.5).log_prob(z))


def test_a_filter_leaves_sites_out() -> None:
    record = trace_of(particles(model, 4))  # type: ignore[arg-type]
    found = particle_log_prob(record, 4, 2, lambda name, site: name == "f")
    assert_close(found, record.nodes["z"]["value"][:, 0, 0])
    assert_close(particle_log_prob(record, 4, 2, lambda name, site: False), torch.zeros(4))


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_the_effective_size_does_not_depend_on_a_constant(shift: float) -> None:
    w = torch.tensor([[1.0, 2.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    assert_close(effective_size(w.log() + shift), [9 / 5, 3.0])
    assert not math.isnan(effective_size(torch.tensor([0.0, -math.inf])).item())
