"""The store of parameters."""

import copy
import gc
import pickle
import re
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import constraints, transform_to
from torch.distributions.constraints import Constraint

from pyro._foundation.validation import validation_enabled
from pyro.params.param_store import ParamStoreDict
from tests.helpers import assert_close

VALUES: list[tuple[Constraint, Tensor]] = [
    (constraints.real, torch.tensor([1.0, -2.0])),
    (constraints.real_vector, torch.tensor([1.0, -2.0])),
    (constraints.positive, torch.tensor([0.5, 2.0])),
    (constraints.nonnegative, torch.tensor([0.5, 2.0])),
    (constraints.greater_than(2.0), torch.tensor([2.5, 3.0])),
    (constraints.less_than(2.0), torch.tensor([1.5, -3.0])),
    (constraints.unit_interval, torch.tensor([0.1, 0.9])),
    (constraints.interval(2.0, torch.tensor([4.0, 5.0])), torch.tensor([2.5, 4.5])),
    (constraints.simplex, torch.tensor([0.25, 0.25, 0.5])),
    (constraints.lower_cholesky, torch.tensor([[2.0, 0.0], [1.0, 3.0]])),
    (constraints.corr_cholesky, torch.tensor([[1.0, 0.0], [0.6, 0.8]])),
    (constraints.independent(constraints.positive, 1), torch.tensor([0.5, 2.0])),
]


@pytest.fixture
def store() -> ParamStoreDict:
    return ParamStoreDict()


@pytest.mark.parametrize(("constraint", "value"), VALUES, ids=lambda x: repr(x)[:30])
def test_a_parameter_reads_as_it_was_made(
    store: ParamStoreDict, constraint: Constraint, value: Tensor
) -> None:
    made = store.get_param("x", value, constraint)
    leaf = made.unconstrained()  # type: ignore[attr-defined]
    assert_close(made, value)
    assert_close(store["x"], transform_to(constraint)(leaf))
    assert leaf.is_leaf and leaf.requires_grad
    assert leaf is store.unconstrained("x")
    assert store.param_name(leaf) == "x"
    assert store._constraints["x"] is constraint
    assert not value.requires_grad


@pytest.mark.parametrize(("constraint", "value"), VALUES, ids=lambda x: repr(x)[:30])
def test_gradients_reach_the_leaf(
    store: ParamStoreDict, constraint: Constraint, value: Tensor
) -> None:
    transform = transform_to(constraint)
    store.get_param("x", transform(transform.inv(value).double()), constraint)
    leaf = store.unconstrained("x")
    weights = torch.arange(1.0, value.numel() + 1).reshape(value.shape).double()
    (store["x"] * weights).sum().backward()
    expected = torch.autograd.functional.jacobian(
        lambda u: (transform(u) * weights).sum(), leaf.detach()
    )
    assert leaf.grad is not None
    assert_close(leaf.grad, expected)


@pytest.mark.parametrize(
    "constraint",
    [
        constraints.real,
        constraints.real_vector,
        constraints.independent(constraints.real_vector, 1),
    ],
    ids=repr,
)
def test_an_unconstrained_parameter_is_its_own_leaf(
    store: ParamStoreDict, constraint: Constraint
) -> None:
    value = store.get_param("x", torch.zeros(2, 3), constraint)
    assert value is store.unconstrained("x")
    assert value.unconstrained() is value  # type: ignore[attr-defined]


def test_a_first_value_is_copied(store: ParamStoreDict) -> None:
    value = torch.zeros(2)
    first, second = store.get_param("a", value), store.get_param("b", value)
    with torch.no_grad():
        first += 1.0
    assert_close(value, torch.zeros(2))
    assert_close(second, torch.zeros(2))


def test_a_modules_parameter_is_taken_as_it_is(store: ParamStoreDict) -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    assert store.get_param("net$$$weight", weight) is weight


