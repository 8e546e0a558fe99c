"""What pairs of handlers have in common: one model, options that meet on its sites, and the laws.

A law is a function of two names, the handler outside and the one inside; it compares all that is
seen of a run from outside, or exact numbers. :func:`runs_of` says what is seen.
"""

import copy
import functools
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from queue import LifoQueue
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer.reparam.reparam import Reparam
from pyro.poutine.indep_messenger import IndepMessenger
from tests.helpers import assert_close
from tests.poutine import fake_funsor
from tests.poutine.models import leaves_no_trace

Law = Callable[[str, str], None]
NAMES = frozenset({"slope", "a", "b", "k", "w", "y"})
HIDDEN = frozenset({"slope", "a", "k", "y"})
PARAMS = {"slope": 2.0, "rate": 1.0}
KEYS = ("type", "value", "is_observed", "scale", "mask", "infer")
PARALLEL = {"enumerate": "parallel"}


def model(hints: Any = PARALLEL) -> dict[str, Tensor]:
    """A parameter, latents, a discrete one among them, and a datum in a plate that is bare."""
    slope = pyro.param("slope", torch.tensor(2.0))
    a = pyro.sample("a", dist.Normal(0.25, 1.0))
    b = pyro.sample("b", dist.Normal(0.5, 2.0))
    k = pyro.sample("k", dist.Bernoulli(0.3), infer=hints)
    with IndepMessenger("rows", 3):
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        data = torch.tensor([0.5, -1.0, 2.0])
        y = pyro.sample("y", dist.Normal(slope * a + b + k, 1.0), obs=data)
    return {"slope": slope, "a": a, "b": b, "k": k, "w": w, "y": y}


EVIDENCE = 0.59 * 0.5 + 0.41 * 0.25  # P(y = 1), where P(j = 1) = 0.7 * 0.2 + 0.3 * 0.9


def coins() -> dict[str, Tensor]:
    """A discrete model, whose runs can be counted out."""
    rate = pyro.param("rate", torch.tensor(1.0))
    k = pyro.sample("k", dist.Bernoulli(0.3), infer=PARALLEL)
    j = pyro.sample("j", dist.Bernoulli(torch.tensor([0.2, 0.9])[k.long()]), infer=PARALLEL)
    law = dist.Bernoulli(rate * torch.tensor([0.5, 0.25])[j.long()])
    return {"k": k, "j": j, "y": pyro.sample("y", law, obs=torch.tensor(1.0))}


class Decentre(Reparam):
    """Writes a normal value as one about zero, plus the mean; a datum stays what it is."""

    def apply(self, msg: Any) -> Any:
        law, value = msg["fn"], msg["value"]
        if not msg["is_observed"]:
            unit = dist.Normal(torch.zeros(()), law.scale).expand(law.batch_shape)
            value = law.loc + pyro.sample(msg["name"] + "_unit", unit)
            law = dist.Delta(value)
        return {"fn": law, "value": value, "is_observed": True}


def record(values: Mapping[str, float], **hints: Any) -> poutine.Trace:
    def draw() -> None:
        for name, value in values.items():
            pyro.sample(name, dist.Delta(torch.tensor(value)), infer=hints)

    return poutine.trace(draw).get_trace()


def fresh_runs() -> Any:
    runs: LifoQueue[poutine.Trace] = LifoQueue()
    runs.put(poutine.Trace())
    return runs


class EmptyRuns:
    """A queue of empty partial runs, without end."""

    def empty(self) -> bool:
        return False

    def get(self) -> poutine.Trace:
        return poutine.Trace()

    def put(self, item: poutine.Trace) -> None:
        raise AssertionError("a handler inside left nothing to choose")


def undrawn(name: str) -> Callable[[Any], bool]:
    """Picks a site that nothing inside has given a value."""
    return lambda site: site["name"] == name and not site["done"] and not site["is_observed"]


def _what_is(site: Any) -> dict[str, Any]:
    return {"found": (site["type"], site["is_observed"])}


GIVEN = {"a": torch.tensor(0.5), "k": torch.tensor(1.0), "w": torch.tensor([1.0, 2.0, 3.0])}
SET = {"a": -1.5, "k": 1.0, "y": 0.0}
RECORDED = {"a": 0.75, "k": 1.0, "a_unit": 1.0}
MASK = torch.tensor([True, False, True])

