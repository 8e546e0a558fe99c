"""Mixtures of normal laws: densities, draws, and gradients integrated over all draws exactly.

``law.sample`` is replaced by points of a grid, so that an expectation is a sum whose terms weigh
what the density says, and the gradient of the sum is that of an infinite number of draws.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import special
from torch import Tensor

import pyro.distributions as dist
from pyro.ops.mixture_flow import num_nodes, weight_flow
from tests.helpers import assert_close, assert_fits_cdf, assert_mean


def double(numbers: Any) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


LOCS = double([[0.5, -1.0], [2.0, 0.3], [-0.4, 1.0]])
SCALES = double([[0.5, 1.0], [1.2, 0.4], [0.6, 1.1]])
LOGITS = double([0.2, -0.5, 1.0])

MAKERS: dict[str, tuple[Callable[..., Any], list[Tensor]]] = {
    "diag": (dist.MixtureOfDiagNormals, [LOCS, SCALES, LOGITS]),
    "shared": (dist.MixtureOfDiagNormalsSharedCovariance, [LOCS, SCALES[0], LOGITS]),
    "scale": (dist.GaussianScaleMixture, [SCALES[0], LOGITS, double([0.5, 1.0, 1.7])]),
}
every_law = pytest.mark.parametrize("name", list(MAKERS))


def made(name: str) -> tuple[Any, list[Tensor]]:
    make, parameters = MAKERS[name]
    leaves = [parameter.clone().requires_grad_() for parameter in parameters]
    return make(*leaves), leaves


def grid(size: int, reach: float = 12.0, count: int = 121) -> tuple[Tensor, float]:
    x = torch.linspace(-reach, reach, count, dtype=torch.float64)
    return torch.cartesian_prod(*[x] * size).reshape(-1, size), (2 * reach / (count - 1)) ** size


@every_law
def test_densities_are_those_of_torch(name: str) -> None:
    law, leaves = made(name)
    locs, scales = law._components()
    reference = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=law.component_logits),
        torch.distributions.Independent(torch.distributions.Normal(locs, scales), 1),
    )
    values = law.sample((20,))
    found, expected = law.log_prob(values), reference.log_prob(values)
    assert_close(found, expected)
    assert_close(law.mean, reference.mean)
    assert_close(law.variance, reference.variance)
    slopes = torch.autograd.grad(expected.sum(), leaves)
    assert_close(torch.autograd.grad(found.sum(), leaves), slopes)


@every_law
def test_draws_follow_the_density(name: str) -> None:
    law, _ = made(name)
    draws = law.rsample((2000,))
    locs, scales = (x.detach() for x in law._components())
    weights = law.component_logits.detach().softmax(0)
    for entry in (0, 1):
        parts = torch.distributions.Normal(locs[:, entry], scales[:, entry])
        assert_fits_cdf(draws[:, entry], lambda x, p=parts: p.cdf(x[:, None]) @ weights)
    product = draws.prod(-1)
    assert_mean(product, weights @ locs.prod(-1))


def expectations(law: Any) -> Tensor:
    """Return the means of a few functions, in closed form."""
    locs, scales = law._components()
    m, n = locs.unbind(-1)
    s, t = scales.unbind(-1)
    wave = (m + 2 * n).cos() * (-0.5 * (s**2 + 4 * t**2)).exp()
    parts = [m, n, m * n, m**2 + s**2, m**3 + 3 * m * s**2, (n**2 + t**2) * m, wave]
    result: Tensor = torch.stack(parts) @ law.component_logits.softmax(-1)
    return result


def functions(x: Tensor) -> Tensor:
    a, b = x.unbind(-1)
    return torch.stack([a, b, a * b, a**2, a**3, b**2 * a, (a + 2 * b).cos()])


@every_law
def test_gradients_of_draws_are_right_in_the_mean(name: str) -> None:
    law, leaves = made(name)
    points, area = grid(2)
    weights = law.log_prob(points).exp().detach() * area
    law.sample = lambda _: points
    found = functions(law.rsample()) @ weights
    expected = expectations(law)
    assert_close(found, expected)
    for one, other in zip(found, expected, strict=True):
        slopes = torch.autograd.grad(other, leaves, retain_graph=True, materialize_grads=True)
        assert_close(
            torch.autograd.grad(one, leaves, retain_graph=True), slopes, rtol=1e-8, atol=1e-8
        )


@pytest.mark.parametrize(
    "locs, scales",
    [
        ([-1.0, 2.0, 0.5], [0.5, 1.0, 2.0]),
        ([-8.0, 8.0, 0.0], [1.0, 0.8, 1.2]),
        ([0.0, 0.1, 0.2], [1.0, 10.0, 100.0]),
        ([0.3, 0.3, 0.3], [1.0, 1.0, 1.0]),
    ],
)
def test_on_the_line_there_is_one_flow(locs: list[float], scales: list[float]) -> None:
    """With F the distribution function, dx/dtheta = -(dF/dtheta) / p(x)."""
    leaves = [double(x).requires_grad_() for x in (locs, scales, [0.2, -0.5, 1.0])]
    law: Any = dist.MixtureOfDiagNormals(leaves[0][:, None], leaves[1][:, None], leaves[2])
    value = law.rsample((30,))
    cdf = torch.distributions.Normal(leaves[0], leaves[1]).cdf(value.detach())
    cdf = cdf @ leaves[2].softmax(0)
    density = law.log_prob(value.detach()).exp()
    for x, f, p in zip(value[:, 0], cdf, density, strict=True):
        found = torch.autograd.grad(x, leaves, retain_graph=True)
        expected = [-slope / p for slope in torch.autograd.grad(f, leaves, retain_graph=True)]
        assert_close(found, expected, rtol=1e-8, atol=1e-8)


def velocities_of(law: Any, value: Tensor) -> Tensor:
    locs, scales = law._components()
    flow = weight_flow(value, locs, scales, law.component_logits)
    both = torch.zeros(value.shape[:-1] + locs.shape, dtype=value.dtype)
    return both.index_add(-2, flow.upper, flow.velocity).index_add(-2, flow.lower, -flow.velocity)


@every_law
def test_probability_is_carried_along(name: str) -> None:
    """The divergence of velocity times density is minus the change of density."""
    make, parameters = MAKERS[name]
    law = make(*parameters)
    which = list(law.arg_constraints).index("component_logits")

    def density(logits: Tensor) -> Tensor:
        return torch.exp(make(*parameters[:which], logits, *parameters[which + 1 :]).log_prob(x))

    for x in law.sample((5,)):
        jacobian: Any = torch.autograd.functional.jacobian(
            lambda y: velocities_of(law, y) * law.log_prob(y).exp(), x
        )
        change: Any = torch.autograd.functional.jacobian(density, LOGITS)
        assert_close(jacobian.diagonal(dim1=-2, dim2=-1).sum(-1), -change, atol=1e-10)


def test_between_equal_scales_the_flow_is_straight() -> None:
    """Along the line between two means, integrated in closed form."""
    law: Any = dist.MixtureOfDiagNormalsSharedCovariance(LOCS, SCALES[0], LOGITS)
    values = law.sample((10,))
    flow = weight_flow(values, *law._components(), LOGITS)
    weights, normal = LOGITS.softmax(0), torch.distributions.Normal(0.0, 1.0)
    for pair, (j, k) in enumerate(zip(flow.upper, flow.lower, strict=True)):
        whole = (LOCS[j] - LOCS[k]) / SCALES[0]
        length = whole.norm()
        z = (values - LOCS[k]) / SCALES[0]
        along = z @ (whole / length)
        across = (-0.5 * (z.square().sum(-1) - along**2)).exp() / math.sqrt(2 * math.pi)
        passed = normal.cdf(along) - normal.cdf(along - length)
        flux = weights[j] * weights[k] * across * passed / length / SCALES[0].prod()
        expected = (flux / law.log_prob(values).exp())[:, None] * (LOCS[j] - LOCS[k])
        assert_close(flow.velocity[:, pair], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_between_centred_laws_the_flow_is_radial(size: int) -> None:
    """The radius follows its distribution function, a mixture of incomplete gamma functions."""
    scales, coordinates = double([0.5, 1.0, 1.7]), torch.rand(size).double() + 0.5
    law: Any = dist.GaussianScaleMixture(coordinates, LOGITS, scales)
    values = law.sample((10,))
    y = values / coordinates
    radius = y.norm(dim=-1, keepdim=True)
    cdf = torch.as_tensor(special.gammainc(size / 2, (radius**2 / (2 * scales**2)).numpy()))
    weights = LOGITS.softmax(0)
    surface = 2 * math.pi ** (size / 2) / math.gamma(size / 2) * coordinates.prod()
    density = law.log_prob(values).exp()[:, None] * surface * radius ** (size - 1)
    slope = -weights * (cdf - (cdf @ weights)[:, None]) / density
    expected = slope[..., None] * (values / radius)[:, None, :]
    assert_close(velocities_of(law, values), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("spread, ratio", [(0.0, 0.0), (1.0, 1.0), (6.0, 0.3), (0.0, 2.0)])
def test_enough_points_lie_between_components(spread: float, ratio: float) -> None:
    locs = spread * torch.randn(4, 3).double()
    scales = (ratio * torch.randn(4, 3).double()).exp()
    values = (locs + scales * torch.randn(20, 4, 3).double()).flatten(0, 1)
    logits = torch.randn(4).double()
    found = weight_flow(values, locs, scales, logits).velocity
    finer = weight_flow(values, locs, scales, logits, 4 * num_nodes(locs, scales)).velocity
    largest = float(finer.abs().max())
    assert_close(found, finer, rtol=0.0, atol=1e-9 * largest)


def test_a_component_without_weight_has_no_gradient() -> None:
    logits = double([0.2, -math.inf, 1.0]).requires_grad_()
    locs = LOCS.clone().requires_grad_()
    value = dist.MixtureOfDiagNormals(locs, SCALES, logits).rsample((10,))
    by_logits, by_locs = torch.autograd.grad(value.sum(), [logits, locs])
    assert by_logits[1] == 0 and (by_locs[1] == 0).all()
    assert by_logits.isfinite().all() and (by_locs[[0, 2]] != 0).all()


def test_one_component_is_a_normal_law() -> None:
    leaves = [x.clone().requires_grad_() for x in (LOCS[:1], SCALES[:1], LOGITS[:1])]
    law: Any = dist.MixtureOfDiagNormals(*leaves)
    value = law.rsample()
    slopes = torch.autograd.grad(value.sum(), leaves)
    z = (value.detach() - LOCS[:1]) / SCALES[:1]
    assert_close(slopes, [torch.ones_like(z), z, torch.zeros_like(LOGITS[:1])])


def test_draws_without_gradients() -> None:
    law, _ = made("diag")
    with torch.no_grad():
        assert not law.rsample((3,)).requires_grad
    assert law.rsample((3,)).requires_grad
    assert not law.sample((3,)).requires_grad


@pytest.mark.parametrize(
    "make, arguments",
    [
        (dist.MixtureOfDiagNormals, (LOCS, SCALES[:2], LOGITS)),
        (dist.MixtureOfDiagNormals, (LOCS, SCALES, LOGITS[:2])),
        (dist.MixtureOfDiagNormalsSharedCovariance, (LOCS[0], SCALES[0], LOGITS)),
        (dist.MixtureOfDiagNormalsSharedCovariance, (LOCS, SCALES[0, :1], LOGITS)),
        (dist.GaussianScaleMixture, (SCALES[0], LOGITS, LOGITS[:2].exp())),
    ],
)
def test_wrong_shapes(make: Any, arguments: tuple[Tensor, ...]) -> None:
    with pytest.raises(ValueError, match=f"{make.__name__}: .* have shapes .*, expected"):
        make(*arguments)
