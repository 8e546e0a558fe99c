"""The bound of Tensor Monte Carlo against exact sums over what is drawn."""

import math
from itertools import product
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer import TraceTMC_ELBO
from pyro.infer.enum_factors import ModelFactors, tree_of
from pyro.infer.plates import inside_plate
from pyro.ops.contract import contract_tensor_tree
from tests.helpers import assert_close, assert_mean
from tests.infer.brute_force import log_evidence
from tests.infer.finite_models import CASES, Tables
from tests.infer.test_traceenum_elbo import (
    assert_same_value_and_gradient,
    no_guide,
    priors_of,
)

DATA = torch.tensor([0.3, -0.8], dtype=torch.double)


@pytest.mark.parametrize("name", [name for name in CASES if "scaled" not in name])
def test_exact_sums_are_the_evidence_whoever_enumerates(name: str) -> None:
    case, other = CASES[name](0), CASES[name](100)
    exact = -log_evidence(case.model, case.sites, {})
    for guide in (no_guide, priors_of(other, "parallel")):
        loss = TraceTMC_ELBO().differentiable_loss(case.model, guide)
        assert_same_value_and_gradient(loss, exact, case.params)


@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize("tmc", ["diagonal", "mixture"])
def test_the_evidence_is_estimated_without_bias(expand: bool, tmc: str) -> None:
    """The mean over all draws of the estimate itself, a root and a site that depends on it."""
    tables = Tables(0)
    root, child, q_root, q_child = tables(2), tables(2, 2), tables(2), tables(2, 2)
    infer = {"enumerate": "parallel", "num_samples": 2, "expand": expand, "tmc": tmc}

    def program(first: Any, second: Any, infer: Any) -> Any:
        a = pyro.sample("a", dist.Categorical(logits=first), infer=infer)
        b = pyro.sample("b", dist.Categorical(logits=second[a]), infer=infer)
        return a, b

    def model() -> None:
        a, b = program(root, child, None)
        pyro.sample("x", dist.Normal((a + 2 * b).double(), 1.0), obs=DATA[0])

    sites: Any = {"a": (range(2), ()), "b": (range(2), ())}
    exact = log_evidence(model, sites, {}).exp()

    def losses_of_copies() -> Any:
        """One independent estimate for each element of a plate."""
        elbo = TraceTMC_ELBO(max_plate_nesting=1)
        copies, copied = (
            inside_plate(one, "copies", 2000, dim=-1)
            for one in (model, lambda: program(q_root, q_child, {**infer}))
        )
        terms = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ModelFactors, "summed", lambda self: terms.append(_kept(self)) or {})
            elbo.loss(copies, copied)
        return terms[0]

    assert_mean(losses_of_copies().exp(), exact)


def _kept(factors: ModelFactors) -> Any:
    """The sum over all variables in each element of the only plate."""
    ((plate, terms),) = tree_of(factors.factors).items()
    (total,) = contract_tensor_tree({plate: terms}, set(factors.variables))[plate]
    return total


def test_gradients_of_draws_that_are_not_pathwise_are_unbiased() -> None:
    """Two draws in each of two elements of a plate: all 16 outcomes, weighted."""
    tables = Tables(1)
    prior, loc, q = tables(2), tables(2), tables(2)
    infer = {"enumerate": "parallel", "num_samples": 2, "expand": True}

    def model() -> None:
        with pyro.plate("data", 2):
            z = pyro.sample("z", dist.Categorical(logits=prior))
            pyro.sample("x", dist.Normal(loc[z], 1.0), obs=DATA)

    def guide() -> None:
        with pyro.plate("data", 2):
            pyro.sample("z", dist.Categorical(logits=q), infer=infer)

    def outcomes() -> Any:
        weights = q.detach().softmax(-1)
        for flat in product(range(2), repeat=4):
            value = torch.tensor(flat).reshape(2, 2)
            yield float(weights[value].prod()), value

    # by hand: the mean of -sum_i log(mean_k p(x_i, z_ik) / q(z_ik))
    exact = torch.zeros((), dtype=torch.double)
    log_p, log_q = prior.log_softmax(-1), q.log_softmax(-1)
    total_loss, total_grads = 0.0, [torch.zeros_like(p) for p in (prior, loc, q)]
    for weight, value in outcomes():
        ratio = (log_p - log_q)[value] + dist.Normal(loc[value], 1.0).log_prob(DATA)
        loss = -(ratio.logsumexp(0) - math.log(2)).sum()
        exact = exact + log_q[value].sum().exp() * loss
        fixed = _Fixed(value)
        with fixed:
            found = TraceTMC_ELBO(max_plate_nesting=1).differentiable_loss(model, guide)
        total_loss += weight * found.item()
        for total, part in zip(
            total_grads, torch.autograd.grad(found, (prior, loc, q)), strict=True
        ):
            total += weight * part
    assert_close(total_loss, exact)
    assert_close(total_grads, torch.autograd.grad(exact, (prior, loc, q)))


class _Fixed:
    """Lets Categorical draw a given value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __enter__(self) -> None:
        self.original = dist.Categorical.sample
        dist.Categorical.sample = lambda law, shape=(): self.value.reshape(*shape, -1)  # type: ignore[method-assign,assignment]

    def __exit__(self, *args: Any) -> None:
        dist.Categorical.sample = self.original  # type: ignore[method-assign]
