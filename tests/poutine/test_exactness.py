"""The log density of a run under every handler, beside one written by hand, in float64.

``ZOO`` holds small models. A model returns all its values by name, and ``terms`` is a pure function
of such values that gives each site's term of the log density, from the formulas alone.

``HANDLERS`` says what each handler does to a model, in terms of that function: ``weight`` is the
factor that it puts on a site's term (0: the site is hidden or no evidence), ``given`` the values
that sites have under it whatever they would have drawn. To add a handler, add a row:

- ``apply`` takes a model and its ``Specimen`` and returns the handled model;
- leave ``weight`` out where every term stays as it was, ``given`` where no value is set;
- ``fits`` says which specimens it can be applied to, where not all.

Every row is then compared in value, and differentiated with respect to parameters and values, and
through reparameterised draws, against finite differences.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from tests.helpers import assert_close, trace_of

pytestmark = pytest.mark.usefixtures("double_precision")

Values = Mapping[str, Any]
Model = Callable[[], dict[str, Tensor]]


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.double)


# Densities from their formulas.


def normal(x: Any, loc: Any, scale: Any) -> Tensor:
    scale = torch.as_tensor(scale, dtype=torch.double)
    return (-0.5 * ((x - loc) / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)).sum()


def beta(x: Tensor, a: Any, b: Any) -> Tensor:
    a, b = (torch.as_tensor(c, dtype=torch.double) for c in (a, b))
    normaliser = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    return ((a - 1) * x.log() + (b - 1) * (1 - x).log() - normaliser).sum()


def bernoulli(k: Tensor, p: Any) -> Tensor:
    return (k * p.log() + (1 - k) * (1 - p).log()).sum()


def plane_normal(x: Tensor, loc: Any, covariance: Tensor) -> Tensor:
    """A normal law on the plane, of a batch of points; the inverse of two by two by hand."""
    (a, b), (_, d) = covariance
    determinant = a * d - b * b
    u, v = (x - loc).unbind(-1)
    quadratic = (d * u * u - 2 * b * u * v + a * v * v) / determinant
    return (-0.5 * quadratic - 0.5 * determinant.log() - math.log(2 * math.pi)).sum()


# The zoo.

COVARIANCE = tensor([[2.0, 0.6], [0.6, 1.0]])
POINTS = tensor([[0.5, -1.0], [1.5, 0.25], [-0.5, 2.0]])
FLIPS = tensor([1.0, 0.0, 1.0, 1.0])
ROW = tensor([0.5, -1.0, 2.0, 0.25])
MASK = torch.tensor([True, False, True, True])
GRID = tensor([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]])


def chain() -> dict[str, Tensor]:
    scale = pyro.param("scale")
    a = pyro.sample("a", dist.Normal(pyro.param("loc"), scale))
    b = pyro.sample("b", dist.Normal(a, 0.5))
    y = pyro.sample("y", dist.Normal(b, scale), obs=tensor(0.3))
    return {"loc": pyro.param("loc"), "scale": scale, "a": a, "b": b, "y": y}


def chain_terms(v: Values) -> dict[str, Tensor]:
    return {
        "a": normal(v["a"], v["loc"], v["scale"]),
        "b": normal(v["b"], v["a"], 0.5),
        "y": normal(v["y"], v["b"], v["scale"]),
    }


def coins() -> dict[str, Tensor]:
    scale = pyro.param("scale")
    a = pyro.sample("a", dist.Beta(scale, 3.0))
    b = pyro.sample("b", dist.Beta(2.0, scale))
    with pyro.plate("flips", 4):
        y = pyro.sample("y", dist.Bernoulli((a + b) / 2), obs=FLIPS)
    return {"scale": scale, "a": a, "b": b, "y": y}


def coins_terms(v: Values) -> dict[str, Tensor]:
    return {
        "a": beta(v["a"], v["scale"], 3.0),
        "b": beta(v["b"], 2.0, v["scale"]),
        "y": bernoulli(v["y"], (v["a"] + v["b"]) / 2),
    }


def subsampled() -> dict[str, Tensor]:
    loc, scale = pyro.param("loc"), pyro.param("scale")
    with pyro.plate("rows", 4, subsample=[3, 1]):
        a = pyro.sample("a", dist.Normal(loc, scale))
        b = pyro.sample("b", dist.Normal(a, 1.0))
        y = pyro.sample("y", dist.Normal(b, 1.0), obs=pyro.subsample(ROW, event_dim=0))
    return {"loc": loc, "scale": scale, "a": a, "b": b, "y": y}


def subsampled_terms(v: Values) -> dict[str, Tensor]:
    return {
        "a": 2 * normal(v["a"], v["loc"], v["scale"]),
        "b": 2 * normal(v["b"], v["a"], 1.0),
        "y": 2 * normal(v["y"], v["b"], 1.0),
    }


def masked() -> dict[str, Tensor]:
    loc, scale = pyro.param("loc"), pyro.param("scale")
    a = pyro.sample("a", dist.Normal(loc, scale))
    with pyro.plate("rows", 4), poutine.mask(mask=MASK):
        b = pyro.sample("b", dist.Normal(a, 1.0).mask(MASK.flip(0)))
        y = pyro.sample("y", dist.Normal(b, scale), obs=ROW)
    return {"loc": loc, "scale": scale, "a": a, "b": b, "y": y}


def masked_terms(v: Values) -> dict[str, Tensor]:
    return {
        "a": normal(v["a"], v["loc"], v["scale"]),
        "b": normal(v["b"][[0, 3]], v["a"], 1.0),
        "y": normal(v["y"][[0, 2, 3]], v["b"][[0, 2, 3]], v["scale"]),
    }


def nested() -> dict[str, Tensor]:
    loc, scale = pyro.param("loc"), pyro.param("scale")
    rows, columns = pyro.plate("rows", 2, dim=-2), pyro.plate("columns", 3, dim=-1)
    with rows:
        a = pyro.sample("a", dist.Normal(loc, scale))
        b = pyro.sample("b", dist.Normal(loc, 1.0))
    with columns:
        c = pyro.sample("c", dist.Normal(0.0, scale))
    with rows, columns:
        y = pyro.sample("y", dist.Normal(a + b * c, 1.0), obs=GRID)
    return {"loc": loc, "scale": scale, "a": a, "b": b, "c": c, "y": y}


def nested_terms(v: Values) -> dict[str, Tensor]:
    return {
        "a": normal(v["a"], v["loc"], v["scale"]),
        "b": normal(v["b"], v["loc"], 1.0),
        "c": normal(v["c"], 0.0, v["scale"]),
        "y": normal(v["y"], v["a"] + v["b"] * v["c"], 1.0),
    }


def events() -> dict[str, Tensor]:
    loc, scale = pyro.param("loc"), pyro.param("scale")
    a = pyro.sample("a", dist.MultivariateNormal(loc.expand(2), COVARIANCE))
    b = pyro.sample("b", dist.Normal(a, scale).to_event(1))
    with pyro.plate("rows", 3):
        y = pyro.sample("y", dist.MultivariateNormal(a + b, COVARIANCE), obs=POINTS)
    return {"loc": loc, "scale": scale, "a": a, "b": b, "y": y}


def events_terms(v: Values) -> dict[str, Tensor]:
    return {
        "a": plane_normal(v["a"], v["loc"], COVARIANCE),
        "b": normal(v["b"], v["a"], v["scale"]),
        "y": plane_normal(v["y"], v["a"] + v["b"], COVARIANCE),
    }


def mixture() -> dict[str, Tensor]:
    """Two components, summed out by hand into a factor for each point."""
    loc, scale = pyro.param("loc"), pyro.param("scale")
    a = pyro.sample("a", dist.Normal(loc, 1.0))
    b = pyro.sample("b", dist.Normal(loc, 2.0))
    with pyro.plate("rows", 4):
        first, second = (dist.Normal(centre, scale).log_prob(ROW) for centre in (a, b))
        pyro.factor("y", torch.logaddexp(first + math.log(0.3), second + math.log(0.7)))
    return {"loc": loc, "scale": scale, "a": a, "b": b}


def mixture_terms(v: Values) -> dict[str, Tensor]:
    points = [
        (0.3 * normal(y, v["a"], v["scale"]).exp() + 0.7 * normal(y, v["b"], v["scale"]).exp())
        for y in ROW
    ]
    return {
        "a": normal(v["a"], v["loc"], 1.0),
        "b": normal(v["b"], v["loc"], 2.0),
        "y": torch.stack(points).log().sum(),
    }


@dataclass(frozen=True)
class Specimen:
    """A model with the terms of its density.

    ``values`` are values for all latents to score them at; ``a`` and ``b`` are among them.
    ``pathwise`` says whether finite differences can follow the draws.
    """

    model: Model
    terms: Callable[[Values], dict[str, Tensor]]
    values: dict[str, Tensor]
    pathwise: bool = True


PARAMS = {"loc": tensor(0.4), "scale": tensor(1.3)}
IN_ROWS = {"a": tensor([0.1, -0.7]), "b": tensor([0.6, 1.1])}
ZOO = {
    "chain": Specimen(chain, chain_terms, {"a": tensor(0.2), "b": tensor(-0.4)}),
    "coins": Specimen(coins, coins_terms, {"a": tensor(0.2), "b": tensor(0.7)}, pathwise=False),
    "subsampled": Specimen(subsampled, subsampled_terms, IN_ROWS),
    "masked": Specimen(masked, masked_terms, {"a": tensor(0.2), "b": ROW / 2}),
    "nested": Specimen(
        nested,
        nested_terms,
        {name: v[:, None] for name, v in IN_ROWS.items()} | {"c": GRID[1]},
    ),
    "events": Specimen(events, events_terms, {"a": POINTS[0], "b": POINTS[1]}),
    "mixture": Specimen(mixture, mixture_terms, {"a": tensor(0.2), "b": tensor(-0.4)}),
}


# The handlers.


@dataclass(frozen=True)
class Row:
    apply: Callable[[Model, Specimen], Any]
    weight: Callable[[str], float] = lambda site: 1.0
    given: Callable[[Specimen], Mapping[str, Any]] = lambda specimen: {}
    fits: Callable[[Specimen], bool] = lambda specimen: True


def only(names: str, inside: float = 1.0, outside: float = 0.0) -> Callable[[str], float]:
    return lambda site: inside if site in names else outside


def has_twins(specimen: Specimen) -> bool:
    return specimen.values["a"].shape == specimen.values["b"].shape


def tied(a: Specimen) -> Mapping[str, Any]:
    return {"b": "a"}


def recorded(specimen: Specimen) -> Any:
    """A run that drew the specimen's values."""
    record = poutine.Trace()
    for name, value in specimen.values.items():
        law = dist.Delta(value, event_dim=value.dim())
        site = trace_of(lambda name=name, law=law: pyro.sample(name, law)).nodes[name]
        record.add_node(name, **site)
    return record