def test_a_computed_first_value_is_cut_from_its_graph(store: ParamStoreDict) -> None:
    scale = torch.ones((), requires_grad=True)
    value = store.get_param("x", 2.0 * scale)
    assert value.is_leaf
    assert value.item() == 2.0


def test_a_first_value_is_computed_for_new_names_only(store: ParamStoreDict) -> None:
    calls = []

    def init() -> Tensor:
        calls.append(1)
        return torch.ones(2)

    for _ in range(3):
        assert_close(store.get_param("x", init, constraints.positive), torch.ones(2))
    assert_close(store.setdefault("x", init), torch.ones(2))
    assert calls == [1]


def test_a_value_does_not_keep_its_leaf_alive_nor_form_a_cycle(store: ParamStoreDict) -> None:
    store.get_param("x", torch.ones(2), constraints.positive)
    store.get_param("y", torch.ones(2))
    alive = [weakref.ref(store.unconstrained(name)) for name in store]
    value = store["x"].detach()
    gc.disable()
    try:
        store.clear()
        assert [ref() for ref in alive] == [None, None]
    finally:
        gc.enable()
    assert_close(value, torch.ones(2))


def test_the_store_is_a_dictionary(store: ParamStoreDict) -> None:
    assert len(store) == 0 and not store
    store["a"] = torch.tensor(1.0)
    store.get_param("b", torch.tensor(2.0), constraints.positive)
    assert len(store) == 2 and store
    assert list(store) == list(store.keys()) == list(store.get_all_param_names()) == ["a", "b"]
    assert_close(list(store.values()), [1.0, 2.0])
    assert_close(dict(store.items()), {"a": 1.0, "b": 2.0})
    assert "a" in store and "c" not in store
    assert store.get("c") is None
    assert_close(store.get("b"), 2.0)
    assert dict(store.named_parameters()) == store._params
    assert store._params["b"] is store.unconstrained("b")
    leaf = store.unconstrained("b")
    del store["b"]
    assert list(store) == ["a"]
    assert store.param_name(leaf) is None
    store.clear()
    assert list(store) == []


def test_a_new_value_keeps_the_constraint(store: ParamStoreDict) -> None:
    store.get_param("x", torch.tensor([1.0, 2.0]), constraints.positive)
    old = store.unconstrained("x")
    store["x"] = torch.tensor([3.0])
    assert_close(store["x"], [3.0])
    assert_close(store.unconstrained("x"), torch.tensor([3.0]).log())
    assert store.param_name(old) is None
    assert store.param_name(store.unconstrained("x")) == "x"


def test_parameters_can_be_matched(store: ParamStoreDict) -> None:
    for name in ("dogs_loc", "cats_loc", "cats_scale"):
        store[name] = torch.zeros(())
    assert list(store.match("cats")) == ["cats_loc", "cats_scale"]
    assert list(store.match(".*_loc$")) == ["dogs_loc", "cats_loc"]
    assert list(store.match("ats")) == []


def test_a_parameter_can_be_replaced(store: ParamStoreDict) -> None:
    store.get_param("x", torch.tensor(1.0), constraints.positive)
    store.replace_param("x", torch.tensor(2.0), store["x"])
    assert_close(store["x"], 2.0)
    store.replace_param("x", torch.tensor(3.0), store.unconstrained("x"))
    assert_close(store["x"], 3.0)
    with pytest.raises(ValueError, match="At site 'x': the parameter to replace is not in"):
        store.replace_param("x", torch.tensor(4.0), torch.tensor(3.0))
    assert_close(store["x"], 3.0)


def test_a_leaf_can_be_bound_and_bound_again(store: ParamStoreDict) -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    store.bind("w", weight, constraints.positive)
    assert store.unconstrained("w") is weight
    assert_close(store["w"], torch.ones(2))
    other = torch.nn.Parameter(torch.tensor([1.0]))
    store.rebind("w", other)
    assert store.unconstrained("w") is other
    assert_close(store["w"], other.exp())
    assert store.param_name(weight) is None
    store.bind("w", weight)
    assert store["w"] is weight


