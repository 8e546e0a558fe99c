"""Every objective, guide and driver treats an equalized model like its hand-tied twin."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import pyro
from pyro.distributions import transforms
from pyro.infer import (
    SVGD,
    SVI,
    EnergyDistance,
    Importance,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
    Predictive,
    RBFSteinKernel,
    RenyiELBO,
    ReweightedWakeSleep,
    SMCFilter,
    Trace_ELBO,
    Trace_MMD,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    TraceTailAdaptive_ELBO,
    TraceTMC_ELBO,
    WeighedPredictive,
)
from pyro.infer.autoguide import (
    AutoCallable,
    AutoDelta,
    AutoDiagonalNormal,
    AutoGaussian,
    AutoGuide,
    AutoGuideList,
    AutoHierarchicalNormalMessenger,
    AutoIAFNormal,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoNormalizingFlow,
    AutoNormalMessenger,
    AutoRegressiveMessenger,
    AutoStructured,
)
from pyro.infer.importance import vectorized_importance_weights
from pyro.infer.numerics import torch_backward
from pyro.infer.resampler import Resampler
from pyro.optim import SGD, Adam
from pyro.poutine.equalized import equalized_sites
from pyro.poutine.handlers import block
from tests.equalized import PAIRS, Pair, Program, assert_equalized_like_handwritten, facts_of_run
from tests.helpers import assert_close, trace_of


def auto_list(model: Program) -> AutoGuideList:
    """A point for the first latent site, normal laws for the others."""
    first = next(name for name, _ in latents_of(model))
    guide = AutoGuideList(model)
    guide.append(AutoDelta(block(model, expose=[first])))
    guide.append(AutoNormal(block(model, hide=[first])))
    return guide


def auto_flow(model: Program) -> AutoNormalizingFlow:
    """A flow whose draws are small, as those of the other guides are at first."""

    def flow(size: int) -> list[Any]:
        return [transforms.planar(size), transforms.AffineTransform(0.0, 0.1)]

    return AutoNormalizingFlow(model, flow)


def auto_callable(model: Program) -> AutoGuideList:
    """A function of the user's own for the first latent site."""
    first, site = next(latents_of(model))
    loc = site["value"].detach()

    def point() -> dict[str, Any]:
        law = pyro.distributions.Delta(pyro.param("loc", loc), event_dim=site["fn"].event_dim)
        return {first: pyro.sample(first, law.expand(site["fn"].batch_shape))}

    guide = AutoGuideList(model)
    guide.append(AutoCallable(model, point))
    guide.append(AutoDelta(block(model, hide=[first])))
    return guide


def latents_of(model: Program) -> Any:
    return (
        (name, site)
        for name, site in trace_of(model).iter_stochastic_nodes()
        if not hasattr(site["fn"], "is_plate_index")
    )


