"""Special functions against SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy import special as scipy_special

from pyro.ops.special import (
    get_quad_rule,
    log_beta,
    log_binomial,
    log_I1,
    safe_log,
    sparse_multinomial_likelihood,
)
from tests.helpers import assert_close

GRID = torch.tensor([1e-3, 0.1, 0.5, 1.0, 2.5, 30.0, 1e4], dtype=torch.float64)


@pytest.mark.parametrize("tolerance", [0.0, 0.3, 0.02, 0.009, 1.1e-3, 4e-4, 1e-5])
def test_log_beta(tolerance: float) -> None:
    x, y = GRID[:, None], GRID
    expected = torch.as_tensor(scipy_special.betaln(x.numpy(), y.numpy()))
    error = (log_beta(x, y, tolerance) - expected).abs().max()
    assert error <= max(tolerance, 1e-9)
    assert (error > 1e-7) == (tolerance >= 4e-4), "an approximation is used where it may be"


@pytest.mark.parametrize("tolerance", [0.0, 0.02])
def test_log_binomial(tolerance: float) -> None:
    n = torch.tensor([0.0, 1.0, 7.0, 500.0], dtype=torch.float64)
    for share in (0.0, 0.3, 1.0):
        k = (n * share).floor()
        expected = torch.as_tensor(scipy_special.binom(n.numpy(), k.numpy())).log()
        assert_close(log_binomial(n, k, tolerance), expected, atol=max(tolerance, 1e-9))
    assert log_binomial(torch.tensor(3.0), torch.tensor(4.0)) == -float("inf")


def test_safe_log_is_the_logarithm_with_a_bounded_gradient() -> None:
    x = torch.tensor([0.0, 1e-40, 1e-3, 1.0, 7.0], requires_grad=True)
    log = safe_log(x)
    assert log.equal(x.log())
    (gradient,) = torch.autograd.grad(log.sum(), x)
    eps = torch.finfo(torch.float32).eps
    assert_close(gradient, [1 / eps, 1 / eps, 1e3, 1.0, 1 / 7.0])
    wide = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(safe_log, [wide])
    assert torch.autograd.gradgradcheck(safe_log, [wide])
    assert torch.func.vmap(torch.func.grad(safe_log))(wide.detach()).equal(1 / wide.detach())


ARGUMENTS = [1e-300, 1e-5, 0.3, 1.0, 7.0, 49.9, 50.1, 300.0, 899.0, 901.0, 1e4, 1e6]


@pytest.mark.parametrize("orders", [0, 1, 2, 7, 30])
def test_log_I1(orders: int) -> None:
    x = torch.tensor(ARGUMENTS, dtype=torch.float64)
    actual = log_I1(orders, x)
    assert actual.shape == (orders + 1, len(x))
    for order in range(orders + 1):
        scaled = scipy_special.ive(order, x.numpy())
        expected = torch.from_numpy(np.log(np.where(scaled > 0, scaled, np.nan))) + x
        known = ~expected.isnan()  # where SciPy does not underflow
        assert_close(actual[order][known], expected[known])
    assert actual.isfinite().all()


def test_log_I1_below_underflow_is_the_first_term_of_its_series() -> None:
    x = torch.tensor([1e-300, 1e-8], dtype=torch.float64)
    expected = torch.stack([k * (x / 2).log() - math.lgamma(k + 1) for k in range(6)])
    assert_close(log_I1(5, x), expected)
    assert log_I1(2, torch.zeros(1)).exp().flatten().tolist() == pytest.approx([1, 0, 0], abs=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("terms", [1, 10, 250])
def test_log_I1_needs_no_care_with_terms(terms: int, dtype: torch.dtype) -> None:
    x = torch.tensor([0.1, 30.0, 120.0], dtype=dtype)
    expected = np.log(scipy_special.iv(np.arange(12)[:, None], x.double().numpy()))
    assert_close(log_I1(11, x, terms), torch.from_numpy(expected).to(dtype))


def test_log_I1_shapes_and_gradients() -> None:
    assert log_I1(4, torch.tensor(0.5)).shape == (5, 1)
    assert log_I1(2, torch.rand(3, 4)).shape == (3, 3, 4)
    x = torch.tensor([0.2, 3.0, 49.0, 52.0, 400.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: log_I1(3, x), [x])
    with pytest.raises(ValueError, match="orders is -1, expected 0 or more"):
        log_I1(-1, x)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 20])
def test_quadrature_is_exact_for_polynomials(size: int) -> None:
    prototype = torch.zeros(3, dtype=torch.float64)
    points, log_weights = get_quad_rule(size, prototype)
    assert points.shape == log_weights.shape == (size,)
    for degree in range(min(2 * size, 12)):
        moment = math.prod(range(1, degree, 2)) if degree % 2 == 0 else 0.0
        assert_close((log_weights.exp() * points**degree).sum(), float(moment), atol=1e-8)


def test_quadrature_is_like_its_prototype() -> None:
    assert get_quad_rule(4, torch.zeros(()))[0].dtype == torch.float32
    with pytest.raises(ValueError, match="num_quad is 0, expected at least 1"):
        get_quad_rule(0, torch.zeros(()))


def test_sparse_multinomial_likelihood_is_the_dense_one() -> None:
    logits = torch.randn(4, 6, dtype=torch.float64).log_softmax(-1).requires_grad_()
    counts = torch.tensor([[0, 2, 0, 0, 1, 0], [0] * 6, [3, 0, 0, 0, 0, 0], [1] * 6]).double()
    at = counts.nonzero(as_tuple=True)
    actual = sparse_multinomial_likelihood(counts.sum(-1), logits[at], counts[at])
    laws = [
        torch.distributions.Multinomial(int(n.sum()), logits=row)
        for n, row in zip(counts, logits, strict=True)
    ]
    dense = sum(law.log_prob(n) for law, n in zip(laws, counts, strict=True))
    assert_close(actual, dense)
    assert actual.shape == ()
    (gradient,) = torch.autograd.grad(actual, logits)
    assert_close(gradient, counts)