# By handler: its options, to act on the sites of some names.
OPTIONS: dict[str, Callable[[frozenset[str]], dict[str, Any]]] = {
    "block": lambda names: {"hide": sorted(HIDDEN & names)},
    "broadcast": lambda names: {},
    "condition": lambda names: {"data": _only(GIVEN, names)},
    "do": lambda names: {"data": _only(SET, names)},
    "enum": lambda names: {"first_available_dim": -2},
    "equalize": lambda names: {"sites": ["a", "b"]},
    "escape": lambda names: {"escape_fn": undrawn("k") if "k" in names else lambda site: False},
    "infer_config": lambda names: {"config_fn": _what_is},
    "lift": lambda names: {"prior": _only({"slope": dist.Normal(1.0, 1.0)}, names)},
    "markov": lambda names: {},
    "mask": lambda names: {"mask": MASK},
    "queue": lambda names: {"queue": fresh_runs(), "max_tries": 9},
    "reparam": lambda names: {"config": _only({"a": Decentre(), "slope": Decentre()}, names)},
    "replay": lambda names: {
        "trace": record(_only(RECORDED, names | {"a_unit"}), recorded=True),
        "params": _only({"slope": torch.tensor(4.0)}, names),
    },
    "scale": lambda names: {"scale": 0.5},
    "seed": lambda names: {"rng_seed": 3},
    "substitute": lambda names: {"data": _only({"slope": torch.tensor(3.0)}, names)},
    "trace": lambda names: {},
    "uncondition": lambda names: {},
}
# Others, for two instances that do not agree.
OTHERS: dict[str, dict[str, Any]] = {
    "condition": {"data": {"a": torch.tensor(2.0), "k": torch.tensor(0.0), "w": torch.zeros(3)}},
    "do": {"data": {"a": 1.5}},
    "escape": {"escape_fn": undrawn("a")},
    "infer_config": {"config_fn": lambda site: {"found": "something else"}},
    "lift": {"prior": {"slope": dist.Delta(torch.tensor(7.0))}},
    "mask": {"mask": torch.tensor([True, True, False])},
    "replay": {
        "trace": record({"a": 3.0, "k": 0.0}, recorded=True),
        "params": {"slope": torch.tensor(9.0)},
    },
    "scale": {"scale": 0.25},
    "substitute": {"data": {"slope": torch.tensor(5.0)}},
}
# Handlers that cannot be told to leave hidden sites alone: hiding all they act on hides them.
INERT_WHERE_HIDDEN = {"enum", "equalize", "queue", "uncondition"}


def _only(by_name: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in by_name.items() if name in names}


def wrap(name: str, fn: Callable[..., Any], names: frozenset[str] = NAMES) -> Any:
    return getattr(poutine, name)(fn, **OPTIONS[name](names))


def nested(outer: str, inner: str, fn: Callable[..., Any] = model) -> Any:
    return wrap(outer, wrap(inner, fn))


class Run:
    """A run as handlers outside see it: the sites, what the model returned, and where it ended."""

    def __init__(self, handled: Callable[[], Any]) -> None:
        self.returned: Any = None
        self.left: Any = None
        for name, value in PARAMS.items():
            pyro.get_param_store().setdefault(name, torch.tensor(value))
        with leaves_no_trace(), poutine.seed(rng_seed=0), poutine.trace() as seen:
            try:
                self.returned = handled()
            except poutine.NonlocalExit as end:
                self.left = end.site["name"]
        self.trace = seen.trace
        self.trace.compute_log_prob()
        self.sites = {
            name: {
                **{key: _plain(site[key]) for key in KEYS if key in site},
                "log_prob": _rounded(site["log_prob"]) if "log_prob" in site else None,
            }
            for name, site in self.trace.nodes.items()
        }

    def __eq__(self, other: Any) -> bool:
        return bool(
            list(self.sites) == list(other.sites)
            and (self.sites, self.left) == (other.sites, other.left)
            and _plain(self.returned) == _plain(other.returned)
        )

    def __repr__(self) -> str:
        return f"{self.sites}, returned {_plain(self.returned)}, left at {self.left}"

    def without(self, names: Iterable[str] = (), hint: str = "") -> "Run":
        """The same, but for some sites, and one hint at all of them."""
        rest = copy.copy(self)
        rest.sites = {
            name: {**site, "infer": _without(site["infer"], hint)}
            for name, site in self.sites.items()
            if name not in names
        }
        return rest