def rbf(x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
    return torch.exp(-((x.unsqueeze(1) - (x if y is None else y)) ** 2).sum(-1) / 2)


GUIDES: dict[str, Callable[[Program], AutoGuide]] = {
    "AutoDelta": AutoDelta,
    "AutoNormal": AutoNormal,
    "AutoGuideList": auto_list,
    "AutoDiagonalNormal": AutoDiagonalNormal,
    "AutoMultivariateNormal": AutoMultivariateNormal,
    "AutoLowRankMultivariateNormal": AutoLowRankMultivariateNormal,
    "AutoLaplaceApproximation": AutoLaplaceApproximation,
    "AutoIAFNormal": AutoIAFNormal,
    "AutoNormalizingFlow": auto_flow,
    "AutoGaussian": AutoGaussian,
    "AutoStructured": AutoStructured,
    "AutoNormalMessenger": AutoNormalMessenger,
    "AutoHierarchicalNormalMessenger": AutoHierarchicalNormalMessenger,
    "AutoRegressiveMessenger": AutoRegressiveMessenger,
}
OBJECTIVES: dict[str, Callable[[], Any]] = {
    "Trace_ELBO": lambda: Trace_ELBO(num_particles=2),
    "Trace_ELBO, vectorised": lambda: Trace_ELBO(num_particles=2, vectorize_particles=True),
    "TraceMeanField_ELBO": lambda: TraceMeanField_ELBO(num_particles=2),
    "TraceEnum_ELBO": lambda: TraceEnum_ELBO(num_particles=2, strict_enumeration_warning=False),
    "TraceTMC_ELBO": lambda: TraceTMC_ELBO(num_particles=2, strict_enumeration_warning=False),
    "TraceGraph_ELBO": lambda: TraceGraph_ELBO(num_particles=2),
    "RenyiELBO": lambda: RenyiELBO(alpha=0.5, num_particles=2),
    "TraceTailAdaptive_ELBO": lambda: TraceTailAdaptive_ELBO(3, vectorize_particles=True),
    "Trace_MMD": lambda: Trace_MMD(rbf, num_particles=3),
    "EnergyDistance": lambda: EnergyDistance(prior_scale=0.5),
    "ReweightedWakeSleep": lambda: ReweightedWakeSleep(num_particles=2),
    "JitTrace_ELBO": JitTrace_ELBO,
    "JitTraceMeanField_ELBO": JitTraceMeanField_ELBO,
    "JitTraceEnum_ELBO": lambda: JitTraceEnum_ELBO(strict_enumeration_warning=False),
    "JitTraceGraph_ELBO": JitTraceGraph_ELBO,
}
EVERY_PAIR = pytest.mark.parametrize("pair", PAIRS.values(), ids=list(PAIRS))
EVERY_GUIDE = pytest.mark.parametrize("make", GUIDES.values(), ids=list(GUIDES))
# Each guide with one objective, and each objective with a guide by site and one of a vector;
# what compiles, which takes long, with the former alone.
EVERY_GUIDE_OR_OBJECTIVE = pytest.mark.parametrize(
    ("make", "objective"),
    [
        pytest.param(GUIDES[guide], OBJECTIVES[name], id=f"{guide}-{name}")
        for guide in GUIDES
        for name in OBJECTIVES
        if name == "Trace_ELBO"
        or guide == "AutoNormal"
        or (guide == "AutoMultivariateNormal" and "Jit" not in name)
    ],
)


@EVERY_PAIR
def test_a_run_is_that_of_the_twin(pair: Pair) -> None:
    assert_equalized_like_handwritten(pair.tied, pair.twin, facts_of_run)


@EVERY_PAIR
def test_the_pair_ties_what_it_says(pair: Pair) -> None:
    groups = equalized_sites(trace_of(pair.tied))
    assert sorted(itertools.chain(*groups.values())) == sorted(pair.members)
    assert [name for name, _ in latents_of(pair.tied)] == pair.latents


def loss_and_gradients(make: Any, objective: Any) -> Callable[[Program], Any]:
    def ask(model: Program) -> dict[str, Any]:
        guide = make(model)
        guide()
        loss_of = objective()
        loss = getattr(loss_of, "differentiable_loss", loss_of)(model, guide)
        torch_backward(loss)  # wake-sleep learns nothing of a point
        store = dict(pyro.get_param_store().named_parameters())
        gradients = {n: p.grad for n, p in store.items() if p.grad is not None}
        return {"loss": loss, "gradients": gradients}

    return ask


@EVERY_GUIDE_OR_OBJECTIVE
@EVERY_PAIR
def test_losses_and_gradients(pair: Pair, make: Any, objective: Any) -> None:
    assert_equalized_like_handwritten(pair.tied, pair.twin, loss_and_gradients(make, objective))


@EVERY_GUIDE
@EVERY_PAIR
def test_a_guide_knows_the_owners_alone(pair: Pair, make: Any) -> None:
    def ask(model: Program) -> Any:
        guide = make(model)
        # Guides that run the model give the values of its other sites too.
        found = [{name: value for name, value in guide().items() if name in pair.latents}]
        for name, levels in (("median", ()), ("quantiles", ([0.1, 0.9],))):
            if hasattr(guide, name) and not isinstance(guide, AutoNormalizingFlow):
                found.append(getattr(guide, name)(*levels))
        assert all(sorted(part) == sorted(pair.latents) for part in found)
        assert not any(member in name for name in guide.state_dict() for member in pair.members)
        return *found, guide.state_dict()

    assert_equalized_like_handwritten(pair.tied, pair.twin, ask)


@pytest.mark.parametrize("name", [name for name in PAIRS if "vectors" not in name])
def test_a_guide_of_ones_own_joins_in(name: str) -> None:
    pair = PAIRS[name]

    def ask(model: Program) -> Any:
        guide = auto_callable(model)
        svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO())
        return torch.tensor([svi.step() for _ in range(3)]), guide()

    assert_equalized_like_handwritten(pair.tied, pair.twin, ask)


@EVERY_GUIDE_OR_OBJECTIVE
@pytest.mark.parametrize("name", ["one std, kept in plates", "one parameter"])
def test_a_fit_that_is_saved_and_gone_on_with(
    name: str, make: Any, objective: Any, tmp_path: Path
) -> None:
    """Some steps, the store through a file to a fresh guide, and some steps more."""
    pair, store = PAIRS[name], pyro.get_param_store()

    def fit(model: Program) -> list[float]:
        svi = SVI(model, make(model), Adam({"lr": 0.1}), objective())
        return [svi.step() for _ in range(5)]

    def ask(model: Program) -> Any:
        losses = fit(model)
        before = {name: value.detach() for name, value in store.items()}
        store.save(str(tmp_path / "store.pt"))
        store.clear()
        store.load(str(tmp_path / "store.pt"))
        assert_close(dict(store.items()), before)
        assert not any(member in name for name in before for member in pair.members)
        losses += fit(model)
        return torch.tensor(losses), dict(store.items())

    assert_equalized_like_handwritten(pair.tied, pair.twin, ask)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("source", ["prior", "guide", "samples"])
