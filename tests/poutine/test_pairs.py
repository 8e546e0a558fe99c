"""What each ordered pair of handlers means, in a sentence, and exactly.

``PAIRS`` maps (the handler outside, the handler inside) to a sentence and a law of ``pair_laws``
that checks it. A newly registered handler needs its options there and its pairs here.
"""

from collections.abc import Iterable
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch

import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine import handlers, runtime
from pyro.poutine.trace_messenger import TraceMessenger
from tests.helpers import assert_close
from tests.poutine import fake_funsor
from tests.poutine import pair_laws as laws
from tests.poutine.enumeration import log_evidence
from tests.poutine.pair_laws import EVIDENCE, Law, commute, refuses, shows, totals


class Pair(NamedTuple):
    meaning: str
    law: Law


PAIRS: dict[tuple[str, str], Pair] = {}


def pair(outer: str, inner: str, meaning: str, law: Law) -> None:
    assert (outer, inner) not in PAIRS, f"{outer} around {inner} stands here twice"
    PAIRS[outer, inner] = Pair(meaning, law)


# What each does to sites, where it does not matter what stands inside and what outside.

DOES = {
    "broadcast": "expands laws to their plates",
    "condition": "observes sites at given values",
    "do": "sets what the model sees of a site",
    "enum": "runs all values of what is drawn and free",
    "equalize": "shares the value of the first site",
    "escape": "leaves the run at a site",
    "infer_config": "adds hints",
    "lift": "draws a parameter",
    "markov": "notes the step",
    "mask": "leaves elements out of the density",
    "queue": "runs the model with each value",
    "reparam": "writes a site in terms of others",
    "replay": "takes recorded values",
    "scale": "weighs the density",
    "seed": "fixes the random numbers",
    "substitute": "sets a parameter",
    "uncondition": "draws data anew",
}
COMMUTING = {
    "broadcast": "condition do enum equalize escape infer_config lift markov mask queue reparam "
    "replay scale seed substitute uncondition",
    "condition": "do enum equalize lift markov mask scale seed substitute",
    "do": "escape infer_config lift markov mask reparam replay scale seed substitute uncondition",
    "enum": "equalize infer_config markov mask reparam replay scale seed substitute uncondition",
    "equalize": "escape lift markov mask reparam replay scale seed substitute uncondition",
    "escape": "infer_config lift markov mask reparam scale seed substitute uncondition",
    "infer_config": "markov mask queue replay scale seed substitute",
    "lift": "mask replay scale seed substitute uncondition",
    "markov": "mask queue reparam replay scale seed substitute uncondition",
    "mask": "queue reparam replay scale seed substitute uncondition",
    "queue": "scale substitute uncondition",
    "reparam": "scale seed substitute uncondition",
    "replay": "scale seed uncondition",
    "scale": "seed substitute uncondition",
    "seed": "substitute uncondition",
    "substitute": "uncondition",
}
for one, others in COMMUTING.items():
    for other in others.split():
        for outer, inner in ((one, other), (other, one)):
            does = f"{outer} {DOES[outer]}, and {inner} {DOES[inner]}: so in either order"
            pair(outer, inner, does, commute)

# Around block and trace, and inside of them.

for name in DOES:
    if name != "queue":
        pair("block", name, f"{name} acts on a hidden site, and nobody sees how", laws.hides)
    pair(name, "block", f"{name} does not reach what is hidden", laws.cannot_reach)
    pair("trace", name, f"the record is what {name} shows", laws.is_recorded)
    meaning = f"the record holds the values that the model has under {name}"
    pair(name, "trace", meaning, laws.is_recorded_inside)
pair(
    "block", "trace", "the record holds what is hidden from those outside", laws.is_recorded_inside
)
pair("trace", "block", "the record does not hold what is hidden", laws.is_recorded)
pair("trace", "trace", "both keep the same record", laws.is_recorded)

