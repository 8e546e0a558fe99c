"""Plates that run some of their elements, and what goes with them: data and parameters."""

from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.poutine.subsample_messenger import _Subsample
from tests.helpers import assert_close, assert_fits_probabilities, trace_of
from tests.poutine.models import refused, value_of


def normal(name: str = "x") -> Tensor:
    value: Tensor = pyro.sample(name, dist.Normal(0.0, 1.0))
    return value


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


def test_params_know_which_elements_ran() -> None:
    def table(rows: Any, columns: Any) -> Any:
        with pyro.plate("columns", 3, subsample=columns), pyro.plate("rows", 4, subsample=rows):
            value: Any = pyro.param("table", torch.zeros(4, 3, 2), event_dim=1)
        return {dim: i.tolist() for dim, i in value.unconstrained()._pyro_subsample.items()}

    assert table([1], [2, 0]) == {-2: [2, 0], -3: [1]}
    assert table(None, [1]) == {-2: [1]}
    assert table(None, None) == {}