@EVERY_PAIR
def test_predictions_show_every_site(pair: Pair, source: str, parallel: bool) -> None:
    def ask(model: Program) -> Any:
        guide = AutoNormal(model)
        guide()
        with torch.no_grad():
            draws = [guide() for _ in range(4)]
        samples = {name: torch.stack([draw[name] for draw in draws]) for name in pair.latents}
        options: dict[str, Any] = {
            "prior": {"num_samples": 4},
            "guide": {"guide": guide, "num_samples": 4},
            "samples": {"posterior_samples": samples},
        }[source]
        predict = Predictive(model, return_sites=None, parallel=parallel, **options)
        found = predict()
        assert {*pair.latents, *(m for m in pair.members if "scale" not in m)} <= set(found)
        return dict(sorted(found.items()))

    assert_equalized_like_handwritten(pair.tied, pair.twin, ask)


def guided(model: Program) -> AutoNormal:
    """A guide that has run, as drivers want it."""
    guide = AutoNormal(model, init_scale=0.5)
    guide()
    return guide


def importance(model: Program) -> Any:
    posterior = Importance(model, guided(model), num_samples=4).run()
    return {
        "weights": list(posterior.log_weights),
        "evidence": posterior.get_log_normalizer(),
        "result": posterior.marginal().support()["_RETURN"],
        "waic": list(posterior.information_criterion().values()),
    }


def importance_from_prior(model: Program) -> Any:
    return list(Importance(model, num_samples=4).run().log_weights)


def importance_at_once(model: Program) -> Any:
    return vectorized_importance_weights(model, guided(model), num_samples=4)[0]


def weighed_in_turn(model: Program) -> Any:
    found = WeighedPredictive(model, guide=guided(model), num_samples=4)()
    return found.log_weights, dict(sorted(found.samples.items()))


def weighed_at_once(model: Program) -> Any:
    found = WeighedPredictive(model, guide=guided(model), num_samples=4, parallel=True)()
    return found.log_weights, dict(sorted(found.samples.items()))


def resampled(model: Program) -> Any:
    resampler = Resampler(guided(model), num_guide_samples=10, max_plate_nesting=1)
    return resampler.sample(model, 5)


def filtered(model: Program) -> Any:
    """One step of a filter whose state holds what the model returns."""
    guide = guided(model)

    class Of:
        def __init__(self, program: Program) -> None:
            self.program = program

        def init(self, state: Any) -> None:
            self.program()

    smc = SMCFilter(Of(model), Of(guide), 4, 1)
    smc.init()
    return smc.log_evidence, smc.state._log_weights


def svgd(model: Program) -> Any:
    stein = SVGD(model, RBFSteinKernel(), SGD({"lr": 0.1}), 4, 1)
    steps = [torch.tensor(list(stein.step().values())) for _ in range(3)]
    found = stein.get_named_particles()
    assert all(member not in found for pair in PAIRS.values() for member in pair.members)
    return steps, found


DRIVERS = [
    importance,
    importance_from_prior,
    importance_at_once,
    weighed_in_turn,
    weighed_at_once,
    resampled,
    filtered,
    svgd,
]


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.__name__)
@EVERY_PAIR
def test_drivers(pair: Pair, driver: Any) -> None:
    assert_equalized_like_handwritten(pair.tied, pair.twin, driver)


@pytest.mark.parametrize("where", ["another plate", "a forgotten step"])
def test_an_enumerated_owner_is_not_shared_out_of_its_context(where: str) -> None:
    """Its members would have no one value to take; the error names both sites."""
    hints = {"enumerate": "parallel"}

    def model() -> None:
        if where == "another plate":
            with pyro.plate("rows", 2, dim=-1):
                pyro.sample("a", pyro.distributions.Bernoulli(0.3), infer=hints)
            with pyro.plate("columns", 2, dim=-2):
                pyro.sample("b", pyro.distributions.Bernoulli(0.3), infer=hints)
            return
        for t in pyro.markov(range(4)):
            name = {0: "a", 3: "b"}.get(t, f"x_{t}")
            pyro.sample(name, pyro.distributions.Bernoulli(0.3), infer=hints)

    tied = pyro.poutine.equalize(model, ["a", "b"])
    with pytest.raises(ValueError, match="(?s)'b'.*'a'"):
        TraceEnum_ELBO(max_plate_nesting=2).loss(tied, lambda: None)
