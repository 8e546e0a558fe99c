import math
import pickle
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer import Trace_MMD
from pyro.infer.trace_mmd import squared_discrepancy
from tests.helpers import assert_close, assert_mean
from tests.infer.exact import Drawing, double, leaves


def rbf(x: Any, y: Any = None) -> Any:
    y = x if y is None else y
    return torch.exp(-((x.unsqueeze(1) - y) ** 2).sum(-1) / 2)


def quadratic(x: Any, y: Any = None) -> Any:
    return (1 + x @ (x if y is None else y).T) ** 2


X = double(2.0, 0.5, -1.0)
EPS = double([0.3, -1.0], [1.2, 0.1], [-0.4, 0.9], [0.7, -0.2])  # of the guide and of the prior


def model() -> None:
    shift = pyro.param("shift", double(0.2))
    z = pyro.sample("z", dist.Normal(shift, double(1.0)))
    with pyro.plate("data", 3):
        w = pyro.sample("w", dist.Normal(z, 1.0).expand(z.shape))
        pyro.sample("x", dist.Normal(w, 1.0), obs=X)


def guide() -> None:
    pyro.sample("z", dist.Normal(pyro.param("loc", double(0.3)), pyro.param("scale", double(0.8))))
    with pyro.plate("data", 3):
        pyro.sample("w", dist.Delta(pyro.param("at", double(0.1, 0.2, 0.3))))


class Ordered:
    """The guide's noise first, that of the prior after it."""

    def __init__(self, vectorize: bool) -> None:
        columns = EPS.T if vectorize else EPS.reshape(-1)
        self.noise = iter(columns)

    def __call__(self, fn: Any) -> Any:
        eps = next(self.noise)
        return fn.loc + fn.scale * eps.reshape(fn.batch_shape)


@pytest.mark.parametrize("vectorize", [True, False])
@pytest.mark.parametrize("kernel", [rbf, quadratic])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_loss_and_gradient_are_the_formula_s(vectorize: Any, kernel: Any, scale: Any) -> None:
    def small_model() -> None:
        shift = pyro.param("shift", double(0.2))
        z = pyro.sample("z", dist.Normal(shift, double(1.0)))
        pyro.sample("x", dist.Normal(z, 1.0), obs=double(2.0))

    def small_guide() -> None:
        loc, spread = pyro.param("loc", double(0.3)), pyro.param("scale", double(0.8))
        pyro.sample("z", dist.Normal(loc, spread))

    elbo = Trace_MMD(
        kernel, scale, num_particles=4, vectorize_particles=vectorize, max_plate_nesting=0
    )
    with Drawing({"z": Ordered(vectorize)}):
        loss = elbo.differentiable_loss(small_model, small_guide)
    params = leaves("shift", "loc", "scale")
    shift, loc, spread = params
    z, prior = loc + spread * EPS[:, :1], shift + EPS[:, 1:]
    expected = -dist.Normal(z, 1.0).log_prob(double(2.0)).mean()
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    within = sum(kernel(x, x)[a, b] for x in (z, prior) for a, b in pairs) / 12
    expected = expected + scale * (within - 2 * kernel(z, prior).mean())
    assert_close(loss, expected)
    assert_close(torch.autograd.grad(loss, params), torch.autograd.grad(expected, params))


def test_the_discrepancy_is_unbiased() -> None:
    """Exactly, over all samples of two from laws on three points."""
    points = double([0.0], [1.0], [2.5])
    p, q = double(0.2, 0.5, 0.3), double(0.6, 0.1, 0.3)
    expected = (p - q) @ rbf(points) @ (p - q)
    index = torch.cartesian_prod(*[torch.arange(3)] * 4)
    mean = sum(
        p[i[:2]].prod() * q[i[2:]].prod() * squared_discrepancy(rbf, points[i[:2]], points[i[2:]])
        for i in index
    )
    assert_close(mean, expected)


