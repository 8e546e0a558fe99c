import pytest
import torch

import pyro.distributions as dist
from pyro.ops.enumerated_support import mark_support, support_dim
from tests.helpers import assert_close


@pytest.mark.parametrize("batch", [(), (4,), (3, 1), (2, 1, 4), (1, 5)])
@pytest.mark.parametrize("dim", [-1, -2, -3, -4])
def test_a_table_is_what_a_look_up_gives(batch: tuple[int, ...], dim: int) -> None:
    logits = torch.randn(*batch, 3, dtype=torch.double, requires_grad=True)
    plain = torch.arange(3).reshape(-1, *(1,) * (-1 - dim))
    if any(
        a not in (1, b) and b != 1 for a, b in zip(plain.shape[::-1], batch[::-1], strict=False)
    ):
        return
    found = []
    for value in (plain, mark_support(plain.clone(), dim)):
        log_prob = dist.Categorical(logits=logits).log_prob(value)
        weights = torch.arange(log_prob.numel(), dtype=torch.double).reshape(log_prob.shape)
        found.append((log_prob, *torch.autograd.grad((weights * log_prob).sum(), logits)))
    assert_close(*found)


def test_a_mark_does_not_outlive_a_change_nor_fit_another_law() -> None:
    values = dist.Categorical(torch.ones(3)).enumerate_support(expand=False)
    assert support_dim(values) == -1
    two = dist.Categorical(torch.tensor([[0.2, 0.3, 0.4, 0.1]]))
    assert_close(two.log_prob(values), torch.tensor([0.2, 0.3, 0.4]).log())
    values += torch.tensor([1, 0, 0])
    assert support_dim(values) is None
    law = dist.Categorical(torch.tensor([0.2, 0.3, 0.5]))
    assert_close(law.log_prob(values), torch.tensor([0.3, 0.3, 0.5]).log())
