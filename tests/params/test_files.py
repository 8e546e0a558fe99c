"""What files of parameters and of optimisers may hold: every constraint, and no code at all."""

import builtins
import functools
import inspect
import operator
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import constraints as of_torch
from torch.distributions.constraints import Constraint

import pyro.optim
from pyro._foundation.validation import validation_enabled
from pyro.distributions import constraints
from pyro.params.param_store import _PYRO_PARAM_STORE, ParamStoreDict
from tests.helpers import assert_close
from tests.params.data import write_released

DATA = Path(write_released.__file__).parent
RELEASED = {
    "released_params.pt": write_released.PARAMS,
    "released_own_constraints.pt": write_released.OWN_CONSTRAINTS,
    "released_torch_constraints.pt": write_released.TORCH_CONSTRAINTS,
}
EVERY_PARAM = {name: pair for params in RELEASED.values() for name, pair in params.items()}


def facts_of(constraint: Constraint) -> Any:
    """A constraint's class and arguments, as text and all the way down."""
    parts = vars(constraint).items()
    return type(constraint), {
        name: facts_of(part)
        if isinstance(part, Constraint)
        else [facts_of(each) for each in part]
        if isinstance(part, list | tuple) and any(isinstance(each, Constraint) for each in part)
        else repr(part)
        for name, part in parts
    }


def leaves_of(store: ParamStoreDict) -> dict[str, int]:
    return {name: id(leaf) for name, leaf in store.named_parameters()}


# Files of a released Pyro.


@pytest.mark.parametrize("name", RELEASED)
def test_parameters_of_a_released_pyro_load(name: str, tmp_path: Path) -> None:
    store = ParamStoreDict()
    store.load(DATA / name)
    expected = {param: torch.tensor(value) for param, (value, _) in RELEASED[name].items()}
    if name == "released_params.pt":
        expected["net$$$weight"] = torch.tensor([[0.5]])
    assert_close(dict(store.items()), expected)
    for param, (_, constraint) in RELEASED[name].items():
        assert facts_of(store._constraints[param]) == facts_of(constraint)
    store.save(tmp_path / "ours.pt")
    again = ParamStoreDict()
    again.load(tmp_path / "ours.pt")
    assert {n: leaf.tolist() for n, leaf in again.named_parameters()} == {
        n: leaf.tolist() for n, leaf in store.named_parameters()
    }
    for param, constraint in store._constraints.items():
        assert facts_of(again._constraints[param]) == facts_of(constraint)


def test_an_optimiser_of_a_released_pyro_goes_on() -> None:
    x = _PYRO_PARAM_STORE.setdefault("x", torch.tensor([0.9063187837600708, -1.9062798023223877]))
    optim = pyro.optim.ClippedAdam({"lr": 0.125, "lrd": 0.5})
    optim.load(DATA / "released_optim.pt")
    x.grad = 2 * x.detach()
    optim([x])
    assert_close(x, [0.8907601833343506, -1.890683889389038])  # what the script printed


def test_the_files_are_small() -> None:
    assert sum(path.stat().st_size for path in DATA.glob("*.pt")) < 60_000


# Every constraint.

WITHOUT_A_TRANSFORM = [
    *(constraints.boolean, constraints.one_hot, constraints.integer, constraints.square),
    *(constraints.symmetric, constraints.lower_triangular, constraints.nonnegative_integer),
    *(constraints.positive_integer, constraints.multinomial(torch.tensor([2, 3]))),
    constraints.integer_interval(torch.tensor([0, 1]), 5),
    type(constraints.positive_integer)(torch.tensor([3, 4])),
    of_torch._IntegerLessThan(torch.tensor([3, 4])),
    constraints.MixtureSameFamilyConstraint(constraints.greater_than(torch.tensor([1.0, 2.0]))),
]
# These two stand for a constraint that is not known yet.
NOT_A_SET = {type(of_torch.dependent), of_torch.dependent_property}


def classes() -> set[type[Constraint]]:
    """Every class of constraints, of torch and of pyro."""
    values = [*vars(of_torch).values(), *vars(constraints).values()]
    return {
        value
        for value in values
        if isinstance(value, type) and issubclass(value, Constraint) and value is not Constraint
    }


def test_every_class_of_constraints_is_tried() -> None:
    tried = [constraint for _, constraint in EVERY_PARAM.values()] + WITHOUT_A_TRANSFORM
    assert {type(each) for each in tried} == classes() - NOT_A_SET


@pytest.mark.parametrize("constraint", WITHOUT_A_TRANSFORM, ids=repr)
def test_a_constraint_without_a_transform_is_refused_by_its_name(
    constraint: Constraint, tmp_path: Path
) -> None:
    """It is read, as data or as a released Pyro pickled it, and then no parameter can have it."""
    path, store = tmp_path / "p.pt", ParamStoreDict()
    torch.save({"params": {"y": torch.zeros(2)}, "constraints": {"y": constraint}}, path)
    with pytest.raises(ValueError, match=r"p\.pt': At site 'y': no transform leads from the re"):
        store.load(path)
    assert len(store) == 0


