"""Plates: their dims, sizes and indices, sub-sampling, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.poutine.plate_messenger import block_plate
from tests.helpers import trace_of
from tests.poutine.models import leaves_no_trace, refused, value_of


def normal(name: str = "x") -> Tensor:
    value: Tensor = pyro.sample(name, dist.Normal(0.0, 1.0))
    return value


def frames_of(site: Any) -> list[tuple[Any, ...]]:
    return [(frame.name, frame.dim, frame.size) for frame in site["cond_indep_stack"]]


# Dims.


def test_nested_plates_take_dims_from_the_right() -> None:
    def model() -> None:
        with pyro.plate("a", 2) as rows, pyro.plate("b", 3), pyro.plate("c", 4):
            assert rows.tolist() == [0, 1]
            normal()

    record = trace_of(model)
    assert frames_of(record.nodes["x"]) == [("a", -1, 2), ("b", -2, 3), ("c", -3, 4)]
    assert value_of(record, "x").shape == (4, 3, 2)
    assert [name for name in record if name in "abc"] == ["a", "b", "c"]


def test_a_plate_inside_leaves_its_dim_to_the_next() -> None:
    with pyro.plate("a", 2):
        for name in "bc":
            with pyro.plate(name, 3):
                assert normal().shape == (3, 2)


def test_given_dims() -> None:
    with pyro.plate("a", 2, dim=-3), pyro.plate("b", 4):
        assert normal().shape == (2, 1, 4)
        with pyro.plate("c", 5):
            assert normal().shape == (2, 5, 4)


def test_one_plate_may_be_entered_again_and_nested_either_way() -> None:
    rows, columns = pyro.plate("rows", 3, dim=-1), pyro.plate("columns", 2, dim=-2)
    with rows, columns:
        assert normal().shape == (2, 3)
    with columns, rows:
        assert normal().shape == (2, 3)
    with columns:
        assert normal().shape == (2, 1)


def test_a_plate_without_a_dim_takes_the_free_one_each_time() -> None:
    rows = pyro.plate("rows", 3)
    with rows:
        assert rows.dim == -1
    with pyro.plate("other", 2), rows:
        assert rows.dim == -2 and normal().shape == (3, 2)
    assert rows.dim is None


def test_broadcasting_keeps_events_and_wider_batches() -> None:
    with pyro.plate("rows", 3):
        assert pyro.sample("x", dist.Dirichlet(torch.ones(4))).shape == (3, 4)
        assert pyro.sample("y", dist.Normal(torch.zeros(2, 1), 1.0)).shape == (2, 3)
        assert pyro.sample("z", dist.Normal(torch.zeros(3), 1.0)).shape == (3,)


def test_elements_of_a_plate_are_drawn_independently() -> None:
    with pyro.plate("rows", 1000):
        assert len(set(normal().tolist())) > 900


def test_a_stack_of_plates() -> None:
    def model() -> None:
        with pyro.plate_stack("grid", (2, 3, 4), rightmost_dim=-2):
            normal()

    record = trace_of(model)
    assert value_of(record, "x").shape == (2, 3, 4, 1)
    assert frames_of(record.nodes["x"]) == [
        ("grid_0", -2, 4),
        ("grid_1", -3, 3),
        ("grid_2", -4, 2),
    ]


def test_a_plate_can_be_left_for_a_while() -> None:
    with pyro.plate("a", 2), pyro.plate("b", 3, dim=-3):
        with block_plate("a"):
            assert normal().shape == (3, 1, 1)
        with block_plate(dim=-3):
            assert normal().shape == (2,)
        assert normal().shape == (3, 1, 2)
        with block_plate("missing", strict=False):
            assert normal().shape == (3, 1, 2)
        with pytest.raises(ValueError, match="found 0 active plates named 'missing', not one"):
            block_plate("missing").__enter__()
    with pytest.raises(ValueError, match="the plate's name or its dim, one of the two"):
        block_plate().__enter__()


# Sizes.


@pytest.mark.parametrize(
    "size", [3, torch.tensor(3), np.int64(3), np.array(3), torch.tensor([3]), torch.Size([3])[0]]
)
def test_sizes_are_integers_of_any_make(size: Any) -> None:
    with pyro.plate("rows", size) as rows:
        assert rows.tolist() == [0, 1, 2]
        assert normal().shape == (3,)


def test_a_plate_of_one() -> None:
    def model() -> None:
        with pyro.plate("rows", 1):
            normal()
            pyro.sample("y", dist.Normal(torch.zeros(1), 1.0))

    record = trace_of(model)
    record.compute_log_prob()
    for name in "xy":
        assert value_of(record, name).shape == record.nodes[name]["log_prob"].shape == (1,)


def test_a_plate_without_a_size_declares_independence_only() -> None:
    def model() -> None:
        with pyro.plate("rows") as rows:
            assert rows is None
            pyro.sample("x", dist.Normal(torch.zeros(7), 1.0))

    record = trace_of(model)
    record.log_prob_sum()
    assert frames_of(record.nodes["x"]) == [("rows", -1, -1)]
    with pyro.plate("rows"):
        assert pyro.subsample(torch.zeros(7), event_dim=0).shape == (7,)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("size", "text"),
    [
        (-1, "At site 'rows': plate size must be positive, got -1"),
        (0, "At site 'rows': plate size must be positive, got 0. Is the data empty"),
        (2.5, r"plate size must be an integer, got 2\.5. Use len\(data\)"),
        (3.0, "plate size must be an integer, got 3.0"),
        (torch.tensor(3.0), r"plate size must be an integer, got tensor\(3.\)"),
        (torch.tensor([3, 3]), "plate size must be an integer, got tensor"),
        ("3", "plate size must be an integer, got '3'"),
        (True, "plate size must be an integer, got True"),
        ([1, 2], "plate size must be an integer"),
    ],
)
def test_sizes_that_are_refused(size: Any, text: str, wrapped: bool) -> None:
    def model() -> None:
        with pyro.plate("rows", size):
            normal()

    with refused(ValueError, text):
        trace_of(model) if wrapped else model()


@pytest.mark.parametrize("name", ["subsample_size"])
@pytest.mark.parametrize("value", [-1, 0, 2.5, "2", True])
def test_subsample_sizes_that_are_refused(name: str, value: Any) -> None:
    with refused(ValueError, "At site 'rows': plate subsample_size must be"):
        pyro.plate("rows", 10, **{name: value})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": 3, "subsample_size": 4}, "subsample_size is 4, more than the plate's size 3"),
        (
            {"size": 3, "subsample_size": 2, "subsample": torch.tensor([0])},
            "subsample_size is 2, but there are 1 indices. Use the same subsample_size in the mod",
        ),
        ({"subsample_size": 2}, "a plate without a size cannot be subsampled. Give its full size"),
        ({"subsample": torch.tensor([0])}, "a plate without a size cannot be subsampled"),
        ({"size": 3, "dim": 0}, "plate dim must be negative, got 0. Count it from the right"),
        ({"size": 3, "dim": 1}, "plate dim must be negative, got 1"),
        ({"size": 3, "subsample": torch.tensor([], dtype=torch.long)}, "no indices"),
        ({"size": 3, "subsample": torch.tensor([0, 3])}, "index 3"),
        ({"size": 3, "subsample": torch.tensor([-1])}, "index -1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], text: str) -> None:
    for model in (
        lambda: pyro.plate("rows", **options),
        lambda: trace_of(lambda: pyro.plate("rows", **options)),
    ):
        with refused(ValueError, f"At site 'rows': .*{text}"):
            model()


# Collisions.


def test_a_dim_that_is_taken_is_refused() -> None:
    def model() -> None:
        with pyro.plate("rows", 3, dim=-1), pyro.plate("columns", 2, dim=-1):
            normal()

    with refused(ValueError, "At site 'columns': dim=-1 belongs to the active plate 'rows'"):
        model()


def test_a_name_that_is_active_is_refused() -> None:
    def model() -> None:
        with pyro.plate("rows", 3), pyro.plate("rows", 3):
            normal()

    with refused(ValueError, "At site 'rows': a plate of this name is already active"):
        model()
    with refused(ValueError, "At site 'rows': the name is used twice in one run"):
        trace_of(model)


def test_a_plate_entered_twice_is_refused() -> None:
    rows = pyro.plate("rows", 3)
    with refused(ValueError, "At site 'rows': this plate is already active. Leave it before"):
        with rows, rows:
            normal()
    with leaves_no_trace(), rows:
        assert normal().shape == (3,)


def test_a_law_that_does_not_fit_its_plate_is_refused() -> None:
    def model() -> None:
        with pyro.plate("rows", 3):
            pyro.sample("x", dist.Normal(torch.zeros(4), 1.0))

    text = r"At site 'x': its law has batch shape \(4,\), with 4 elements at dim -1, expected 3 ins"
    with refused(
        ValueError, text + r"ide plate 'rows' \(dim=-1, size=3\). Did you forget .to_event"
    ):
        model()


# Sequential plates.


def test_a_sequential_plate_numbers_its_iterations() -> None:
    def model() -> list[int]:
        indices = []
        for i in pyro.plate("steps", 3):
            normal(f"x{i}")
            indices.append(i)
        return indices

    record = trace_of(model)
    assert value_of(record, "_RETURN") == [0, 1, 2]
    counters = [record.nodes[f"x{i}"]["cond_indep_stack"][0].counter for i in range(3)]
    assert len(set(counters)) == 3
    assert value_of(record, "x0").shape == ()
    assert not record.nodes["x0"]["cond_indep_stack"][0].vectorized


def test_sequential_and_vectorised_plates_nest() -> None:
    def model() -> None:
        with pyro.plate("rows", 2):
            for i in pyro.plate("steps", 2):
                with pyro.plate(f"columns{i}", 3):
                    normal(f"x{i}")

    record = trace_of(model)
    assert value_of(record, "x1").shape == (3, 2)
    assert frames_of(record.nodes["x1"]) == [
        ("rows", -1, 2),
        ("steps", None, 2),
        ("columns1", -2, 3),
    ]


def test_a_plate_may_run_sequentially_and_then_at_once() -> None:
    steps = pyro.plate("steps", 2)
    with leaves_no_trace():
        assert [normal().shape for _ in steps] == [(), ()]
        with steps:
            assert normal().shape == (2,)
        assert [normal().shape for _ in steps] == [(), ()]


def test_leaving_a_sequential_plate_early_leaves_nothing_behind() -> None:
    with leaves_no_trace():
        iterator = iter(pyro.plate("steps", 3))
        next(iterator)
        iterator.close()  # type: ignore[attr-defined]
    with refused(KeyError, "on purpose"):
        for _ in pyro.plate("steps", 3):
            raise KeyError("on purpose")


def test_a_plate_with_a_dim_cannot_be_iterated_over() -> None:
    with refused(ValueError, "At site 'steps': a plate with a batch dimension cannot be iterated"):
        list(pyro.plate("steps", 3, dim=-1))