HANDLERS: dict[str, Row] = {
    "nothing": Row(lambda model, _: model),
    "block": Row(lambda model, _: poutine.block(model), weight=only("")),
    "block, hide": Row(lambda model, _: poutine.block(model, hide=["a"]), weight=only("a", 0, 1)),
    "block, expose": Row(lambda model, _: poutine.block(model, expose=["a", "y"]), only("ay")),
    "block, observed": Row(
        lambda model, _: poutine.block(model, hide_types=["observe"]), only("y", 0, 1)
    ),
    "broadcast": Row(lambda model, _: poutine.broadcast(model)),
    "condition": Row(
        lambda model, s: poutine.condition(model, data={"a": s.values["a"]}),
        given=lambda s: {"a": s.values["a"]},
    ),
    "condition, a trace": Row(
        lambda model, s: poutine.condition(model, data=recorded(s)), given=lambda s: s.values
    ),
    "equalize": Row(
        lambda model, _: poutine.equalize(model, ["a", "b"]), only("b", 0, 1), tied, has_twins
    ),
    "equalize, keep_dist": Row(
        lambda model, _: poutine.equalize(model, "a|b", keep_dist=True), given=tied, fits=has_twins
    ),
    "infer_config": Row(
        lambda model, _: poutine.infer_config(model, config_fn=lambda site: {"hint": 1})
    ),
    "mask, none": Row(lambda model, _: poutine.mask(model, mask=True)),
    "mask, all": Row(lambda model, _: poutine.mask(model, mask=False), only("")),
    "mask, a tensor": Row(lambda model, _: poutine.mask(model, mask=torch.tensor(False)), only("")),
    "replay": Row(
        lambda model, s: poutine.replay(model, trace=recorded(s)), given=lambda s: s.values
    ),
    "replay, params": Row(
        lambda model, _: poutine.replay(model, params={"scale": tensor(2.5)}),
        given=lambda s: {"scale": tensor(2.5)},
    ),
    "scale": Row(lambda model, _: poutine.scale(model, scale=0.25), lambda site: 0.25),
    "scale, a tensor": Row(
        lambda model, _: poutine.scale(model, scale=tensor(3.0)), lambda site: 3.0
    ),
    "scale, twice": Row(
        lambda model, _: poutine.scale(poutine.scale(model, scale=4.0), scale=0.25)
    ),
    "seed": Row(lambda model, _: poutine.seed(model, rng_seed=7)),
    "substitute": Row(
        lambda model, _: poutine.substitute(model, data={"scale": tensor(2.5)}),
        given=lambda s: {"scale": tensor(2.5)},
    ),
    "trace": Row(lambda model, _: poutine.trace(model)),
    "trace, dense": Row(lambda model, _: poutine.trace(model, graph_type="dense")),
}
PAIRS = [
    (specimen, handler)
    for specimen, animal in ZOO.items()
    for handler, row in HANDLERS.items()
    if row.fits(animal)
]