def test_one_leaf_can_bear_two_names(store: ParamStoreDict) -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    store.bind("encoder$$$weight", weight)
    store.bind("decoder$$$weight", weight)
    del store["encoder$$$weight"]
    assert store.param_name(weight) == "decoder$$$weight"


@pytest.mark.parametrize("event_dim", [None, 1, 2])
def test_an_event_dim_that_fits_is_accepted(store: ParamStoreDict, event_dim: int | None) -> None:
    value = torch.full((2, 4), 0.25)
    assert_close(store.get_param("x", value, constraints.simplex, event_dim), value)


class TestRefusals:
    def test_a_missing_name(self, store: ParamStoreDict) -> None:
        for read in (
            lambda: store["x"],
            lambda: store.get_param("x"),
            lambda: store.__delitem__("x"),
            lambda: store.unconstrained("x"),
            lambda: store.rebind("x", torch.zeros(1, requires_grad=True)),
            lambda: store.replace_param("x", torch.zeros(1), torch.zeros(1)),
        ):
            with pytest.raises(KeyError, match="'x': there is no such parameter"):
                read()

    @pytest.mark.parametrize(
        ("constraint", "value", "shown"),
        [
            (constraints.positive, torch.tensor([1.0, -2.0]), "GreaterThan.*-2.0"),
            (constraints.unit_interval, torch.tensor(1.5), "Interval.*1.5"),
            (constraints.simplex, torch.tensor([0.5, 0.75]), r"Simplex.*\[0.5, 0.75\]"),
            (constraints.lower_cholesky, torch.zeros(2, 2), "LowerCholesky"),
            (constraints.real, torch.tensor([1.0, float("nan")]), "Real.*nan"),
        ],
    )
    def test_a_value_that_breaks_its_constraint(
        self, store: ParamStoreDict, constraint: Constraint, value: Tensor, shown: str
    ) -> None:
        with pytest.raises(ValueError, match=f"At site 'x': the first value breaks.*{shown}"):
            store.get_param("x", value, constraint)
        assert "x" not in store

    def test_a_value_without_the_dimensions_of_its_constraint(self, store: ParamStoreDict) -> None:
        with pytest.raises(ValueError, match=r"'x'.*shape \(\) does not fit LowerCholesky"):
            store.get_param("x", torch.tensor(1.0), constraints.lower_cholesky)

    def test_a_later_value_that_breaks_its_constraint(self, store: ParamStoreDict) -> None:
        store.get_param("x", torch.tensor(1.0), constraints.positive)
        with pytest.raises(ValueError, match="At site 'x': the first value breaks.*-1.0"):
            store["x"] = torch.tensor(-1.0)
        assert_close(store["x"], 1.0)

    def test_nothing_is_checked_without_validation(self, store: ParamStoreDict) -> None:
        with validation_enabled(False):
            assert store.get_param("x", torch.tensor(-1.0), constraints.positive).isnan()

    @pytest.mark.parametrize("event_dim", [0, 3, -1])
    def test_an_event_dim_that_does_not_fit(self, store: ParamStoreDict, event_dim: int) -> None:
        message = rf"At site 'x': event_dim is {event_dim}, expected at least 1.*at most 2"
        with pytest.raises(ValueError, match=message):
            store.get_param("x", torch.full((2, 4), 0.25), constraints.simplex, event_dim)
        assert "x" not in store

    def test_arguments_of_a_wrong_type(self, store: ParamStoreDict) -> None:
        ones = torch.ones(2)
        with pytest.raises(TypeError, match="At site 3: the name is no string"):
            store.get_param(3, ones)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="At site 'x': the first value is 1.0, expected a ten"):
            store.get_param("x", 1.0)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="At site 'x': the first value is None"):
            store.get_param("x", lambda: None)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="At site 'x': the constraint is 'positive', expected"):
            store.get_param("x", ones, "positive")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="At site 'x': event_dim is '1', expected an int"):
            store.get_param("x", ones, event_dim="1")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="At site 'x': the leaf is 1.0, expected a tensor"):
            store.bind("x", 1.0)  # type: ignore[arg-type]
        assert len(store) == 0

    def test_whole_numbers(self, store: ParamStoreDict) -> None:
        with pytest.raises(ValueError, match="'x': the first value is of torch.int64, which has"):
            store.get_param("x", torch.tensor(1))

    def test_a_set_that_no_transform_leads_onto(self, store: ParamStoreDict) -> None:
        with pytest.raises(NotImplementedError, match="'x': no transform leads.*Boolean"):
            store.get_param("x", torch.ones(2), constraints.boolean)

    def test_binding_what_is_no_leaf(self, store: ParamStoreDict) -> None:
        leaf = torch.ones(2, requires_grad=True)
        for tensor in (leaf * 2, torch.ones(2)):
            with pytest.raises(ValueError, match="At site 'x': the tensor is not a leaf that req"):
                store.bind("x", tensor)


