"""The kernel module: units, shapes, parameters."""

import math

import pytest
import torch
from scipy import special

from pyro.nn.matern import MaternKernel
from pyro.nn.module import PyroModule
from pyro.ops import ssm_gp
from tests.helpers import assert_close, trace_of

SMOOTHNESS = [0.5, 1.5, 2.5, 3.5]
LENGTHS = torch.tensor([0.7, 2.0], dtype=torch.float64)
SCALES = torch.tensor([0.5, 1.5], dtype=torch.float64)


def kernel_of(nu: float) -> MaternKernel:
    return MaternKernel(nu, 2, LENGTHS, SCALES)


@pytest.mark.parametrize("nu", SMOOTHNESS)
def test_covariances_over_time_are_materns_kernel(nu: float) -> None:
    kernel, time = kernel_of(nu), 0.9
    scaled = math.sqrt(2 * nu) * time / LENGTHS.numpy()
    bessel = torch.from_numpy(scaled**nu * special.kv(nu, scaled))
    expected = SCALES.square() * 2 ** (1 - nu) / special.gamma(nu) * bessel
    carried = kernel.stationary_covariance() @ kernel.transition_matrix(time)
    assert_close(carried[:, 0, 0], expected, atol=1e-11)


@pytest.mark.parametrize("nu", SMOOTHNESS)
def test_times_add_up(nu: float) -> None:
    kernel = kernel_of(nu)
    first, noise = kernel.transition_matrix_and_covariance(0.3)
    second, more_noise = kernel.transition_matrix_and_covariance(torch.tensor(0.5))
    both, whole_noise = kernel.transition_matrix_and_covariance(0.8)
    tolerance = 1e-9
    assert_close(first @ second, both, atol=tolerance, rtol=tolerance)
    assert_close(
        second.mT @ noise @ second + more_noise, whole_noise, atol=tolerance, rtol=tolerance
    )
    assert_close(kernel.process_covariance(both), whole_noise, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("nu", SMOOTHNESS)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3)])
def test_shapes(nu: float, shape: tuple[int, ...]) -> None:
    kernel = kernel_of(nu)
    size = int(nu + 0.5)
    assert kernel.state_dim == size and kernel.num_gps == 2
    assert kernel.stationary_covariance().shape == (2, size, size)
    times = torch.rand(shape, dtype=torch.float64)
    matrix, covariance = kernel.transition_matrix_and_covariance(times)
    assert matrix.shape == covariance.shape == shape + (2, size, size)
    assert kernel.process_covariance(matrix).shape == covariance.shape
    one, _ = kernel.transition_matrix_and_covariance(float(times.flatten()[-1]))
    assert_close(matrix.reshape(-1, 2, size, size)[-1], one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_short_times_have_a_covariance_that_factors(dtype: torch.dtype) -> None:
    kernel = MaternKernel(2.5, 1, torch.ones(1, dtype=dtype), torch.ones(1, dtype=dtype))
    _, covariance = kernel.transition_matrix_and_covariance(1e-3)
    assert covariance.dtype == dtype
    units = covariance.diagonal(dim1=-2, dim2=-1).rsqrt()
    correlation = covariance * units[..., None] * units[..., None, :]
    # In the limit of short times, that of the integrals of Brownian motion; it is off by about the
    # rate times the time.
    expected = [
        [[1.0, math.sqrt(15) / 4, math.sqrt(5) / 3], [0, 1.0, math.sqrt(3) / 2], [0, 0, 1.0]]
    ]
    assert_close(correlation.triu(), expected, atol=math.sqrt(5) * 1e-3)
    assert torch.linalg.cholesky_ex(covariance).info == 0


def test_scales_are_sites_and_learn() -> None:
    kernel = MaternKernel(num_gps=3)
    assert isinstance(kernel, PyroModule) and kernel.nu == 1.5
    assert_close(kernel.length_scale, torch.ones(3))
    assert_close(kernel.kernel_scale, torch.ones(3))

    class Model(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = kernel

        def forward(self) -> torch.Tensor:
            return self.kernel.transition_matrix_and_covariance(0.5)[1].sum()

    trace = trace_of(Model())
    assert [name for name in trace.nodes if "scale" in name] == [
        "kernel.length_scale",
        "kernel.kernel_scale",
    ]
    trace.nodes["_RETURN"]["value"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in kernel.parameters())


@pytest.mark.parametrize("nu", [0.0, 1.0, -0.5, 0.75])
def test_other_smoothness_is_refused(nu: float) -> None:
    with pytest.raises(NotImplementedError, match=f"nu is {nu}, but only for nu = 0.5, 1.5, 2.5"):
        MaternKernel(nu)


def test_initial_values_have_one_number_for_each_process() -> None:
    with pytest.raises(ValueError, match=r"length_scale_init has shape \(2,\), expected \(3,\)"):
        MaternKernel(num_gps=3, length_scale_init=torch.ones(2))
    with pytest.raises(ValueError, match=r"kernel_scale_init has shape \(\), expected \(1,\)"):
        MaternKernel(kernel_scale_init=torch.tensor(1.0))


def test_the_public_path_leads_here() -> None:
    assert ssm_gp.MaternKernel is MaternKernel