# Two instances.

for name in ("block", "broadcast", "enum", "equalize", "reparam", "uncondition"):
    pair(name, name, "what is done already is done once", laws.same_as_one)
for name in ("condition", "infer_config", "replay", "substitute"):
    pair(name, name, "the outer one has the last word", laws.outer_wins)
pair("lift", "lift", "what was lifted inside is a parameter no more", laws.inner_wins)
pair("scale", "scale", "scales multiply", laws.product_of_scales)
pair("mask", "mask", "what either leaves out is left out", laws.both_masks)
pair("do", "do", "a site is not set to two values", refuses("two nested do.. set it to different"))
pair("escape", "escape", "the run ends at the first site that either picks", laws.ends_at("a"))
pair("markov", "markov", "a site is in a step of each", shows({"a": {"_markov_scope": [0, 0]}}))


def inner_stream_is_its_own(outer: str, inner: str) -> None:
    def draws(between: Any) -> Any:
        def draw() -> Any:
            first = torch.rand(3)
            between()
            return first, torch.rand(3)

        return poutine.seed(draw, rng_seed=1)()

    drawn: list[Any] = []
    interrupted = draws(poutine.seed(lambda: drawn.append(torch.rand(3)), rng_seed=2))
    assert_close(interrupted, draws(lambda: None), rtol=0.0, atol=0.0)
    assert drawn[0].tolist() == poutine.seed(lambda: torch.rand(3), rng_seed=2)().tolist()


pair("seed", "seed", "the inner stream interrupts the outer one", inner_stream_is_its_own)


def inner_queue_drives(outer: str, inner: str) -> None:
    inside = laws.wrap("queue", laws.coins)
    found = laws.runs_of(poutine.queue(inside, queue=laws.EmptyRuns()), many=True)
    assert len(found) == 4
    assert_close(laws.density_of(found), EVIDENCE)


pair("queue", "queue", "the inner one chooses, and leaves nothing to choose", inner_queue_drives)

# Pairs that mean something of their own.

MET = {"is_observed": True, "value": 0.5}
BOTH_MET = {"k": {"value": 1.0, "is_observed": True}, "a_unit": None}
pair(
    *("condition", "uncondition", "data of the model are drawn, those from outside are data"),
    shows({"a": MET, "y": {"is_observed": False, "was_observed": True}}, a=0.5),
)
pair(
    *("uncondition", "condition", "data from either are drawn"),
    shows(
        {"a": {"is_observed": False, "was_observed": True, "obs": 0.5}, "y": {"was_observed": True}}
    ),
)
pair(
    *("condition", "replay", "evidence overrules a record, whose hints stay"),
    shows(
        {"a": {**MET, "recorded": True}, "k": {"value": 1.0, "is_observed": True}, "a_unit": None},
        a=0.5,
        slope=4.0,
    ),
)
pair(
    *("replay", "condition", "evidence is not replayed"),
    shows(
        {"a": {**MET, "recorded": None}, "k": {"value": 1.0, "is_observed": True}, "a_unit": None},
        a=0.5,
        slope=4.0,
    ),
)
pair(
    *("condition", "reparam", "evidence for what others determine has density 0: put it inside"),
    shows({"a": {**MET, "log_prob": -torch.inf}, "a_unit": {"is_observed": False}}, a=0.5),
)
pair(
    *("reparam", "condition", "a reparameterisation is told that the site is observed"),
    shows({"a": {**MET, "_reparameterized": "observed"}, "a_unit": None}, a=0.5),
)
for order in (("reparam", "replay"), ("replay", "reparam")):
    pair(
        *order,
        "auxiliary sites are replayed, and determine the site whatever its record",
        shows({"a": {"value": 1.25}, "a_unit": {"value": 1.0, "is_observed": False}}, a=1.25),
    )
pair(
    *("do", "equalize", "an intervention on the owner reaches the members"),
    shows({"b": {"_equalized": "a"}}, a=-1.5, b=-1.5),
)


