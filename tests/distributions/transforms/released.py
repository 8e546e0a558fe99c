"""What a released Pyro 1.9.2 has in the states of its flows, and what it computes from them.

A row is a call of a helper; the names and shapes of the state, in order; and the image of
``inputs`` with the log-determinant there, of a flow that :func:`fill` has filled. Its
networks see their inputs in their natural order. Where there are no numbers, it computes another
map; see ``docs/source/differences.rst``.
"""

import math
from typing import Any

import torch
from torch import Tensor

CONTEXT = torch.tensor([0.3, -0.6], dtype=torch.float64)


def inputs(shape: tuple[int, ...]) -> Tensor:
    """Return the value that was mapped."""
    return torch.linspace(-1.2, 0.9, math.prod(shape), dtype=torch.float64).reshape(shape)


def fill(flow: Any) -> None:
    """Set all parameters to numbers that anyone can compute."""
    with torch.no_grad():
        for start, parameter in enumerate(flow.parameters(), 1):
            steps = torch.arange(parameter.numel(), dtype=torch.float64).reshape(parameter.shape)
            parameter.copy_((start + 1.7 * steps).sin() / 2)
        for name, constant in flow.named_buffers():
            if name == "permutation":
                constant.copy_(torch.eye(len(constant)).flip(0))


