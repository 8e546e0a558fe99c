import pickle
import re
import warnings
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer import compile as compiling
from pyro.infer.compile import CompiledFunction, attached, put_together, take_apart, trace
from pyro.params.param_store import _PYRO_PARAM_STORE
from tests.helpers import assert_close

POSITIVE = dist.constraints.positive


class Counted:
    """A function of a parameter and data that counts how often Python runs it."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, x: Any = 1.0, power: Any = 1) -> Tensor:
        self.runs += 1
        w = pyro.param("w", torch.tensor(2.0), constraint=POSITIVE)
        return (w * torch.as_tensor(x) ** power).sum()


def gradient_of(output: Tensor) -> Tensor:
    leaf = _PYRO_PARAM_STORE.unconstrained("w")
    leaf.grad = None
    output.backward()
    found: Tensor = leaf.grad
    return found


def test_the_first_call_looks_the_second_compiles_and_later_ones_run_no_python() -> None:
    fn = Counted()
    compiled = CompiledFunction(fn)
    for i, runs in enumerate([1, 2, 2, 2]):
        x = torch.tensor([1.0, i])
        output = compiled(x)
        assert fn.runs == runs
        assert_close(output, 2.0 * (1 + i))
        assert_close(gradient_of(output), 2.0 * (1 + i))  # by log w
    assert compiled.compile_time is not None and compiled.compile_time > 0


CHANGES: dict[str, tuple[Any, Any]] = {
    "shape": (((torch.ones(3),), {}), 6.0),
    "dtype": (((torch.ones(2).double(),), {}), 4.0),
    "strides": (((torch.ones(2, 2)[:, 0],), {}), 4.0),
    "gradient": (((torch.ones(2, requires_grad=True),), {}), 4.0),
    "Python number": (((torch.ones(2), 2), {}), 4.0),
    "keyword": (((torch.ones(2),), {"power": 1}), 4.0),
    "structure": ((([torch.ones(()), torch.ones(())],), {}), 4.0),
}


def summing(x: Any, power: Any = 1) -> Tensor:
    x = torch.stack(x) if isinstance(x, list) else x
    return counted(x, power)


counted = Counted()


@pytest.mark.parametrize(("call", "expected"), CHANGES.values(), ids=list(CHANGES))
def test_another_kind_of_argument_is_captured_by_itself(call: Any, expected: float) -> None:
    compiled, before = CompiledFunction(summing), counted.runs
    for _ in range(3):
        compiled(torch.ones(2))
    assert counted.runs == before + 2
    args, kwargs = call
    for _ in range(3):
        assert_close(compiled(*args, **kwargs), expected)
    assert counted.runs == before + 4
    assert_close(compiled(torch.ones(2) * 3), 12.0)  # the first graph is there still
    assert counted.runs == before + 4


def test_without_gradients_it_is_captured_by_itself() -> None:
    fn = Counted()
    compiled = CompiledFunction(fn)
    for _ in range(3):
        assert compiled(torch.ones(2)).requires_grad
    with torch.no_grad():
        for _ in range(3):
            assert not compiled(torch.ones(2)).requires_grad
    assert fn.runs == 4


def test_arguments_are_read_at_each_call() -> None:
    compiled, x = CompiledFunction(Counted()), torch.ones(2)
    for i in range(4):
        x.fill_(i)
        assert_close(compiled(x), 4.0 * i)


def test_parameters_are_read_at_each_call() -> None:
    fn = Counted()
    compiled, store = CompiledFunction(fn), pyro.get_param_store()
    for _ in range(3):
        compiled()
    store.unconstrained("w").data.fill_(0.0)
    assert_close(compiled(), 1.0)
    store["w"] = torch.tensor(5.0)
    assert_close(compiled(), 5.0)
    assert_close(gradient_of(compiled()), 5.0)
    assert fn.runs == 2


def test_parameters_of_another_kind_are_captured_anew() -> None:
    fn = Counted()
    compiled, store = CompiledFunction(fn), pyro.get_param_store()
    for _ in range(3):
        compiled()
    for value, expected in ((torch.ones(2), 2.0), (torch.tensor(3.0).double(), 3.0)):
        store["w"] = value
        assert_close([compiled() for _ in range(3)], [expected] * 3)
    assert fn.runs == 6
    store.clear()
    pyro.param("w", torch.tensor(-3.0))
    assert_close([compiled() for _ in range(3)], [-3.0] * 3)
    store.clear()
    assert_close([compiled() for _ in range(3)], [2.0] * 3)


@pytest.mark.parametrize("backend", ["auto", "graph"])
def test_what_is_written_in_place_is_written_once_a_call(backend: str) -> None:
    total = torch.zeros(())

    def fn(x: Tensor) -> Tensor:
        total.add_(x.detach())
        return (x + total).sum()

    outputs = []
    for program in (CompiledFunction(fn, jit_options={"backend": backend}), fn):
        total.zero_()
        outputs.append([program(torch.tensor(float(i))) for i in range(5)])
        assert_close(total, 10.0)
    assert_close(*outputs)


def test_draws_differ_from_call_to_call_and_follow_the_seed() -> None:
    def fn() -> Tensor:
        z = pyro.sample("z", dist.Normal(pyro.param("w", torch.tensor(0.0)), 1.0))
        return z * pyro.sample("c", dist.Bernoulli(0.5))

    compiled = CompiledFunction(fn)
    answers = []
    for program in (compiled, fn, compiled):
        pyro.set_rng_seed(4)
        answers.append([program().item() for _ in range(8)] + [torch.rand(()).item()])
    assert answers[0] == answers[1] == answers[2]
    assert len(set(answers[0])) > 4


def test_several_outputs_come_as_a_tuple() -> None:
    compiled = CompiledFunction(lambda x: (x.sum(), x.detach() * 2))
    for _ in range(3):
        x = torch.ones(2, requires_grad=True)
        total, doubled = compiled(x)
        assert_close([total, doubled], [2.0, [2.0, 2.0]])
        total.backward()
        assert_close(x.grad, torch.ones(2))


def test_what_the_function_remembers_moves_on() -> None:
    def averaged(memory: Any) -> Any:
        def fn(x: Tensor) -> Tensor:
            before = memory.get("average", torch.zeros_like(x))
            memory["average"] = 0.5 * before + 0.5 * x
            return (x - before).sum()

        return fn

    calls = [torch.ones(2) * i for i in range(6)] + [torch.ones(3)[:2] for _ in range(2)]
    ours: dict[str, Tensor] = {}
    theirs: dict[str, Tensor] = {}
    compiled = CompiledFunction(averaged(ours), memory=ours)
    plain = averaged(theirs)
    for x in calls:
        assert_close(compiled(x), plain(x))
        assert_close(ours, theirs)
    ours.clear()
    theirs.clear()
    for x in calls:
        assert_close(compiled(x), plain(x))
        assert_close(ours, theirs)


def test_a_memory_is_as_before_where_the_capture_fails() -> None:
    memory = {"count": torch.zeros(())}

    def fn(x: Tensor) -> Tensor:
        memory["count"] = memory["count"] + 1
        return x if x > 0 else -x

    compiled = CompiledFunction(fn, ignore_warnings=True, memory=memory)
    for i in range(4):
        compiled(torch.tensor(-1.0))
        assert_close(memory, {"count": i + 1.0})


def looking(x: Tensor) -> Tensor:
    w = pyro.param("w", torch.tensor(2.0))
    return w * x if x > 0 else -w + torch.rand(())


def broken_compiler(*args: Any) -> Any:
    raise RuntimeError("no C++ compiler here\nand much more to read")


@pytest.mark.parametrize("why", ["it looks at numbers", "there is no compiler"])
def test_what_cannot_be_compiled_runs_as_it_is_with_one_warning(why: str, monkeypatch: Any) -> None:
    fn: Any = looking if "looks" in why else lambda x: pyro.param("w") * x + torch.rand(())
    if "no compiler" in why:
        pyro.param("w", torch.tensor(2.0))
        monkeypatch.setattr(compiling, "compile_graph", broken_compiler)
    compiled = CompiledFunction(fn)
    xs = [torch.tensor(float(i)) for i in (1, 2, -3, 4, -5)]
    pyro.set_rng_seed(0)
    with pytest.warns(UserWarning, match="could not be compiled and runs as it is") as caught:
        found = [compiled(x) for x in xs], torch.rand(())
    assert len(caught) == 1
    reason = "no C\\+\\+ compiler here$" if "no compiler" in why else "torch.where"
    assert re.search(reason, str(caught[0].message))
    pyro.set_rng_seed(0)
    assert_close(found, ([fn(x) for x in xs], torch.rand(())))


def test_each_thing_that_cannot_be_compiled_is_said_once() -> None:
    with pytest.warns(UserWarning) as caught:
        for _ in range(3):
            CompiledFunction(looking)(torch.tensor(1.0))
            compiled = CompiledFunction(looking)
            for x in (torch.tensor(1.0), torch.tensor(-1.0), torch.ones(1), torch.ones(1)):
                compiled(x)
    assert len(caught) == 1


@pytest.mark.parametrize("silenced", ["ignore_warnings", "validation"])
def test_the_warning_can_be_silenced(silenced: str) -> None:
    with warnings.catch_warnings(), pyro.validation_enabled(silenced != "validation"):
        warnings.simplefilter("error")
        compiled = CompiledFunction(looking, ignore_warnings=silenced == "ignore_warnings")
        assert_close([compiled(torch.tensor(3.0)) for _ in range(3)], [6.0] * 3)


def test_outputs_of_several_elements_are_not_differentiated_by_a_graph() -> None:
    compiled = CompiledFunction(lambda x: x * 2)
    x = torch.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="could not be compiled"):
        outputs = [compiled(x) for _ in range(3)]
    outputs[-1].sum().backward()
    assert_close(x.grad, [2.0, 2.0])
    plain = CompiledFunction(lambda x: x * 2)
    assert_close([plain(torch.ones(2)) for _ in range(3)], [[2.0, 2.0]] * 3)


def test_an_error_of_the_function_is_its_own() -> None:
    def fn(x: Tensor) -> Tensor:
        raise KeyError("mine")

    compiled = CompiledFunction(fn)
    for _ in range(3):
        with pytest.raises(KeyError, match="mine"):
            compiled(torch.ones(()))


def test_inside_a_handler_it_runs_as_it_is() -> None:
    def fn() -> Tensor:
        return pyro.sample("z", dist.Normal(0.0, 1.0)) * pyro.param("w", torch.tensor(1.0))

    compiled = CompiledFunction(fn)
    for _ in range(3):
        compiled()
    with pytest.warns(UserWarning, match="inside ConditionMessenger, and runs uncompiled"):
        with poutine.condition(data={"z": torch.tensor(7.0)}):
            assert_close(compiled(), 7.0)
    with poutine.trace(param_only=True) as record:
        compiled()
    assert list(record.trace.nodes) == ["w"]


@pytest.mark.parametrize("options", [{}, {"ignore_warnings": True}])
def test_trace_decorates_with_and_without_options(options: Any) -> None:
    def fn(x: Tensor) -> Tensor:
        return x + 1

    made = trace(**options)(fn) if options else trace(fn)
    assert isinstance(made, CompiledFunction)
    assert made.ignore_warnings is bool(options)
    assert_close([made(torch.ones(())) for _ in range(3)], [2.0] * 3)


def test_an_unknown_backend_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="'backend'.* is 'magic'"):
        trace(torch.sin, jit_options={"backend": "magic"})


def test_a_compiled_function_pickles_without_its_graphs() -> None:
    compiled = CompiledFunction(torch.sin)
    for _ in range(3):
        compiled(torch.ones(()))
    other = pickle.loads(pickle.dumps(compiled))
    assert_close([other(torch.ones(())) for _ in range(3)], [torch.ones(()).sin()] * 3)


def test_known_gradients_flow_on_to_what_inputs_were_computed_from() -> None:
    leaf, other = torch.tensor(3.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    node = attached(torch.tensor(9.0), [torch.tensor(6.0), None], [2 * leaf, other])
    (5 * node).backward()
    assert_close(leaf.grad, 60.0)
    assert other.grad is None
    constant = torch.tensor(1.0)
    assert attached(constant, [None], [leaf]) is constant


def test_known_gradients_are_not_differentiated_again() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    node = attached(torch.tensor(9.0), [torch.tensor(6.0)], [x])
    (gradient,) = torch.autograd.grad(node, x, create_graph=True)
    assert not gradient.requires_grad
    (gradient,) = torch.autograd.grad(node**2, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.backward()


class Pair(NamedTuple):
    first: Any
    second: Any


ARGUMENTS: dict[str, Any] = {
    "tensors": (torch.ones(2), torch.zeros(())),
    "nested": ([torch.ones(2), (1, torch.zeros(3))], {"a": {"b": torch.ones(1)}, "c": None}),
    "named": (Pair(torch.ones(2), "text"),),
    "none": (),
    "others": (1, 2.0, True, None, "text", print),
}


@pytest.mark.parametrize("args", ARGUMENTS.values(), ids=list(ARGUMENTS))
def test_arguments_are_put_together_as_they_were(args: Any) -> None:
    key, tensors, _ = take_apart(args, {"extra": args})
    assert hash(key) == hash(take_apart(args, {"extra": args}).key)
    built = put_together((args, {"extra": args}), iter([x + 1 for x in tensors]))
    expected = put_together((args, {"extra": args}), iter(tensors))
    assert type(built[0]) is type(args) and repr(expected) == repr((args, {"extra": args}))
    assert_close(take_apart(built[0], built[1]).tensors, [x + 1 for x in tensors])
    if args and isinstance(args[0], Pair):
        assert isinstance(built[0][0], Pair)


APART: list[tuple[Any, Any]] = [
    (1, 1.0),
    (1, True),
    ("a", "b"),
    ([1], (1,)),
    ({"a": 1}, {"b": 1}),
    (torch.ones(2), torch.ones(3)),
    (torch.ones(2), torch.ones(2, dtype=torch.double)),
    (torch.ones(2), torch.ones(2, requires_grad=True)),
    (torch.ones(2, 2), torch.ones(2, 2).T[:1].expand(2, 2)),
    ([torch.ones(1)], [torch.ones(1), torch.ones(1)]),
    (object(), object()),
    (torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)),
    (torch.nn.Dropout(), torch.nn.Dropout().eval()),
    ({1, 2}, {1, 2}),  # without a hash an object is itself alone
]


@pytest.mark.parametrize(("one", "other"), APART, ids=lambda x: type(x).__name__)
def test_keys_tell_arguments_apart(one: Any, other: Any) -> None:
    assert take_apart((one,), {}).key != take_apart((other,), {}).key
    assert take_apart((one,), {}).key == take_apart((one,), {}).key
    assert take_apart((), {"x": one}).key != take_apart((one,), {}).key


def test_what_a_key_names_by_identity_is_kept() -> None:
    """Else another object could come to stand at its address."""
    compiled = CompiledFunction(lambda values: torch.tensor(float(sum(values))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(20):
            assert compiled({i}) == i