def tied_without_intervention(outer: str, inner: str) -> None:
    [run] = laws.seen(outer, inner)
    assert run.returned["a"] == -1.5
    assert run.returned["b"] == run.trace.nodes["a"]["value"] != -1.5


pair("equalize", "do", "sites are tied as they are without it", tied_without_intervention)
pair(
    *("replay", "substitute", "the outer value of a parameter is used"),
    shows({"slope": {"value": 4.0}}, slope=4.0),
)
pair(
    *("substitute", "replay", "the outer value of a parameter is used"),
    shows({"slope": {"value": 3.0}}, slope=3.0),
)

# What the one reads, the other has changed inside, or changes only outside.

DRAWN, DATUM, PARAM = ("sample", False), ("sample", True), ("param", False)
for name, site, before, after in (
    ("condition", "a", DRAWN, DATUM),
    ("equalize", "b", DRAWN, DATUM),
    ("lift", "slope", PARAM, DRAWN),
    ("reparam", "a", DRAWN, DATUM),
    ("uncondition", "y", DATUM, DRAWN),
):
    found = shows({site: {"found": after}})
    pair("infer_config", name, f"hints follow what {name} made of a site", found)
    found = shows({site: {"found": before}})
    pair(name, "infer_config", f"hints follow what a site is without {name}", found)
for name in ("condition", "replay"):
    pair("escape", name, f"a site that {name} gave a value need not be left", laws.ends_at(None))
    pair(name, "escape", f"the run ends before {name} is asked", laws.ends_at("k"))
pair("escape", "enum", "a site that has all values need not be left", laws.ends_at(None))
pair("enum", "escape", "the run ends before a site is enumerated", laws.ends_at("k"))
for name, hint, value in (("enum", "_dim_to_id", {}), ("markov", "_markov_scope", [0])):
    pair(name, "lift", f"{name} sees a random value", shows({"slope": {hint: value}}))
    pair("lift", name, f"{name} sees a parameter", shows({"slope": {hint: None, "type": "sample"}}))
pair("reparam", "lift", "a lifted parameter is rewritten", shows({"slope_unit": {}}))
pair("lift", "reparam", "a parameter is not rewritten", shows({"slope_unit": None}))

# All runs of a discrete model.

ONE = torch.tensor(1.0)
K_IS_1 = 0.1 * 0.5 + 0.9 * 0.25  # P(y = 1 | k = 1)
overruled = refuses("queue.. runs the model with each of its values, but a handler outside")
pair(
    *("queue", "condition", "what is observed has one value"),
    totals(0.3 * K_IS_1, 2, data={"k": ONE}),
)
pair("condition", "queue", "evidence belongs inside, else all runs are one", overruled)
for order in (("queue", "do"), ("do", "queue")):
    meaning = "the natural values are run, and what follows is told another"
    pair(*order, meaning, totals(K_IS_1, 4, data={"k": 1.0}))
pair(
    *("queue", "equalize", "sites that share a value are run with each once"),
    totals(0.7 * 0.5 + 0.3 * 0.25, 2, sites=["k", "j"]),
)
pair(
    "equalize",
    "queue",
    "ties belong inside, else the runs differ in a value that is not used",
    (laws.refuses_totals("handler outside gives it another", sites=["k", "j"])),
)
for order in (("do", "enum"), ("enum", "do")):
    meaning = "natural values are run at once; only outside enum() it is known who depends on them"
    pair(*order, meaning, laws.commute_but_for("_dim_to_id"))
