"""What holds for every handler, and what equalize is for: the dogs-and-cats example."""

import copy
import doctest
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer.reparam.reparam import Reparam
from pyro.poutine import handlers, runtime
from pyro.poutine.messenger import Messenger
from tests.helpers import assert_close, trace_of
from tests.poutine.models import leaves_no_trace, refused


def model(shift: float = 0.0) -> Tensor:
    """Two like latents, a datum in a plate, and a parameter."""
    scale = pyro.param("scale", torch.tensor(2.0))
    x = pyro.sample("x", dist.Normal(shift, 1.0))
    y = pyro.sample("y", dist.Normal(shift, 1.0))
    with pyro.plate("data", 3):
        pyro.sample("z", dist.Normal(x + y, scale.abs()), obs=torch.arange(3.0))
    difference: Tensor = x - y
    return difference


def sequence(start: float) -> list[float]:
    """A model whose values tell threads apart and need no random numbers."""
    return [
        pyro.sample(f"v{i}", dist.Delta(torch.tensor(start + i))).item()
        for i in range(20)
        if pyro.param("scale", torch.tensor(2.0)) is not None
    ]


class Failure(Exception):
    pass


def failing_model() -> None:
    model()
    with pyro.plate("failing", 2):
        pyro.sample("last", dist.Normal(0.0, 1.0))
        raise Failure("on purpose")


class FailsAt(Messenger):
    """Raises as the site ``y`` passes, on its way out or on its way back."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def _pyro_sample(self, msg: Any) -> None:
        if self.way == "out" and msg["name"] == "y":
            raise Failure("on purpose")

    def _pyro_post_sample(self, msg: Any) -> None:
        if self.way == "back" and msg["name"] == "y":
            raise Failure("on purpose")


def hint(site: Any) -> dict[str, Any]:
    return {"hinted": site["name"]}


class Decentre(Reparam):
    """Writes a normal value as one about zero, plus the mean."""

    def apply(self, msg: Any) -> Any:
        law = msg["fn"]
        centred = dist.Normal(torch.zeros(()), law.scale).expand(law.batch_shape)
        value = law.loc + pyro.sample(msg["name"] + "_centred", centred)
        return {"fn": dist.Delta(value), "value": value, "is_observed": True}


RECORD = pyro.poutine.Trace()
RECORD.add_node(
    "x", name="x", type="sample", value=torch.tensor(0.25), is_observed=False, infer={}, fn=None
)


def never(msg: Any) -> bool:
    return False


class EmptyRuns:
    """A queue of empty partial runs, without end; those of the module ``queue`` do not pickle."""

    def empty(self) -> bool:
        return False

    def get(self) -> poutine.Trace:
        return poutine.Trace()

    def put(self, item: poutine.Trace) -> None:
        raise AssertionError("no site of these models is discrete")


class Case(NamedTuple):
    """Options of a handler, and in which respects it is unlike others; the table says why."""

    options: dict[str, Any]
    twice: dict[str, Any] | None = None  # options that do in one instance what these do in two
    stands_apart: bool = False  # and is held to the contract by tests of its own
    is_context: bool = True
    is_reentrant: bool = False
    nests_as: Callable[[Any], Any] | None = (
        None  # what of the facts two instances leave as one does
    )


def without_steps(facts: Any) -> Any:
    return {name: {**site, "infer": None} for name, site in facts.items()}


CASES = {
    "block": Case({"hide": ["x"]}),
    "broadcast": Case({}),
    # Its sites become one factor, and their values funsors; see test_collapse_messenger.py.
    "collapse": Case({}, stands_apart=True),
    "condition": Case({"data": {"x": torch.tensor(0.5)}}),
    "do": Case({"data": {"x": 0.5}}),
    "enum": Case({"first_available_dim": -2}),
    "equalize": Case({"sites": ["x", "y"]}),
    "escape": Case({"escape_fn": never}),
    "infer_config": Case({"config_fn": hint}),
    "lift": Case({"prior": {"scale": dist.Delta(torch.tensor(2.5))}}),
    # Recursion enters it within itself, and each instance adds a step to infer["_markov_scope"].
    "markov": Case({}, is_reentrant=True, nests_as=without_steps),
    "mask": Case({"mask": torch.tensor([True, False, True])}),
    # It runs a model many times, which no 'with' block can.
    "queue": Case({"queue": EmptyRuns()}, is_context=False),
    "reparam": Case({"config": {"x": Decentre()}}),
    "replay": Case({"trace": RECORD}),
    "scale": Case({"scale": 0.5}, twice={"scale": 0.25}),
    "seed": Case({"rng_seed": 3}),
    "substitute": Case({"data": {"scale": torch.tensor(3.0)}}),
    "trace": Case({}),
    "uncondition": Case({}),
}


def without_a_case(registered: Iterable[str]) -> set[str]:
    return set(registered) ^ set(CASES)


def test_every_registered_handler_has_a_case() -> None:
    assert without_a_case(handlers.HANDLERS) == set()


def test_a_newly_registered_handler_needs_a_case() -> None:
    assert without_a_case([*handlers.HANDLERS, "brand_new"]) == {"brand_new"}


def make(name: str) -> Any:
    """The handler's messenger with the options of its case."""
    return getattr(poutine, name)(**CASES[name].options)