@pytest.mark.parametrize("name", EVERY_PARAM)
def test_a_pickled_constraint_brings_nothing_but_its_arguments(name: str, tmp_path: Path) -> None:
    """What else a file puts into one, a method of its own say, is left behind or refused."""
    value, constraint = EVERY_PARAM[name]
    path, store, loaded = tmp_path / "p.pt", ParamStoreDict(), ParamStoreDict()
    with validation_enabled(False):  # torch's cat cannot check a single event
        store.get_param("y", torch.tensor(value), constraint)
    odd = pickle.loads(pickle.dumps(constraint))
    vars(odd)["check"] = "smuggled"
    leaf = store.unconstrained("y").detach()
    torch.save({"params": {"y": leaf}, "constraints": {"y": odd}}, path)
    if not inspect.signature(type(constraint)).parameters:
        with pytest.raises(ValueError, match=r"p\.pt': At site 'y': .* is not a constraint that"):
            loaded.load(path)
        return
    loaded.load(path)
    assert facts_of(loaded._constraints["y"]) == facts_of(constraint)
    assert_close(loaded["y"], torch.tensor(value))


# Files that would run code.


class Runs:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *args: Any, state: Any = None) -> None:
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> Any:
        return self.call


class Foreign(of_torch._GreaterThan):  # type: ignore[misc]
    """A constraint that nobody registered."""


called: list[str] = []


def attacks(marker: Path) -> dict[str, Any]:
    """Objects that make the marker, or note a call, where they are unpickled."""
    code = f"open({str(marker)!r}, 'w').close()"
    return {
        "system": Runs(os.system, f"touch {marker}"),
        "eval": Runs(builtins.eval, code),
        "exec": Runs(builtins.exec, code),
        "open": Runs(builtins.open, str(marker), "w"),
        "a function of one's own": Runs(called.append, "append"),
        "getattr": Runs(getattr, torch.Tensor, "numpy"),
        "attrgetter": operator.attrgetter("system"),
        "partial": functools.partial(os.system, f"touch {marker}"),
        "torch.load": Runs(torch.load, str(DATA / "released_params.pt")),
        "torch.save": Runs(torch.save, 1, str(marker)),
        "pickle": Runs(pickle.loads, pickle.dumps(Runs(os.system, f"touch {marker}"))),
        "module": torch.nn.Linear(1, 1),
        "foreign": Foreign(0.0),
        "optimiser": Runs(torch.optim.SGD, [torch.zeros(1)]),
        "state": Runs(torch.nn.Parameter, torch.zeros(1), state=Runs(builtins.eval, code)),
    }


def write_zip(state: Any, path: Path) -> None:
    torch.save(state, path)


