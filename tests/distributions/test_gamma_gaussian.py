"""Gamma-scaled Gaussians against the laws that they are made of, and quadrature."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import pyro.distributions as dist
from pyro.distributions.gamma_gaussian import (
    Gamma,
    GammaGaussian,
    gamma_and_mvn_to_gamma_gaussian,
    gamma_gaussian_tensordot,
    matrix_and_mvn_to_gamma_gaussian,
    scale_mvn,
    sequential_gamma_gaussian_tensordot,
)
from tests.helpers import assert_close
from tests.ops.gaussians import DOUBLE, log_integral, random_gaussian

BATCHES: list[tuple[int, ...]] = [(), (3,), (2, 3)]


def random_form(*batch: int, dim: int) -> GammaGaussian:
    """A form that is proper in x and s together, also when some x are given."""
    gaussian = random_gaussian(*batch, dim=dim)
    energy = (gaussian.info_vec * torch.linalg.solve(gaussian.precision, gaussian.info_vec)).sum(-1)
    alpha = torch.rand(batch, dtype=DOUBLE) + dim / 2 + 0.2
    beta = energy / 2 + 0.3 + torch.rand(batch, dtype=DOUBLE)
    return GammaGaussian(
        gaussian.log_normalizer, gaussian.info_vec, gaussian.precision, alpha, beta
    )


def integrate_s(density: Callable[[Tensor], Tensor]) -> Tensor:
    """Integrate exp(density(s)) over s > 0 by the trapezoid rule in log s."""
    t = torch.linspace(-60.0, 12.0, 4001, dtype=DOUBLE)
    step = (t[1] - t[0]).log()
    terms = [density(point.exp()) + point + step for point in t]
    return torch.stack(terms).logsumexp(0)


def test_a_gamma_function_is_its_laws_density() -> None:
    law = dist.Gamma(torch.tensor([2.0, 0.7]).double(), torch.tensor([3.0, 0.5]).double())
    constant = -Gamma(torch.zeros(()).double(), law.concentration, law.rate).logsumexp()
    f = Gamma(constant, law.concentration, law.rate)
    s = torch.tensor([[0.4], [2.0]], dtype=DOUBLE)
    assert_close(f.log_density(s), law.log_prob(s))
    assert_close(f.logsumexp(), torch.zeros(2))
    assert_close(f.logsumexp(), integrate_s(f.log_density), atol=1e-7)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dim", [0, 1, 3])
def test_given_s_it_is_gaussian(batch: tuple[int, ...], dim: int) -> None:
    f = random_form(*batch, dim=dim)
    assert f.batch_shape == batch and f.dim() == dim
    x, s = torch.randn(4, *batch, dim, dtype=DOUBLE), torch.rand(4, *batch, dtype=DOUBLE) + 0.1
    form = (x * f.info_vec).sum(-1) - (x * (f.precision @ x[..., None])[..., 0]).sum(-1) / 2
    expected = f.log_normalizer + f.alpha * s.log() + s * (form - f.beta)
    assert_close(f.log_density(x, s), expected)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("left", "right"), [(0, 0), (1, 0), (0, 1), (1, 1), (0, 3)])
def test_conditioning_and_integrating(batch: tuple[int, ...], left: int, right: int) -> None:
    f = random_form(*batch, dim=3)
    s = torch.rand(batch, dtype=DOUBLE) + 0.5
    x = torch.randn(*batch, 3, dtype=DOUBLE)
    first, middle, last = x.split([left, 3 - left - right, right], -1)
    rest = f.condition(last)
    assert_close(rest.log_density(x[..., : 3 - right], s), f.log_density(x, s))
    marginal = f.marginalize(left, right)
    # Given s this is a Gaussian, whose integral is known.
    outer = (
        f.event_permute(torch.arange(3).roll(-left))
        .event_permute(torch.arange(3).roll(left + right))
        .condition(middle)
    )
    scaled = random_gaussian(*batch, dim=left + right)
    scaled.info_vec, scaled.precision = (
        s[..., None] * outer.info_vec,
        s[..., None, None] * outer.precision,
    )
    scaled.log_normalizer = outer.log_normalizer + outer.alpha * s.log() - s * outer.beta
    assert_close(marginal.log_density(middle, s), log_integral(scaled))
    total = marginal.event_logsumexp()
    assert_close(total.log_density(s), f.event_logsumexp().log_density(s))


def test_padding_permuting_and_batches() -> None:
    f = random_form(3, dim=2)
    x, s = torch.randn(3, 4, dtype=DOUBLE), torch.rand(3, dtype=DOUBLE)
    padded = f.event_pad(left=1, right=1)
    assert_close(padded.log_density(x, s), f.log_density(x[:, 1:3], s))
    perm = torch.tensor([2, 0, 3, 1])
    assert_close(padded.event_permute(perm).log_density(x[:, perm], s), padded.log_density(x, s))
    twice = GammaGaussian.cat([f, f]).reshape((2, 3))[1, 1:].expand((5, 2))
    assert_close(twice.log_density(x[1:, :2], s[1:])[4], f.log_density(x[:, :2], s)[1:])


def test_sums_multiply() -> None:
    f, g = random_form(3, dim=2), random_form(2, 1, dim=2)
    x, s = torch.randn(2, 3, 2, dtype=DOUBLE), torch.rand(3, dtype=DOUBLE)
    assert_close((f + g).log_density(x, s), f.log_density(x, s) + g.log_density(x, s))
    assert_close((1.0 + f + s).log_density(x, s), f.log_density(x, s) + 1 + s)
    with pytest.raises(TypeError, match="unsupported operand"):
        f + "one"
    with pytest.raises(ValueError, match="2 variables and the other 3; pad them"):
        f + random_form(dim=3)
    with pytest.raises(ValueError, match="values for 3 variables, but there are 2"):
        f.condition(torch.zeros(3))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dim", [1, 2])
def test_the_compound_is_what_is_left_without_s(batch: tuple[int, ...], dim: int) -> None:
    f = random_form(*batch, dim=dim)
    law = f.compound()
    x = torch.randn(4, *batch, dim, dtype=DOUBLE)
    # Without s, f is a gamma integral for each x.
    given = f.condition(x).event_logsumexp().logsumexp()
    assert_close(law.log_prob(x), given - f.event_logsumexp().logsumexp())
    assert law.batch_shape == batch and law.event_shape == (dim,)


def test_the_integral_over_s_agrees_with_quadrature() -> None:
    f = random_form(2, dim=1)
    x = torch.randn(2, 1, dtype=DOUBLE)
    numeric = integrate_s(lambda s: f.log_density(x, s))
    assert_close(f.condition(x).event_logsumexp().logsumexp(), numeric, atol=1e-7)


LAWS = [
    dist.MultivariateNormal(torch.randn(2, dtype=DOUBLE), torch.eye(2, dtype=DOUBLE) + 0.5),
    dist.Normal(torch.randn(3, 2, dtype=DOUBLE), 1.5).to_event(1),
]


@pytest.mark.parametrize("law", LAWS)
def test_laws_become_gamma_gaussians(law: dist.TorchDistribution) -> None:
    gamma = dist.Gamma(torch.tensor(2.0).double(), torch.tensor([3.0, 1.0, 0.5]).double())
    joint = gamma_and_mvn_to_gamma_gaussian(gamma, law)
    z, s = torch.randn(3, 2, dtype=DOUBLE), torch.rand(3, dtype=DOUBLE) + 0.2
    full = (
        law.covariance_matrix
        if hasattr(law, "covariance_matrix")
        else torch.diag_embed(law.variance)
    )
    scaled = dist.MultivariateNormal(law.mean, full / s[:, None, None])
    assert_close(joint.log_density(z, s), gamma.log_prob(s) + scaled.log_prob(z))
    assert_close(joint.event_logsumexp().logsumexp(), torch.zeros(3))
    matrix, x = torch.randn(1, 2, dtype=DOUBLE), torch.randn(3, 1, dtype=DOUBLE)
    conditional = matrix_and_mvn_to_gamma_gaussian(matrix, law)
    both = torch.cat([x, z + x @ matrix], -1)
    assert_close(conditional.log_density(both, s), scaled.log_prob(z))


def test_scaled_laws() -> None:
    law = LAWS[0]
    s = torch.tensor([0.5, 2.0], dtype=DOUBLE)
    scaled = scale_mvn(law, s)
    assert_close(scaled.loc, law.loc.expand(2, 2))
    assert_close(scaled.precision_matrix, law.precision_matrix * s[:, None, None])


@pytest.mark.parametrize(("a", "b", "c"), [(1, 1, 1), (2, 0, 1), (0, 1, 1), (1, 2, 0)])
def test_tensordot(a: int, b: int, c: int) -> None:
    f, g = random_form(2, dim=a + b), random_form(dim=b + c)
    s = torch.rand(2, dtype=DOUBLE) + 0.3
    h = gamma_gaussian_tensordot(f, g, b)
    assert h.dim() == a + c
    z = torch.randn(2, a + c, dtype=DOUBLE)
    product = f.event_pad(right=c) + g.event_pad(left=a)
    order = torch.cat([torch.arange(a), torch.arange(a + b, a + b + c), torch.arange(a, a + b)])
    expected = product.event_permute(order).marginalize(right=b)
    assert_close(h.log_density(z, s), expected.log_density(z, s))
    with pytest.raises(ValueError, match="dims is 9, but the functions have"):
        gamma_gaussian_tensordot(f, g, 9)


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("shared", [False, True])
def test_chains_are_products_of_neighbours(steps: int, shared: bool) -> None:
    chain = random_form(2, steps, dim=4)
    if shared:
        chain.precision = chain.precision[0, 0]
    product = sequential_gamma_gaussian_tensordot(chain)
    expected = chain[..., 0]
    for t in range(1, steps):
        expected = gamma_gaussian_tensordot(expected, chain[..., t], 2)
    x, s = torch.randn(2, 4, dtype=DOUBLE), torch.rand(2, dtype=DOUBLE) + 0.5
    assert product.batch_shape == (2,)
    assert_close(product.log_density(x, s), expected.log_density(x, s))


def test_chains_must_fit() -> None:
    for wrong in (random_form(dim=2), random_form(2, dim=3), random_form(2, 0, dim=2)):
        with pytest.raises(ValueError, match="A chain needs a step at least and two states"):
            sequential_gamma_gaussian_tensordot(wrong)


def test_the_public_path_leads_here() -> None:
    from pyro.ops import gamma_gaussian

    assert gamma_gaussian.GammaGaussian is GammaGaussian
