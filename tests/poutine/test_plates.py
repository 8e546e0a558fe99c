"""Plates: their dims, sizes and indices, sub-sampling, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.poutine.plate_messenger import block_plate
from pyro.poutine.subsample_messenger import _Subsample
from tests.helpers import assert_close, assert_fits_probabilities, trace_of
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


# Sub-sampling.


def test_a_subsampled_plate_draws_without_replacement_and_scales() -> None:
    def model() -> None:
        with pyro.plate("rows", 10, subsample_size=4):
            normal()

    record = trace_of(model)
    indices = value_of(record, "rows").tolist()
    assert len(set(indices)) == 4 and set(indices) <= set(range(10))
    assert value_of(record, "x").shape == (4,) and record.nodes["x"]["scale"] == 2.5
    expected = 2.5 * dist.Normal(0.0, 1.0).log_prob(value_of(record, "x")).sum()
    assert_close(record.log_prob_sum(), expected)


def test_every_element_is_as_likely_to_run() -> None:
    """Pearson's chi-square over first indices; false-alarm rate 1e-5."""
    draws = torch.stack([pyro.plate("rows", 5, subsample_size=2).indices[0] for _ in range(1000)])
    assert_fits_probabilities(draws, torch.ones(5) / 5)


def test_given_indices() -> None:
    def model() -> None:
        with pyro.plate("rows", 10, subsample=torch.tensor([7, 1])) as rows:
            assert rows.tolist() == [7, 1]
            normal()

    record = trace_of(model)
    assert record.nodes["x"]["scale"] == 5
    assert not record.nodes["rows"]["is_observed"]
    assert isinstance(record.nodes["rows"]["fn"], _Subsample)


def test_given_indices_may_be_a_list() -> None:
    with pyro.plate("rows", 5, subsample=[3, 1]) as rows:
        assert list(rows) == [3, 1] and normal().shape == (2,)
        assert pyro.subsample(torch.arange(5.0), event_dim=0).tolist() == [3.0, 1.0]


def test_a_sequential_plate_is_subsampled_too() -> None:
    def model() -> None:
        for i in pyro.plate("steps", 6, subsample_size=2):
            normal(f"x{i}")

    record = trace_of(model)
    indices = value_of(record, "steps").tolist()
    assert [record.nodes[f"x{i}"]["scale"] for i in indices] == [3.0, 3.0]


def test_the_scales_of_nested_plates_multiply() -> None:
    def model() -> None:
        with pyro.plate("rows", 6, subsample_size=2), pyro.plate("columns", 8, subsample_size=4):
            normal()

    assert trace_of(model).nodes["x"]["scale"] == 6


@pytest.mark.usefixtures("double_precision")
def test_a_subsampled_estimate_is_unbiased() -> None:
    """Over all pairs of five elements, the scaled sum averages to the sum of all."""
    data = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])

    def density(pair: Any) -> Tensor:
        def model() -> None:
            with pyro.plate("rows", 5, subsample=pair):
                x = pyro.subsample(data, event_dim=0)
                pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)

        return torch.as_tensor(trace_of(model).log_prob_sum())

    pairs = torch.combinations(torch.arange(5))
    mean = torch.stack([density(pair) for pair in pairs]).mean()
    assert_close(mean, dist.Normal(0.0, 1.0).log_prob(data).sum())


def test_all_elements_come_in_order() -> None:
    with pyro.plate("rows", 4, subsample_size=4) as rows:
        assert rows.tolist() == [0, 1, 2, 3]


# pyro.subsample and params.


@pytest.mark.parametrize("event_dim", [0, 1])
def test_subsample_selects_along_every_plate(event_dim: int) -> None:
    data = torch.arange(6 * 4 * 2.0).reshape(6, 4, 2)
    rows = pyro.plate("rows", 6, subsample=torch.tensor([5, 0, 2]), dim=-2 + event_dim - 1)
    columns = pyro.plate("columns", 4, subsample=torch.tensor([3, 1]), dim=-1 + event_dim - 1)
    with columns, rows:
        found = pyro.subsample(data, event_dim=event_dim)
    assert_close(found, data[[5, 0, 2]][:, [3, 1]])


def test_subsample_leaves_what_broadcasts_alone() -> None:
    with pyro.plate("rows", 5, subsample=torch.tensor([1, 2])):
        for data in (torch.zeros(()), torch.zeros(1), torch.zeros(3, 1)):
            assert pyro.subsample(data, event_dim=0) is data
    assert pyro.subsample(data, event_dim=0) is data


def test_subsample_refuses_data_of_another_size() -> None:
    with pyro.plate("rows", 5, subsample=torch.tensor([1, 2])):
        with refused(
            ValueError,
            r"At site 'pyro.subsample': value has shape \(3,\), expected 5 elements at dim -1 "
            r"inside plate 'rows' \(dim=-1, size=5\). Pass the whole of the data",
        ):
            pyro.subsample(torch.zeros(3), event_dim=0)


def test_params_with_an_event_dim_are_subsampled() -> None:
    with pyro.plate("rows", 5, subsample=torch.tensor([1, 3])):
        part: Any = pyro.param("p", torch.arange(10.0).reshape(5, 2), event_dim=1)
        whole = pyro.param("q", torch.arange(5.0))
    assert_close(part, [[2.0, 3.0], [6.0, 7.0]])
    assert whole.shape == (5,)
    part.sum().backward()
    leaf = pyro.get_param_store().unconstrained("p")
    assert part.unconstrained() is leaf
    assert leaf.grad is not None and leaf.grad.sum(-1).tolist() == [0, 2, 0, 2, 0]


def test_params_of_another_size_are_refused() -> None:
    pyro.param("p", torch.zeros(3))
    with pyro.plate("rows", 5, subsample=torch.tensor([1, 3])):
        with refused(ValueError, r"At site 'p': value has shape \(3,\), expected 5 elements"):
            pyro.param("p", event_dim=0)