def write_legacy(state: Any, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def write_pickle(state: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(state, protocol=2))


REFUSED = (
    r"Cannot read .* from '.*evil\.pt': (it names [\w.]+, and no code in a file is run|it is dam)"
)
FORMATS = pytest.mark.parametrize(
    "write", [write_zip, write_legacy, write_pickle], ids=lambda write: write.__name__
)
ATTACKS = pytest.mark.parametrize("attack", attacks(Path("unused")))


def independent_of(base: Any) -> Constraint:
    constraint = of_torch.independent(of_torch.real, 0)
    constraint.base_constraint = base
    return constraint


def places(evil: Any) -> list[Any]:
    """States of a store with the object wherever one can be."""
    zeros = {"y": torch.zeros(2)}
    return [
        evil,
        {"params": zeros, "constraints": {"y": evil}},
        {"params": {"y": evil}, "constraints": {"y": of_torch.real}},
        {"params": zeros, "constraints": {"y": of_torch.real}, "more": [evil]},
        {"params": zeros, "constraints": {"y": of_torch.greater_than(evil)}},
        {"params": zeros, "constraints": {"y": independent_of(evil)}},
        {
            "params": zeros,
            "constraints": {
                "y": {"constraint": "greater_than", "arguments": {"lower_bound": evil}}
            },
        },
    ]


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that no attack may make."""
    called.clear()
    yield tmp_path / "marker"
    assert not (tmp_path / "marker").exists() and called == []


@FORMATS
@ATTACKS
def test_no_code_of_a_file_of_parameters_runs(
    attack: str, write: Callable[[Any, Path], None], marker: Path
) -> None:
    path, store = marker.with_name("evil.pt"), ParamStoreDict()
    store.get_param("x", torch.tensor(2.0), constraints.positive)
    store.get_param("y", torch.tensor(3.0))
    before = leaves_of(store)
    for state in places(attacks(marker)[attack]):
        write(state, path)
        with pytest.raises(ValueError, match=REFUSED):
            store.load(path)
        assert leaves_of(store) == before and store._constraints["x"] is constraints.positive


@FORMATS
@ATTACKS
def test_no_code_of_a_file_of_an_optimiser_runs(
    attack: str, write: Callable[[Any, Path], None], marker: Path
) -> None:
    evil, path = attacks(marker)[attack], marker.with_name("evil.pt")
    x = _PYRO_PARAM_STORE.setdefault("x", torch.tensor([1.0, 2.0]))
    optim = pyro.optim.Adam({"lr": 0.1})
    x.grad = torch.ones(2)
    optim([x])
    before = str(optim.get_state())
    for state in (
        evil,
        {"x": evil},
        {"x": {"state": {0: {"step": evil}}, "param_groups": [{"lr": 0.1, "params": [0]}]}},
        {"x": {"state": {}, "param_groups": [{"lr": evil, "params": [0]}]}, "y": {}},
    ):
        write(state, path)
        with pytest.raises(ValueError, match=REFUSED):
            optim.load(path)
        assert str(optim.get_state()) == before and optim._waiting == {}


def test_the_attacks_would_work_without_the_safeguard(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for name in ("system", "eval", "exec", "open", "partial", "torch.save", "pickle", "state"):
        evil = attacks(marker)[name]
        loaded = pickle.loads(pickle.dumps(evil.call[2] if name == "state" else evil))
        if name == "partial":
            loaded()
        elif name == "open":
            loaded.close()
        assert marker.exists(), name
        marker.unlink()


def test_torchs_switch_for_all_loading_does_not_open_the_door(
    marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = marker.with_name("evil.pt")
    write_zip({"params": attacks(marker)["system"]}, path)
    with pytest.raises(ValueError, match=REFUSED):
        ParamStoreDict().load(path)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_compiled_program_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=REFUSED):
        ParamStoreDict().load(tmp_path / "evil.pt")


# Damaged files.


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = (DATA / "released_torch_constraints.pt").read_bytes()
    store, path = ParamStoreDict(), tmp_path / "cut.pt"
    store.get_param("x", torch.tensor(2.0))
    before = leaves_of(store)
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(
            ValueError, match=r"Cannot read a param store from '.*cut\.pt': it is d"
        ):
            store.load(path)
        assert leaves_of(store) == before


def test_a_file_with_a_wrong_byte_is_read_or_refused(tmp_path: Path) -> None:
    whole = (DATA / "released_params.pt").read_bytes()
    path, refused = tmp_path / "wrong.pt", 0
    for position in range(0, len(whole), 23):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
        store = ParamStoreDict()
        try:
            store.load(path)
        except ValueError as error:
            assert "wrong.pt" in str(error) and len(store) == 0
            refused += 1
    assert refused > 10


# Where tensors go; and writing.


@pytest.mark.parametrize(
    "map_location",
    ["meta", torch.device("meta"), {"cpu": "meta"}],
    ids=lambda x: type(x).__name__,
)
def test_parameters_go_where_they_are_mapped(map_location: Any) -> None:
    store = ParamStoreDict()
    store.load(DATA / "released_params.pt", map_location=map_location)
    assert {leaf.device.type for leaf in store._params.values()} == {"meta"}


def test_a_function_may_map_parameters() -> None:
    seen = []
    store = ParamStoreDict()
    store.load(DATA / "released_params.pt", lambda storage, where: seen.append(where) or storage)
    assert set(seen) == {"cpu"} and "loc" in store


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("point", ["torch.save", "os.fsync", "os.replace"])
@pytest.mark.parametrize("what", ["store", "optim"])
def test_a_crash_while_saving_leaves_the_old_file(
    what: str,
    point: str,
    kind: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = _PYRO_PARAM_STORE.setdefault("x", torch.tensor([1.0, 2.0]))
    optim = pyro.optim.Adam({"lr": 0.1})
    x.grad = torch.ones(2)
    optim([x])
    holder: Any = _PYRO_PARAM_STORE if what == "store" else optim
    path = tmp_path / "kept.pt"
    holder.save(path)
    old = path.read_bytes()
    optim([x])

    def crash(*args: Any, **kwargs: Any) -> None:
        if point == "torch.save":
            args[1].write(b"half of it")
        raise kind("on purpose")

    with monkeypatch.context() as patch, pytest.raises(kind, match="on purpose"):
        patch.setattr(point, crash)
        holder.save(path)
    assert path.read_bytes() == old and os.listdir(tmp_path) == ["kept.pt"]
    holder.save(path)
    assert path.read_bytes() != old


def test_threads_may_read_and_write_files_at_once(tmp_path: Path) -> None:
    """What a file may name is a list of the process, which each reading lengthens for itself."""
    gate = threading.Barrier(8)

    def work(k: int) -> None:
        gate.wait()
        for name in [*RELEASED] * 3:
            store = ParamStoreDict()
            store.load(DATA / name)
            store.save(tmp_path / f"{k % 2}.pt")
            store.load(tmp_path / f"{k % 2}.pt")
            for param in RELEASED[name]:
                assert param in store

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(os.listdir(tmp_path)) == ["0.pt", "1.pt"]


def test_reading_leaves_torchs_list_as_it_was(tmp_path: Path) -> None:
    before = torch.serialization.get_safe_globals()
    with torch.serialization.safe_globals([of_torch._Real]):
        inside = torch.serialization.get_safe_globals()
        ParamStoreDict().load(DATA / "released_params.pt")
        assert set(map(id, torch.serialization.get_safe_globals())) == set(map(id, inside))
    assert set(map(id, torch.serialization.get_safe_globals())) == set(map(id, before))
