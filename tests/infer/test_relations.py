import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer.inspect import get_model_relations
from pyro.nn import PyroModule, PyroParam, PyroSample
from tests.infer.test_dependencies import partly_observed, two_categories, two_params
from tests.poutine.models import leaves_no_trace

N = dist.Normal


def penguins(data: torch.Tensor) -> None:
    scale = pyro.param("scale", torch.tensor(1.0), constraint=dist.constraints.positive)
    loc = pyro.param("loc", torch.tensor(0.0))
    with pyro.plate("species", 3, dim=-1):
        mean = pyro.sample("mean", N(loc, 1).mask(True))
        twice = pyro.deterministic("twice", 2 * mean * scale)
        with pyro.plate("rows", 2, dim=-2):
            pyro.sample("mass", N(twice.expand(2, 3), scale), obs=data)
    pyro.factor("penalty", mean.sum())


def test_all_relations_of_a_model() -> None:
    with leaves_no_trace():
        found = get_model_relations(penguins, (torch.zeros(2, 3),))
    assert found == {
        "sample_sample": {"mean": [], "twice": ["mean"], "mass": ["mean"], "penalty": ["mean"]},
        "sample_param": {
            "mean": ["loc"],
            "twice": ["scale"],
            "mass": ["scale"],
            "penalty": [],
        },
        "sample_dist": {
            "mean": "Normal",
            "twice": "Deterministic",
            "mass": "Normal",
            "penalty": "Unit",
        },
        "param_constraint": {"scale": "GreaterThan(lower_bound=0.0)", "loc": "Real()"},
        "plate_sample": {"species": ["mean", "twice", "mass"], "rows": ["mass"]},
        "observed": ["mass", "penalty"],
    }


def test_deterministic_sites_can_be_upstream() -> None:
    found = get_model_relations(penguins, (torch.zeros(2, 3),), include_deterministic=True)
    assert found["sample_sample"]["mass"] == ["twice"]
    assert found["sample_param"]["mass"] == ["scale"]


def test_a_masked_law_still_uses_its_parameters() -> None:
    def model() -> None:
        a = pyro.sample("a", N(0, 1))
        with poutine.mask(mask=False):
            pyro.sample("b", N(a, 1).to_event(0), obs=torch.tensor(0.0))

    assert get_model_relations(model)["sample_sample"] == {"a": [], "b": ["a"]}


def test_a_sure_value_is_a_site_like_any_other() -> None:
    def model() -> None:
        a = pyro.sample("a", dist.Delta(torch.tensor(1.0)))
        pyro.sample("b", N(a, 1))

    assert get_model_relations(model)["sample_sample"] == {"a": [], "b": ["a"]}


def test_an_observed_value_is_upstream() -> None:
    def model() -> None:
        a = pyro.sample("a", N(0, 1), obs=torch.tensor(0.0))
        pyro.sample("b", N(a, 1))

    assert get_model_relations(model)["sample_sample"] == {"a": [], "b": ["a"]}


def test_laws_made_of_laws_use_what_their_parts_use() -> None:
    def model() -> None:
        a = pyro.sample("a", N(torch.zeros(2), 1).to_event(1))
        b = pyro.sample("b", dist.Beta(1.0, 1.0))
        shift = dist.transforms.AffineTransform(b, 1.0)
        pyro.sample("c", dist.TransformedDistribution(N(a[0], 1), [shift]))
        parts = dist.MixtureSameFamily(dist.Categorical(torch.stack([b, 1 - b])), N(a, 1))
        pyro.sample("d", parts)

    found = get_model_relations(model)
    assert found["sample_sample"]["c"] == ["a", "b"]
    assert found["sample_sample"]["d"] == ["a", "b"]
    assert found["sample_dist"] == {
        "a": "Normal",
        "b": "Beta",
        "c": "TransformedDistribution",
        "d": "MixtureSameFamily",
    }


