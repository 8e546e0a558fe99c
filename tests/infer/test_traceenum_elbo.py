from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer import TraceEnum_ELBO
from tests.helpers import assert_close
from tests.infer.brute_force import bound, log_evidence
from tests.infer.finite_models import CASES, Case, hmm

EVERY_CASE = pytest.mark.parametrize("name", CASES)
EVERY_SEED = pytest.mark.parametrize("seed", range(2))

# Guides whose sites in a plate do not meet again outside of it.
GUIDES = [name for name in CASES if "tied" not in name and "scaled" not in name]

SWITCH: Any = {"w": ([0.0, 1.0], ())}
COMPONENTS: Any = {"z": ([0.0, 1.0], (2,))}


def no_guide(*args: Any) -> None:
    pass


def assert_same_value_and_gradient(actual: Any, expected: Any, params: Any) -> None:
    assert_close(actual, expected)
    assert_close(
        torch.autograd.grad(actual, params, materialize_grads=True),
        torch.autograd.grad(expected, params, materialize_grads=True, retain_graph=True),
    )


@EVERY_SEED
@EVERY_CASE
def test_what_the_model_enumerates_is_summed_exactly(name: str, seed: int) -> None:
    case = CASES[name](seed)
    loss = TraceEnum_ELBO().differentiable_loss(case.model, no_guide)
    exact = log_evidence(case.model, case.sites, {}) if "scaled" not in name else None
    if exact is None:  # the sum as a whole is scaled
        twin = CASES[name.replace("scaled ", "")](seed)
        exact = 0.5 * log_evidence(twin.model, twin.sites, {})
        assert_close(loss, -exact)
        return
    assert_same_value_and_gradient(loss, -exact, case.params)


def priors_of(case: Case, mode: str) -> Any:
    """The laws of a model's enumerated sites as a guide."""

    def hints(site: Any) -> dict[str, Any]:
        return {"enumerate": mode} if site["name"] in case.sites else {}

    latent = poutine.block(case.model, hide_fn=lambda site: not_latent(site, case))
    return poutine.infer_config(latent, hints)


def not_latent(site: Any, case: Case) -> bool:
    return site["type"] == "sample" and site["name"] not in case.sites


@pytest.mark.parametrize("mode", ["parallel", "sequential"])
@pytest.mark.parametrize("name", GUIDES)
def test_what_the_guide_enumerates_is_weighed_exactly(name: str, mode: str) -> None:
    case, other = CASES[name](0), CASES[name](100)
    guide = priors_of(other, mode)
    loss = TraceEnum_ELBO().differentiable_loss(case.model, guide)
    exact = bound(case.model, guide, case.sites, {})
    assert_same_value_and_gradient(loss, -exact, case.params + other.params)


def two_levels(inner: Any, outer: Any = None) -> Any:
    """A switch, and a component for each of two data, with hints of one's own."""

    def program(with_data: bool = True) -> None:
        w = pyro.sample("w", dist.Bernoulli(0.3), infer=outer)
        with pyro.plate("data", 2, dim=-1):
            z = pyro.sample("z", dist.Bernoulli(0.2 + 0.5 * w), infer=inner)
            if with_data:
                pyro.sample("x", dist.Normal(z + w, 1.0), obs=torch.tensor([0.1, 0.9]))

    return program


@pytest.mark.parametrize("side", ["model", "guide"])
def test_a_chain_of_a_thousand_states_has_the_forward_algorithms_sum(side: str) -> None:
    """In the guide, no marginal is of more than two states."""
    case = hmm(0, 1, steps=1000)
    transitions, locs = case.params
    alpha, data = transitions[0].log_softmax(-1), torch.linspace(-1, 1, 1000, dtype=torch.double)
    expected = torch.zeros((), dtype=torch.double)
    if side == "model":
        for t in range(1000):
            step = transitions.log_softmax(-1)
            alpha = alpha if t == 0 else (alpha[:, None] + step).logsumexp(0)
            alpha = alpha + dist.Normal(locs, 1.0).log_prob(data[t])
        expected = alpha.logsumexp(0)
        guide: Any = no_guide
    else:  # the guide has the prior: what is left is the mean log likelihood
        probs = transitions[0].softmax(-1)
        for t in range(1000):
            probs = probs if t == 0 else probs @ transitions.softmax(-1)
            expected = expected + (probs * dist.Normal(locs, 1.0).log_prob(data[t])).sum()
        guide = priors_of(case, "parallel")
    elbo = TraceEnum_ELBO(max_plate_nesting=0)
    with pyro.validation_enabled(False):
        assert_close(elbo.loss(case.model, guide), -expected.item(), rtol=1e-9)


