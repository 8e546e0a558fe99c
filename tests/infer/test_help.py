"""What every objective tells a person whose model is wrong: the site, the shapes, what to do."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions.kl import register_kl

import pyro
import pyro.distributions as dist
from pyro.infer import (
    CSIS,
    SVGD,
    EnergyDistance,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
    RBFSteinKernel,
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    Trace_MMD,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    TraceTailAdaptive_ELBO,
    TraceTMC_ELBO,
)
from pyro.optim import SGD

DATA = torch.tensor([0.5, 2.0, 1.0])
Program = Callable[..., Any]


def rbf(x: Tensor, y: Tensor | None = None) -> Tensor:
    return torch.exp(-((x.unsqueeze(1) - (x if y is None else y)) ** 2).sum(-1) / 2)


def by_elbo(elbo: Any) -> Callable[[Program, Program], Any]:
    """Some evaluations; the last ones are compiled where the objective compiles."""

    def evaluate(model: Program, guide: Program) -> Any:
        return [elbo.loss_and_grads(model, guide) for _ in range(3)][-1]

    return evaluate


def by_distance(model: Program, guide: Program) -> Any:
    return EnergyDistance(prior_scale=0.5)(model, guide).item()


def told(program: Program) -> Program:
    return lambda observations=None: program()


def asleep(model: Program, guide: Program) -> Any:
    elbo = ReweightedWakeSleep(insomnia=0.5)
    return elbo.loss_and_grads(told(model), told(guide))[1]


def compiled_importance(model: Program, guide: Program) -> Any:
    return CSIS(told(model), told(guide), SGD({"lr": 1e-3})).step()


def stein(model: Program, guide: Program) -> Any:
    svgd = SVGD(model, RBFSteinKernel(), SGD({"lr": 1e-3}), 3, 1)
    return sum(svgd.step().values())


QUIET = {"strict_enumeration_warning": False}
OBJECTIVES: dict[str, Callable[[Program, Program], Any]] = {
    "Trace_ELBO": by_elbo(Trace_ELBO()),
    "Trace_ELBO, vectorised": by_elbo(Trace_ELBO(num_particles=2, vectorize_particles=True)),
    "TraceMeanField_ELBO": by_elbo(TraceMeanField_ELBO()),
    "TraceEnum_ELBO": by_elbo(TraceEnum_ELBO(**QUIET)),
    "TraceTMC_ELBO": by_elbo(TraceTMC_ELBO(**QUIET)),
    "TraceGraph_ELBO": by_elbo(TraceGraph_ELBO()),
    "RenyiELBO": by_elbo(RenyiELBO()),
    "TraceTailAdaptive_ELBO": by_elbo(TraceTailAdaptive_ELBO(num_particles=2)),
    "Trace_MMD": by_elbo(Trace_MMD(rbf, num_particles=2)),
    "JitTrace_ELBO": by_elbo(JitTrace_ELBO()),
    "JitTraceMeanField_ELBO": by_elbo(JitTraceMeanField_ELBO()),
    "JitTraceEnum_ELBO": by_elbo(JitTraceEnum_ELBO(**QUIET)),
    "JitTraceGraph_ELBO": by_elbo(JitTraceGraph_ELBO()),
    "EnergyDistance": by_distance,
    "ReweightedWakeSleep": by_elbo(ReweightedWakeSleep()),
    "ReweightedWakeSleep, asleep": asleep,
    "CSIS": compiled_importance,
    "SVGD": stein,
}
OF_GUIDES = {name: objective for name, objective in OBJECTIVES.items() if name != "SVGD"}
OF_DATA = {
    name: objective
    for name, objective in OBJECTIVES.items()
    if name not in ("EnergyDistance", "CSIS")  # which draw data and score none
}


def every(objectives: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("evaluate", objectives.values(), ids=list(objectives))


def model() -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", 3):
        pyro.sample("x", dist.Normal(z + w, 1.0), obs=DATA)


def guide() -> None:
    loc = pyro.param("loc", torch.tensor(0.3))
    pyro.sample("z", dist.Normal(loc, 0.8))
    pyro.sample("w", dist.Normal(0.1, 0.8))


@every(OBJECTIVES)
def test_a_model_and_guide_that_fit_are_not_spoken_of(evaluate: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isfinite(torch.as_tensor(evaluate(model, guide)).sum())


class NanDensity(dist.Normal):
    def log_prob(self, value: Any) -> Any:
        return super().log_prob(value) * math.nan


class NanDraw(dist.Normal):
    def rsample(self, sample_shape: Any = ()) -> Any:
        return super().rsample(sample_shape) * math.nan


class NanDivergence(dist.Normal):
    pass


@register_kl(NanDivergence, dist.Normal)
def _nan(q: Any, p: Any) -> Tensor:
    return q.loc * math.nan


@every(OF_DATA)
def test_a_nan_density_of_data_names_the_site(evaluate: Any) -> None:
    def broken() -> None:
        model()
        pyro.sample("y", NanDensity(0.0, 1.0), obs=torch.tensor(1.0))

    with pytest.warns(UserWarning, match="The loss is NaN .*NaN log density at: 'y'[;)]"):
        evaluate(broken, guide)


def unchecked() -> None:
    """The model, of laws that take a NaN for what it is."""
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    w = pyro.sample("w", dist.Normal(0.0, 1.0, validate_args=False))
    with pyro.plate("data", 3):
        pyro.sample("x", dist.Normal(z + w, 1.0, validate_args=False), obs=DATA)


def guide_of(law: Any) -> Program:
    def broken() -> None:
        loc = pyro.param("loc", torch.tensor(0.3))
        pyro.sample("z", dist.Normal(loc, 0.8))
        pyro.sample("w", law(0.0, 1.0, validate_args=False))

    return broken


@every({name: objective for name, objective in OF_GUIDES.items() if name != "CSIS"})
def test_a_nan_that_the_guide_draws_names_the_site(evaluate: Any) -> None:
    with pytest.warns(UserWarning, match="The loss is NaN .*NaN values: 'w'[,;)]"):
        evaluate(unchecked, guide_of(NanDraw))


SCORES_GUIDES = {
    name: objective
    for name, objective in OF_GUIDES.items()
    if name not in ("EnergyDistance", "Trace_MMD") and "MeanField" not in name
}


@every(SCORES_GUIDES)
def test_a_nan_density_of_the_guide_names_the_site(evaluate: Any) -> None:
    with pytest.warns(UserWarning, match="The loss is NaN .*NaN log density at: 'w'[;)]"):
        evaluate(model, guide_of(NanDensity))


@pytest.mark.parametrize("name", ["TraceMeanField_ELBO", "JitTraceMeanField_ELBO"])
def test_a_nan_divergence_names_the_site(name: str) -> None:
    with pytest.warns(UserWarning, match=r"The loss is NaN \(NaN divergence at: 'w'\)"):
        OBJECTIVES[name](model, guide_of(NanDivergence))


@every({name: OBJECTIVES[name] for name in ("Trace_ELBO", "TraceEnum_ELBO", "RenyiELBO")})
def test_infinities_that_cancel_name_their_sites(evaluate: Any) -> None:
    def broken() -> None:
        model()
        pyro.factor("reward", torch.tensor(math.inf))
        pyro.factor("penalty", torch.tensor(-math.inf))

    text = "cancelled, infinite log density at: 'reward', 'penalty'"
    with pytest.warns(UserWarning, match=text):
        evaluate(broken, guide)


@every({name: objective for name, objective in OF_GUIDES.items() if "Jit" not in name})
def test_a_guide_site_that_the_model_lacks_shows_both_lists_and_shapes(evaluate: Any) -> None:
    def surplus() -> None:
        guide()
        pyro.sample("zz", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError) as caught:
        evaluate(model, surplus)
    text = str(caught.value)
    assert "At site 'zz': the guide draws this site, but the model does not" in text
    assert "Drawn by the model: 'z', 'w'; by the guide: 'z', 'w', 'zz'. Name it as" in text


@every(OF_GUIDES)
def test_a_guide_that_draws_data_shows_what_to_hide(evaluate: Any) -> None:
    def surplus() -> None:
        guide()
        with pyro.plate("data", 3):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="At site 'x': the model observes this site, but the g"):
        evaluate(model, surplus)


@every(OF_GUIDES)
def test_a_site_that_the_guide_lacks_shows_both_lists(evaluate: Any) -> None:
    def lacking() -> None:
        pyro.sample("z", dist.Normal(pyro.param("loc", torch.tensor(0.3)), 0.8))

    with pytest.warns(UserWarning, match="The model draws 'w', but the guide does not") as caught:
        evaluate(model, lacking)
    assert "Drawn by the model: 'z', 'w'; by the guide: 'z'. Draw the" in str(caught[0].message)


@every(OF_GUIDES)
def test_a_site_of_another_shape_shows_the_tables(evaluate: Any) -> None:
    def wide() -> None:
        pyro.sample("z", dist.Normal(pyro.param("loc", torch.zeros(2)), 0.8).to_event(1))
        pyro.sample("w", dist.Normal(0.1, 0.8))

    def of_pairs() -> None:
        z = pyro.sample("z", dist.Normal(torch.zeros(2, 1), 1.0).to_event(2))
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z.sum() + w, 1.0), obs=torch.tensor(1.0))

    with pytest.raises(ValueError) as caught:
        evaluate(of_pairs, wide)
    text = str(caught.value)
    assert "At site 'z': " in text and "Call .to_event(n) with the same n in both." in text
    assert_tables(text)


def assert_tables(text: str) -> None:
    """Both tables, which say of each site what shape it has."""
    guide_table, model_table = text.split("Trace Shapes of the guide:")[1].split(
        "Trace Shapes of the model:"
    )
    for table in (guide_table, model_table):
        assert [f"{name} dist" in table for name in "zw"] == [True, True]
    assert "x dist" in model_table and "loc" in guide_table


@every({name: of for name, of in OF_DATA.items() if name != "SVGD"})
def test_a_batch_without_a_plate_shows_the_tables(evaluate: Any) -> None:
    def batched() -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(z + w, 1.0), obs=DATA)
        with pyro.plate("data", 3):
            pyro.sample("y", dist.Normal(z + w, 1.0), obs=DATA)

    with pytest.raises(ValueError, match="At site 'x': .*belongs to no plate") as caught:
        evaluate(batched, guide)
    assert_tables(str(caught.value))


@every(OBJECTIVES)
def test_what_fails_in_the_model_shows_the_shapes_so_far(evaluate: Any) -> None:
    def failing() -> None:
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z @ torch.ones(3), 1.0), obs=torch.tensor(1.0))

    def of_vectors() -> None:
        pyro.sample("z", dist.Normal(pyro.param("loc", torch.zeros(2)), 0.8).to_event(1))

    with pytest.raises(RuntimeError) as caught:
        evaluate(failing, of_vectors)
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert "Trace Shapes:" in lines and any("z dist" in line for line in lines)