def _without(hints: Mapping[str, Any], hint: str) -> dict[str, Any]:
    return {name: value for name, value in hints.items() if name != hint}


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and "_markov_scope" in value:
        # Frames are new in every run; how many steps back they lie is not.
        value = {**value, "_markov_scope": list(value["_markov_scope"].values())}
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value.tolist() if isinstance(value, Tensor) else value


def _rounded(log_prob: Tensor) -> Any:
    """Up to what the order of sums may change."""
    return (log_prob.double() * 2**30).round().tolist()


def runs_of(handled: Callable[[], Any], many: bool = False) -> list[Run]:
    """The run, or all runs until a queue is empty."""
    runs = [Run(handled)]
    while many:
        try:
            runs.append(Run(handled))
        except ValueError as error:
            assert "no partial run left" in str(error)
            return runs
    return runs


@functools.cache
def seen(*names: str, fn: Callable[..., Any] = model) -> list[Run]:
    """The runs of a model within handlers, the outermost first."""
    handled = fn
    for name in reversed(names):
        handled = wrap(name, handled)
    return runs_of(handled, "queue" in names)


# The laws.


def commute(outer: str, inner: str) -> None:
    """Either may stand outside; and each does something, so that it could be otherwise."""
    assert seen(outer, inner) == seen(inner, outer)
    for name in {outer, inner} - {"trace"}:
        assert seen(name) != seen()


def commute_but_for(hint: str) -> Law:
    """Values and densities are the same in either order, but not a hint to inference."""

    def law(outer: str, inner: str) -> None:
        ours, theirs = seen(outer, inner), seen(inner, outer)
        assert ours != theirs
        ours, theirs = ([run.without(hint=hint) for run in runs] for runs in (ours, theirs))
        assert ours == theirs != seen()

    return law


def same_as_one(outer: str, inner: str) -> None:
    assert outer == inner and seen(outer, inner) == seen(inner) != seen()


def _with_others(outer: str, inner: str) -> list[list[Run]]:
    """Both, the outer one with other options; then each alone."""
    other = OTHERS.get(outer) if outer == inner else None

    def outside(fn: Any) -> Any:
        return wrap(outer, fn) if other is None else getattr(poutine, outer)(fn, **other)

    handled = [outside(wrap(inner, model)), outside(model), wrap(inner, model)]
    return [runs_of(each) for each in handled]


def outer_wins(outer: str, inner: str) -> None:
    both, outer_alone, inner_alone = _with_others(outer, inner)
    assert both == outer_alone != inner_alone


def inner_wins(outer: str, inner: str) -> None:
    both, outer_alone, inner_alone = _with_others(outer, inner)
    assert both == inner_alone != outer_alone


def hides(outer: str, inner: str) -> None:
    """All else stays as it was inside."""
    both, alone = seen(outer, inner), seen(inner)
    assert both == [run.without(HIDDEN) for run in alone] != alone


def cannot_reach(outer: str, inner: str) -> None:
    """As if it had been told to leave the hidden sites alone."""
    if outer in INERT_WHERE_HIDDEN:
        narrow: Any = wrap("enum", partial(model, {})) if outer == "enum" else model
    else:
        narrow = wrap(outer, model, NAMES - HIDDEN)
    [run] = seen(outer, inner)
    assert run == Run(narrow).without(HIDDEN)
    assert run != Run(wrap(outer, model)).without(HIDDEN) or outer in ACT_IN_PASSING


# On what is hidden they do nothing that what is seen depends on.
ACT_IN_PASSING = {
    *("broadcast", "infer_config", "markov", "mask", "scale", "seed", "trace"),
    *("substitute",),
}


def is_recorded(outer: str, inner: str) -> None:
    """The record is what is seen outside, and nobody notices that it is kept."""
    recorder = poutine.trace(wrap(inner, model))
    kept = []

    def recorded() -> Any:
        try:
            return recorder()
        finally:
            kept.append(_values(recorder.trace))

    runs = runs_of(recorded, inner == "queue")
    assert runs == seen(inner)
    assert kept[: len(runs)] == [_values(run.trace) for run in runs]


def is_recorded_inside(outer: str, inner: str) -> None:
    """The record holds the values that the model had, and nobody notices that it is kept."""
    recorder = poutine.trace()
    runs = runs_of(wrap(outer, recorder(model)), outer == "queue")
    assert runs == seen(outer)
    values = _values(recorder.trace)
    assert set(values) >= ({"slope", "a", "b"} if runs[-1].left else NAMES)
    for name, value in (runs[-1].returned or {}).items():
        assert values[name] is value


