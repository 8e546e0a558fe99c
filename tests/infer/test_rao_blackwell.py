from typing import Any

import pytest
import torch

from pyro.infer.rao_blackwell import MultiFrameTensor
from pyro.poutine.indep_messenger import CondIndepStackFrame
from tests.helpers import assert_close

ROWS = CondIndepStackFrame("rows", -2, 2, 0)
COLS = CondIndepStackFrame("cols", -1, 3, 0)
FIRST = CondIndepStackFrame("loop", None, 4, 1)
SECOND = CondIndepStackFrame("loop", None, 4, 2)

R = torch.tensor([[1.0], [2.0]])
C = torch.tensor([10.0, 20.0, 30.0])
RC = torch.arange(6.0).reshape(2, 3)


@pytest.fixture
def costs() -> Any:
    return MultiFrameTensor(((ROWS,), R), ((COLS,), C), ((ROWS, COLS), RC), ((), torch.tensor(0.5)))


@pytest.mark.parametrize(
    "target, expected",
    [
        ((), 3.0 + 60.0 + 15.0 + 0.5),
        ((COLS,), C + RC.sum(0) + 3.0 + 0.5),
        ((ROWS,), R + RC.sum(1, keepdim=True) + 60.0 + 0.5),
        ((COLS, ROWS), R + C + RC + 0.5),
    ],
)
def test_what_lies_outside_the_target_is_summed_out(costs: Any, target: Any, expected: Any) -> None:
    assert_close(costs.sum_to(target), expected)


def test_tensors_of_the_same_plates_are_added(costs: Any) -> None:
    costs.add(((COLS, ROWS), RC), ((ROWS, COLS), RC))
    assert len(costs) == 4
    assert_close(costs[frozenset([ROWS, COLS])], 3 * RC)


def test_other_iterations_of_a_sequential_plate_are_left_out() -> None:
    costs = MultiFrameTensor(
        ((FIRST,), torch.tensor(1.0)),
        ((SECOND,), torch.tensor(10.0)),
        ((COLS, SECOND), C),
        ((), torch.tensor(1000.0)),
    )
    assert_close(costs.sum_to((FIRST,)), 1001.0)
    assert_close(costs.sum_to((SECOND,)), 1070.0)
    assert_close(costs.sum_to((SECOND, COLS)), C + 1010.0)
    assert_close(costs.sum_to(()), 1071.0)


def test_a_plate_of_the_same_name_at_another_dim_is_another_plate() -> None:
    elsewhere = CondIndepStackFrame("cols", -2, 2, 0)
    assert_close(MultiFrameTensor(((COLS,), C)).sum_to((elsewhere,)), 60.0)


def test_the_sum_of_nothing_is_zero() -> None:
    assert MultiFrameTensor().sum_to((ROWS,)) == 0.0


def test_repr_shows_plates_and_shapes(costs: Any) -> None:
    assert "['cols', 'rows']: (2, 3)" in repr(costs)
