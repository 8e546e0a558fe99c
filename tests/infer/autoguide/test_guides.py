"""What holds for every automatic guide."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro import settings
from pyro.distributions import transforms
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import (
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
from pyro.infer.autoguide.guides import prototype_hide_fn
from pyro.nn import PyroModule, PyroSample
from pyro.poutine.handlers import block, condition, replay
from pyro.poutine.sites import prune_subsample_sites, site_is_observed
from tests.helpers import assert_close, trace_of


def auto_list(model: Any, **kwargs: Any) -> AutoGuideList:
    """A guide whose first part has the site ``x`` and whose second has the others."""
    guide = AutoGuideList(model, **kwargs)
    guide.append(AutoDelta(block(model, hide_fn=lambda msg: msg["name"] != "x")))
    guide.append(AutoNormal(block(model, hide=["x"])))
    return guide


def auto_flow(model: Any) -> AutoNormalizingFlow:
    return AutoNormalizingFlow(model, partial(transforms.iterated, 2, transforms.planar))


# Guides with parameters for each site, which may be subsampled.
BY_SITE: dict[str, Callable[..., AutoGuide]] = {
    "AutoDelta": AutoDelta,
    "AutoNormal": AutoNormal,
    "AutoGuideList": auto_list,
}
# Guides whose sites depend on each other, and which subsample too.
STRUCTURED: dict[str, Callable[..., AutoGuide]] = {
    "AutoGaussian": AutoGaussian,
    "AutoGaussian, sparse": partial(AutoGaussian, backend="sparse"),
    "AutoStructured": AutoStructured,
}
# Guides that run the model, and so have its plates and give the values of its other sites too.
MESSENGERS: dict[str, Callable[..., AutoGuide]] = {
    "AutoNormalMessenger": AutoNormalMessenger,
    "AutoHierarchicalNormalMessenger": partial(
        AutoHierarchicalNormalMessenger,
        # Where the prior's mean is not 0, so that the weight has something to move.
        hierarchical_sites=["positive", "interval", "simplex", "column", "row", "cell", "y"],
    ),
    "AutoRegressiveMessenger": AutoRegressiveMessenger,
}
# Guides with one vector for all sites.
CONTINUOUS: dict[str, Callable[..., AutoGuide]] = {
    "AutoDiagonalNormal": AutoDiagonalNormal,
    "AutoMultivariateNormal": AutoMultivariateNormal,
    "AutoLowRankMultivariateNormal": AutoLowRankMultivariateNormal,
    "AutoLaplaceApproximation": AutoLaplaceApproximation,
    "AutoIAFNormal": partial(AutoIAFNormal, num_transforms=2),
    "AutoNormalizingFlow": auto_flow,
}
WITH_PLATES = BY_SITE | STRUCTURED | MESSENGERS
GUIDES = WITH_PLATES | CONTINUOUS
WITHOUT_QUANTILES = {"AutoIAFNormal", "AutoNormalizingFlow", "AutoStructured", *MESSENGERS}
WITHOUT_MEDIAN = ("AutoIAFNormal", "AutoNormalizingFlow", "AutoRegressiveMessenger")

# What is not promised by all, by the names of the tests below.
NOT_PROMISED = {
    # A messenger runs the model, and with it the plates that the model makes.
    "test_parameters_have_the_size_of_the_whole_plate": {*MESSENGERS, "AutoStructured"},
    "test_plates_may_be_given": {*MESSENGERS},
    "test_what_create_plates_returns_is_checked": {*MESSENGERS},
    "test_a_sequential_plate_that_is_subsampled_is_refused": {*MESSENGERS},
    # Some hold all elements of a plate in one vector.
    "test_values_are_those_of_the_elements_that_were_drawn": {*MESSENGERS, "AutoStructured"},
    "test_gradients_reach_only_the_elements_that_were_drawn": {"AutoStructured"},
}


@pytest.fixture
def promised(request: pytest.FixtureRequest) -> None:
    make = request.node.callspec.params["make"]
    guide = next(name for name, one in GUIDES.items() if one is make)
    if guide in NOT_PROMISED.get(request.node.originalname, ()):
        pytest.skip(f"{guide} does not promise it")


def many_supports() -> None:
    pyro.sample("x", dist.Normal(0.0, 1.0))
    pyro.sample("positive", dist.Gamma(2.0, torch.ones(3)).to_event(1))
    pyro.sample("interval", dist.Beta(2.0, 4.0).expand([2]).to_event(1))
    pyro.sample("simplex", dist.Dirichlet(torch.tensor([2.0, 3.0, 4.0]).expand(2, 3)).to_event(1))
    pyro.sample("cholesky", dist.LKJCholesky(3, 2.0))
    pyro.sample("vector", dist.MultivariateNormal(torch.zeros(2), torch.eye(2)))


def in_plates() -> None:
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    rows, columns = pyro.plate("rows", 4, dim=-2), pyro.plate("columns", 3, dim=-1)
    with rows:
        pyro.sample("row", dist.Normal(x[..., None] + torch.zeros(2), 1.0).to_event(1))
    with columns:
        pyro.sample("column", dist.Dirichlet(torch.tensor([2.0, 3.0])))
    with rows, columns:
        pyro.sample("cell", dist.LogNormal(x, 1.0))


def subsampled() -> None:
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", 10, subsample_size=4) as rows:
        y = pyro.sample("y", dist.LogNormal(x, 1.0).expand([4, 2]).to_event(1))
        pyro.sample("obs", dist.Normal(y[:, 0], 1.0), obs=torch.arange(10.0)[rows])


class Network(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.linear = PyroModule[torch.nn.Linear](2, 1)
        self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))
        self.x = PyroSample(dist.LogNormal(0.0, 1.0))

    def forward(self: Any) -> None:
        mean = self.linear(torch.ones(3, 2)).squeeze(-1)
        with pyro.plate("data", 3):
            pyro.sample("y", dist.Normal(mean, self.x), obs=torch.ones(3))


MODELS: dict[str, Callable[..., Any]] = {
    "many_supports": many_supports,
    "in_plates": in_plates,
    "subsampled": subsampled,
    "network": Network(),
}


def latent_sites(model: Any) -> dict[str, Any]:
    return dict(prune_subsample_sites(trace_of(model)).iter_stochastic_nodes())


def every_guide(guides: dict[str, Callable[..., AutoGuide]]) -> Any:
    return pytest.mark.parametrize("make", guides.values(), ids=list(guides))


EVERY_GUIDE_AND_MODEL = pytest.mark.parametrize(
    ("make", "name"),
    [
        pytest.param(make, name, id=f"{guide}-{name}")
        for guide, make in GUIDES.items()
        for name in MODELS
        if guide in WITH_PLATES or name != "subsampled"
    ],
)


def point_of(guide: AutoGuide) -> dict[str, Tensor]:
    """Values that tell a guide from another of its kind: medians, or draws from one seed."""
    if type(guide).__name__ in WITHOUT_MEDIAN:
        pyro.set_rng_seed(7)
        return {name: value.detach() for name, value in guide().items()}
    return guide.median()


def assert_has_values_of(values: Any, model: Any) -> None:
    """Asserts that all latent sites are there, and beside them at most observed ones."""
    latent = latent_sites(model)
    assert set(latent) <= set(values)
    assert all(site_is_observed(trace_of(model).nodes[name]) for name in {*values} - {*latent})


def parameters_of(guide: AutoGuide) -> dict[str, Tensor]:
    return {name: leaf.detach().clone() for name, leaf in guide.named_parameters()}


@EVERY_GUIDE_AND_MODEL
class TestEveryGuideOfEveryModel:
    def test_samples_every_latent_site_inside_its_support(self, make: Any, name: str) -> None:
        model = MODELS[name]
        guide = make(model)
        trace = trace_of(guide)
        values = trace.nodes["_RETURN"]["value"]
        sites = latent_sites(replay(model, trace))
        assert_has_values_of(values, model)
        for site_name, site in sites.items():
            value = values[site_name]
            assert value is trace.nodes[site_name]["value"]
            assert value.shape == site["value"].shape
            assert site["fn"].support.check(value).all()
            assert trace.nodes[site_name]["fn"].event_dim == site["fn"].event_dim
            plates = [set(t.nodes[site_name]["cond_indep_stack"]) for t in (trace, trace_of(model))]
            assert {f.name for f in plates[0]} == {f.name for f in plates[1]}

    def test_takes_steps(self, make: Any, name: str) -> None:
        model = MODELS[name]
        guide = make(model)
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
        svi.step()
        before = parameters_of(guide)
        svi.step()
        assert before
        for key, value in parameters_of(guide).items():
            assert (value != before[key]).any(), key

    @pytest.mark.parametrize("called", [False, True])
    def test_copies_and_pickles(self, make: Any, name: str, called: bool) -> None:
        guide = make(MODELS[name]) if make is not auto_list else AutoGuideList(MODELS[name])
        if make is auto_list:  # its parts block by a lambda, which does not pickle
            guide.append(AutoNormal(MODELS[name]))
        if called:
            guide()
        for twin in (copy.deepcopy(guide), pickle.loads(pickle.dumps(guide))):
            assert type(twin) is type(guide)
            assert_close(dict(twin.state_dict()), dict(guide.state_dict()))
            pyro.clear_param_store()
            assert_has_values_of(twin(), MODELS[name])
            if called:
                assert_close(point_of(twin), point_of(guide))


@pytest.mark.usefixtures("promised")
@every_guide(GUIDES)
class TestEveryGuide:
    @pytest.mark.parametrize("name", ["many_supports", "in_plates"])
    def test_particles_may_be_vectorised(self, make: Any, name: str) -> None:
        elbo = Trace_ELBO(num_particles=5, vectorize_particles=True, max_plate_nesting=2)
        model = MODELS[name]
        assert torch.isfinite(torch.as_tensor(elbo.loss(model, make(model))))

    def test_a_copy_is_fitted_by_itself(self, make: Any) -> None:
        with settings.context(module_local_params=True):
            guide = make(many_supports)
            guide()
            twin = copy.deepcopy(guide)
            before = parameters_of(guide)
            SVI(many_supports, twin, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO()).step()
        assert_close(parameters_of(guide), before)
        after = parameters_of(twin)
        changed = [(after[key] != value).any() for key, value in before.items()]
        assert all(changed)

    def test_copies_where_the_model_has_parameters(self, make: Any) -> None:
        def model() -> Any:
            scale = pyro.param("scale", torch.tensor(2.0), dist.constraints.positive)
            return pyro.sample("x", dist.Normal(0.0, 2 * scale))

        guide = make(model)
        guide()
        assert list(copy.deepcopy(guide)()) == ["x"]

    def test_a_state_dict_restores_it(self, make: Any) -> None:
        guide = make(in_plates)
        SVI(in_plates, guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO()).step()
        state = copy.deepcopy(guide.state_dict())
        expected = point_of(guide)
        pyro.clear_param_store()
        fresh = make(in_plates)
        fresh()
        fresh.load_state_dict(state)
        assert_close(point_of(fresh), expected)
        fresh()
        assert_close(point_of(fresh), expected)

    def test_a_saved_param_store_restores_it(self, make: Any, tmp_path: Path) -> None:
        guide, store = make(in_plates), pyro.get_param_store()
        SVI(in_plates, guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO()).step()
        names, expected = list(store), point_of(guide)
        store.save(tmp_path / "guide.pt")
        store.clear()
        store.load(tmp_path / "guide.pt")
        fresh = make(in_plates)
        fresh()
        assert list(store) == names
        assert_close(point_of(fresh), expected)

    def test_computes_in_double_precision(self, make: Any) -> None:
        def model() -> None:
            pyro.sample("x", dist.Normal(torch.zeros(2, dtype=torch.double), 1.0).to_event(1))
            pyro.sample("y", dist.Gamma(torch.tensor(2.0, dtype=torch.double), 1.0))

        guide = make(model)
        assert {value.dtype for value in guide().values()} == {torch.double}
        assert {value.dtype for value in parameters_of(guide).values()} == {torch.double}
        assert {value.dtype for value in point_of(guide).values()} == {torch.double}

    def test_call_gives_values_in_the_order_of_names(self, make: Any) -> None:
        guide = make(in_plates)
        with condition(data={}):
            values = guide.call()
        assert [value.shape for value in values] == [(4, 3), (3, 2), (4, 1, 2), ()]

    def test_discrete_sites_are_refused_with_the_remedy(self, make: Any) -> None:
        def model() -> None:
            pyro.sample("x", dist.Normal(0.0, 1.0))
            pyro.sample("z", dist.Categorical(torch.ones(3)))

        with pytest.raises(ValueError, match=r"At site 'z': it is discrete.*hide=\['z'\]"):
            make(model)()
        hidden = make(block(model, hide=["z"]))
        assert list(hidden()) == ["x"]

    def test_a_model_without_latent_sites_needs_no_parameters(self, make: Any) -> None:
        def model() -> None:
            pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.tensor(0.5))

        guide = make(model)
        assert_has_values_of(guide(), model)
        assert not hasattr(guide, "median") or guide.median() == {}
        assert list(guide.parameters()) == []
        log_density = dist.Normal(0.0, 1.0).log_prob(torch.tensor(0.5))
        assert_close(Trace_ELBO().loss(model, guide), -log_density.item())

    def test_iterations_of_a_sequential_plate_are_sites_of_their_own(self, make: Any) -> None:
        def model() -> None:
            pyro.sample("x", dist.Normal(0.0, 1.0))
            for i in pyro.plate("steps", 2):
                pyro.sample(f"step_{i}", dist.Normal(0.0, 1.0))

        assert sorted(make(model)()) == ["step_0", "step_1", "x"]

    def test_a_sequential_plate_that_is_subsampled_is_refused(self, make: Any) -> None:
        def model() -> None:
            pyro.sample("x", dist.Normal(0.0, 1.0))
            for i in pyro.plate("steps", 5, subsample_size=2):
                pyro.sample(f"step_{i}", dist.Normal(0.0, 1.0))

        with pytest.raises(NotImplementedError, match="sequential plate 'steps', which runs 2 of"):
            make(model)()

    def test_the_model_is_left_as_it_is(self, make: Any) -> None:
        model = Network()
        guide = make(model)
        guide()
        assert guide.model is model
        assert not any("linear.linear" in name for name in guide.state_dict())
        assert "_pyro_name" in vars(model)
        assert model._pyro_name == ""

    def test_setting_up_is_seen_by_no_handler_outside(self, make: Any) -> None:
        trace = trace_of(make(MODELS["network"]))
        assert "y" not in trace
        trace.compute_log_prob()

    def test_serves_predictive(self, make: Any) -> None:
        samples = Predictive(in_plates, guide=make(in_plates), num_samples=6)()
        assert samples["cell"].shape == (6, 4, 3)
        assert samples["row"].shape == (6, 4, 1, 2)

    def test_parameters_may_stay_in_the_module(self, make: Any) -> None:
        with settings.context(module_local_params=True):
            guide = make(in_plates)
            SVI(in_plates, guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO()).step()
        assert len(pyro.get_param_store()) == 0
        assert len(list(guide.parameters())) > 0

    def test_the_model_must_be_callable(self, make: Any) -> None:
        with pytest.raises(TypeError, match="A guide is made from a model"):
            make(3)


@pytest.mark.usefixtures("promised")
@every_guide(WITH_PLATES)
class TestEveryGuideWithPlates:
    def test_parameters_have_the_size_of_the_whole_plate(self, make: Any) -> None:
        guide = make(subsampled)
        guide()
        shapes = {name: value.shape for name, value in guide.median().items()}
        assert shapes == {"x": (), "y": (10, 2)}
        parameters = dict(guide.named_pyro_params())
        for name, value in parameters.items():
            if name.endswith("y") and "couplings" not in name:
                assert value.shape == (10, 2)

    def test_values_are_those_of_the_elements_that_were_drawn(self, make: Any) -> None:
        guide = make(subsampled)
        guide()
        rows = torch.arange(10.0)
        for name, value in dict(guide.named_pyro_params()).items():
            leaf: Any = guide
            for step in name.split(".")[:-1]:
                leaf = getattr(leaf, step)
            if name.endswith("y") and "couplings" not in name:
                is_scale = "scales" in name
                new = torch.full_like(value, 1e-6) if is_scale else rows[:, None].expand(10, 2) + 1
                leaf.y = new.clone()
        trace = trace_of(guide)
        drawn = trace.nodes["rows"]["value"]
        expected = guide.median()["y"][drawn]
        # The standard deviation is 1e-6 in logarithms: ten of them at most.
        assert_close(trace.nodes["y"]["value"], expected, rtol=1e-5)
        assert len(set(drawn.tolist())) == 4

    def test_gradients_reach_only_the_elements_that_were_drawn(self, make: Any) -> None:
        guide = make(subsampled)
        guide()
        trace = trace_of(guide)
        trace.nodes["y"]["value"].sum().backward()
        drawn = set(trace.nodes["rows"]["value"].tolist())
        for name, parameter in guide.named_parameters():
            if name.endswith("y_unconstrained"):
                moved = {i for i, row in enumerate(parameter.grad) if row.any()}
                assert moved == drawn, name

    def test_plates_may_be_given(self, make: Any) -> None:
        def model(batch: Tensor) -> None:
            pyro.sample("x", dist.Normal(0.0, 1.0))
            with pyro.plate("rows", 10, subsample=batch):
                pyro.sample("y", dist.Normal(0.0, 1.0))

        def create_plates(batch: Tensor) -> Any:
            return pyro.plate("rows", 10, subsample=batch)

        guide = make(model, create_plates=create_plates)
        for batch in (torch.tensor([1, 2]), torch.tensor([7, 3, 9])):
            trace = trace_of(guide, batch)
            assert trace.nodes["rows"]["value"].tolist() == batch.tolist()
            assert trace.nodes["y"]["value"].shape == batch.shape
            trace_of(replay(model, trace), batch)
        assert guide.median()["y"].shape == (10,)

    def test_what_create_plates_returns_is_checked(self, make: Any) -> None:
        with pytest.raises(TypeError, match=r"create_plates\(\) must return a plate or several"):
            make(subsampled, create_plates=lambda: [3])()

    def test_a_name_that_is_a_prefix_of_another_is_refused(self, make: Any) -> None:
        def model() -> None:
            pyro.sample("x", dist.Normal(0.0, 1.0))
            pyro.sample("a", dist.Normal(0.0, 1.0))
            pyro.sample("a.b", dist.Normal(0.0, 1.0))

        with pytest.raises(ValueError, match="At site 'a.b': the name has a dot after 'a'"):
            make(model)()


@every_guide({name: make for name, make in GUIDES.items() if name not in WITHOUT_QUANTILES})
class TestEveryGuideWithQuantiles:
    def test_the_median_lies_inside_the_support(self, make: Any) -> None:
        for name, value in make(many_supports).median().items():
            site = latent_sites(many_supports)[name]
            assert value.shape == site["value"].shape
            assert site["fn"].support.check(value).all()

    def test_quantiles_run_over_the_levels(self, make: Any) -> None:
        guide = make(many_supports)
        for levels in ([0.1, 0.5, 0.9], torch.tensor([0.1, 0.5, 0.9])):
            quantiles = guide.quantiles(levels)
            for name, value in guide.median().items():
                assert quantiles[name].shape == (3, *value.shape)
                assert_close(quantiles[name][1], value)
        assert guide.quantiles(0.5)["x"].shape == (1,)
        with pytest.raises(ValueError, match="levels between 0 and 1, got 1.5"):
            guide.quantiles(1.5)


@every_guide({name: make for name, make in GUIDES.items() if name != "AutoDelta"})
def test_a_site_name_may_have_dots_and_be_a_methods_name(make: Any) -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))
        for name in ("a.b", "a.c", "forward", "type", "0", "a b"):
            pyro.sample(name, dist.LogNormal(0.0, 1.0))

    guide = make(model)
    expected = {"x", "a.b", "a.c", "forward", "type", "0", "a b"}
    assert set(guide()) == set(point_of(guide)) == expected


@pytest.mark.parametrize(
    ("type_", "is_observed", "is_hidden"),
    [("sample", False, False), ("sample", True, True), ("param", False, True)],
)
def test_the_prototype_holds_latent_sites(type_: str, is_observed: bool, is_hidden: bool) -> None:
    law = dist.Normal(0.0, 1.0)
    msg: Any = {"type": type_, "is_observed": is_observed, "fn": law, "name": "x", "infer": {}}
    assert prototype_hide_fn(msg) == is_hidden


def test_the_base_defines_no_median() -> None:
    with pytest.raises(NotImplementedError, match=r"AutoGuide defines no median\(\)"):
        AutoGuide(many_supports).median()


def test_a_guide_of_ones_own_has_the_prototype_and_plates() -> None:
    class Own(AutoGuide):
        def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
            super()._setup_prototype(*args, **kwargs)
            self.sizes = {name: f.full_size for name, f in self._prototype_frames.items()}

        def forward(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            if self.prototype_trace is None:
                self._setup_prototype(*args, **kwargs)
            assert list(dict(self.prototype_trace.iter_stochastic_nodes())) == ["x", "y"]
            plates = self._create_plates(*args, **kwargs)
            values = {"x": pyro.sample("x", dist.Normal(0.0, 1.0))}
            assert [frame.name for frame in self._cond_indep_stacks["y"]] == ["rows"]
            with plates["rows"]:
                values["y"] = pyro.sample("y", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            return values

    guide = Own(subsampled)
    assert {name: value.shape for name, value in guide().items()} == {"x": (), "y": (4, 2)}
    assert guide.sizes == {"rows": 10}
