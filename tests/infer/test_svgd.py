"""Stein's direction: kernels against autograd and loops, steps against the formula."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.infer import SVGD, IMQSteinKernel, RBFSteinKernel
from pyro.infer.svgd import SteinKernel, vectorize
from pyro.optim import SGD, Adam
from tests.helpers import assert_close

KERNELS: dict[str, tuple[SteinKernel, Any]] = {
    "rbf": (RBFSteinKernel(), lambda r: torch.exp(-r)),
    "rbf, narrow": (RBFSteinKernel(0.3), lambda r: torch.exp(-r / 0.3)),
    "imq": (IMQSteinKernel(), lambda r: (0.5 + r) ** -0.5),
    "imq, own": (IMQSteinKernel(0.7, -0.3, 2.0), lambda r: (0.7 + r / 2.0) ** -0.3),
}
EVERY_KERNEL = pytest.mark.parametrize("kernel, formula", KERNELS.values(), ids=list(KERNELS))
EVERY_MODE = pytest.mark.parametrize("mode", ["univariate", "multivariate"])


def bandwidth(x: Tensor) -> Tensor:
    """The lower median over pairs of one coordinate, over log(N + 1)."""
    squares = sorted((a - b).square().item() for i, a in enumerate(x) for b in x[:i])
    return torch.tensor(squares[(len(squares) - 1) // 2] / math.log(len(x) + 1), dtype=x.dtype)


def kernel_matrix(formula: Any, x: Tensor, y: Tensor, width: Tensor) -> Tensor:
    """The kernel of one coordinate of every particle with every other."""
    entries: Tensor = formula((x.unsqueeze(1) - y).square() / width)
    return entries


@EVERY_KERNEL
def test_kernels_are_their_formulas_and_slopes_their_gradients(kernel: Any, formula: Any) -> None:
    x = torch.randn(5, 2, dtype=torch.float64)
    log_kernel, log_slope = kernel.log_kernel_and_grad(x)
    assert log_kernel.shape == log_slope.shape == (5, 5, 2)
    for d in range(2):
        left = x[:, d].clone().requires_grad_()
        matrix = kernel_matrix(formula, left, x[:, d], bandwidth(x[:, d]))
        assert_close(log_kernel[..., d].exp(), matrix)
        for j in range(5):
            (slope,) = torch.autograd.grad(matrix[:, j].log().sum(), left, retain_graph=True)
            assert_close(log_slope[:, j, d], slope)


def test_a_bandwidth_may_be_set_later() -> None:
    kernel = RBFSteinKernel()
    kernel.bandwidth_factor = 0.3
    x = torch.randn(4, 1)
    assert_close(kernel.log_kernel_and_grad(x), RBFSteinKernel(0.3).log_kernel_and_grad(x))
    for bad in (0.0, -1.0):
        with pytest.raises(ValueError, match="bandwidth_factor must be positive"):
            kernel.bandwidth_factor = bad
    with pytest.raises(ValueError, match=r"alpha must be positive, got -0\.5"):
        IMQSteinKernel(-0.5)
    with pytest.raises(ValueError, match=r"beta must be negative, got 0\.5"):
        IMQSteinKernel(0.5, 0.5)


@EVERY_KERNEL
def test_particles_that_coincide_or_are_alone_know_no_direction(kernel: Any, formula: Any) -> None:
    for x in (torch.zeros(3, 2), torch.ones(1, 2)):
        _, slope = kernel.log_kernel_and_grad(x)
        assert_close(slope, torch.zeros(len(x), len(x), 2))


def direction(formula: Any, mode: str, x: Tensor, score: Tensor) -> Tensor:
    """Stein's direction with autograd for the kernel's gradient."""
    widths = [bandwidth(column) for column in x.t()]
    left = x.clone().requires_grad_()
    kernels = torch.stack(
        [kernel_matrix(formula, left[:, d], x[:, d], h) for d, h in enumerate(widths)], -1
    )
    if mode == "multivariate":
        kernels = kernels.prod(-1, keepdim=True).expand(kernels.shape)
    phi = torch.zeros_like(x)
    for j in range(len(x)):
        for d in range(x.size(1)):
            (slope,) = torch.autograd.grad(kernels[:, j, d].sum(), left, retain_graph=True)
            phi[j, d] = (kernels[:, j, d].detach() * score[:, d] + slope[:, d]).mean()
    return phi


SCALES = torch.tensor([0.5, 2.0], dtype=torch.float64)


def gaussian() -> None:
    """Two sites, the second of two coordinates, so that particles must not be mixed up."""
    pyro.sample("z", dist.Normal(torch.tensor(1.0, dtype=torch.float64), 1.5))
    pyro.sample("y", dist.Normal(torch.zeros(2, dtype=torch.float64), SCALES).to_event(1))


@EVERY_MODE
@EVERY_KERNEL
def test_a_step_on_a_gaussian_in_closed_form(kernel: Any, formula: Any, mode: str) -> None:
    svgd = SVGD(gaussian, kernel, SGD({"lr": 0.0}), 4, 0, mode=mode)
    svgd.step()
    before = {name: value.detach().clone() for name, value in svgd.get_named_particles().items()}
    x = torch.cat([before["z"].unsqueeze(-1), before["y"]], -1)
    score = torch.cat([(1 - x[:, :1]) / 1.5**2, -x[:, 1:] / SCALES**2], -1)
    expected = direction(formula, mode, x, score)
    svgd.optim = SGD({"lr": 1.0})
    squares = svgd.step()
    after = svgd.get_named_particles()
    assert_close(after["z"] - before["z"], expected[:, 0])
    assert_close(after["y"] - before["y"], expected[:, 1:])
    assert_close(squares["z"], expected[:, 0].square().mean())
    assert_close(squares["y"], expected[:, 1:].square().mean())


def test_constrained_sites_move_in_unconstrained_coordinates() -> None:
    """The log of a LogNormal is a Normal, with the volume of the map counted."""

    def constrained() -> None:
        pyro.sample("x", dist.LogNormal(torch.tensor(0.5, dtype=torch.float64), 2.0))

    def plain() -> None:
        pyro.sample("x", dist.Normal(torch.tensor(0.5, dtype=torch.float64), 2.0))

    found = []
    for model in (constrained, plain):
        pyro.clear_param_store()
        pyro.set_rng_seed(3)
        svgd = SVGD(model, RBFSteinKernel(), SGD({"lr": 0.3}), 5, 0)
        squares = [svgd.step() for _ in range(3)]
        x = svgd.get_named_particles()["x"]
        found.append((squares, x.log() if model is constrained else x))
    assert_close(found[0], found[1])


def test_one_particle_climbs_to_the_mode() -> None:
    svgd = SVGD(gaussian, RBFSteinKernel(), SGD({"lr": 0.2}), 1, 0)
    for _ in range(300):
        squares = svgd.step()
    assert_close(svgd.get_named_particles()["z"], [1.0], atol=1e-6)
    assert max(squares.values()) < 1e-6


@pytest.mark.slow
def test_particles_have_the_moments_of_a_gaussian_posterior() -> None:
    """Means are exact by symmetry; variances of 60 particles come within a tenth."""
    svgd = SVGD(gaussian, RBFSteinKernel(), Adam({"lr": 0.05}), 60, 0)
    for _ in range(1500):
        svgd.step()
    found = svgd.get_named_particles()
    assert_close(found["z"].mean(), 1.0, atol=0.02)
    assert_close(found["z"].var(), 1.5**2, rtol=0.1)
    assert_close(found["y"].var(0), SCALES**2, rtol=0.1)


def test_plates_lie_right_of_the_particles() -> None:
    def plated() -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 3):
            w = pyro.sample("w", dist.Normal(z, 1.0))
            with pyro.plate("rows", 10, subsample_size=2, dim=-2):
                pyro.sample("x", dist.Normal(w, 1.0), obs=torch.zeros(2, 3))

    svgd = SVGD(plated, RBFSteinKernel(), Adam({"lr": 0.01}), 4, max_plate_nesting=2)
    assert set(svgd.step()) == {"z", "w"}
    shapes = {name: value.shape for name, value in svgd.get_named_particles().items()}
    assert shapes == {"z": (4, 1, 1), "w": (4, 1, 3)}
    assert pyro.param("svgd_particles").shape == (4, 4)


def test_parameters_of_the_model_are_fitted_too() -> None:
    def model() -> None:
        loc = pyro.param("loc", torch.tensor(0.0))
        pyro.sample("z", dist.Normal(loc, 1.0))

    svgd = SVGD(model, RBFSteinKernel(), SGD({"lr": 0.0}), 5, 0)
    svgd.step()
    total = svgd.get_named_particles()["z"].sum().item()
    svgd.optim = SGD({"lr": 0.1})
    svgd.step()
    assert_close(pyro.param("loc"), 0.1 * total)


def test_particles_outlive_the_object_in_the_store() -> None:
    svgd = SVGD(gaussian, RBFSteinKernel(), Adam({"lr": 0.1}), 3, 0)
    svgd.step()
    held = pyro.param("svgd_particles").detach().clone()
    again = SVGD(gaussian, RBFSteinKernel(), SGD({"lr": 0.0}), 3, 0)
    again.step()
    assert_close(pyro.param("svgd_particles"), held)


def test_vectorize_adds_a_plate_on_the_left() -> None:
    def model() -> Any:
        with pyro.plate("data", 3):
            return pyro.sample("z", dist.Normal(0.0, 1.0))

    assert vectorize(model, 5, 1)().shape == (5, 3)


def test_what_cannot_move_is_refused() -> None:
    kernel, optim = RBFSteinKernel(), Adam({"lr": 0.1})
    options: dict[str, Any] = {"num_particles": 3, "max_plate_nesting": 1}

    def discrete() -> None:
        pyro.sample("coin", dist.Bernoulli(0.5))

    def subsampled() -> None:
        with pyro.plate("data", 5, subsample_size=2):
            pyro.sample("local", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="At site 'coin': it is discrete"):
        SVGD(discrete, kernel, optim, **options).step()
    with pytest.raises(ValueError, match="At site 'local': it is latent in a sub-sampled plate"):
        SVGD(subsampled, kernel, optim, **options).step()
    with pytest.raises(ValueError, match="draws no latent site"):
        SVGD(lambda: None, kernel, optim, **options).step()
    with pytest.raises(RuntimeError, match=r"no particles yet: call step\(\)"):
        SVGD(gaussian, kernel, optim, **options).get_named_particles()
    with pytest.raises(ValueError, match="mode must be 'univariate' or 'multivariate', got 'x'"):
        SVGD(gaussian, kernel, optim, 3, 0, mode="x")
    with pytest.raises(ValueError, match="num_particles must be a positive integer, got 0"):
        SVGD(gaussian, kernel, optim, 0, 0)
    with pytest.raises(TypeError, match="kernel must be a SteinKernel"):
        SVGD(gaussian, max, optim, 3, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"needs an optimiser from pyro\.optim"):
        SVGD(gaussian, kernel, torch.optim.Adam, 3, 0)  # type: ignore[arg-type]
