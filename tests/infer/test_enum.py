from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer.enum import get_importance_trace
from tests.helpers import assert_close


def model(size: Any = 3) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    with pyro.plate("data", size):
        pyro.sample("x", dist.Normal(z, 1.0), obs=torch.arange(float(size)))


def guide(size: Any = 3) -> None:
    loc = pyro.param("loc", torch.tensor(0.5))
    pyro.sample("z", dist.Normal(loc, 2.0))


def test_both_traces_are_scored_at_the_guides_draw() -> None:
    model_trace, guide_trace = get_importance_trace("flat", 1, model, guide, (4,), {})
    z = guide_trace.nodes["z"]["value"]
    assert model_trace.nodes["z"]["value"] is z
    assert_close(model_trace.nodes["z"]["log_prob"], dist.Normal(0.0, 1.0).log_prob(z))
    x_terms = dist.Normal(z, 1.0).log_prob(torch.arange(4.0))
    assert_close(model_trace.nodes["x"]["log_prob"], x_terms)
    assert_close(model_trace.nodes["x"]["log_prob_sum"], x_terms.sum())
    assert_close(
        guide_trace.nodes["z"]["score_parts"].entropy_term, dist.Normal(0.5, 2.0).log_prob(z)
    )


def test_plate_indices_are_left_out() -> None:
    model_trace, _ = get_importance_trace("flat", 1, model, guide, (), {"size": 2})
    assert [name for name in model_trace.nodes if name[0] != "_"] == ["z", "x"]


def test_detached_draws_carry_no_gradient() -> None:
    for detach in (False, True):
        traces = get_importance_trace("flat", 1, model, guide, (), {}, detach=detach)
        assert all(t.nodes["z"]["value"].requires_grad is not detach for t in traces)


def test_dense_traces_have_edges() -> None:
    model_trace, _ = get_importance_trace("dense", 1, model, guide, (), {})
    assert ("z", "x") in model_trace.edges


def undeclared() -> None:
    pyro.sample("z", dist.Normal(torch.zeros(3), 1.0))


def test_checks_run_under_validation_only() -> None:
    with pytest.raises(ValueError, match=r"'z': log density has shape \(3,\).*to_event"):
        get_importance_trace("flat", 1, undeclared, undeclared, (), {})
    with pytest.raises(ValueError, match="'z': the guide draws this site, but the model does not"):
        get_importance_trace("flat", 1, lambda: None, guide, (), {})
    with pyro.validation_enabled(False):
        get_importance_trace("flat", 1, undeclared, undeclared, (), {})
        get_importance_trace("flat", 1, lambda: None, guide, (), {})