def handled(specimen: Specimen, row: Row, params: Values, values: Values | None = None) -> Any:
    """The model under a handler, run at these parameters and, where given, at these values."""
    model: Any = specimen.model
    if values is not None:
        model = poutine.condition(model, data=dict(values))
    for name, value in params.items():
        pyro.get_param_store().setdefault(name, value.detach())
    return row.apply(poutine.replay(model, params=dict(params)), specimen)


def by_hand(specimen: Specimen, row: Row, values: Values) -> Tensor:
    terms = specimen.terms(values)
    return torch.stack([row.weight(site) * term for site, term in terms.items()]).sum()


@pytest.mark.parametrize(("specimen", "handler"), PAIRS)
def test_the_density_is_as_written_by_hand(specimen: str, handler: str) -> None:
    animal, row = ZOO[specimen], HANDLERS[handler]
    record = trace_of(handled(animal, row, PARAMS))
    values = record.nodes["_RETURN"]["value"]
    for name, value in row.given(animal).items():
        if name in values:
            assert_close(values[name], values[value] if isinstance(value, str) else value)
    assert_close(record.log_prob_sum(), by_hand(animal, row, values))
    # One site at a time, by the filter.
    for site in animal.terms(values):
        one = record.log_prob_sum(lambda name, _, site=site: name == site)
        assert_close(one, row.weight(site) * animal.terms(values)[site])
    terms = [node["log_prob_sum"] for node in record.nodes.values() if "log_prob_sum" in node]
    assert_close(sum(terms), by_hand(animal, row, values))