def test_mixed_enumeration_has_the_sum_of_any() -> None:
    """The switch run by run, at once, or in the model; the components at once."""
    hints = {"enumerate": "parallel"}
    model = two_levels(hints)
    switch = poutine.block(two_levels(None), hide=["z", "x", "data"])
    exact = bound(model, switch, SWITCH, COMPONENTS)
    for mode in ("parallel", "sequential"):
        guide = poutine.block(two_levels(None, {"enumerate": mode}), hide=["z", "x"])
        assert_close(TraceEnum_ELBO().differentiable_loss(model, guide), -exact)


def test_particles_in_a_plate_see_the_same_sum() -> None:
    model = two_levels({"enumerate": "parallel"}, {"enumerate": "parallel"})
    single = TraceEnum_ELBO().differentiable_loss(model, no_guide)
    for vectorize in (False, True):
        many = TraceEnum_ELBO(num_particles=3, vectorize_particles=vectorize)
        assert_close(many.differentiable_loss(model, no_guide), single)


def test_a_masked_site_sums_to_one() -> None:
    def model() -> None:
        with pyro.plate("data", 2), poutine.mask(mask=torch.tensor([True, False])):
            z = pyro.sample("z", dist.Bernoulli(0.3), infer={"enumerate": "parallel"})
            pyro.sample("x", dist.Normal(z, 1.0), obs=torch.zeros(2))

    likelihood = dist.Normal(torch.tensor([0.0, 1.0]), 1.0).log_prob(torch.tensor(0.0)).exp()
    exact = (torch.tensor([0.7, 0.3]) * likelihood).sum().log()
    assert_close(TraceEnum_ELBO().differentiable_loss(model, no_guide), -exact)


def loss_of(model: Any, guide: Any = no_guide, depth: float = 1) -> float:
    return TraceEnum_ELBO(max_plate_nesting=depth).loss(model, guide)


def test_what_is_wrong_is_said_with_its_remedy() -> None:
    hints = {"enumerate": "parallel"}

    def outside() -> None:
        with pyro.plate("data", 2):
            z = pyro.sample("z", dist.Bernoulli(0.3), infer=hints)
        pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(0.0))

    with pytest.raises(ValueError, match="'x': it depends on 'z', .* inside plate 'data'"):
        loss_of(outside)

    def subsampled() -> None:
        z = pyro.sample("z", dist.Bernoulli(0.3), infer=hints)
        with pyro.plate("data", 10, 2):
            pyro.sample("x", dist.Normal(z, 1.0), obs=torch.zeros(2))

    with pytest.raises(ValueError, match="'x': it is summed .* 'z', .*plate 'data' is subsampled"):
        loss_of(subsampled)

    def crossing() -> None:
        rows, columns = pyro.plate("rows", 2, dim=-1), pyro.plate("columns", 2, dim=-2)
        with rows:
            r = pyro.sample("r", dist.Bernoulli(0.3), infer=hints)
        with columns:
            c = pyro.sample("c", dist.Bernoulli(0.3), infer=hints)
        with rows, columns:
            pyro.sample("x", dist.Normal(r + c, 1.0), obs=torch.zeros(2, 2))

    text = "plates 'columns' and 'rows' joins .* 'c' in plate 'columns', 'r' in plate 'rows'"
    with pytest.raises(NotImplementedError, match=text):
        loss_of(crossing, depth=2)
    with pytest.raises(ValueError, match="max_plate_nesting=1 to the objective"):
        loss_of(outside, depth=0)
    with pytest.raises(ValueError, match="'w2': the guide draws this site, but the model does not"):
        loss_of(two_levels(hints), lambda: pyro.sample("w2", dist.Bernoulli(0.1)))
    text = "'w': it is enumerated sequentially in the model"
    with pytest.warns(UserWarning, match="'w', but the guide does not"):
        with pytest.raises(NotImplementedError, match=text):
            loss_of(two_levels(hints, {"enumerate": "sequential"}))
    with pytest.warns(UserWarning, match="found no site to enumerate"):
        loss_of(lambda: pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(0.0)))
