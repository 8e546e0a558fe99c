import math
from typing import Any

import pytest
import torch

from pyro.infer.numerics import torch_backward, torch_exp, torch_item, torch_sum, zero_grads
from tests.helpers import assert_close


@pytest.mark.parametrize("number", [3, 2.5, torch.tensor(2.5), torch.tensor([[2.5]])])
def test_torch_item_gives_a_plain_number(number: Any) -> None:
    item = torch_item(number)
    assert isinstance(item, (int, float)) and item in (3, 2.5)


def test_torch_backward_skips_what_has_no_graph() -> None:
    torch_backward(3.0)
    torch_backward(torch.tensor(3.0))


def test_torch_backward_frees_the_graph_unless_told_to_keep_it() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    kept = x * x
    torch_backward(kept, retain_graph=True)
    torch_backward(kept)
    assert_close(x.grad, 8.0)
    with pytest.raises(RuntimeError, match="second time"):
        torch_backward(kept)


def test_torch_exp_of_numbers_and_tensors() -> None:
    assert torch_exp(1.0) == math.e
    assert_close(torch_exp(torch.tensor(1.0, dtype=torch.double)), math.e)


def test_torch_sum_over_no_dimension_is_the_tensor() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    assert torch_sum(x, ()) is x
    assert_close(torch_sum(x, (-2,)), [3.0, 5.0, 7.0])
    assert_close(torch_sum(x, (-1, -2)), 15.0)


def test_zero_grads_forgets_gradients_and_leaves_old_ones_to_who_holds_them() -> None:
    x = torch.zeros(2, requires_grad=True)
    x.sum().backward()
    held = x.grad
    zero_grads(iter([x, torch.zeros(1)]))
    assert x.grad is None
    assert_close(held, [1.0, 1.0])