class TestState:
    def test_a_state_holds_the_leaves_themselves(self, store: ParamStoreDict) -> None:
        store.get_param("x", torch.tensor(1.0), constraints.positive)
        leaf, state = store.unconstrained("x"), store.get_state()
        store.clear()
        store.set_state(state)
        assert store.unconstrained("x") is leaf
        assert state["constraints"] == {"x": constraints.positive}

    def test_a_state_joins_what_is_there(self, store: ParamStoreDict) -> None:
        store["a"] = torch.tensor(1.0)
        store["b"] = torch.tensor(2.0)
        other = ParamStoreDict()
        other["b"] = torch.tensor(3.0)
        store.set_state(other.get_state())
        assert_close(dict(store.items()), {"a": 1.0, "b": 3.0})

    def test_plain_tensors_are_copied_into_leaves(self, store: ParamStoreDict) -> None:
        zeros = torch.zeros(2)
        store.set_state({"params": {"x": zeros}, "constraints": {"x": constraints.positive}})
        assert store.unconstrained("x").requires_grad
        assert not zeros.requires_grad
        assert_close(store["x"], torch.ones(2))

    @pytest.mark.parametrize(
        ("state", "kind", "message"),
        [
            (None, TypeError, "a state is a dictionary, got a NoneType"),
            ({"params": {}}, TypeError, "under the key 'constraints'"),
            ({"constraints": {}}, TypeError, "under the key 'params'"),
            (
                {"params": {"y": torch.zeros(1)}, "constraints": {}},
                ValueError,
                "'y': the state has no constraint",
            ),
            (
                {"params": {"y": 1}, "constraints": {"y": constraints.real}},
                TypeError,
                "'y': the leaf is 1",
            ),
            (
                {"params": {"y": torch.zeros(1)}, "constraints": {"y": "real"}},
                TypeError,
                "'y': the constraint is 'real'",
            ),
        ],
    )
    def test_a_wrong_state_changes_nothing(
        self, store: ParamStoreDict, state: object, kind: type[Exception], message: str
    ) -> None:
        store["x"] = torch.tensor(1.0)
        with pytest.raises(kind, match=message):
            store.set_state(state)  # type: ignore[arg-type]
        assert list(store) == ["x"]

    @pytest.mark.parametrize("copier", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_a_copy_of_the_store_has_leaves_of_its_own(
        self, store: ParamStoreDict, copier: type
    ) -> None:
        store["a"] = torch.tensor(1.0)
        store.get_param("b", torch.tensor(2.0), constraints.positive)
        copied = copier(store)
        assert_close(dict(copied.items()), {"a": 1.0, "b": 2.0})
        for name in store:
            assert copied.unconstrained(name) is not store.unconstrained(name)
            assert copied[name].unconstrained() is copied.unconstrained(name)

    def test_a_leaf_can_be_pickled(self, store: ParamStoreDict) -> None:
        store["a"] = torch.tensor(1.0)
        restored = pickle.loads(pickle.dumps(store["a"]))
        assert_close(restored, 1.0)
        assert restored.unconstrained() is None


class TestScope:
    def test_parameters_of_a_scope_are_apart(self, store: ParamStoreDict) -> None:
        store["x"] = torch.tensor(1.0)
        leaf = store.unconstrained("x")
        with store.scope() as inner:
            assert len(store) == 0 and store.param_name(leaf) is None
            store["x"] = torch.tensor(2.0)
            inner_leaf = store.unconstrained("x")
        assert store.unconstrained("x") is leaf
        assert store.param_name(leaf) == "x"
        assert inner["params"]["x"] is inner_leaf

    def test_a_scope_can_go_on(self, store: ParamStoreDict) -> None:
        with store.scope() as state:
            store["x"] = torch.tensor(1.0)
        with store.scope(state) as same:
            assert same is state
            assert_close(store["x"], 1.0)
            store["y"] = torch.tensor(2.0)
            del store["x"]
        assert list(state["params"]) == list(state["constraints"]) == ["y"]

    def test_an_exception_leaves_a_scope(self, store: ParamStoreDict) -> None:
        store["x"] = torch.tensor(1.0)
        with pytest.raises(RuntimeError, match="inside"):
            with store.scope():
                store["y"] = torch.tensor(1.0)
                raise RuntimeError("inside")
        assert list(store) == ["x"]

    def test_a_wrong_state_is_refused_on_the_way_in(self, store: ParamStoreDict) -> None:
        store["x"] = torch.tensor(1.0)
        with pytest.raises(TypeError, match="under the key 'params'"):
            with store.scope({}):  # type: ignore[arg-type]
                pass
        assert list(store) == ["x"]


class TestFiles:
    def test_parameters_come_back_from_a_file(self, store: ParamStoreDict, tmp_path: Path) -> None:
        for i, (constraint, value) in enumerate(VALUES):
            store.get_param(f"x{i}", value, constraint)
        store.get_param("net$$$weight", torch.nn.Parameter(torch.zeros(1)))
        store.get_param("double", torch.ones(2, dtype=torch.double))
        store.save(tmp_path / "params.pt")
        loaded = ParamStoreDict()
        loaded.load(tmp_path / "params.pt")
        assert_close(dict(loaded.items()), dict(store.items()))
        for name, leaf in loaded.named_parameters():
            assert torch.equal(leaf, store.unconstrained(name))
            assert leaf.requires_grad and leaf.dtype == store.unconstrained(name).dtype
            assert repr(loaded._constraints[name]) == repr(store._constraints[name])

    def test_a_file_holds_no_code(self, store: ParamStoreDict, tmp_path: Path) -> None:
        store.get_param("x", torch.ones(2), constraints.independent(constraints.positive, 1))
        store.save(tmp_path / "params.pt")
        data = torch.load(tmp_path / "params.pt", weights_only=True)
        positive = {"constraint": "positive", "arguments": {}}
        arguments = {"base_constraint": positive, "reinterpreted_batch_ndims": 1}
        assert data["constraints"] == {"x": {"constraint": "independent", "arguments": arguments}}

    def test_a_file_joins_what_is_there(self, store: ParamStoreDict, tmp_path: Path) -> None:
        store["a"] = torch.tensor(1.0)
        store.save(tmp_path / "params.pt")
        store["a"], store["b"] = torch.tensor(2.0), torch.tensor(3.0)
        store.load(tmp_path / "params.pt", map_location="cpu")
        assert_close(dict(store.items()), {"a": 1.0, "b": 3.0})

    def test_a_constraint_that_no_file_can_name(
        self, store: ParamStoreDict, tmp_path: Path
    ) -> None:
        class Unknown(type(constraints.positive)):  # type: ignore[misc]
            pass

        transform_to.register(Unknown, lambda constraint: torch.distributions.ExpTransform())
        store.get_param("x", torch.ones(1), Unknown(0.0))
        message = re.escape("At site 'x': Unknown(lower_bound=0.0) is not a constraint that a file")
        with pytest.raises(ValueError, match=message.replace("Unknown", ".*")):
            store.save(tmp_path / "params.pt")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([1, 2], "a state is a dictionary, got a list"),
            ({"a": {"state": {}, "param_groups": []}}, "a dictionary under the key 'params'"),
            ({"params": {"y": torch.zeros(1)}, "constraints": {}}, "'y': the state has no constr"),
            (
                {"params": {"y": torch.zeros(1)}, "constraints": {"y": {"constraint": "eval"}}},
                "'y': .*does not describe a constraint",
            ),
            (
                {
                    "params": {"y": torch.zeros(1)},
                    "constraints": {"y": {"constraint": "boolean", "arguments": {}}},
                },
                "'y': no transform leads",
            ),
            (
                {"params": {"y": torch.zeros(1)}, "constraints": {"y": len}},
                "it names len, and no code in a file is run",
            ),
            (
                {"params": {"y": torch.tensor(1)}, "constraints": {"y": constraints.real}},
                "'y': the first value is of torch.int64",
            ),
        ],
        ids=lambda x: str(x)[:20],
    )
    def test_a_wrong_file_is_named_and_changes_nothing(
        self, store: ParamStoreDict, tmp_path: Path, content: object, message: str
    ) -> None:
        store["x"] = torch.tensor(1.0)
        path = tmp_path / "wrong.pt"
        torch.save(content, path)
        with pytest.raises(ValueError, match=rf"param store from '.*wrong\.pt': .*{message}"):
            store.load(path)
        assert list(store) == ["x"]

    def test_a_constraint_in_a_file_cannot_smuggle_objects(
        self, store: ParamStoreDict, tmp_path: Path
    ) -> None:
        odd = constraints.greater_than({"not": "a bound"})
        torch.save({"params": {"y": torch.zeros(1)}, "constraints": {"y": odd}}, tmp_path / "p.pt")
        with pytest.raises(ValueError, match=r"p\.pt': At site 'y': .*cannot be written as data"):
            store.load(tmp_path / "p.pt")


