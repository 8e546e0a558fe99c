"""The step size of automatic differentiation variational inference, written out."""

import math

import pytest
import torch
from torch import Tensor

from pyro.optim.adagrad_rmsprop import AdagradRMSProp
from tests.helpers import assert_close

GRADIENTS = [3.0, -1.0, 0.5, 20.0, 1e-3]


@pytest.mark.parametrize(
    ("eta", "delta", "t"), [(1.0, 1e-16, 0.1), (0.5, 0.2, 0.3), (2.0, 0.0, 1.0)]
)
def test_steps_follow_the_recurrence(eta: float, delta: float, t: float) -> None:
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = AdagradRMSProp([x], eta=eta, delta=delta, t=t)
    expected = average = 0.0
    for k, gradient in enumerate(GRADIENTS, 1):
        x.grad = torch.full_like(x, gradient)
        optimizer.step()
        average = gradient**2 if k == 1 else t * gradient**2 + (1 - t) * average
        expected -= eta * k ** (delta - 0.5) * gradient / (1 + math.sqrt(average))
        assert_close(x.detach(), [expected, expected])


def test_parameters_without_gradients_wait() -> None:
    x, y = (torch.zeros((), requires_grad=True) for _ in range(2))
    optimizer = AdagradRMSProp([x, y])
    for gradient in (torch.tensor(3.0), None):
        x.grad, y.grad = torch.tensor(3.0), gradient
        optimizer.step()
    assert [optimizer.state[p]["step"] for p in (x, y)] == [2, 1]
    assert_close(y.detach(), -0.75)


def test_averages_can_be_shared_between_processes() -> None:
    x = torch.zeros(2, requires_grad=True)
    optimizer = AdagradRMSProp([x])
    assert not optimizer.state[x]["sum"].is_shared()
    optimizer.share_memory()
    assert optimizer.state[x]["sum"].is_shared()


def test_a_closure_is_called_with_gradients_on() -> None:
    x = torch.ones(1, requires_grad=True)

    def closure() -> Tensor:
        loss = (3.0 * x).sum()
        loss.backward()
        return loss

    assert AdagradRMSProp([x]).step(closure).item() == 3.0
    assert_close(x.detach(), torch.tensor([0.25]))
