"""Series in other bases."""

import pickle
from typing import Any

import pytest
import torch

from pyro.distributions import transforms
from pyro.ops.signals import dct, haar_transform
from tests.helpers import assert_close

WAVES = [
    transforms.DiscreteCosineTransform(),
    transforms.DiscreteCosineTransform(smooth=1.5),
    transforms.DiscreteCosineTransform(dim=-2, smooth=0.5),
    transforms.HaarTransform(),
    transforms.HaarTransform(flip=True),
    transforms.HaarTransform(dim=-2, flip=True),
]
each = pytest.mark.parametrize("transform", WAVES)


@each
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_they_preserve_volume(transform: Any, size: int) -> None:
    shape = (size,) if transform.dim == -1 else (size, 2)
    x = torch.randn(3, *shape, dtype=torch.float64)
    y = transform(x)
    assert_close(transform.inv(y), x)
    jacobian = torch.autograd.functional.jacobian(transform, x[0])
    count = x[0].numel()
    assert_close(torch.linalg.slogdet(jacobian.reshape(count, count)).logabsdet, 0.0)
    assert_close(transform.log_abs_det_jacobian(x, y), torch.zeros(3, dtype=torch.float64))
    assert transform.domain.event_dim == transform.codomain.event_dim == -transform.dim
    assert transform.forward_shape(x.shape) == transform.inverse_shape(x.shape) == x.shape


@each
def test_they_copy(transform: Any) -> None:
    twin = pickle.loads(pickle.dumps(transform))
    assert twin == transform == transform.with_cache(1) != transforms.ExpTransform()
    assert sum(transform == other for other in WAVES) == 1


def test_they_are_what_their_names_say() -> None:
    x = torch.randn(3, 8, dtype=torch.float64)
    assert_close(transforms.DiscreteCosineTransform()(x), dct(x))
    assert_close(transforms.HaarTransform()(x), haar_transform(x))
    assert_close(transforms.HaarTransform(flip=True)(x), haar_transform(x.flip(-1)))
    assert_close(transforms.HaarTransform(dim=-2)(x.mT), haar_transform(x).mT)


def test_smoothing_weights_frequencies_by_a_power() -> None:
    x = torch.randn(5, dtype=torch.float64)
    weight = torch.tensor([0.5, 1.5, 2.5, 3.5, 4.5], dtype=torch.float64) ** 2
    expected = dct(x) * weight / weight.log().mean().exp()
    assert_close(transforms.DiscreteCosineTransform(smooth=2)(x), expected)


@pytest.mark.parametrize("kind", [transforms.DiscreteCosineTransform, transforms.HaarTransform])
def test_dimensions_count_from_the_right(kind: Any) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__}: 'dim' counts from the right"):
        kind(dim=0)
    with pytest.raises(ValueError, match="has no dimension -2"):
        kind(dim=-2).forward_shape((3,))