def _values(trace: poutine.Trace) -> dict[str, Tensor]:
    return {name: site["value"] for name, site in trace.nodes.items() if name[0] != "_"}


def shows(
    sites: Mapping[str, Any] | None = None, fn: Callable[..., Any] = model, **returned: Any
) -> Law:
    """The sites outside and the values in the model are these; None for a site that is not seen."""

    def law(outer: str, inner: str) -> None:
        run = seen(outer, inner, fn=fn)[0]
        for name, expected in (sites or {}).items():
            site = run.sites.get(name)
            assert (site is None) == (expected is None), name
            for key, value in (expected or {}).items():
                found = site.get(key, site["infer"].get(key))
                assert found == value, f"{name}: {key} is {found}, expected {value}"
        for name, value in returned.items():
            assert_close(run.returned[name], value)

    return law


def ends_at(site: str | None) -> Law:
    def law(outer: str, inner: str) -> None:
        [run] = _with_others(outer, inner)[0]
        assert run.left == site

    return law


def refuses(text: str, fn: Callable[..., Any] = model) -> Law:
    def law(outer: str, inner: str) -> None:
        with pytest.raises(ValueError, match=text):
            if outer == inner:
                _with_others(outer, inner)
            seen(outer, inner, fn=fn)

    return law


def density_of(runs: list[Run]) -> Tensor:
    """The sum over all runs."""
    return torch.stack([torch.as_tensor(run.trace.log_prob_sum()) for run in runs]).exp().sum()


def _queued_coins(outer: str, inner: str, options: Any) -> list[Run]:
    handled: Any = coins
    for name in (inner, outer):
        given = OPTIONS["queue"](NAMES) if name == "queue" else options
        handled = getattr(poutine, name)(handled, **given)
    return runs_of(handled, many=True)


def totals(total: float, runs: int, **options: Any) -> Law:
    """The coins run so many times under a queue and another handler, with this density in all."""

    def law(outer: str, inner: str) -> None:
        found = _queued_coins(outer, inner, options)
        assert len(found) == runs
        assert_close(density_of(found), total)

    return law


def refuses_totals(text: str, **options: Any) -> Law:
    def law(outer: str, inner: str) -> None:
        with pytest.raises(ValueError, match=text):
            _queued_coins(outer, inner, options)

    return law


def product_of_scales(outer: str, inner: str) -> None:
    assert [run.sites["a"]["scale"] for run in _with_others(outer, inner)[0]] == [0.125]


def both_masks(outer: str, inner: str) -> None:
    assert [run.sites["w"]["mask"] for run in _with_others(outer, inner)[0]] == [
        [True, False, False]
    ]


def collapses(total: float, *sites: str, runs: int = 1, **options: Any) -> Law:
    """The evidence of the switch, with funsor's sums, and the sites that are left to see."""

    def law(outer: str, inner: str) -> None:
        found = runs_of(_collapsed(outer, inner, options), "queue" in (outer, inner))
        assert len(found) == runs
        assert_close(density_of(found), total)
        assert {name for run in found for name in run.sites} == {"rate", *sites}

    return law


def refuses_to_collapse(text: str, **options: Any) -> Law:
    def law(outer: str, inner: str) -> None:
        with pytest.raises(ValueError, match=text):
            runs_of(_collapsed(outer, inner, options))

    return law


def _collapsed(outer: str, inner: str, options: Any) -> Any:
    handled: Any = switch
    for name in (inner, outer):
        given = OPTIONS["queue"](NAMES) if name == "queue" else options
        handled = getattr(poutine, name)(handled, **({} if name == "collapse" else given))
    return handled


def switch() -> None:
    """A coin that another one follows, whose law is a table while the coin is a free variable."""
    pyro.param("rate", torch.tensor(1.0))
    z = pyro.sample("z", dist.Bernoulli(0.3), infer=PARALLEL)
    pyro.sample("v", dist.Bernoulli(0.6))
    chosen = torch.tensor([0.2, 0.9])
    if isinstance(z, Tensor):
        chosen = chosen[z.long()]
    else:
        chosen = fake_funsor.Tensor(chosen)[z]
    pyro.sample("x", dist.Bernoulli(chosen), obs=torch.tensor(1.0))