def is_differentiable_at(handler: str) -> bool:
    """Whether values can be given from further in: those handlers set other values themselves."""
    return not handler.startswith(("equalize", "replay", "condition"))


@pytest.mark.parametrize(
    ("specimen", "handler"), [pair for pair in PAIRS if is_differentiable_at(pair[1])]
)
def test_gradients_at_given_values_are_finite_differences(specimen: str, handler: str) -> None:
    animal, row = ZOO[specimen], HANDLERS[handler]
    names = [*PARAMS, *animal.values]

    def density(*inputs: Tensor) -> Tensor:
        given = dict(zip(names, inputs, strict=True))
        params = {name: given.pop(name) for name in PARAMS}
        total = trace_of(handled(animal, row, params, given)).log_prob_sum()
        return total + 0 * sum(x.sum() for x in inputs)

    inputs = [leaf(x) for x in (*PARAMS.values(), *animal.values.values())]
    assert torch.autograd.gradcheck(density, inputs, fast_mode=True, check_undefined_grad=False)


@pytest.mark.parametrize(("specimen", "handler"), [p for p in PAIRS if ZOO[p[0]].pathwise])
def test_gradients_through_draws_are_finite_differences(specimen: str, handler: str) -> None:
    animal, row = ZOO[specimen], HANDLERS[handler]

    def density(*inputs: Tensor) -> Tensor:
        params = dict(zip(PARAMS, inputs, strict=True))
        seeded = poutine.seed(handled(animal, row, params), rng_seed=3)
        return trace_of(seeded).log_prob_sum() + 0 * sum(inputs)

    assert torch.autograd.gradcheck(
        density, [leaf(x) for x in PARAMS.values()], fast_mode=True, check_undefined_grad=False
    )


def leaf(value: Tensor) -> Tensor:
    return value.clone().requires_grad_()
