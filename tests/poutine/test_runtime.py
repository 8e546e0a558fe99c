"""The interpreter: its stack, its messages, effects of one's own, threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine import runtime
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import (
    DimAllocator,
    NonlocalExit,
    am_i_wrapped,
    apply_stack,
    default_process_message,
    effectful,
    get_mask,
    get_plates,
    new_message,
)
from tests.helpers import trace_of
from tests.poutine.models import interpreter_state, leaves_no_trace, refused


class Log(Messenger):
    """Notes what passes, in the order of passing."""

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__()
        self.name = name
        self.log = log

    def _process_message(self, msg: Any) -> None:
        self.log.append(f"{self.name} out {msg['name']}")

    def _postprocess_message(self, msg: Any) -> None:
        self.log.append(f"{self.name} back {msg['name']}")


class Stop(Messenger):
    def _process_message(self, msg: Any) -> None:
        msg["stop"] = True


def normal(name: str) -> Any:
    return pyro.sample(name, dist.Normal(0.0, 1.0))


# The way of a message.


def test_a_message_goes_out_from_the_innermost_and_comes_back() -> None:
    log: list[str] = []
    with Log("outer", log), Log("inner", log):
        normal("x")
    assert log == ["inner out x", "outer out x", "outer back x", "inner back x"]


def test_a_stopped_message_goes_no_further_and_comes_back_all_the_same() -> None:
    log: list[str] = []
    with Log("outer", log), Log("middle", log), Stop(), Log("inner", log):
        normal("x")
    assert log == ["inner out x", "inner back x"]


def test_the_one_that_stops_sees_the_way_back() -> None:
    class StopAndLook(Stop):
        seen: Any = None

        def _postprocess_message(self, msg: Any) -> None:
            self.seen = msg["value"]

    with StopAndLook() as handler:
        value = normal("x")
    assert handler.seen is value


def test_a_continuation_runs_at_the_very_end() -> None:
    log: list[str] = []

    class Continues(Messenger):
        def _pyro_sample(self, msg: Any) -> None:
            msg["continuation"] = lambda message: log.append(f"end {message['name']}")

    with Log("outer", log), Continues(), Log("inner", log):
        normal("x")
    assert log[-2:] == ["inner back x", "end x"]


def test_the_default_calls_fn_unless_there_is_a_value() -> None:
    def never() -> None:
        raise AssertionError

    message = new_message("sample", "x", lambda a, b: a + b, (1,), {"b": 2})
    default_process_message(message)
    assert message["value"] == 3 and message["done"]
    for given in ({"value": 7}, {"value": 7, "is_observed": True}):
        message = new_message("sample", "x", never, **given)  # type: ignore[arg-type]
        default_process_message(message)
        assert message["value"] == 7
    message = new_message("sample", "x", never)
    message["done"] = True
    default_process_message(message)
    assert message["value"] is None


def test_a_message_without_handlers_gets_its_default() -> None:
    message = new_message("anything", "x", lambda: 5)
    apply_stack(message)
    assert message["value"] == 5


def test_the_keys_of_a_message() -> None:
    hints = {"hint": 1}
    message = new_message("sample", "x", len, ("ab",), infer=hints)
    assert set(message) == {
        *("type", "name", "fn", "is_observed", "args", "kwargs", "value", "scale", "mask"),
        *("cond_indep_stack", "done", "stop", "continuation", "infer"),
    }
    assert message["infer"] == hints and message["infer"] is not hints


def test_a_handler_may_emit_messages_of_its_own() -> None:
    class AddsNoise(Messenger):
        def _pyro_post_sample(self, msg: Any) -> None:
            if msg["name"] == "x":
                msg["value"] = msg["value"] + pyro.sample("noise", dist.Normal(0.0, 1.0))

    with poutine.trace() as record, AddsNoise():
        normal("x")
    assert list(record.trace) == ["x", "noise"] or list(record.trace) == ["noise", "x"]


# Effects of one's own.


@effectful(type="square")
def square(x: float) -> float:
    """The square of a number."""
    return x * x


def test_an_effect_without_handlers_is_its_function() -> None:
    assert square(3.0) == 9.0
    assert square.__name__ == "square" and square.__doc__ == "The square of a number."


def test_handlers_of_an_effect_see_its_message() -> None:
    class Doubles(Messenger):
        def _pyro_square(self, msg: Any) -> None:
            assert msg["name"] == "here" and msg["infer"] == {"a": 1}
            msg["args"] = (2 * msg["args"][0],)

        def _pyro_post_square(self, msg: Any) -> None:
            msg["value"] += 0.5

    with Doubles():
        assert square(3.0, name="here", infer={"a": 1}) == 36.5


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_observed_effect_has_its_value(wrapped: bool) -> None:
    if wrapped:
        with Messenger():
            assert square(3.0, obs=4.0) == 4.0
    assert square(3.0, obs=4.0) == 4.0


def test_effects_of_one_type_do_not_reach_handlers_of_another() -> None:
    class OnlySquares(Messenger):
        def _pyro_square(self, msg: Any) -> None:
            raise AssertionError

    with OnlySquares():
        normal("x")
        with pytest.raises(AssertionError):
            square(1.0)


@pytest.mark.parametrize("type", [None, "message"])
def test_an_effect_needs_a_type_of_its_own(type: Any) -> None:
    with refused(ValueError, rf"needs a message type of its own, got {type!r}\. Write @effectful"):
        effectful(lambda: None, type=type)


# The questions that a model may ask.


def test_am_i_wrapped() -> None:
    assert not am_i_wrapped()
    with Messenger():
        assert am_i_wrapped()
    assert not am_i_wrapped()


def test_get_mask() -> None:
    mask = torch.tensor([True, False])
    assert get_mask() is None
    with poutine.mask(mask=mask):
        assert get_mask() is mask
        with poutine.mask(mask=False):
            assert (~get_mask()).all()
        with poutine.block():
            assert get_mask() is None
    with poutine.trace():
        assert get_mask() is None


def test_get_plates() -> None:
    assert get_plates() == ()
    with pyro.plate("outer", 2), pyro.plate("inner", 3):
        frames = get_plates()
    assert [(frame.name, frame.dim, frame.size) for frame in frames] == [
        ("outer", -1, 2),
        ("inner", -2, 3),
    ]


# The allocator of plate dimensions.


def test_dims_are_handed_out_from_the_right() -> None:
    dims = DimAllocator()
    assert [dims.allocate(name, None) for name in "abc"] == [-1, -2, -3]
    dims.free("b", -2)
    assert dims.allocate("d", None) == -2
    assert dims.allocate("e", -6) == -6
    assert dims.allocate("f", None) == -4
    for name, dim in [("a", -1), ("d", -2), ("c", -3), ("f", -4), ("e", -6)]:
        dims.free(name, dim)
    assert dims._stack == []


@pytest.mark.parametrize(
    ("name", "dim", "text"),
    [
        ("b", 0, "At site 'b': plate dim must be negative, got 0. Count it from the right"),
        ("b", -1, "At site 'b': dim=-1 belongs to the active plate 'a'. Give one of the two"),
        ("a", None, "At site 'a': a plate of this name is already active"),
    ],
)
def test_what_the_allocator_refuses(name: str, dim: int | None, text: str) -> None:
    dims = DimAllocator()
    dims.allocate("a", None)
    with pytest.raises(ValueError, match=text):
        dims.allocate(name, dim)
    assert dims._stack == ["a"]


# Leaving a run from within.


class Leaves(Messenger):
    """Leaves the run at a site, the first time that it passes."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.left = False

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["name"] == self.name and not self.left:
            self.left = True
            raise NonlocalExit(msg)