ROWS: list[tuple[str, str, list[float]]] = [
    (
        "affine_autoregressive(3)",
        """
        arn.permutation:3 arn.layers.0.weight:10x3 arn.layers.0.bias:10 arn.layers.0.mask:10x3
        arn.layers.1.weight:6x10 arn.layers.1.bias:6 arn.layers.1.mask:6x10
        """,
        [-1.78597959, -0.491816698, 0.393788774, -0.594530385],
    ),
    (
        "affine_coupling(3)",
        """
        nn.layers.0.weight:30x1 nn.layers.0.bias:30 nn.layers.1.weight:4x30 nn.layers.1.bias:4
        """,
        [-1.2, 1.0938786, 1.91957691, 0.456059751],
    ),
    (
        "affine_coupling([2, 2], dim=-2)",
        """
        nn.layers.0.weight:40x2 nn.layers.0.bias:40 nn.layers.1.weight:4x40 nn.layers.1.bias:4
        """,
        [-1.2, -0.5, 1.54782437, 1.29944236, -1.73160889],
    ),
    (
        "batchnorm(3)",
        """
        gamma:3 beta:3 moving_mean:3 moving_variance:3
        """,
        [-3.93276318, 0.537779678, 1286388.68, 16.2244986],
    ),
    (
        "block_autoregressive(2, hidden_factors=[2, 3])",
        """
        layers.0._weight:4x2 layers.0._diag_weight:4x1 layers.0.bias:4 layers.0.mask_d:4x2
        layers.0.mask_o:4x2 layers.1._weight:6x4 layers.1._diag_weight:6x1 layers.1.bias:6
        layers.1.mask_d:6x4 layers.1.mask_o:6x4 layers.2._weight:2x6 layers.2._diag_weight:2x1
        layers.2.bias:2 layers.2.mask_d:2x6 layers.2.mask_o:2x6
        """,
        [-1.95933679, -0.027678176, -2.43010122],
    ),
    (
        'block_autoregressive(2, hidden_factors=[2], activation="ELU", residual="normal")',
        """
        layers.0._weight:4x2 layers.0._diag_weight:4x1 layers.0.bias:4 layers.0.mask_d:4x2
        layers.0.mask_o:4x2 layers.1._weight:2x4 layers.1._diag_weight:2x1 layers.1.bias:2
        layers.1.mask_d:2x4 layers.1.mask_o:2x4
        """,
        [-2.03589105, 3.24504176, 1.04471892],
    ),
    (
        'block_autoregressive(2, hidden_factors=[2], activation="LeakyReLU", residual="gated")',
        """
        gate:1 layers.0._weight:4x2 layers.0._diag_weight:4x1 layers.0.bias:4
        layers.0.mask_d:4x2 layers.0.mask_o:4x2 layers.1._weight:2x4 layers.1._diag_weight:2x1
        layers.1.bias:2 layers.1.mask_d:2x4 layers.1.mask_o:2x4
        """,
        [-0.599872747, 1.59898384, -0.051162642],
    ),
    (
        'block_autoregressive(2, hidden_factors=[2], activation="sigmoid", residual="gated")',
        """
        gate:1 layers.0._weight:4x2 layers.0._diag_weight:4x1 layers.0.bias:4
        layers.0.mask_d:4x2 layers.0.mask_o:4x2 layers.1._weight:2x4 layers.1._diag_weight:2x1
        layers.1.bias:2 layers.1.mask_d:2x4 layers.1.mask_o:2x4
        """,
        [-0.486949726, 1.30464579, -0.674793204],
    ),
    (
        "generalized_channel_permute(channels=2)",
        """
        LU:2x2 permutation:2x2
        """,
        [0.201672631, -0.073386441, -0.462144603, -0.0180468, -6.52350843],
    ),
    (
        "householder(3, 2)",
        """
        u_unnormed:2x3
        """,
        [0.869705642, -0.663143568, -1.03747419, 0.0],
    ),
    (
        "householder(4)",
        """
        u_unnormed:3x4
        """,
        [-0.09363248, -0.519852268, -0.901251809, 1.20363273, 0.0],
    ),
    (
        "matrix_exponential(2, iterations=20)",
        """
        weights:2x2
        """,
        [-1.52402275, 1.44139252, 0.32965424],
    ),
    (
        "neural_autoregressive(2, width=3)",
        """
        arn.permutation:2 arn.layers.0.weight:7x2 arn.layers.0.bias:7 arn.layers.0.mask:7x2
        arn.layers.1.weight:18x7 arn.layers.1.bias:18 arn.layers.1.mask:18x7
        """,
        [-0.835371581, 0.411228653, -0.99249602],
    ),
    (
        'neural_autoregressive(2, width=3, activation="ELU")',
        """
        arn.permutation:2 arn.layers.0.weight:7x2 arn.layers.0.bias:7 arn.layers.0.mask:7x2
        arn.layers.1.weight:18x7 arn.layers.1.bias:18 arn.layers.1.mask:18x7
        """,
        [-0.830034687, 0.440947618, -0.998158226],
    ),
    (
        'neural_autoregressive(2, width=3, activation="tanh")',
        """
        arn.permutation:2 arn.layers.0.weight:7x2 arn.layers.0.bias:7 arn.layers.0.mask:7x2
        arn.layers.1.weight:18x7 arn.layers.1.bias:18 arn.layers.1.mask:18x7
        """,
        [-0.826997902, 0.345424009, -1.13636347],
    ),
    (
        'neural_autoregressive(2, width=3, activation="LeakyReLU")',
        """
        arn.permutation:2 arn.layers.0.weight:7x2 arn.layers.0.bias:7 arn.layers.0.mask:7x2
        arn.layers.1.weight:18x7 arn.layers.1.bias:18 arn.layers.1.mask:18x7
        """,
        [-0.838733833, 0.486560526, -1.69056561],
    ),
    (
        "planar(3)",
        """
        bias:1 u:3 w:3
        """,
        [-1.0475496, 0.049792819, 0.696065186, -0.210220099],
    ),
    (
        "radial(3)",
        """
        x0:3 alpha_prime:1 beta_prime:1
        """,
        [-1.08663369, -0.124560817, 0.803766229, -0.166586336],
    ),
    (
        "polynomial(2)",
        """
        c:2 powers:5 power_mask:5x5 mask:5x5 arn.permutation:2 arn.layers.0.weight:20x2
        arn.layers.0.bias:20 arn.layers.0.mask:20x2 arn.layers.1.weight:30x20
        arn.layers.1.bias:30 arn.layers.1.mask:30x20
        """,
        [-4.84270205, 4.68175594, 3.8745863],
    ),
    (
        "spline(3, count_bins=4)",
        """
        unnormalized_widths:3x4 unnormalized_heights:3x4 unnormalized_derivatives:3x3
        unnormalized_lambdas:3x4
        """,
        [-1.1350871, -0.736306606, 0.677465584, -0.842696691],
    ),
    (
        'spline(3, count_bins=4, order="quadratic")',
        """
        unnormalized_widths:3x4 unnormalized_heights:3x4 unnormalized_derivatives:3x3
        """,
        [-1.14307357, -0.733730723, 0.659322307, -0.511956886],
    ),
    (
        "spline_autoregressive(2, count_bins=3)",
        """
        arn.permutation:2 arn.layers.0.weight:20x2 arn.layers.0.bias:20 arn.layers.0.mask:20x2
        arn.layers.1.weight:20x20 arn.layers.1.bias:20 arn.layers.1.mask:20x20
        arn.layers.2.weight:22x20 arn.layers.2.bias:22 arn.layers.2.mask:22x20
        spline.nn.permutation:2 spline.nn.layers.0.weight:20x2 spline.nn.layers.0.bias:20
        spline.nn.layers.0.mask:20x2 spline.nn.layers.1.weight:20x20 spline.nn.layers.1.bias:20
        spline.nn.layers.1.mask:20x20 spline.nn.layers.2.weight:22x20 spline.nn.layers.2.bias:22
        spline.nn.layers.2.mask:22x20
        """,
        [-1.27462394, 2.66466935, -3.63442914],
    ),
    (
        "spline_coupling(3, count_bins=3)",
        """
        lower_spline.unnormalized_widths:1x3 lower_spline.unnormalized_heights:1x3
        lower_spline.unnormalized_derivatives:1x2 lower_spline.unnormalized_lambdas:1x3
        upper_spline.nn.layers.0.weight:30x1 upper_spline.nn.layers.0.bias:30
        upper_spline.nn.layers.1.weight:30x30 upper_spline.nn.layers.1.bias:30
        upper_spline.nn.layers.2.weight:22x30 upper_spline.nn.layers.2.bias:22
        """,
        [-0.680227923, -0.931657569, 2.82147705, -5.47695137],
    ),
    (
        "sylvester(3)",
        """
        u_unnormed:2x3 R_dense:3x3 S_dense:3x3 R_diag:3 S_diag:3 b:3 triangular_mask:3x3
        """,
        [],
    ),
    (
        "conditional_affine_autoregressive(3, 2)",
        """
        nn.permutation:3 nn.layers.0.weight:30x5 nn.layers.0.bias:30 nn.layers.0.mask:30x5
        nn.layers.1.weight:6x30 nn.layers.1.bias:6 nn.layers.1.mask:6x30
        """,
        [-0.63725457, -0.600227785, -0.304780632, -1.71256888],
    ),
    (
        "conditional_affine_coupling(3, 2)",
        """
        nn.layers.0.weight:30x3 nn.layers.0.bias:30 nn.layers.1.weight:4x30 nn.layers.1.bias:4
        """,
        [-1.2, 0.518693965, -0.873188606, -3.61035477],
    ),
    (
        "conditional_generalized_channel_permute(2, channels=2)",
        """
        permutation:2x2 nn.layers.0.weight:20x2 nn.layers.0.bias:20 nn.layers.1.weight:20x20
        nn.layers.1.bias:20 nn.layers.2.weight:4x20 nn.layers.2.bias:4
        """,
        [-1.08500509, -1.82509399, -0.855715597, -0.795923393, -0.678149939],
    ),
    (
        "conditional_householder(3, 2, count_transforms=2)",
        """
        nn.layers.0.weight:30x2 nn.layers.0.bias:30 nn.layers.1.weight:30x30 nn.layers.1.bias:30
        nn.layers.2.weight:6x30 nn.layers.2.bias:6
        """,
        [-0.743876056, -0.115168619, -1.30609517, 0.0],
    ),
    (
        "conditional_matrix_exponential(2, 2, iterations=20)",
        """
        nn.layers.0.weight:20x2 nn.layers.0.bias:20 nn.layers.1.weight:20x20 nn.layers.1.bias:20
        nn.layers.2.weight:4x20 nn.layers.2.bias:4
        """,
        [-2.27887417, -0.822416924, -0.519332965],
    ),
    (
        "conditional_neural_autoregressive(2, 2, width=3)",
        """
        nn.permutation:2 nn.layers.0.weight:7x4 nn.layers.0.bias:7 nn.layers.0.mask:7x4
        nn.layers.1.weight:18x7 nn.layers.1.bias:18 nn.layers.1.mask:18x7
        """,
        [-0.88867725, 0.283763915, -0.861456132],
    ),
    (
        "conditional_planar(3, 2)",
        """
        nn.layers.0.weight:30x2 nn.layers.0.bias:30 nn.layers.1.weight:30x30 nn.layers.1.bias:30
        nn.layers.2.weight:7x30 nn.layers.2.bias:7
        """,
        [-1.74917566, -0.92873771, -0.405278379, -0.036495287],
    ),
    (
        "conditional_radial(3, 2)",
        """
        nn.layers.0.weight:30x2 nn.layers.0.bias:30 nn.layers.1.weight:30x30 nn.layers.1.bias:30
        nn.layers.2.weight:5x30 nn.layers.2.bias:5
        """,
        [-1.33481592, -0.175239625, 1.05555059, 0.14660425],
    ),
    (
        "conditional_spline(2, 2, count_bins=3)",
        """
        nn.layers.0.weight:20x2 nn.layers.0.bias:20 nn.layers.1.weight:20x20 nn.layers.1.bias:20
        nn.layers.2.weight:22x20 nn.layers.2.bias:22
        """,
        [-2.57004103, 2.51113559, -4.07537665],
    ),
    (
        'conditional_spline(2, 2, count_bins=3, order="quadratic")',
        """
        nn.layers.0.weight:20x2 nn.layers.0.bias:20 nn.layers.1.weight:20x20 nn.layers.1.bias:20
        nn.layers.2.weight:16x20 nn.layers.2.bias:16
        """,
        [-2.58542608, 2.51707481, -3.50750805],
    ),
    (
        "conditional_spline_autoregressive(2, 2, count_bins=3)",
        """
        nn.permutation:2 nn.layers.0.weight:20x4 nn.layers.0.bias:20 nn.layers.0.mask:20x4
        nn.layers.1.weight:20x20 nn.layers.1.bias:20 nn.layers.1.mask:20x20
        nn.layers.2.weight:22x20 nn.layers.2.bias:22 nn.layers.2.mask:22x20
        """,
        [-2.20647957, 2.55818747, -3.60950108],
    ),
]
