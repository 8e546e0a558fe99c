"""Posteriors of enumerated sites against brute force."""

from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer import TraceEnum_ELBO, config_enumerate, infer_discrete
from pyro.infer.discrete import TraceEnumSample_ELBO
from pyro.infer.plates import inside_plate
from tests.helpers import assert_close, assert_fits_probabilities, trace_of
from tests.infer.brute_force import posterior
from tests.infer.finite_models import CASES, PARALLEL, Case

DRAWS = 2000
EVERY_CASE = pytest.mark.parametrize("name", [name for name in CASES if "scaled" not in name])


def no_guide(*args: Any) -> None:
    pass


def flat(case: Case, values: Any) -> tuple[float, ...]:
    return tuple(float(x) for name in case.sites for x in values[name].reshape(-1))


def values_of(record: poutine.Trace) -> dict[str, Any]:
    return {name: site.get("value") for name, site in record.nodes.items()}


@EVERY_CASE
def test_the_mode_is_the_best_of_all(name: str) -> None:
    for seed in range(3):
        case = CASES[name](seed)
        best, _ = max(posterior(case.model, case.sites), key=lambda pair: pair[1])
        inferred = infer_discrete(case.model, temperature=0)
        assert flat(case, values_of(trace_of(inferred))) == flat(case, best)


@EVERY_CASE
def test_marginals_are_sums_of_the_posterior(name: str) -> None:
    case = CASES[name](1)
    laws = TraceEnum_ELBO().compute_marginals(case.model, no_guide)
    joint = posterior(case.model, case.sites)
    assert set(laws) == set(case.sites)
    for site, (support, shape) in case.sites.items():
        assert laws[site].batch_shape == shape
        for value in support:
            exact = sum((values[site] == value).double() * weight for values, weight in joint)
            probs = laws[site].log_prob(torch.full(shape, float(value))).exp()
            assert_close(probs, exact)


@pytest.mark.parametrize("name", ["hmm of history 2", "mixture", "tied, laws kept"])
def test_draws_have_the_joint_posterior(name: str) -> None:
    """Pearson's test over all joint values at once; false-alarm rate 1e-5 a case."""
    case = CASES[name](1)
    joint = sorted(posterior(case.model, case.sites), key=lambda pair: -pair[1])
    number = {flat(case, values): i for i, (values, _) in enumerate(joint)}
    many = inside_plate(case.model, "draws", DRAWS, dim=-2)
    record = values_of(trace_of(infer_discrete(many, first_available_dim=-3)))
    rows = torch.cat([record[site].reshape(DRAWS, -1) for site in case.sites], -1).double()
    drawn = [number[tuple(row)] for row in rows.tolist()]
    frequent = [weight for _, weight in joint if weight * DRAWS >= 5]
    law = torch.tensor([*frequent, 1.0 - sum(frequent)])
    assert_fits_probabilities(torch.tensor(drawn).clamp(max=len(frequent)), law)


def test_an_impossible_combination_is_never_drawn() -> None:
    """Two coins of which the data say the sum: each draw is exact given the others."""

    @config_enumerate
    def model() -> Any:
        with pyro.plate("data", 50):
            a = pyro.sample("a", dist.Bernoulli(0.3))
            b = pyro.sample("b", dist.Bernoulli(0.6))
            pyro.sample("sum", dist.Delta(a + b), obs=torch.ones(50))
        return a, b

    for draw in (
        infer_discrete(model),
        lambda: TraceEnum_ELBO().sample_posterior(model, no_guide),
    ):
        a, b = draw()
        assert a.shape == b.shape == (50,)
        assert bool((a + b == 1).all()) and 0 < a.sum() < 50


def test_the_latest_loss_can_be_drawn_from() -> None:
    case = CASES["mixture"](0)
    elbo = TraceEnumSample_ELBO(max_plate_nesting=1)
    with pytest.raises(ValueError, match="call loss\\(\\) first"):
        elbo.sample_saved()
    elbo.loss(case.model, no_guide)
    assert elbo.sample_saved().shape == ()


def test_vectors_and_one_value_are_drawn_in_their_shapes() -> None:
    @config_enumerate
    def model() -> Any:
        with pyro.plate("data", 3):
            one = pyro.sample("one", dist.Categorical(torch.ones(1)))
            hot = pyro.sample("hot", dist.OneHotCategorical(torch.tensor([0.2, 0.8])))
            pyro.sample("x", dist.Normal(hot[..., 0] * 9, 1.0), obs=torch.tensor([0.0, 9, 9]))
        return one, hot

    one, hot = infer_discrete(model, temperature=0)()
    assert one.tolist() == [0, 0, 0]
    assert hot.tolist() == [[0, 1], [1, 0], [1, 0]]
    laws = TraceEnum_ELBO().compute_marginals(model, no_guide)
    assert laws["hot"].probs.shape == (3, 2) and laws["one"].batch_shape == (3,)


def test_what_cannot_be_asked_is_refused() -> None:
    case = CASES["mixture"](0)
    guide = poutine.block(case.model, expose=["w", "data"])
    for ask in (TraceEnum_ELBO().compute_marginals, TraceEnum_ELBO().sample_posterior):
        with pytest.raises(NotImplementedError, match="the guide enumerates 'w'"):
            ask(case.model, guide)
    with pytest.raises(NotImplementedError, match="num_particles is 2"):
        TraceEnum_ELBO(num_particles=2).compute_marginals(case.model, no_guide)
    with pytest.raises(ValueError, match="temperature must be 1"):
        infer_discrete(case.model, temperature=2)


def test_continuous_values_are_those_that_the_posterior_is_given() -> None:
    def model() -> Any:
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        z = pyro.sample("z", dist.Bernoulli(0.5), infer=PARALLEL)
        pyro.sample("y", dist.Delta(x + z), obs=torch.tensor(1.5))
        return z

    with pytest.raises(ValueError, match="probability zero"):
        infer_discrete(model)()
    fixed = poutine.condition(model, data={"x": torch.tensor(0.5)})
    assert infer_discrete(fixed)() == 1