def retried(fn: Any) -> Any:
    for _ in range(2):
        try:
            return fn()
        except NonlocalExit as left:
            left.reset_stack()
    raise AssertionError


def test_a_reset_clears_the_records_up_to_the_one_that_hides_the_site() -> None:
    def model() -> None:
        normal("before")
        normal("x")

    with Leaves("x"), poutine.trace() as far, poutine.block(hide=["x"]), poutine.trace() as near:
        normal("earlier")
        runtime_reset_at("x")
    assert list(far.trace) == ["earlier"]
    assert list(near.trace) == []

    with poutine.trace() as record, Leaves("x"):
        retried(model)
    assert list(record.trace) == ["before", "x"]


def runtime_reset_at(name: str) -> None:
    NonlocalExit(new_message("sample", name, None)).reset_stack()


def test_a_reset_keeps_the_input_of_a_record() -> None:
    def model(x: float) -> Any:
        return retried(lambda: normal("x"))

    record = poutine.trace(Leaves("x")(model)).get_trace(3.0)
    assert record.nodes["_INPUT"]["args"] == (3.0,)


def test_an_exit_knows_its_site() -> None:
    with pytest.raises(NonlocalExit) as left:
        Leaves("x")(lambda: normal("x"))()
    assert left.value.site["name"] == "x"


# Threads.


def test_the_stack_is_one_list_within_a_thread() -> None:
    from pyro.poutine.runtime import _PYRO_STACK

    assert runtime._PYRO_STACK is _PYRO_STACK
    with Messenger() as handler:
        assert [handler] == _PYRO_STACK
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: runtime._PYRO_STACK).result() == []
    with pytest.raises(AttributeError, match="no attribute '_NOTHING'"):
        runtime._NOTHING  # noqa: B018


def test_eight_threads_get_what_they_get_alone() -> None:
    """Each traces a model of its own, with plates, handlers and a deterministic law."""

    def run(k: int) -> dict[str, Any]:
        def model() -> None:
            x = pyro.sample("x", dist.Delta(torch.tensor(float(k))))
            with pyro.plate("rows", k + 1), poutine.scale(scale=k + 0.5):
                pyro.sample("y", dist.Normal(x, 1.0), obs=torch.arange(k + 1.0))
                with pyro.plate("columns", 2):
                    pyro.sample("z", dist.Delta(x))
            for i in pyro.plate("steps", 3):
                pyro.sample(f"s{i}", dist.Delta(x + i))

        record = trace_of(poutine.equalize(poutine.condition(model, {}), {"": ["s1", "s2"]}))
        record.compute_log_prob()
        return {
            name: (site["value"].tolist(), site["log_prob"].tolist(), site["cond_indep_stack"])
            for name, site in record.nodes.items()
            if site["type"] == "sample"
        }

    alone = [run(k) for k in range(8)]
    gate = threading.Barrier(8)

    def together(k: int) -> list[dict[str, Any]]:
        gate.wait()
        return [run(k) for _ in range(10)]

    with leaves_no_trace(), ThreadPoolExecutor(8) as pool:
        for expected, found in zip(alone, pool.map(together, range(8)), strict=True):
            assert found == [expected] * 10


def test_an_exception_in_one_thread_is_none_of_the_others_business() -> None:
    def fails() -> None:
        with pyro.plate("rows", 2), poutine.trace():
            raise KeyError("on purpose")

    with pyro.plate("rows", 3), ThreadPoolExecutor(1) as pool:
        before = interpreter_state()
        with pytest.raises(KeyError, match="on purpose"):
            pool.submit(fails).result()
        assert pool.submit(interpreter_state).result()[:2] == ([], [])
        assert interpreter_state() == before