def test_crossing_plates_hold_all_of_their_sites() -> None:
    def model() -> None:
        x, y = pyro.plate("x", 2, dim=-1), pyro.plate("y", 3, dim=-2)
        with x:
            pyro.sample("a", N(0, 1))
        with y:
            pyro.sample("b", N(0, 1))
        with y, x:
            pyro.sample("c", N(0, 1))

    assert get_model_relations(model)["plate_sample"] == {"x": ["a", "c"], "y": ["b", "c"]}


def test_the_iterations_of_a_sequential_plate_are_in_it() -> None:
    def model() -> None:
        for i in pyro.plate("p", 2):
            pyro.sample(f"a{i}", N(0, 1))

    assert get_model_relations(model)["plate_sample"] == {"p": ["a0", "a1"]}


def test_a_partly_observed_site_is_three() -> None:
    found = get_model_relations(partly_observed)
    assert found["observed"] == ["b_observed", "c"]
    assert found["sample_sample"]["b"] == ["b_observed", "b_unobserved"]


@pytest.mark.parametrize("keep_dist", [False, True])
def test_a_member_is_downstream_of_its_owner(keep_dist: bool) -> None:
    found = get_model_relations(poutine.equalize(two_categories, "._std", keep_dist=keep_dist))
    assert found["equalized"] == {"d_std": ["k_std"]}
    assert found["sample_sample"] == {
        "d_mean": [],
        "d_std": ["d_mean"],
        "d_x": ["d_mean", "d_std"],
        "k_mean": [],
        "k_std": ["d_std", "k_mean"] if keep_dist else ["d_std"],
        "k_x": ["d_std", "k_mean"],
    }
    assert ("k_std" in found["observed"]) is keep_dist


def test_a_member_of_an_observed_owner_is_downstream_of_it() -> None:
    given = poutine.condition(two_categories, {"d_std": torch.tensor(1.0)})
    found = get_model_relations(poutine.equalize(given, "._std"))
    assert found["sample_sample"]["k_std"] == ["d_std"]
    assert found["sample_sample"]["k_x"] == ["d_std", "k_mean"]


def test_a_shared_parameter_is_its_owners() -> None:
    found = get_model_relations(poutine.equalize(two_params, "._loc", "param"))
    assert found["equalized"] == {"d_loc": ["k_loc"]}
    assert found["sample_param"] == {"d_x": ["d_loc"], "k_x": ["d_loc"]}
    assert list(found["param_constraint"]) == ["d_loc", "k_loc"]


def test_a_module_is_used_by_its_parameters_and_stays_as_it_was() -> None:
    net = torch.nn.Linear(1, 1)
    weight = net.weight

    def model() -> None:
        a = pyro.sample("a", N(torch.zeros(1), 1).to_event(1))
        pyro.sample("b", N(pyro.module("net", net)(a), 1).to_event(1))

    with leaves_no_trace():
        found = get_model_relations(model)
    assert found["sample_param"]["b"] == ["net$$$weight", "net$$$bias"]
    assert net.weight is weight
    assert type(net(torch.ones(1))) is torch.Tensor


class Regression(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.linear = PyroModule[torch.nn.Linear](2, 1)
        self.linear.weight = PyroSample(N(torch.zeros(1, 2), 1).to_event(2))
        self.scale = PyroParam(torch.tensor(1.0), dist.constraints.positive)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.linear(x).squeeze(-1)
        with pyro.plate("data", len(x)):
            value: torch.Tensor = pyro.sample("y", N(mean, self.scale))
        return value


def test_a_pyro_module_is_used_by_its_parts() -> None:
    model = Regression()
    with leaves_no_trace():
        found = get_model_relations(model, (torch.ones(3, 2),))
    assert found["sample_sample"] == {"linear.weight": [], "y": ["linear.weight"]}
    assert found["sample_param"]["y"] == ["linear.bias", "scale"]
    assert found["plate_sample"] == {"data": ["y"]}
    assert type(model(torch.ones(3, 2))) is torch.Tensor
    assert sorted(pyro.get_param_store()) == ["linear.bias", "scale"]
