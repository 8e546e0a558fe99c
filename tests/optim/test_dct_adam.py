"""Adam in the frequency domain, against Adam of a parameter written as the sum it stands for."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro.ops.tensor_utils import idct
from pyro.optim.clipped_adam import ClippedAdam
from pyro.optim.dct_adam import DCTAdam
from tests.helpers import assert_close


def _gradients(shape: tuple[int, ...], count: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(torch.randn((count, *shape), dtype=torch.float64, generator=generator))


def _leaf(shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("subsample_aware", [False, True])
def test_a_plain_parameter_steps_as_by_clipped_adam(subsample_aware: bool) -> None:
    x, y = _leaf((3, 4)), _leaf((3, 4))
    arguments: dict[str, Any] = {"lr": 0.1, "clip_norm": 0.5, "lrd": 0.9}
    ours = DCTAdam([x], subsample_aware=subsample_aware, **arguments)
    theirs = ClippedAdam([y], **arguments)
    for gradient in _gradients((3, 4)):
        x.grad, y.grad = gradient, gradient
        ours.step()
        theirs.step()
    assert torch.equal(x, y)


@pytest.mark.parametrize("dim", [-1, -2, -3])
@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_a_series_is_the_sum_of_itself_and_its_cosines(dim: int, size: int) -> None:
    shape = tuple(size if d == dim else 3 for d in (-3, -2, -1))
    x = _leaf(shape)
    x._pyro_dct_dim = dim  # type: ignore[attr-defined]
    itself, series = _leaf(shape), _leaf(shape)
    ours = DCTAdam([x], lr=0.1, clip_norm=math.inf, lrd=0.9)
    theirs = ClippedAdam([itself, series], lr=0.1, clip_norm=math.inf, lrd=0.9)
    for gradient in _gradients(shape):
        x.grad = gradient
        total = itself + idct(series, dim)
        itself.grad, series.grad = torch.autograd.grad(total, [itself, series], gradient)
        ours.step()
        theirs.step()
        assert_close(x.detach(), (itself + idct(series, dim)).detach())


def test_gradients_are_clipped_before_they_are_transformed() -> None:
    x = _leaf((4,))
    x._pyro_dct_dim = -1  # type: ignore[attr-defined]
    optimizer = DCTAdam([x], betas=(0.5, 0.5), clip_norm=1.0)
    x.grad = torch.full_like(x, 100.0)
    optimizer.step()
    assert_close(2 * optimizer.state[x]["exp_avg"], [1.0, 1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.0])


class TestSubsamples:
    def test_what_lies_outside_stays_as_it_is(self) -> None:
        """Each row steps as it would by itself, in the steps that its subsample is in."""
        x, rows = _leaf((5, 3)), [_leaf((3,)) for _ in range(5)]
        ours = DCTAdam([x], lr=0.1, subsample_aware=True)
        theirs = [ClippedAdam([row], lr=0.1) for row in rows]
        for k, gradient in enumerate(_gradients((5, 3))):
            inside = [k % 5, (k + 2) % 5]
            x._pyro_subsample = {-2: torch.tensor(inside)}  # type: ignore[attr-defined]
            x.grad = gradient
            ours.step()
            for i in inside:
                rows[i].grad = gradient[i]
                theirs[i].step()
        assert_close(x.detach(), torch.stack(rows).detach())

    def test_several_plates_and_a_series(self) -> None:
        x, block = _leaf((4, 5, 3)), _leaf((2, 3, 3))
        i, j = torch.tensor([3, 1]), torch.tensor([0, 4, 2])
        x._pyro_subsample = {-2: j, -3: i}  # type: ignore[attr-defined]
        x._pyro_dct_dim = block._pyro_dct_dim = -1  # type: ignore[attr-defined]
        ours, theirs = DCTAdam([x], lr=0.1, subsample_aware=True), DCTAdam([block], lr=0.1)
        for gradient in _gradients((4, 5, 3)):
            x.grad, block.grad = gradient, gradient[i[:, None], j]
            ours.step()
            theirs.step()
        assert_close(x.detach()[i[:, None], j], block.detach())
        assert int((x != 0).sum()) == block.numel()

    def test_steps_before_the_first_subsample_count(self) -> None:
        x, y = _leaf((2, 3)), _leaf((2, 3))
        ours, theirs = DCTAdam([x], lr=0.1, subsample_aware=True), ClippedAdam([y], lr=0.1)
        for k, gradient in enumerate(_gradients((2, 3))):
            x.grad, y.grad = gradient, gradient
            if k == 3:
                x._pyro_subsample = {-2: torch.tensor([1, 0])}  # type: ignore[attr-defined]
            if k == 5:
                del x._pyro_subsample  # type: ignore[attr-defined]
            ours.step()
            theirs.step()
            assert_close(x.detach(), y.detach())

    def test_they_mean_nothing_unless_asked_for(self) -> None:
        x, y = _leaf((2, 3)), _leaf((2, 3))
        x._pyro_subsample = {-2: torch.tensor([1])}  # type: ignore[attr-defined]
        ours, theirs = DCTAdam([x], lr=0.1), ClippedAdam([y], lr=0.1)
        for gradient in _gradients((2, 3)):
            x.grad, y.grad = gradient, gradient
            ours.step()
            theirs.step()
        assert torch.equal(x, y)

    def test_a_series_cannot_be_subsampled_along_time(self) -> None:
        x = _leaf((2, 3))
        x._pyro_dct_dim = -1  # type: ignore[attr-defined]
        x._pyro_subsample = {-1: torch.tensor([1])}  # type: ignore[attr-defined]
        x.grad = torch.ones_like(x)
        with pytest.raises(ValueError, match=r"dimension -1 of a parameter of shape \(2, 3\)"):
            DCTAdam([x], subsample_aware=True).step()


def test_a_closure_is_called_with_gradients_on() -> None:
    x = torch.ones(1, requires_grad=True)

    def closure() -> Tensor:
        loss = x.square().sum()
        loss.backward()
        return loss

    assert DCTAdam([x], lr=0.1).step(closure).item() == 1.0
    assert_close(x.detach(), torch.tensor([0.9]))