class TestThreads:
    def test_threads_that_create_one_name_get_one_tensor(self, store: ParamStoreDict) -> None:
        barrier = threading.Barrier(8)
        calls: list[int] = []
        made: list[Tensor] = []

        def init() -> Tensor:
            calls.append(1)
            return torch.zeros(2)

        def work() -> None:
            for i in range(50):
                barrier.wait()
                made.append(store.get_param(f"x{i}", init))

        _run_in_threads(*[work] * 8)
        assert len(made) == 400
        assert len({id(value) for value in made}) == len(calls) == len(store) == 50

    def test_reading_goes_on_while_others_write(self, store: ParamStoreDict) -> None:
        store["x"] = torch.tensor(0.0)
        failures: list[BaseException] = []

        def write() -> None:
            for i in range(200):
                store[f"y{i}"] = torch.tensor(float(i))
                store["x"] = torch.tensor(float(i))
                del store[f"y{i}"]

        def read() -> None:
            try:
                for _ in range(200):
                    assert store["x"].unconstrained() is not None  # type: ignore[attr-defined]
                    for _, value in store.items():
                        assert value.dim() == 0
                    store.match("y.*")
                    list(store.named_parameters())
            except BaseException as error:
                failures.append(error)

        _run_in_threads(write, read, read, read)
        assert failures == []


def _run_in_threads(*workers: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for work in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