def by_call(name: str, fn: Callable[..., Any]) -> Any:
    return getattr(poutine, name)(fn, **CASES[name].options)


def by_decorator(name: str, fn: Callable[..., Any]) -> Any:
    @make(name)
    def decorated(*args: Any) -> Any:
        return fn(*args)

    return decorated


def by_context(name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    def in_context(*args: Any) -> Any:
        with make(name):
            return fn(*args)

    return in_context


FORMS = [by_call, by_decorator, by_context]


def forms_of(name: str) -> list[Callable[..., Any]]:
    return [form for form in FORMS if form is not by_context or CASES[name].is_context]


def facts_of(handled: Callable[..., Any]) -> dict[str, Any]:
    """All that a handler outside sees of a run from a fixed seed."""
    with poutine.seed(rng_seed=0):
        record = trace_of(handled)
    record.compute_log_prob()
    keys = ("type", "value", "is_observed", "scale", "mask", "infer", "log_prob")
    return {
        name: {key: _plain(site[key]) for key in keys if key in site}
        for name, site in record.nodes.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and "_markov_scope" in value:
        # Frames are new in every run; how many steps back they lie is not.
        return {**value, "_markov_scope": list(value["_markov_scope"].values())}
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value.tolist() if isinstance(value, Tensor) else value


@pytest.fixture(params=[name for name in handlers.HANDLERS if not CASES[name].stands_apart])
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


@pytest.fixture(params=handlers.HANDLERS)
def any_name(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def test_the_three_forms_agree(name: str) -> None:
    first, *others = [facts_of(form(name, model)) for form in forms_of(name)]
    assert others and all(facts == first for facts in others)


def test_an_exception_in_the_model_leaves_nothing_behind(name: str) -> None:
    model()  # creates the parameter
    for form in forms_of(name):
        with refused(Failure, "on purpose"):
            form(name, failing_model)()
        assert facts_of(form(name, model)) == facts_of(form(name, model))


@pytest.mark.parametrize("way", ["out", "back"])
@pytest.mark.parametrize("inside", [False, True])
def test_an_exception_in_a_handler_leaves_nothing_behind(name: str, way: str, inside: bool) -> None:
    model()
    expected = facts_of(by_call(name, model))
    messenger = make(name)
    failing = messenger(FailsAt(way)(model)) if inside else FailsAt(way)(messenger(model))
    with refused(Failure, "on purpose"):
        failing()
    assert facts_of(messenger(model)) == expected


def test_two_instances_nest(name: str) -> None:
    case = CASES[name]
    once = getattr(poutine, name)(model, **(case.twice or case.options))
    what = case.nests_as or (lambda facts: facts)
    assert what(facts_of(by_call(name, by_call(name, model)))) == what(facts_of(once))


def test_one_instance_is_on_the_stack_once(name: str) -> None:
    model()
    messenger = make(name)
    if not CASES[name].is_context:
        with refused(TypeError, "which no 'with' block can do. Wrap the model"):
            messenger.__enter__()
        return
    with leaves_no_trace(), messenger:
        model()
        if CASES[name].is_reentrant:
            with messenger:
                model()
        else:
            with pytest.raises(ValueError, match="is already active. Make a second one to nest"):
                messenger.__enter__()
        assert [messenger] == runtime._PYRO_STACK


def test_it_cannot_be_left_before_what_stands_inside(name: str) -> None:
    if not CASES[name].is_context:
        return  # there is nothing to leave, as the test above shows
    model()
    messenger, inner = make(name), Messenger()
    with leaves_no_trace():
        messenger.__enter__()
        model()
        inner.__enter__()
        with pytest.raises(ValueError, match="reverse order"):
            messenger.__exit__(None, None, None)
        assert [inner] == runtime._PYRO_STACK
        inner.__exit__(None, None, None)


def test_it_may_be_entered_again(name: str) -> None:
    handled = by_call(name, model)
    assert facts_of(handled) == facts_of(handled)


def test_it_composes_with_trace(name: str) -> None:
    """A trace outside sees the values that the run had; so does one inside, hidden ones too."""
    inner = poutine.trace(model)
    outer = trace_of(by_call(name, inner))
    twins = {"x"} if name == "do" else set()  # what was drawn outside, what it is set to inside
    for site in set(outer.nodes) & set(inner.trace.nodes) - {"_INPUT", "_RETURN"} - twins:
        assert_close(outer.nodes[site]["value"], inner.trace.nodes[site]["value"])
    assert {"x", "y", "z", "data", "scale"} <= set(inner.trace.nodes)
    outer.log_prob_sum()


def test_it_composes_with_plate(name: str) -> None:
    """Around a plate and inside of it a handler does the same."""

    def site() -> None:
        pyro.param("scale", torch.tensor(2.0))
        pyro.sample("x", dist.Normal(torch.zeros(3), 1.0))
        pyro.sample("y", dist.Normal(torch.zeros(3), 1.0))

    def plated(fn: Callable[[], None]) -> Callable[[], None]:
        def in_plate() -> None:
            with pyro.plate("rows", 3):
                fn()

        return in_plate

    around, inside = by_call(name, plated(site)), plated(by_call(name, site))
    ours, theirs = facts_of(around), facts_of(inside)
    for facts in (ours, theirs):
        facts.pop("rows", None)
        if name == "lift":
            facts.pop("scale")  # a parameter is one for all elements, a drawn one in a plate is not
    assert ours == theirs


def test_it_composes_with_equalize(name: str) -> None:
    """In either order the sites share a value, whether or not they show outside."""
    model()
    tie = poutine.equalize(sites=["x", "y"], keep_dist=True)
    around, inside = by_call(name, tie(model)), tie(by_call(name, model))
    # Inside, block hides x from equalize, do sets x alone, and reparam takes the law to be kept.
    for handled in (around,) if name in ("block", "do", "reparam") else (around, inside):
        with leaves_no_trace():
            assert trace_of(handled).nodes["_RETURN"]["value"].item() == 0


def test_it_pickles_and_copies(name: str) -> None:
    handled = by_call(name, model)
    expected = facts_of(handled)
    for twin in (pickle.loads(pickle.dumps(handled)), copy.deepcopy(handled)):
        assert facts_of(twin) == expected
    for messenger in (pickle.loads(pickle.dumps(handled.msngr)), copy.deepcopy(handled.msngr)):
        assert messenger is not handled.msngr
        assert facts_of(messenger(model)) == expected


def test_its_docstring_has_an_example_that_runs(any_name: str) -> None:
    text = getattr(poutine, any_name).__doc__
    example = doctest.DocTestParser().get_doctest(text, {}, any_name, None, None)
    assert example.examples
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.DocTestRunner(optionflags=flags).run(example).failed == 0


def test_threads_use_it_at_once(name: str) -> None:
    """Eight threads share one handled model; each has what it has alone."""
    options = {"sites": "v.*"} if name == "equalize" else CASES[name].options
    handled = getattr(poutine, name)(sequence, **options)
    alone = [handled(100.0 * k) for k in range(8)]
    with pyro.validation_enabled(False), ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(handled, [100.0 * k for k in range(8)])) == alone


def test_its_signature_and_name_are_the_handlers(any_name: str) -> None:
    handler = getattr(poutine, any_name)
    assert handler.__name__ == any_name
    assert handler.__module__ == "pyro.poutine.handlers"
    with pytest.raises(ValueError, match=rf"{any_name}\(\) wraps a callable, got 3"):
        handler(3)


def test_what_is_handled_keeps_its_name_and_unwraps(any_name: str) -> None:
    handled = by_call(any_name, model)
    assert handled.__name__ == "model" and handled.__doc__ == model.__doc__
    assert poutine.unwrap(by_call(any_name, handled)) is model


def test_it_wraps_methods(name: str) -> None:
    class Holder:
        @make(name)
        def run(self, shift: float) -> tuple[Any, Any]:
            return self, model(shift)

    holder = Holder()
    assert holder.run(0.0)[0] is holder
