"""The log density of a run under every handler, beside one written by hand, in float64.

``ZOO`` holds small models. A model returns all its values by name, and ``terms`` is a pure function
of such values that gives each site's term of the log density, from the formulas alone.

``HANDLERS`` says what each handler does to a model, in terms of that function: ``weight`` is the
factor that it puts on a site's term (0: the site is hidden or no evidence), ``given`` the values
that sites have under it whatever they would have drawn. To add a handler, add a row:

- ``apply`` takes a model and its ``Specimen`` and returns the handled model;
- leave ``weight`` out where every term stays as it was, ``given`` where no value is set, and
  ``extra``, the terms of sites that the handler adds, where it adds none;
- ``fits`` says which specimens it can be applied to, where not all.

Every row is then compared in value, and differentiated with respect to parameters and values, and
through reparameterised draws, against finite differences. What sums sites out is compared with a
sum that is written by hand, at the end.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer.reparam.reparam import Reparam
from pyro.poutine import handlers
from tests.helpers import assert_close, trace_of
from tests.poutine import fake_funsor
from tests.poutine.enumeration import PARALLEL, enumerated, log_evidence

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
    extra: Callable[[dict[str, Tensor], Values], dict[str, Tensor]] = lambda terms, values: {}


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


def fresh_runs() -> Any:
    runs: SimpleQueue[poutine.Trace] = SimpleQueue()
    runs.put(poutine.Trace())
    return runs


def left_at_y(model: Model, specimen: Specimen) -> Any:
    """Leaves before the data are scored, and returns the values so far."""

    def run() -> dict[str, Any]:
        with poutine.trace() as record:
            try:
                values: dict[str, Any] = poutine.escape(model, escape_fn=is_y)()
            except poutine.NonlocalExit as end:
                values = {name: site["value"] for name, site in record.trace.nodes.items()}
                values["y"] = end.site["value"]
        return values

    return run


def is_y(site: Any) -> bool:
    return bool(site["name"] == "y")


class Decentre(Reparam):
    """Writes a normal value as one about zero, plus the mean: the Jacobian is 1."""

    def apply(self, msg: Any) -> Any:
        law = msg["fn"]
        centred = dist.Normal(torch.zeros(()), law.scale).expand(law.batch_shape)
        value = law.loc + pyro.sample(msg["name"] + "_centred", centred)
        return {"fn": dist.Delta(value), "value": value, "is_observed": True}


def intervened(model: Model, specimen: Specimen) -> Any:
    """Without the natural value, which has its own term: what is left is the truncated product."""
    return poutine.block(poutine.do(model, data={"a": specimen.values["a"]}), hide=["a"])


def lognormal(x: Tensor) -> Tensor:
    return normal(x.log(), 0.0, 1.0) - x.log()


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
    "do": Row(intervened, only("a", 0, 1), lambda s: {"a": s.values["a"]}),
    "enum": Row(lambda model, _: poutine.enum(model, first_available_dim=-3)),
    "equalize": Row(
        lambda model, _: poutine.equalize(model, ["a", "b"]), only("b", 0, 1), tied, has_twins
    ),
    "equalize, keep_dist": Row(
        lambda model, _: poutine.equalize(model, "a|b", keep_dist=True), given=tied, fits=has_twins
    ),
    "escape": Row(left_at_y, only("y", 0, 1)),
    "infer_config": Row(
        lambda model, _: poutine.infer_config(model, config_fn=lambda site: {"hint": 1})
    ),
    "lift": Row(
        lambda model, _: poutine.seed(
            poutine.lift(model, prior={"scale": dist.LogNormal(0.0, 1.0)}), rng_seed=5
        ),
        extra=lambda terms, values: {"scale": lognormal(values["scale"])},
    ),
    "markov": Row(lambda model, _: poutine.markov(model)),
    "mask, none": Row(lambda model, _: poutine.mask(model, mask=True)),
    "mask, all": Row(lambda model, _: poutine.mask(model, mask=False), only("")),
    "mask, a tensor": Row(lambda model, _: poutine.mask(model, mask=torch.tensor(False)), only("")),
    "queue": Row(lambda model, _: poutine.queue(model, queue=fresh_runs())),
    "reparam": Row(
        lambda model, _: poutine.reparam(model, config={"a": Decentre()}),
        only("a", 0, 1),
        fits=lambda s: s.model not in (coins, events),  # whose law of it is another
        extra=lambda terms, values: {"a_centred": terms["a"]},
    ),
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
    "uncondition": Row(lambda model, _: poutine.seed(poutine.uncondition(model), rng_seed=5)),
}
# Handlers that have no row, and why.
ELSEWHERE = {"collapse": "all terms become one, the logarithm of their sum; see SUMMED_OUT"}
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


def terms_by_hand(specimen: Specimen, row: Row, values: Values) -> dict[str, Tensor]:
    terms = specimen.terms(values)
    weighed = {site: row.weight(site) * term for site, term in terms.items()}
    return weighed | row.extra(terms, values)


def without_a_row(registered: Iterable[str]) -> set[str]:
    with_a_row = {row.partition(",")[0] for row in HANDLERS} - {"nothing"}
    assert not with_a_row & set(ELSEWHERE) and set(SUMMED_OUT) >= set(ELSEWHERE)
    return set(registered) ^ (with_a_row | set(ELSEWHERE))


def test_every_registered_handler_has_a_row() -> None:
    assert without_a_row(handlers.HANDLERS) == set()


def test_a_newly_registered_handler_needs_a_row() -> None:
    assert without_a_row([*handlers.HANDLERS, "brand_new"]) == {"brand_new"}


@pytest.mark.parametrize(("specimen", "handler"), PAIRS)
def test_the_density_is_as_written_by_hand(specimen: str, handler: str) -> None:
    animal, row = ZOO[specimen], HANDLERS[handler]
    record = trace_of(handled(animal, row, PARAMS))
    values = record.nodes["_RETURN"]["value"]
    for name, value in row.given(animal).items():
        if name in values:
            assert_close(values[name], values[value] if isinstance(value, str) else value)
    terms = terms_by_hand(animal, row, values)
    total = torch.stack(list(terms.values())).sum()
    assert_close(record.log_prob_sum(), total)
    # One site at a time, by the filter.
    for site, term in terms.items():
        assert_close(record.log_prob_sum(lambda name, _, site=site: name == site), term)
    scored = [node["log_prob_sum"] for node in record.nodes.values() if "log_prob_sum" in node]
    assert_close(sum(scored), total)


def is_differentiable_at(handler: str) -> bool:
    """Whether values can be given from further in: those handlers give or draw them themselves."""
    takes_over = ("equalize", "replay", "condition", "reparam", "uncondition")
    return not handler.startswith(takes_over)


@pytest.mark.parametrize(
    ("specimen", "handler"), [pair for pair in PAIRS if is_differentiable_at(pair[1])]
)
def test_gradients_at_given_values_are_finite_differences(specimen: str, handler: str) -> None:
    animal, row = ZOO[specimen], HANDLERS[handler]

    def density(inputs: dict[str, Tensor]) -> Any:
        params = {name: inputs[name] for name in PARAMS}
        values = {name: inputs[name] for name in animal.values}
        return trace_of(handled(animal, row, params, values)).log_prob_sum()

    assert_differentiable(density, {**PARAMS, **animal.values})


@pytest.mark.parametrize(("specimen", "handler"), [p for p in PAIRS if ZOO[p[0]].pathwise])
def test_gradients_through_draws_are_finite_differences(specimen: str, handler: str) -> None:
    animal, row = ZOO[specimen], HANDLERS[handler]

    def density(params: dict[str, Tensor]) -> Any:
        return trace_of(poutine.seed(handled(animal, row, params), rng_seed=3)).log_prob_sum()

    assert_differentiable(density, PARAMS)


STEP = 2.0**-10


def assert_differentiable(density: Callable[[dict[str, Tensor]], Any], at: Values) -> None:
    """Compares the gradient with differences along a direction in which all inputs move at once.

    Of four points, at one and two steps to either side, the error is STEP**4 / 30 times the fifth
    derivative, and that of rounding eps / STEP times the value: both are less than STEP**3, 1e-9.
    """
    directions = {name: torch.rand(value.shape) + 0.5 for name, value in at.items()}

    def along(distance: Tensor) -> Tensor:
        moved = {name: value + distance * directions[name] for name, value in at.items()}
        return torch.as_tensor(density(moved)) + 0 * distance

    distance = torch.zeros((), requires_grad=True)
    slope = torch.autograd.grad(along(distance), distance)[0]
    with torch.no_grad():
        one, two = (along(tensor(k * STEP)) - along(tensor(-k * STEP)) for k in (1, 2))
    assert_close(slope, (8 * one - two) / (12 * STEP), rtol=STEP**3, atol=STEP**3)


@pytest.mark.parametrize("wrong", [lambda x: x.detach() * x, lambda x: x + x.detach().sin()])
def test_a_wrong_gradient_is_found(wrong: Callable[[Tensor], Tensor]) -> None:
    at = {"right": tensor(0.3), "wrong": tensor([0.2, 0.5])}
    assert_differentiable(lambda x: (x["right"] * x["wrong"].exp()).sum(), at)
    with pytest.raises(AssertionError, match="not close"):
        assert_differentiable(lambda x: x["right"].exp() + wrong(x["wrong"]).sum(), at)


# What sums a site out: the logarithm of a sum over its values.

CHANCES = {"chance": tensor(0.3), "miss": tensor(0.2), "hit": tensor(0.9)}


def switch() -> None:
    """A coin, and three flips of one of two others that it chooses."""
    chance, miss, hit = (pyro.param(name) for name in CHANCES)
    z = pyro.sample("z", dist.Bernoulli(chance), infer=PARALLEL)
    table = torch.stack([miss, hit])
    chosen = table[z.long()] if isinstance(z, Tensor) else fake_funsor.Tensor(table)[z]
    for i, flip in enumerate((1.0, 1.0, 0.0)):
        pyro.sample(f"x{i}", dist.Bernoulli(chosen), obs=tensor(flip))


def summed_by_enum(model: Model) -> Tensor:
    return log_evidence(enumerated(model))


def summed_by_queue(model: Model) -> Tensor:
    runs = fresh_runs()
    record = poutine.trace(poutine.queue(model, queue=runs))
    terms = []
    while not runs.empty():
        terms.append(record.get_trace().log_prob_sum())
    assert len(terms) == 2
    return torch.stack(terms).logsumexp(0)


def summed_by_collapse(model: Model) -> Tensor:
    total = trace_of(poutine.collapse(model)).log_prob_sum()
    assert isinstance(total, Tensor)
    return total


SUMMED_OUT = {
    "enum": summed_by_enum,
    "queue": summed_by_queue,
    "collapse": summed_by_collapse,
}


@pytest.mark.parametrize("handler", SUMMED_OUT)
def test_a_sum_and_its_gradient_are_as_written_by_hand(
    handler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_funsor.install(monkeypatch)

    def summed(chances: dict[str, Tensor]) -> Tensor:
        for name, value in chances.items():
            pyro.get_param_store().setdefault(name, value.detach())
        return SUMMED_OUT[handler](poutine.replay(switch, params=chances))

    def by_hand(v: dict[str, Tensor]) -> Tensor:
        hit, miss = (p**2 * (1 - p) for p in (v["hit"], v["miss"]))
        return (v["chance"] * hit + (1 - v["chance"]) * miss).log()

    leaves = {name: value.clone().requires_grad_() for name, value in CHANCES.items()}
    ours, theirs = summed(leaves), by_hand(leaves)
    assert_close(ours, theirs)
    inputs = list(leaves.values())
    assert_close(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs))
    assert_differentiable(summed, CHANCES)