pair(
    *("queue", "lift", "a lifted parameter is run with each value, too"),
    totals(EVIDENCE / 2, 8, prior={"rate": dist.Bernoulli(torch.tensor(0.5, dtype=torch.double))}),
)
pair(
    *("lift", "queue", "a parameter that is lifted outside is drawn in each run"),
    totals(EVIDENCE / 2, 4, prior={"rate": dist.Delta(torch.tensor(0.5))}),
)
pair(
    *("queue", "reparam", "the rewritten law is run with each value"),
    totals(
        0.4 * (0.8 * 0.5 + 0.2 * 0.25) + 0.6 * K_IS_1,
        4,
        config={"k": lambda name, law, obs: (dist.Bernoulli(torch.tensor(0.6)), obs)},
    ),
)
pair(
    "queue",
    "replay",
    "a recorded value is the only one",
    totals(0.3 * K_IS_1, 2, trace=laws.record({"k": 1.0})),
)
pair("replay", "queue", "a record belongs inside, else all runs are one", overruled)
for order in (("queue", "seed"), ("seed", "queue")):
    pair(*order, "random numbers do not matter to a sum", totals(EVIDENCE, 4, rng_seed=3))
pair(
    "escape",
    "queue",
    "a site has a value of the queue and need not be left",
    totals(EVIDENCE, 4, escape_fn=laws.undrawn("j")),
)
pair(
    "queue",
    "escape",
    "a site that is left before it has a value is never passed",
    refuses("came to no end within max_tries=9"),
)
pair(
    "enum",
    "queue",
    "the queue is first at a site, and has its values one by one",
    totals(EVIDENCE, 4, first_available_dim=-1),
)


def enumerated_once(outer: str, inner: str) -> None:
    [run] = laws.seen(outer, inner, fn=laws.coins)
    run.trace.pack_tensors()
    assert_close(log_evidence(run.trace).exp(), EVIDENCE)


def hidden_whole(outer: str, inner: str) -> None:
    runs = laws.runs_of(poutine.block(laws.wrap("queue", laws.coins)), many=True)
    assert len(runs) == 4 and not any(run.sites for run in runs)
    assert len({(run.returned["k"].item(), run.returned["j"].item()) for run in runs}) == 4
    # Of runs that were left, others would know what is shown, and not know that they were left.
    with pytest.raises(ValueError, match="the name is used twice in one run"):
        laws.seen(outer, inner)


pair("queue", "enum", "what has all values at once is run once", enumerated_once)
pair(
    "block",
    "queue",
    "nobody sees that there are many runs, where all of it is hidden",
    hidden_whole,
)
pair(
    *("reparam", "queue", "a law is rewritten inside, else the runs are not those of its values"),
    laws.refuses_totals(
        "a handler outside gives it another",
        config={"k": lambda name, law, obs: (dist.Bernoulli(torch.tensor(0.6)), obs)},
    ),
)

# Around collapse and inside of it: P(x = 1) = P(z = 1) * 0.9 + P(z = 0) * 0.2.

X = 0.3 * 0.9 + 0.7 * 0.2
Z_IS_1 = {"z": torch.tensor(1.0)}
HALF_DRAWN = {"rate": dist.Bernoulli(torch.tensor(0.5, dtype=torch.double))}
for name, options, does in (
    ("broadcast", {}, "there are no plates to expand to"),
    ("infer_config", {"config_fn": lambda site: {"hint": 1}}, "hints change no sum"),
    ("markov", {}, "a step changes no sum"),
    ("seed", {"rng_seed": 3}, "nothing is drawn"),
    ("substitute", {"data": {"rate": ONE}}, "parameters are seen through it"),
    ("trace", {}, "the record holds the factor, or what was summed out"),
):
    for order in ((name, "collapse"), ("collapse", name)):
        pair(*order, does, laws.collapses(X, "z", **options))


def collapse(name: str, options: dict[str, Any], outside: Any, inside: Any) -> None:
    """A pair each: a sentence, and a total with the sites or the text of an error."""
    for order, (meaning, *expected) in (
        ((name, "collapse"), outside),
        (("collapse", name), inside),
    ):
        law = laws.refuses_to_collapse if isinstance(expected[0], str) else laws.collapses
        runs = {"runs": expected.pop()} if isinstance(expected[-1], int) else {}
        pair(*order, meaning, law(*expected, **runs, **options))