def test_the_discrepancy_of_gaussians_has_its_closed_form() -> None:
    """E k(x, y) = exp(-m^2 / 2 (1 + v)) / sqrt(1 + v) for x - y ~ N(m, v); false alarms 7e-6."""

    def mean_kernel(m: float, v: float) -> float:
        return math.exp(-(m**2) / (2 * (1 + v))) / math.sqrt(1 + v)

    loc, scale = 0.8, 0.5
    exact = mean_kernel(0, 2 * scale**2) + mean_kernel(0, 2) - 2 * mean_kernel(loc, 1 + scale**2)
    draws = torch.randn(500, 2, 10, 1)
    found = [squared_discrepancy(rbf, loc + scale * x, y) for x, y in draws]
    assert_mean(torch.stack(found), exact)


def test_a_draw_with_all_its_elements_is_one_row() -> None:
    shapes: list[Any] = []

    def kernel(x: Any, y: Any = None) -> Any:
        shapes.append(tuple(x.shape))
        return rbf(x, y)

    for vectorize in (True, False):
        shapes.clear()
        Trace_MMD(kernel, num_particles=4, vectorize_particles=vectorize).loss(model, guide)
        assert shapes == [(4, 1)] * 3 + [(4, 3)] * 3


def test_kernels_and_scales_may_differ_by_site() -> None:
    def nothing(x: Any, y: Any = None) -> Any:
        return torch.zeros(len(x), len(x if y is None else y))

    losses = []
    for kernel, scale in (
        (rbf, {"z": 2.0, "w": 0.0}),
        ({"z": rbf, "w": nothing}, 2.0),
        (rbf, 2.0),
    ):
        pyro.set_rng_seed(0)
        losses.append(Trace_MMD(kernel, scale).loss(model, guide))
    assert_close(losses[0], losses[1])
    assert abs(losses[0] - losses[2]) > 1e-3
    mmd = Trace_MMD(rbf)
    assert mmd.kernel["any"] is rbf and mmd.mmd_scale["any"] == 1
    mmd.kernel, mmd.mmd_scale = {"z": quadratic}, 3.0
    assert mmd.kernel == {"z": quadratic} and mmd.mmd_scale["any"] == 3.0
    assert pickle.loads(pickle.dumps(Trace_MMD(rbf))).kernel["any"] is rbf


def test_a_site_without_a_kernel_is_named() -> None:
    with pytest.raises(ValueError, match="At site 'w': kernels or scales are given for 'z' only"):
        Trace_MMD({"z": rbf}).loss(model, guide)


def test_what_is_no_kernel_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a function of two matrices, got 3"):
        Trace_MMD(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a function of two matrices, got 3"):
        Trace_MMD({"z": 3})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="two particles or more, got 1"):
        Trace_MMD(rbf, num_particles=1)


def test_draws_that_hide_parameters_are_refused() -> None:
    def coin(name: str) -> Any:
        def program() -> None:
            pyro.sample("z", dist.Bernoulli(pyro.param(name, double(0.5))))

        return program

    def point() -> None:
        pyro.sample("z", dist.Delta(pyro.param("at", double(1.0))))

    with pytest.raises(NotImplementedError, match="At site 'z': draws of Bernoulli"):
        Trace_MMD(rbf).differentiable_loss(point, coin("p"))
    with pytest.raises(NotImplementedError, match="At site 'z': draws of Bernoulli"):
        Trace_MMD(rbf).differentiable_loss(coin("p"), point)


def fixed_coin() -> None:
    pyro.sample("z", dist.Bernoulli(double(0.5)))


def test_a_prior_whose_draws_have_no_parameters_may_be_discrete() -> None:
    def point() -> None:
        pyro.sample("z", dist.Delta(pyro.param("at", double(1.0))))

    Trace_MMD(rbf).loss_and_grads(fixed_coin, point)
    assert leaves("at")[0].grad.isfinite()
