"""Where inference starts: each strategy against the number that it promises."""

import math
import pickle
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer.autoguide.initialization import (
    InitMessenger,
    init_to_feasible,
    init_to_generated,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
)
from pyro.poutine.handlers import condition, trace
from tests.helpers import assert_close, assert_fits_cdf, assert_mean

STRATEGIES = [
    init_to_feasible,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
    init_to_generated(),
]
LAWS: dict[str, Any] = {
    "normal": lambda: dist.Normal(torch.zeros(3, 2), 1.0),
    "gamma": lambda: dist.Gamma(0.1 * torch.ones(2), 1.0),
    "cauchy": lambda: dist.Cauchy(0.0, 1.0),
    "uniform": lambda: dist.Uniform(1.0, 3.0),
    "dirichlet": lambda: dist.Dirichlet(torch.ones(2, 3)),
    "corr_cholesky": lambda: dist.LKJCholesky(3),
    "independent": lambda: dist.Beta(torch.ones(4, 2), 2.0).to_event(1),
    "double": lambda: dist.Exponential(torch.ones(2, dtype=torch.double)),
    "bernoulli": lambda: dist.Bernoulli(0.5 * torch.ones(2)),
    "categorical": lambda: dist.Categorical(torch.ones(2, 3)),
}


def site_of(law: Any, name: str = "x") -> dict[str, Any]:
    return {"name": name, "fn": law}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: getattr(s, "__name__", "generated"))
class TestEveryStrategy:
    def test_starts_inside_the_support(self, strategy: Any, law: str) -> None:
        fn = LAWS[law]()
        value = strategy(site_of(fn))
        assert value.shape == fn.shape()
        assert value.dtype == fn.sample().dtype
        assert fn.support.check(value).all()
        assert not value.requires_grad

    def test_gives_itself_without_a_site(self, strategy: Any, law: str) -> None:
        model = lambda: pyro.sample("x", LAWS[law]())  # noqa: E731
        filled_in = strategy() if strategy is not STRATEGIES[-1] else init_to_generated()
        assert LAWS[law]().support.check(InitMessenger(filled_in)(model)()).all()


def test_feasible_is_the_image_of_zero() -> None:
    assert_close(init_to_feasible(site_of(dist.Uniform(1.0, 3.0))), 2.0)
    assert_close(init_to_feasible(site_of(dist.Exponential(9.0))), 1.0)
    assert_close(init_to_feasible(site_of(dist.Dirichlet(torch.tensor([1.0, 9.0])))), [0.5, 0.5])


@pytest.mark.parametrize(
    ("law", "mean"),
    [
        (dist.Gamma(3.0, 2.0), 1.5),
        (dist.Beta(1.0, 3.0), 0.25),
        (dist.LogNormal(0.0, 1.0), math.exp(0.5)),
        (dist.Normal(torch.tensor([1.0, 2.0]), 1.0).to_event(1), [1.0, 2.0]),
        (dist.Exponential(4.0).expand([2]), [0.25, 0.25]),
        (dist.Dirichlet(torch.tensor([1.0, 3.0])), [0.25, 0.75]),
    ],
)
def test_mean_is_the_laws_mean(law: Any, mean: Any) -> None:
    assert_close(init_to_mean(site_of(law)), mean)


@pytest.mark.parametrize("law", [dist.Cauchy(0.0, 1.0), dist.LKJCholesky(2)])
def test_mean_falls_back_where_there_is_none(law: Any) -> None:
    marker = init_to_feasible(site_of(law)) + 0.0
    assert init_to_mean(site_of(law), fallback=lambda site: marker) is marker


def test_median_of_many_draws_is_the_laws_median() -> None:
    # The median of n draws is normal with sd 1 / (2 f(m) sqrt(n)); f is the density there.
    count, repeats = 1001, 40
    law, median = dist.LogNormal(0.5, 1.0), 0.5
    draws = torch.stack([init_to_median(site_of(law), count).log() for _ in range(repeats)])
    density = 1 / math.sqrt(2 * math.pi)
    assert_mean(draws, median, sd=1 / (2 * density * math.sqrt(count)))