collapse(
    *("block", {"hide": ["z"]}),
    ("the factor is hidden by its name", 1.0),
    ("what is hidden is drawn, here z = 0, and not summed", 0.2, "v"),
)
collapse(
    *("condition", {"data": Z_IS_1}),
    ("a sum has no value to observe, and stays", X, "z"),
    ("an observed site is a factor of the sum", 0.3 * 0.9, "v"),
)
collapse(
    *("do", {"data": Z_IS_1}),
    ("a sum has no value to set", "At site 'z': it is a factor"),
    ("the natural value is summed out, and what follows is told another", 0.9, "z"),
)
collapse(
    *("enum", {"first_available_dim": -1}),
    ("what is summed out is not enumerated", X, "z"),
    ("what is enumerated has no name to sum over", "At site 'z': it is enumerated and cannot be"),
)
collapse(
    *("equalize", {"sites": ["z", "v"]}),
    ("a sum has no value to share", "At site 'z': it is a factor and has no value"),
    ("a free variable cannot be shared", "At site 'v', equalized to 'z': the shared value is a V"),
)
collapse(
    *("lift", {"prior": HALF_DRAWN}),
    ("a parameter is drawn outside and not summed", X / 2, "rate", "z"),
    ("a lifted parameter is summed out, too", X),
)
collapse(
    *("mask", {"mask": False}),
    ("the sum is left out of the density", 1.0, "z"),
    ("an element that is left out has no sum", "At site 'z': it is masked and cannot be collapsed"),
)
collapse(
    *("queue", {}),
    ("nothing is left to choose", X, "z", 1),
    ("each run has one value, of both coins, and its own factor", X, "z", 4),
)
collapse(
    *("reparam", {"config": {"z": lambda name, law, obs: (dist.Bernoulli(0.6), obs)}}),
    ("a factor has no law to write otherwise", "At site 'z': .* expected .* which the site's has"),
    ("the law that it was written with is summed", 0.6 * 0.9 + 0.4 * 0.2, "z"),
)
collapse(
    *("replay", {"trace": laws.record({"z": 1.0})}),
    ("a sum has no value to replay", X, "z"),
    ("a recorded value is the only one", 0.3 * 0.9, "v"),
)
collapse(
    *("scale", {"scale": 0.5}),
    ("the sum is weighed", X**0.5, "z"),
    (
        "each term is weighed before the sum",
        (((0.3 * 0.9) ** 0.5 + (0.7 * 0.2) ** 0.5) * (0.4**0.5 + 0.6**0.5)),
        "z",
    ),
)
collapse(
    *("uncondition", {}),
    ("a sum is no datum to draw", X, "z"),
    ("without data the sum is 1", 1.0, "z"),
)
collapse(
    *("escape", {"escape_fn": laws.undrawn("v")}),
    ("what is summed out is not left", X, "z"),
    ("a run that is left has no sum", 1.0),
)
pair("collapse", "collapse", "what was summed out is a factor, which stays", laws.collapses(X, "z"))


