"""Gradients by DiCE, averaged over all draws, against those of exact sums."""

from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer import TraceEnum_ELBO
from pyro.infer.dice import Dice, compute_site_dice_factor, ordinal_of
from pyro.infer.enum import iter_discrete_traces
from pyro.ops.packed import named
from tests.helpers import assert_close, trace_of
from tests.infer.brute_force import Supports, bound, log_joint
from tests.infer.exact import expected_gradient, weighted_outcomes
from tests.infer.finite_models import PARALLEL, Tables

COIN = torch.tensor([0.0, 1.0], dtype=torch.double)
BOTH = [0.0, 1.0]


def fan(tables: Tables, hints: Any) -> Any:
    """Coins in a plate, each with one that depends on it, and one outside that sees their sum."""
    first, outer, last = tables(1), tables(3), tables(2)

    def program(data: Any = None) -> None:
        rows = pyro.plate("rows", 2, dim=-1)
        with rows:
            a = pyro.sample("a", dist.Bernoulli(logits=first[0]))
        b = pyro.sample("b", dist.Bernoulli(logits=outer[a.sum(-1).long()]))
        if data is not None:
            pyro.sample("y", dist.Normal(3 * b, 1.0), obs=data.sum())
        with rows:
            c = pyro.sample("c", dist.Bernoulli(logits=last[a.long()]), infer=hints)
            if data is not None:
                pyro.sample("x", dist.Normal(a + 2 * c, 1.0), obs=data)

    return program


@pytest.mark.parametrize("mode", ["sampled", "parallel", "sequential"])
def test_what_is_drawn_answers_for_all_that_may_depend_on_it(mode: str) -> None:
    """In its own element of the plate, and outside of the plate, where a sum leads."""
    tables, others = Tables(0), Tables(1)
    model = fan(tables, None)
    guide = fan(others, None if mode == "sampled" else {"enumerate": mode})
    data = torch.tensor([0.4, 1.7], dtype=torch.double)
    params = tables.leaves + others.leaves

    def observed() -> None:
        model(data)

    drawn = {"a": COIN, "b": COIN} | ({"c": COIN} if mode == "sampled" else {})
    sites: Supports = {"a": (BOTH, (2,)), "b": (BOTH, ()), "c": (BOTH, (2,))}
    exact = -bound(observed, guide, sites, {})

    def log_q(values: dict[str, torch.Tensor]) -> torch.Tensor:
        """The density of what is drawn; what is not drawn sums to one."""
        with torch.no_grad():
            whole = {"c": torch.zeros(2, dtype=torch.double), **values}
            total = log_joint(guide, whole)
            if mode != "sampled":
                record = trace_of(pyro.poutine.condition(guide, data=whole))
                record.compute_log_prob()
                total = total - record.nodes["c"]["log_prob_sum"]
            return total

    outcomes = weighted_outcomes(drawn, {"a": (2,), "c": (2,)}, log_q)
    elbo = TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False)
    loss, grads = expected_gradient(elbo, observed, guide, outcomes, params)
    assert_close(loss, exact)
    assert_close(grads, torch.autograd.grad(exact, params))


def test_several_draws_in_place_of_a_support_have_its_mean() -> None:
    """Two draws of a coin: all four outcomes, weighted."""
    tables, q = Tables(0)(2), Tables(1)(2)

    def model() -> None:
        z = pyro.sample("z", dist.Categorical(logits=tables))
        pyro.sample("x", dist.Normal(z.double(), 1.0), obs=torch.tensor(0.3))

    def guide(hints: Any = None) -> None:
        pyro.sample("z", dist.Categorical(logits=q), infer=hints)

    exact = -bound(model, guide, {"z": (range(2), ())}, {})
    total, grad = 0.0, torch.zeros_like(q)
    for draws in torch.cartesian_prod(torch.arange(2), torch.arange(2)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dist.Categorical, "sample", lambda law, shape=(), draws=draws: draws)
            loss = TraceEnum_ELBO(max_plate_nesting=0).differentiable_loss(
                model, lambda: guide({**PARALLEL, "num_samples": 2})
            )
        weight = q.detach().softmax(-1)[draws].prod()
        total += float(weight * loss.detach())
        grad += weight * torch.autograd.grad(loss, q)[0]
    assert_close(total, exact)
    assert_close(grad, torch.autograd.grad(exact, q)[0])


def test_an_infinite_cost_of_what_cannot_be_is_none() -> None:
    def model() -> None:
        z = pyro.sample("z", dist.Categorical(torch.tensor([1.0, 0.0])))
        pyro.sample("x", dist.Normal(z.float(), 1.0), obs=torch.tensor(0.0))

    probs = torch.tensor([1.0, 0.0], requires_grad=True)

    def guide() -> None:
        pyro.sample("z", dist.Categorical(probs), infer=PARALLEL)

    loss = TraceEnum_ELBO(max_plate_nesting=0).differentiable_loss(model, guide)
    assert_close(loss, -dist.Normal(0.0, 1.0).log_prob(torch.tensor(0.0)))
    (gradient,) = torch.autograd.grad(loss, probs)
    assert bool(gradient.isfinite().all())


def test_factors_of_every_kind_of_site() -> None:
    def guide() -> None:
        pyro.sample("sequential", dist.Bernoulli(0.25), infer={"enumerate": "sequential"})
        pyro.sample("drawn", dist.Bernoulli(0.25))
        pyro.sample("pathwise", dist.Normal(0.0, 1.0))

    record = next(iter_discrete_traces("flat", guide))
    record.compute_score_parts()
    record.pack_tensors()
    weight, log_total = compute_site_dice_factor(record.nodes["sequential"])
    assert_close(weight, torch.tensor(0.75).log())
    assert_close(log_total, torch.tensor(2.0).log().item(), rtol=1e-6)
    assert_close(compute_site_dice_factor(record.nodes["drawn"]), (torch.tensor(0.0), 0.0))
    assert compute_site_dice_factor(record.nodes["pathwise"]) == (0.0, 0.0)
    sites = {n: ordinal_of(s, {}) for n, s in record.nodes.items() if s["type"] == "sample"}
    cost = named(torch.tensor(3.0), "")
    assert_close(Dice(record, sites).compute_expectation({frozenset(): [cost]}), 2.25)
