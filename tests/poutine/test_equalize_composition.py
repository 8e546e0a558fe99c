"""What ``do``, ``lift``, ``reparam`` and ``uncondition`` mean for tied sites, in both nestings."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.distributions import constraints
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.reparam.reparam import Reparam
from pyro.nn import PyroModule
from pyro.optim import Adam
from pyro.poutine import equalized_sites
from pyro.poutine.sites import site_is_equalized
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, refused, value_of

pytestmark = pytest.mark.whole_package("the other handlers know nothing of tied sites there")

BOTH_MODES = pytest.mark.parametrize("keep_dist", [False, True])
A, B, C = dist.Normal(0.0, 1.0), dist.Normal(1.0, 2.0), dist.Normal(2.0, 3.0)


def trio() -> dict[str, Tensor]:
    values = {name: pyro.sample(name, law) for name, law in zip("abc", (A, B, C), strict=True)}
    pyro.sample("x", dist.Normal(values["a"] + 2 * values["b"], 1.0), obs=torch.tensor(3.0))
    return values


def tie(fn: Any, keep_dist: bool = False) -> Any:
    return poutine.equalize(fn, ["a", "b", "c"], keep_dist=keep_dist)


def returned(record: Any) -> dict[str, float]:
    return {name: value.item() for name, value in value_of(record, "_RETURN").items()}


# do, outside: on a member


@BOTH_MODES
def test_an_intervention_on_a_member_cuts_it_out(keep_dist: bool) -> None:
    record = trace_of(poutine.do(tie(trio, keep_dist), data={"b": 5.0}))
    a = value_of(record, "a")
    assert returned(record) == {"a": a.item(), "b": 5, "c": a.item()}
    assert equalized_sites(record) == {"a": ["c"]}
    b = record.nodes["b"]
    assert latent_names(record) == ["a", "b"] and b["fn"] is B and b["infer"] == {}
    assert b["value"] not in (a, 5)


@BOTH_MODES
def test_an_intervention_on_a_member_tells_nothing_about_the_owner(keep_dist: bool) -> None:
    """Pearl's truncated product: p(a) p(x | a, b = 5), and p_c(a) where c's density is kept."""
    record = trace_of(poutine.do(tie(trio, keep_dist), data={"b": 5.0}))
    a = value_of(record, "a")
    expected = A.log_prob(a) + dist.Normal(a + 10, 1.0).log_prob(torch.tensor(3.0))
    if keep_dist:
        expected = expected + C.log_prob(a)
    assert_close(record.log_prob_sum(lambda name, _: name != "b"), expected)
    own = record.log_prob_sum(lambda name, _: name == "b")
    assert_close(own, B.log_prob(value_of(record, "b")))


@BOTH_MODES
def test_a_member_in_a_plate_is_cut_out_at_its_own_shape(keep_dist: bool) -> None:
    def model() -> Tensor:
        pyro.sample("a", A)
        with pyro.plate("rows", 4):
            b = pyro.sample("b", B)
        assert isinstance(b, Tensor)
        return b

    tied = poutine.equalize(model, ["a", "b"], keep_dist=keep_dist)
    with pyro.plate("worlds", 2, dim=-2):
        record = trace_of(poutine.do(tied, data={"b": torch.arange(4.0)}))
    assert value_of(record, "_RETURN").tolist() == [[0, 1, 2, 3]] * 2
    assert record.nodes["b"]["fn"].batch_shape == (2, 4)
    assert value_of(record, "b").unique().numel() == 8


def test_a_member_that_was_observed_stays_evidence() -> None:
    def model() -> Any:
        a = pyro.sample("a", A, obs=torch.tensor(1.5))
        return a, pyro.sample("b", B, obs=torch.tensor(1.5))

    record = trace_of(poutine.do(poutine.equalize(model, ["a", "b"]), data={"b": 4}))
    assert value_of(record, "_RETURN") == (1.5, 4)
    assert record.nodes["b"]["is_observed"] and value_of(record, "b") == 1.5


def test_condition_outside_speaks_to_the_member_that_was_cut_out() -> None:
    cut = poutine.do(tie(trio), data={"b": 5.0})
    record = trace_of(poutine.condition(cut, data={"b": torch.tensor(-1.0)}))
    assert value_of(record, "b") == -1 and returned(record)["b"] == 5


def test_each_run_ties_anew_after_an_intervention() -> None:
    tied = tie(trio)
    trace_of(poutine.do(tied, data={"b": 5.0}))
    assert equalized_sites(trace_of(tied)) == {"a": ["b", "c"]}


# do, outside: on others


@BOTH_MODES
def test_an_intervention_on_the_owner_reaches_the_members(keep_dist: bool) -> None:
    """As in the model that is tied by hand, where the members depend on the owner."""

    def twin() -> dict[str, Tensor]:
        a = pyro.sample("a", A)
        if keep_dist:
            pyro.sample("b", B, obs=a)
            pyro.sample("c", C, obs=a)
        pyro.sample("x", dist.Normal(3 * a, 1.0), obs=torch.tensor(3.0))
        return {"a": a, "b": a, "c": a}

    records = []
    for model in (tie(trio, keep_dist), twin):
        with poutine.seed(rng_seed=0):
            records.append(trace_of(poutine.do(model, data={"a": 5.0})))
    for record in records:
        assert returned(record) == {"a": 5, "b": 5, "c": 5}
        assert latent_names(record) == ["a"] and value_of(record, "a") != 5
    assert_close(records[0].log_prob_sum(), records[1].log_prob_sum())
    assert equalized_sites(records[0]) == {"a": ["b", "c"]}


@BOTH_MODES
def test_an_intervention_elsewhere_unties_nothing(keep_dist: bool) -> None:
    record = trace_of(poutine.do(tie(trio, keep_dist), data={"x": 0.0}))
    assert equalized_sites(record) == {"a": ["b", "c"]}
    assert len(set(returned(record).values())) == 1


# do, inside


@BOTH_MODES
def test_inside_an_intervention_the_sites_are_tied_as_they_are_without(keep_dist: bool) -> None:
    """equalize() sees the sites outside of do(): the owner as drawn; the model has what was set."""
    record = trace_of(tie(poutine.do(trio, data={"a": 5.0}), keep_dist))
    a = value_of(record, "a").item()
    assert a != 5 and returned(record) == {"a": 5, "b": a, "c": a}
    record = trace_of(tie(poutine.do(trio, data={"b": 5.0}), keep_dist))
    a = value_of(record, "a").item()
    assert returned(record) == {"a": a, "b": 5, "c": a}
    assert value_of(record, "b").item() == a and equalized_sites(record) == {"a": ["b", "c"]}


# lift


def params() -> tuple[Tensor, Tensor]:
    return pyro.param("p", torch.tensor(1.0)), pyro.param("q", torch.tensor(2.0))


@pytest.mark.parametrize("prior", [A, {"p": A, "q": A}, {"p": A}])
def test_lift_outside_lifts_the_owner_and_leaves_the_member_alone(prior: Any) -> None:
    record = trace_of(poutine.lift(poutine.equalize(params, ["p", "q"], "param"), prior=prior))
    assert latent_names(record) == ["p"] and record.nodes["q"]["type"] == "param"
    assert equalized_sites(record) == {"p": ["q"]}
    p, q = value_of(record, "_RETURN")
    assert p is q is value_of(record, "p")
    assert_close(record.log_prob_sum(), A.log_prob(p))


def test_a_prior_for_a_member_alone_lifts_nothing() -> None:
    record = trace_of(poutine.lift(poutine.equalize(params, ["p", "q"], "param"), prior={"q": A}))
    assert not latent_names(record) and value_of(record, "q") == 1


@BOTH_MODES
def test_lift_inside_makes_sample_sites_to_tie(keep_dist: bool) -> None:
    lifted = poutine.lift(params, prior={"p": A, "q": B})
    record = trace_of(poutine.equalize(lifted, ["p", "q"], keep_dist=keep_dist))
    p, q = value_of(record, "_RETURN")
    assert p == q and latent_names(record) == ["p"] and equalized_sites(record) == {"p": ["q"]}
    expected = A.log_prob(p) + (B.log_prob(p) if keep_dist else 0)
    assert_close(record.log_prob_sum(), expected)


def test_svi_runs_on_a_lifted_model_with_a_tied_parameter() -> None:
    def model() -> None:
        p, q = params()
        pyro.sample("x", dist.Normal(p + q, 1.0), obs=torch.tensor(3.0))

    def guide() -> None:
        loc = pyro.param("loc", torch.tensor(0.0))
        pyro.sample("p", dist.Normal(loc, pyro.param("s", torch.tensor(0.1), constraints.positive)))

    lifted = poutine.lift(poutine.equalize(model, ["p", "q"], "param"), prior=A)
    svi = SVI(lifted, guide, Adam({"lr": 0.01}), Trace_ELBO())
    svi.step()
    assert pyro.param("loc") > 0 and "q" not in pyro.get_param_store()


def test_a_module_with_tied_parameters_is_lifted() -> None:
    class Two(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.one = PyroModule[nn.Linear](2, 1, bias=False)
            self.other = PyroModule[nn.Linear](2, 1, bias=False)

        def forward(self, x: Tensor) -> Any:
            return self.one(x), self.other(x)

    tied = poutine.equalize(Two(), ["one.weight", "other.weight"], "param")
    record = trace_of(poutine.lift(tied, prior=A), torch.ones(2))
    one, other = value_of(record, "_RETURN")
    assert one == other == value_of(record, "one.weight").sum()
    assert latent_names(record) == ["one.weight"]


# reparam


class Decentre(Reparam):
    def apply(self, msg: Any) -> Any:
        law = msg["fn"]
        value = law.loc + law.scale * pyro.sample(msg["name"] + "_unit", dist.Normal(0.0, 1.0))
        return {"fn": dist.Delta(value), "value": value, "is_observed": True}


EVERY = {name: Decentre() for name in "abc"}


@BOTH_MODES
def test_reparam_outside_rewrites_the_owner_and_leaves_members_alone(
    keep_dist: bool, double_precision: None
) -> None:
    record = trace_of(poutine.reparam(tie(trio, keep_dist), config=EVERY))
    assert latent_names(record) == ["a_unit"] and equalized_sites(record) == {"a": ["b", "c"]}
    assert len(set(returned(record).values())) == 1
    a = value_of(record, "a")
    direct = trace_of(poutine.condition(tie(trio, keep_dist), data={"a": a}))
    assert_close(record.log_prob_sum(), direct.log_prob_sum())  # a is standard: no Jacobian


def test_reparam_inside_cannot_keep_the_density_of_a_member() -> None:
    text = r"At site 'b': equalize\(\) was to keep its density where it is tied to 'a', but a"
    with refused(ValueError, text + r" reparam\(\) inside.*Put reparam\(\) outside"):
        tie(poutine.reparam(trio, config={"b": Decentre()}), keep_dist=True)()


def test_reparam_inside_is_fine_for_an_owner() -> None:
    record = trace_of(tie(poutine.reparam(trio, config={"a": Decentre()}), keep_dist=True))
    assert latent_names(record) == ["a_unit"] and len(set(returned(record).values())) == 1


def test_reparam_inside_of_a_copy_leaves_the_copy_a_copy() -> None:
    record = trace_of(tie(poutine.reparam(trio, config=EVERY)))
    assert len(set(returned(record).values())) == 1
    assert equalized_sites(record) == {"a": ["b", "c"]}
    a = value_of(record, "a")
    assert value_of(record, "x") == 3 and record.nodes["x"]["fn"].loc == 3 * a


def test_auxiliary_sites_can_be_tied() -> None:
    """Equal in other coordinates: b = 1 + 2 u where a = u."""
    inside = poutine.reparam(trio, config={"a": Decentre(), "b": Decentre()})
    record = trace_of(poutine.equalize(inside, ["a_unit", "b_unit"]))
    values = returned(record)
    assert_close(values["b"], 1 + 2 * values["a"])


# uncondition


def observed_pair() -> tuple[Tensor, Tensor]:
    a = pyro.sample("a", A)
    return a, pyro.sample("b", B, obs=torch.tensor(50.0))


@BOTH_MODES
def test_uncondition_outside_leaves_members_alone(keep_dist: bool) -> None:
    record = trace_of(poutine.uncondition(tie(trio, keep_dist)))
    assert latent_names(record) == ["a", "x"]
    assert len(set(returned(record).values())) == 1
    for name in "bc":
        site = record.nodes[name]
        assert site_is_equalized(site) and site["is_observed"]
        assert "was_observed" not in site["infer"]


@BOTH_MODES
def test_uncondition_outside_draws_an_observed_owner(keep_dist: bool) -> None:
    data = {"a": torch.tensor(50.0)}
    record = trace_of(poutine.uncondition(poutine.condition(tie(trio, keep_dist), data=data)))
    assert latent_names(record) == ["a", "x"]
    assert value_of(record, "a") < 25 and len(set(returned(record).values())) == 1


@BOTH_MODES
def test_uncondition_inside_takes_the_datum_before_the_tie(keep_dist: bool) -> None:
    unconditioned = poutine.uncondition(observed_pair)
    record = trace_of(poutine.equalize(unconditioned, ["a", "b"], keep_dist=keep_dist))
    a, b = value_of(record, "_RETURN")
    assert a == b and latent_names(record) == ["a"]
    assert record.nodes["b"]["infer"]["was_observed"] and equalized_sites(record) == {"a": ["b"]}
    with refused(ValueError, "equalized to 'a': it is observed"):
        poutine.equalize(observed_pair, ["a", "b"], keep_dist=keep_dist)()