@pytest.mark.parametrize(("outer", "inner"), PAIRS, ids=lambda name: name)
@pytest.mark.filterwarnings("ignore")
def test_a_pair_means_what_it_says(
    outer: str, inner: str, double_precision: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "collapse" in (outer, inner):
        fake_funsor.install(monkeypatch)
    PAIRS[outer, inner].law(outer, inner)


def without_a_pair(registered: Iterable[str]) -> set[tuple[str, str]]:
    return set(product(registered, repeat=2)) ^ set(PAIRS)


def test_every_pair_of_registered_handlers_is_here() -> None:
    assert without_a_pair(handlers.HANDLERS) == set()
    assert all(pair.meaning and "\n" not in pair.meaning for pair in PAIRS.values())


def test_a_newly_registered_handler_needs_its_pairs() -> None:
    new = without_a_pair([*handlers.HANDLERS, "brand_new"])
    assert len(new) == 2 * len(handlers.HANDLERS) + 1 and ("brand_new", "scale") in new


# By law: pairs that it does not hold for. What is refused elsewhere is no error here.
REFUTED: dict[str, tuple[Law, list[tuple[str, str]]]] = {
    "commute": (commute, [("condition", "uncondition"), ("do", "equalize"), ("enum", "lift")]),
    "commute, but for a hint": (
        laws.commute_but_for("_dim_to_id"),
        [("scale", "mask"), ("condition", "uncondition"), ("infer_config", "reparam")],
    ),
    "same as one": (
        laws.same_as_one,
        [("scale", "scale"), ("markov", "markov"), ("trace", "mask")],
    ),
    "outer wins": (laws.outer_wins, [("lift", "lift"), ("scale", "scale")]),
    "inner wins": (laws.inner_wins, [("condition", "condition"), ("mask", "mask")]),
    "hides": (laws.hides, [("scale", "condition"), ("trace", "do")]),
    "cannot reach": (laws.cannot_reach, [("condition", "scale"), ("do", "trace")]),
    "shows": (shows({"a": {"value": 0.25}}), [("condition", "scale"), ("scale", "condition")]),
    "shows no site": (shows({"a": None}), [("condition", "scale")]),
    "shows in the model": (shows(a=0.25), [("condition", "scale")]),
    "ends at": (laws.ends_at("b"), [("escape", "scale"), ("scale", "mask")]),
    "scales": (laws.product_of_scales, [("scale", "mask")]),
    "masks": (laws.both_masks, [("mask", "scale")]),
    "totals": (totals(EVIDENCE, 4, scale=0.5), [("scale", "queue"), ("queue", "scale")]),
    "number of runs": (totals(EVIDENCE, 3, rng_seed=3), [("queue", "seed")]),
    "collapses": (laws.collapses(X, "z", scale=0.5), [("scale", "collapse")]),
    "sites that are left": (laws.collapses(X, rng_seed=3), [("seed", "collapse")]),
}


@pytest.mark.parametrize(
    ("law", "outer", "inner"),
    [(law, *pair) for law, (_, pairs) in REFUTED.items() for pair in pairs],
)
@pytest.mark.filterwarnings("ignore")
def test_a_law_is_refuted_where_it_does_not_hold(
    law: str, outer: str, inner: str, double_precision: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_funsor.install(monkeypatch)
    with pytest.raises(AssertionError):
        REFUTED[law][0](outer, inner)


def test_a_record_is_compared_with_what_is_seen(
    monkeypatch: pytest.MonkeyPatch, double_precision: None
) -> None:
    """A trace that forgets a site, and one that changes a value, are found out."""
    recorded = TraceMessenger._pyro_post_sample
    for forget in (
        lambda trace, msg: None,
        lambda trace, msg: trace.add_node(msg["name"], **{**msg, "value": torch.zeros(())}),
    ):

        def post(self: Any, msg: Any, forget: Any = forget) -> None:
            outermost = self is runtime._PYRO_STACK[1]
            recorded(self, msg) if outermost or msg["name"] != "a" else forget(self.trace, msg)

        monkeypatch.setattr(TraceMessenger, "_pyro_post_sample", post)
        for law, order in (
            (laws.is_recorded, ("trace", "scale")),
            (laws.is_recorded_inside, ("scale", "trace")),
        ):
            with pytest.raises(AssertionError):
                law(*order)
        laws.seen.cache_clear()
        monkeypatch.undo()


def test_a_refusal_must_come(double_precision: None) -> None:
    for law in (refuses("x"), laws.refuses_totals("x", scale=0.5)):
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            law("scale", "queue")
