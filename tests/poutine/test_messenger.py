"""The base of the handlers, and handlers that libraries write."""

import copy
import inspect
import pickle
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine import runtime
from pyro.poutine.handlers import _make_handler
from pyro.poutine.messenger import Messenger, block_messengers, unwrap
from tests.poutine.models import leaves_no_trace, refused


def model(x: float = 0.0) -> Any:
    """One site."""
    return pyro.sample("x", dist.Normal(x, 1.0))


class Fixes(Messenger):
    """Gives every sample site a value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def _pyro_sample(self, msg: Any) -> None:
        msg["value"] = torch.tensor(self.value)


# Hooks.


def test_hooks_are_chosen_by_type() -> None:
    class ByType(Messenger):
        seen: list[str] = []

        def _pyro_sample(self, msg: Any) -> None:
            self.seen.append("sample")

        def _pyro_post_sample(self, msg: Any) -> None:
            self.seen.append("post sample")

        def _pyro_param(self, msg: Any) -> None:
            self.seen.append("param")

    with ByType():
        model()
        pyro.param("p", torch.tensor(1.0))
        pyro.barrier(3)
    assert ByType.seen == ["sample", "post sample", "param"]


def test_general_hooks_see_every_type_and_may_call_the_typed_ones() -> None:
    class General(Messenger):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[str] = []

        def _process_message(self, msg: Any) -> None:
            self.seen.append(f"before {msg['type']}")
            super()._process_message(msg)

        def _postprocess_message(self, msg: Any) -> None:
            super()._postprocess_message(msg)
            self.seen.append(f"after {msg['type']}")

        def _pyro_sample(self, msg: Any) -> None:
            self.seen.append("sample")

        def _pyro_post_sample(self, msg: Any) -> None:
            self.seen.append("post sample")

    with General() as handler:
        model()
        pyro.param("p", torch.tensor(1.0))
    assert handler.seen == [
        *("before sample", "sample", "post sample", "after sample"),
        *("before param", "after param"),
    ]


def test_hooks_are_inherited_and_overridden() -> None:
    class Twice(Fixes):
        def _pyro_sample(self, msg: Any) -> None:
            super()._pyro_sample(msg)
            msg["value"] = 2 * msg["value"]

    class Plain(Fixes):
        pass

    assert Plain(3.0)(model)() == 3
    assert Twice(3.0)(model)() == 6


def test_a_class_made_after_others_ran_has_its_own_hooks() -> None:
    for value in (1.0, 2.0):

        class Local(Messenger):
            number = value

            def _pyro_sample(self, msg: Any) -> None:
                msg["value"] = torch.tensor(self.number)

        assert Local()(model)() == value


def test_hooks_can_be_registered_and_taken_off() -> None:
    class Empty(Messenger):
        pass

    class Child(Empty):
        pass

    handled = Child()(model)
    with pyro.validation_enabled(False):
        handled()  # the class is known before the hook is

    @Empty.register(type="sample")
    def fix(self: Any, msg: Any) -> None:
        msg["value"] = torch.tensor(5.0)

    @Empty.register(type="sample", post=True)
    def add(self: Any, msg: Any) -> None:
        msg["value"] = msg["value"] + 1

    assert handled() == 6
    assert Empty.unregister(add, type="sample") is add
    assert handled() == 5
    assert Empty.unregister(lambda: None, type="sample") is not None  # another hook: nothing to do
    assert handled() == 5
    Empty.unregister(type="sample")
    assert not hasattr(Empty, "_pyro_sample")


@pytest.mark.parametrize("method", [Messenger.register, Messenger.unregister])
def test_registering_needs_a_type(method: Any) -> None:
    with refused(ValueError, "needs the message type"):
        method(lambda self, msg: None)


# Entering and leaving.


def test_leaving_what_was_never_entered_is_refused() -> None:
    with refused(ValueError, "This Messenger is not active in this thread"):
        Messenger().__exit__(None, None, None)


def test_an_exception_takes_what_was_left_inside_along() -> None:
    outer, inner = Messenger(), Messenger()
    with leaves_no_trace(), pytest.raises(KeyError, match="on purpose"), outer:
        inner.__enter__()
        raise KeyError("on purpose")


def test_equal_handlers_are_not_the_same_handler() -> None:
    class Equal(Messenger):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    with leaves_no_trace(), Equal() as outer:
        with Equal() as inner:
            assert runtime._PYRO_STACK[0] is outer and runtime._PYRO_STACK[1] is inner


def test_a_handler_serves_generators() -> None:
    def steps() -> Any:
        with Fixes(1.0):
            yield model()
        yield model()

    values = list(steps())
    assert values[0] == 1 and values[1] != 1


# Handled callables.


def test_a_handled_callable_looks_like_its_function() -> None:
    handled = Fixes(3.0)(model)
    assert (handled.__name__, handled.__doc__) == ("model", "One site.")
    assert handled.__module__ == model.__module__ and handled.__wrapped__ is model
    assert inspect.signature(handled) == inspect.signature(model)
    assert "Fixes" in repr(handled) and "model" in repr(handled)


def test_arguments_and_results_pass_through() -> None:
    def fn(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert Messenger()(fn)(1, 2, key=3) == ((1, 2), {"key": 3})


def test_modules_and_lambdas_can_be_handled() -> None:
    net = torch.nn.Linear(1, 1)
    handled = Messenger()(net)
    assert handled(torch.ones(1)).shape == (1,)
    assert unwrap(handled) is net


@pytest.mark.parametrize("messenger", [Messenger(), poutine.trace(), poutine.scale(scale=2.0)])
def test_only_callables_can_be_handled(messenger: Any) -> None:
    with refused(ValueError, r"Messenger can only wrap a callable, got 3\. Pass the model itself"):
        messenger(3)


def test_unwrap_looks_through_any_number_of_handlers() -> None:
    handled = poutine.trace(poutine.scale(Fixes(1.0)(model), 0.5))
    assert unwrap(handled) is model
    assert unwrap(model) is model


class Holder:
    offset = 1.0
    net = Fixes(7.0)(torch.nn.Linear(1, 1))

    @Fixes(7.0)
    def method(self) -> Any:
        return model() + self.offset

    @poutine.trace()
    @Fixes(7.0)
    def traced(self) -> Any:
        return model() + self.offset

    def plain(self) -> Any:
        return model()


def test_methods_can_be_handled_and_unwrapped() -> None:
    holder = Holder()
    assert holder.method() == 8
    assert unwrap(holder.method).__self__ is holder  # type: ignore[attr-defined]
    assert unwrap(Holder.method)(holder) != 8
    bound = Fixes(7.0)(holder.plain)
    assert bound() == 7
    assert unwrap(bound) == holder.plain


def test_methods_can_be_traced() -> None:
    record = Holder().traced.get_trace()
    assert list(record) == ["_INPUT", "x", "_RETURN"] and record.nodes["_RETURN"]["value"] == 8


def test_what_binds_no_instance_is_left_as_it_is() -> None:
    assert Holder().net(torch.ones(1)).shape == (1,)


def test_recursion_through_one_handler_is_refused() -> None:
    @Fixes(1.0)
    def recursive(depth: int) -> Any:
        return recursive(depth - 1) if depth else model()

    assert recursive(0) == 1
    with refused(ValueError, "This Fixes is already active. Make a second one"):
        recursive(1)


def test_copies_of_a_handler_are_independent() -> None:
    original = Fixes(1.0)
    for twin in (
        copy.copy(original),
        copy.deepcopy(original),
        pickle.loads(pickle.dumps(original)),
    ):
        twin.value = 2.0
        assert original(twin(model))() == 1
        assert twin(original(model))() == 2


# Handlers at rest.


def test_handlers_can_be_put_to_rest() -> None:
    with Fixes(1.0) as keep, poutine.trace() as record:
        with block_messengers(lambda handler: handler is record) as resting:
            assert model() == 1
            assert resting == [record] and [keep] == runtime._PYRO_STACK
        assert list(record.trace) == []
        model()
    assert list(record.trace) == ["x"]


def test_resting_handlers_are_back_after_an_exception() -> None:
    with Fixes(1.0) as handler:
        with pytest.raises(KeyError, match="on purpose"), block_messengers(lambda _: True):
            raise KeyError("on purpose")
        assert [handler] == runtime._PYRO_STACK


# The registry.


def test_a_library_registers_a_handler() -> None:
    @_make_handler(Fixes)
    def fixes(fn: Any, value: float) -> Any:
        """Fix every site."""

    assert fixes.__name__ == "fixes" and fixes.__doc__ == "Fix every site."
    assert list(inspect.signature(fixes).parameters) == ["fn", "value"]
    assert fixes(model, 3.0)() == 3
    with fixes(value=4.0):
        assert model() == 4

    @fixes(value=5.0)
    def decorated() -> Any:
        return model()

    assert decorated() == 5


def test_a_registered_name_takes_the_messengers_signature() -> None:
    handler = _make_handler(Fixes, "somewhere")("fixes")
    assert handler.__module__ == "somewhere" and handler.__doc__ == Fixes.__doc__
    assert str(inspect.signature(handler)) == "(fn, value: float)"
    assert str(inspect.signature(poutine.trace)).startswith("(fn=None, graph_type")
