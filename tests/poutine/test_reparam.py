"""Sites in other coordinates: the joint distribution stays."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions.transforms import AffineTransform, ExpTransform

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer.reparam.reparam import Reparam
from pyro.poutine.reparam_messenger import ReparamHandler
from pyro.poutine.sites import site_is_reparameterized
from tests.helpers import assert_close, assert_mean, trace_of
from tests.poutine.models import latent_names, refused, value_of


class Decentre(Reparam):
    """``x = loc + scale * u`` with a standard normal ``u``."""

    def apply(self, msg: Any) -> Any:
        law = msg["fn"]
        unit = dist.Normal(0.0, 1.0).expand(law.batch_shape)
        value = law.loc + law.scale * pyro.sample(msg["name"] + "_unit", unit)
        return {"fn": dist.Delta(value), "value": value, "is_observed": True}


class Untransform(Reparam):
    """``x = f(u)`` for the base ``u`` of a transformed law."""

    def apply(self, msg: Any) -> Any:
        law = msg["fn"]
        value = pyro.sample(msg["name"] + "_base", law.base_dist)
        for transform in law.transforms:
            value = transform(value)
        return {"fn": dist.Delta(value), "value": value, "is_observed": True}


class Older(Reparam):
    """Decentres the way that reparameterisations were once written."""

    def __call__(self, name: str, fn: Any, obs: Any) -> tuple[Any, Any]:
        unit = dist.Normal(0.0, 1.0).expand(fn.batch_shape)
        value = fn.loc + fn.scale * pyro.sample(name + "_unit", unit)
        return dist.Delta(value), value


class Shifted(Reparam):
    """Moves law and datum by the mean."""

    def apply(self, msg: Any) -> Any:
        law, value = msg["fn"], msg["value"]
        centred = dist.Normal(torch.zeros_like(law.loc), law.scale)
        return {"fn": centred, "value": value - law.loc, "is_observed": msg["is_observed"]}


def model(size: int = 3, *, loc: float = 5.0) -> Tensor:
    top = pyro.sample("top", dist.Normal(loc, 2.0))
    with pyro.plate("data", size):
        x = pyro.sample("x", dist.Normal(top, 0.5), infer={"hint": 1})
        pyro.sample("y", dist.Normal(x, 1.0), obs=torch.zeros(size))
    assert isinstance(x, Tensor)
    return x


def by_name(msg: Any) -> Any:
    return Decentre() if msg["name"] == "x" else None


class Remembers:
    """A strategy that writes down what it chose."""

    def __init__(self) -> None:
        self.chosen: dict[str, Any] = {}

    def configure(self, msg: Any) -> Any:
        self.chosen[msg["name"]] = by_name(msg)
        return self.chosen[msg["name"]]

    def __call__(self, fn: Any) -> Any:
        return poutine.reparam(fn, config=self)


@pytest.mark.parametrize("config", [{"x": Decentre()}, {"x": Older()}, by_name, Remembers()])
def test_the_site_is_computed_from_an_auxiliary_one(config: Any) -> None:
    record = trace_of(poutine.reparam(model, config=config))
    assert latent_names(record) == ["top", "x_unit"]
    x = record.nodes["x"]
    assert x["is_observed"] and x["infer"]["hint"] == 1 and site_is_reparameterized(x)
    assert_close(x["value"], value_of(record, "top") + 0.5 * value_of(record, "x_unit"))
    assert value_of(record, "_RETURN") is x["value"]


@pytest.mark.parametrize("reparam", [Decentre(), Older()])
def test_the_joint_density_is_preserved(reparam: Reparam, double_precision: None) -> None:
    """log p(top, x, y) = log p(top, u, y) - log |dx/du|, with dx/du = 0.5 for each of three."""
    record = trace_of(poutine.reparam(model, config={"x": reparam}))
    same = {name: value_of(record, name) for name in ("top", "x")}
    direct = trace_of(poutine.condition(model, data=same))
    jacobian = 3 * torch.tensor(0.5).log()
    assert_close(record.log_prob_sum() - jacobian, direct.log_prob_sum())


def test_a_transformed_law_is_preserved(double_precision: None) -> None:
    """x = exp(3 u + 1): log p(x) = log p(u) - log 3 - (3 u + 1)."""

    def transformed() -> Any:
        transforms = [AffineTransform(1.0, 3.0), ExpTransform()]
        return pyro.sample("x", dist.TransformedDistribution(dist.Normal(0.0, 1.0), transforms))

    record = trace_of(poutine.reparam(transformed, config={"x": Untransform()}))
    u, x = value_of(record, "x_base"), value_of(record, "x")
    assert_close(x, (3 * u + 1).exp())
    direct = trace_of(poutine.condition(transformed, data={"x": x})).log_prob_sum()
    assert_close(record.log_prob_sum() - torch.tensor(3.0).log() - (3 * u + 1), direct)


def test_draws_have_the_law_of_the_model() -> None:
    """x has mean 5 and variance 4 + 1/4."""
    with pyro.plate("runs", 4000, dim=-2):
        x = poutine.reparam(model, config={"x": Decentre(), "top": Decentre()})(1)
    assert_mean(x[:, 0], 5.0, 4.25**0.5)


def test_gradients_reach_the_parameters_of_the_old_law() -> None:
    loc = torch.tensor(1.0, requires_grad=True)
    x = poutine.reparam(lambda: pyro.sample("x", dist.Normal(loc, 2.0)), {"x": Decentre()})()
    assert torch.autograd.grad(x, loc)[0] == 1


def test_auxiliary_sites_are_reparameterised_in_turn(double_precision: None) -> None:
    """A strategy works down from x = exp(v) by v to the standard normal behind it."""

    def nested() -> None:
        normal = dist.Normal(1.0, 3.0)
        pyro.sample("x", dist.TransformedDistribution(normal, [ExpTransform()]))

    def choose(msg: Any) -> Any:
        law = msg["fn"]
        if isinstance(law, dist.TransformedDistribution):
            return Untransform()
        return Decentre() if isinstance(law, dist.Normal) and law.scale != 1 else None

    record = trace_of(poutine.reparam(nested, config=choose))
    assert latent_names(record) == ["x_base_unit"]
    u = value_of(record, "x_base_unit")
    assert_close(value_of(record, "x"), (1 + 3 * u).exp())
    assert_close(record.log_prob_sum(), dist.Normal(0.0, 1.0).log_prob(u))


def test_a_datum_may_be_moved_with_its_law() -> None:
    record = trace_of(poutine.reparam(model, config={"y": Shifted()}))
    assert_close(value_of(record, "y"), -value_of(record, "x"))
    direct = dist.Normal(value_of(record, "x"), 1.0).log_prob(torch.zeros(3)).sum()
    assert_close(record.log_prob_sum(lambda name, _: name == "y"), direct)


def test_a_new_law_may_be_drawn_from() -> None:
    class Wider(Reparam):
        def apply(self, msg: Any) -> Any:
            law = msg["fn"]
            return {"fn": dist.Normal(law.loc, 9.0), "value": None, "is_observed": False}

    record = trace_of(poutine.reparam(model, config={"x": Wider()}))
    assert latent_names(record) == ["top", "x"] and record.nodes["x"]["fn"].scale[0] == 9


def test_laws_called_with_arguments_lose_them_with_the_law() -> None:
    def called() -> None:
        pyro.sample("x", dist.Normal(0.0, 2.0), [4])

    class Vector(Reparam):
        def apply(self, msg: Any) -> Any:
            value = pyro.sample("u", dist.Normal(0.0, 1.0).expand([4]).to_event(1))
            return {"fn": dist.Delta(value), "value": value, "is_observed": True}

    assert trace_of(poutine.reparam(called, config={"x": Vector()})).nodes["x"]["args"] == ()


def test_plates_are_left_alone_and_their_sites_asked_for() -> None:
    strategy = Remembers()
    trace_of(strategy(model))
    assert list(strategy.chosen) == ["top", "x", "x_unit", "y"]


def test_a_strategy_decorates() -> None:
    strategy = Remembers()

    @strategy
    def decorated() -> Any:
        return model()

    decorated()
    assert isinstance(decorated, ReparamHandler) and "x_unit" in strategy.chosen


class NotesCall(Reparam):
    calls: list[Any] = []

    def apply(self, msg: Any) -> Any:
        self.calls.append(self.args_kwargs)
        return {"fn": msg["fn"], "value": None, "is_observed": False}


def test_the_arguments_of_the_call_are_at_hand() -> None:
    reparam = NotesCall()
    handled = poutine.reparam(model, config={"top": reparam})
    handled(2, loc=1.0)
    with poutine.reparam(config={"top": reparam}):
        model()
    assert reparam.calls == [((2,), {"loc": 1.0}), None]
    assert reparam.args_kwargs is None


def test_the_arguments_are_forgotten_after_an_exception() -> None:
    reparam = NotesCall()
    handled = poutine.reparam(model, config={"top": reparam})
    with refused(TypeError, "unexpected keyword"):
        handled(wrong=1)
    with handled.msngr:
        model()
    assert reparam.calls[-1] is None


def test_either_interface_may_be_called() -> None:
    law = dist.Normal(1.0, 2.0)
    for reparam in (Decentre(), Older()):
        fn, value = reparam("x", law, None)
        assert fn.v is value
        new = reparam.apply({"name": "x", "fn": law, "value": None, "is_observed": False})
        assert new["is_observed"] and new["fn"].v is new["value"]
    fn, value = Shifted()("x", law, torch.tensor(4.0))
    assert fn.loc == 0 and value == 3
    with pytest.raises(NotImplementedError, match="Reparam defines no apply"):
        Reparam().apply({"name": "x", "fn": law, "value": None, "is_observed": False})


def test_an_initial_value_that_is_lost_is_warned_about() -> None:
    given = trace_of(model)
    inside = poutine.reparam(poutine.replay(model, trace=given), config={"x": Decentre()})
    with pytest.warns(UserWarning, match="At site 'x': the value that it was given is not kept by"):
        inside()


def test_condition_inside_is_evidence_that_a_reparam_must_heed() -> None:
    data = {"y": torch.ones(3)}
    record = trace_of(poutine.reparam(poutine.condition(model, data=data), {"y": Shifted()}))
    assert_close(value_of(record, "y"), 1 - value_of(record, "x"))


class Returns(Reparam):
    def __init__(self, result: Any) -> None:
        self.result = result

    def apply(self, msg: Any) -> Any:
        return self.result


@pytest.mark.parametrize(
    ("config", "kind", "text"),
    [
        (3, TypeError, "takes a dict of reparameterisations by site name"),
        ({"x": 3}, TypeError, "At site 'x': 3 is no reparameterisation"),
        ({"x": Returns(None)}, TypeError, "returned None, expected a dict with the keys fn"),
        ({"x": lambda *args: 1}, TypeError, "returned 1, expected a pair of a law and a value"),
        (
            {"x": Returns({"fn": dist.Normal(0.0, 1.0), "value": None, "is_observed": False})},
            ValueError,
            r"At site 'x': Returns returned a law of batch shape \(\) and event shape \(\), "
            r"expected \(3,\) and \(\), which the site's has. Expand",
        ),
    ],
)
def test_what_is_refused(config: Any, kind: type[Exception], text: str) -> None:
    with refused(kind, text):
        poutine.reparam(model, config=config)()