def test_medians_of_sites_with_one_law_differ() -> None:
    value = init_to_median(site_of(dist.Normal(torch.zeros(2), 1.0)))
    assert value[0] != value[1]


def test_median_falls_back_where_it_is_not_finite() -> None:
    class Divergent(dist.Normal):
        def rsample(self, sample_shape: Any = ()) -> torch.Tensor:
            return torch.full(self.shape(sample_shape), math.inf)

    assert_close(init_to_median(site_of(Divergent(0.0, 1.0))), 0.0)


def test_median_needs_a_sample() -> None:
    with pytest.raises(ValueError, match="needs at least one sample, got 0"):
        init_to_median(num_samples=0)


def test_uniform_fills_the_cube_of_unconstrained_coordinates() -> None:
    value = init_to_uniform(site_of(dist.LogNormal(0.0, torch.ones(2000))), radius=0.5)
    assert_fits_cdf(value.log(), lambda u: (u + 0.5).clamp(0, 1))


def test_sample_follows_the_law() -> None:
    value = init_to_sample(site_of(dist.Exponential(torch.ones(2000))))
    assert_fits_cdf(value, lambda x: 1 - torch.exp(-x))


def test_value_is_taken_or_the_fallback_asked() -> None:
    strategy = init_to_value(values={"x": 3.0}, fallback=init_to_mean)
    assert_close(strategy(site_of(dist.Normal(0.0, 1.0))), 3.0)
    assert_close(strategy(site_of(dist.Normal(7.0, 1.0), "y")), 7.0)
    assert init_to_value(site_of(dist.Normal(7.0, 1.0)), {}, fallback=None) is None


def test_generated_strategy_lasts_for_one_run() -> None:
    made = []

    def generate() -> Any:
        made.append(torch.randn(()))
        return init_to_value(values={"x": made[-1], "y": made[-1]})

    def model() -> tuple[Any, Any]:
        return pyro.sample("x", dist.Normal(0.0, 1.0)), pyro.sample("y", dist.Normal(0.0, 1.0))

    started = InitMessenger(init_to_generated(generate=generate))(model)
    runs = [started() for _ in range(3)]
    assert len(made) == 3
    for (x, y), value in zip(runs, made, strict=True):
        assert x is y is value


def test_options_pickle() -> None:
    for strategy in (
        init_to_median(num_samples=3),
        init_to_uniform(radius=1.0),
        init_to_value(values={"x": torch.ones(())}),
        init_to_mean(),
    ):
        assert pickle.loads(pickle.dumps(strategy)).func is strategy.func


class TestInitMessenger:
    def model(self) -> None:
        x = pyro.sample("x", dist.Normal(5.0, 1.0))
        with pyro.plate("rows", 6, subsample_size=3):
            pyro.sample("y", dist.Normal(x, 1.0))
        pyro.sample("z", dist.Normal(0.0, 1.0), obs=torch.tensor(2.0))

    def test_starts_latent_sites_alone(self) -> None:
        run = trace(InitMessenger(init_to_mean)(self.model)).get_trace()
        assert_close(run.nodes["x"]["value"], 5.0)
        assert_close(run.nodes["y"]["value"], [5.0, 5.0, 5.0])
        assert_close(run.nodes["z"]["value"], 2.0)
        assert len(set(run.nodes["rows"]["value"].tolist())) == 3

    def test_leaves_sites_that_have_a_value(self) -> None:
        conditioned = condition(self.model, {"x": torch.tensor(1.0)})
        run = trace(InitMessenger(init_to_mean)(conditioned)).get_trace()
        assert_close(run.nodes["x"]["value"], 1.0)
        assert_close(run.nodes["y"]["value"], [1.0, 1.0, 1.0])

    def test_a_value_of_another_shape_is_refused(self) -> None:
        values = {"x": torch.tensor(1.0), "y": torch.zeros(6)}
        with pytest.raises(ValueError, match=r"At site 'y': .* shape \(6,\), expected \(3,\)"):
            InitMessenger(init_to_value(values=values))(self.model)()

    def test_what_is_no_tensor_is_refused(self) -> None:
        with pytest.raises(TypeError, match="At site 'x': the initial value is 3, expected a ten"):
            InitMessenger(lambda site: 3)(self.model)()
