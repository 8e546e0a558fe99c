"""One example at least of every transform, by which all are tested alike."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pyro.distributions import transforms
from pyro.distributions.transforms.generalized_channel_permute import (
    ConditionedGeneralizedChannelPermute,
)
from pyro.distributions.transforms.householder import ConditionedHouseholder
from pyro.distributions.transforms.matrix_exponential import ConditionedMatrixExponential
from pyro.distributions.transforms.planar import ConditionedPlanar
from pyro.distributions.transforms.radial import ConditionedRadial
from pyro.distributions.transforms.spline import ConditionedSpline
from pyro.ops.networks import AutoRegressiveNN, DenseNN

SIZE = 4
CONTEXT_SIZE = 2


def unchanged(x: Tensor) -> Tensor:
    return x


def flat(x: Tensor) -> Tensor:
    return x.flatten()


@dataclass(frozen=True)
class Example:
    """A transform, and how to give it values.

    :param make: makes it, or a conditional one.
    :param shape: of one event of values; of independent values where an event is a number.
    :param inside: makes a value of any numbers.
    :param free: the coordinates of a value, and of an image, that determine them.
    :param image_shape: of the image of one event, where it has another.
    """

    make: Callable[[], Any]
    shape: tuple[int, ...] = (SIZE,)
    inside: Callable[[Tensor], Tensor] = unchanged
    free: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = (flat, flat)
    image_shape: tuple[int, ...] | None = None

    def made(self) -> Any:
        """Make it in double precision, at a context if it wants one."""
        made = self.make()
        if isinstance(made, nn.Module):
            made = made.double().eval()
        return made.condition(context()) if hasattr(made, "condition") else made

    def values(self, *batch: int, dtype: torch.dtype = torch.double) -> Tensor:
        return self.inside(torch.randn(*batch, *self.shape, dtype=dtype))


def context(*batch: int) -> Tensor:
    return torch.linspace(-0.5, 0.7, CONTEXT_SIZE).double().expand(*batch, -1)


def doubles(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.double)


def below_diagonal(x: Tensor) -> Tensor:
    return x[torch.ones_like(x, dtype=torch.bool).tril(-1)]


def lower_triangle(x: Tensor) -> Tensor:
    return x[torch.ones_like(x, dtype=torch.bool).tril()]


def all_but_last(x: Tensor) -> Tensor:
    return x[..., :-1]


def positive_definite(x: Tensor) -> Tensor:
    return x @ x.mT + torch.eye(x.size(-1), dtype=x.dtype)


def correlations(x: Tensor) -> Tensor:
    return transforms.biject_to(transforms.CorrMatrixCholeskyTransform.domain)(x)


def autoregressive(**options: Any) -> Any:
    network = AutoRegressiveNN(SIZE, [9], permutation=[2, 0, 3, 1], nonlinearity=nn.Tanh())
    return transforms.AffineAutoregressive(network, **options)


def coupling(**options: Any) -> Any:
    order = options.pop("order", "quadratic")
    count = 3 if order == "quadratic" else 4
    outputs = [2 * bins for bins in [5, 5, 4, 5][:count]]
    return transforms.SplineCoupling(
        SIZE, 2, DenseNN(2, [7], outputs), count_bins=5, order=order, **options
    )


def spline_parameters() -> Any:
    shares = doubles(2, SIZE, 5).softmax(-1).unbind()
    return *shares, doubles(SIZE, 4).exp(), doubles(SIZE, 5).sigmoid()


IMAGE = (3, 1, 2)
T = transforms
EXAMPLES: dict[str, Example] = {
    # A key begins with the name of the helper or the class that it is an example of.
    "AffineAutoregressive": Example(autoregressive),
    "AffineAutoregressive, stable": Example(partial(autoregressive, stable=True)),
    "AffineAutoregressive, clipped": Example(
        partial(autoregressive, log_scale_min_clip=-0.1, log_scale_max_clip=0.01)
    ),
    "AffineAutoregressive, skip": Example(
        lambda: T.AffineAutoregressive(AutoRegressiveNN(SIZE, [], skip_connections=True))
    ),
    "CholeskyTransform": Example(
        T.CholeskyTransform, (3, 3), positive_definite, (lower_triangle, lower_triangle)
    ),
    "ComposeTransformModule": Example(
        lambda: T.ComposeTransformModule(
            [autoregressive(), T.permute(SIZE, [1, 3, 0, 2]), T.planar(SIZE)]
        )
    ),
    "CorrLCholeskyTransform": Example(
        T.CorrLCholeskyTransform, (6,), free=(flat, below_diagonal), image_shape=(4, 4)
    ),
    "CorrMatrixCholeskyTransform": Example(
        T.CorrMatrixCholeskyTransform,
        (3,),
        correlations,
        (below_diagonal, below_diagonal),
        (3, 3),
    ),
    "DiscreteCosineTransform": Example(lambda: T.DiscreteCosineTransform(smooth=1.0)),
    "HaarTransform": Example(lambda: T.HaarTransform(flip=True)),
    "LowerCholeskyAffine": Example(
        lambda: T.LowerCholeskyAffine(doubles(SIZE), doubles(SIZE, SIZE).tril())
    ),
    "Normalize": Example(T.Normalize),
    "OrderedTransform": Example(T.OrderedTransform),
    "Permute": Example(lambda: T.Permute(torch.tensor([2, 0, 3, 1]))),
    "PositiveOrderedTransform": Example(T.PositiveOrderedTransform),
    "PositivePowerTransform": Example(lambda: T.PositivePowerTransform(torch.tensor(1.7))),
    "PositivePowerTransform, several": Example(
        lambda: T.PositivePowerTransform(torch.tensor([0.5, 1.0, 2.0, 3.0]))
    ),
    "SimplexToOrderedTransform": Example(
        lambda: T.SimplexToOrderedTransform(torch.tensor(0.7)),
        (SIZE,),
        lambda x: x.softmax(-1),
        (all_but_last, flat),
        (SIZE - 1,),
    ),
    "SoftplusLowerCholeskyTransform": Example(T.SoftplusLowerCholeskyTransform, (3, 3)),
    "SplineCoupling": Example(coupling),
    "SplineCoupling, linear": Example(partial(coupling, order="linear")),
    "SplineCoupling, identity": Example(partial(coupling, identity=True)),
    "UnitLowerCholeskyTransform": Example(T.UnitLowerCholeskyTransform, (3, 3)),
    "affine_autoregressive": Example(lambda: T.affine_autoregressive(SIZE)),
    "affine_coupling": Example(lambda: T.affine_coupling(SIZE)),
    "affine_coupling, of images": Example(
        lambda: T.affine_coupling(IMAGE, split_dim=2, dim=-3), IMAGE
    ),
    "batchnorm": Example(lambda: T.batchnorm(SIZE)),
    "block_autoregressive": Example(lambda: T.block_autoregressive(SIZE)),
    "block_autoregressive, ELU": Example(
        lambda: T.block_autoregressive(SIZE, residual="normal", activation="ELU")
    ),
    "block_autoregressive, sigmoid": Example(
        lambda: T.block_autoregressive(SIZE, residual="gated", activation="sigmoid")
    ),
    "block_autoregressive, LeakyReLU": Example(
        lambda: T.block_autoregressive(SIZE, hidden_factors=[2], activation="LeakyReLU")
    ),
    "elu": Example(T.elu),
    "generalized_channel_permute": Example(T.generalized_channel_permute, IMAGE),
    "householder": Example(lambda: T.householder(SIZE)),
    "iterated": Example(lambda: T.iterated(2, T.affine_autoregressive, SIZE, [7])),
    "leaky_relu": Example(T.leaky_relu),
    "matrix_exponential": Example(lambda: T.matrix_exponential(SIZE)),
    "matrix_exponential, weight": Example(
        lambda: T.matrix_exponential(SIZE, normalization="weight", bound=0.3)
    ),
    "matrix_exponential, spectral": Example(
        lambda: T.matrix_exponential(SIZE, normalization="spectral", bound=0.3)
    ),
    "neural_autoregressive": Example(lambda: T.neural_autoregressive(SIZE)),
    "neural_autoregressive, tanh": Example(lambda: T.neural_autoregressive(SIZE, None, "tanh", 3)),
    "neural_autoregressive, ELU": Example(lambda: T.neural_autoregressive(SIZE, None, "ELU", 3)),
    "neural_autoregressive, LeakyReLU": Example(
        lambda: T.neural_autoregressive(SIZE, None, "LeakyReLU", 3)
    ),
    "permute": Example(lambda: T.permute(IMAGE, [2, 0, 1], dim=-3), IMAGE),
    "planar": Example(lambda: T.planar(SIZE)),
    "polynomial": Example(lambda: T.polynomial(SIZE)),
    "radial": Example(lambda: T.radial(SIZE)),
    "spline": Example(lambda: T.spline(SIZE)),
    "spline, quadratic": Example(lambda: T.spline(SIZE, order="quadratic", bound=2.0)),
    "spline_autoregressive": Example(lambda: T.spline_autoregressive(SIZE)),
    "spline_autoregressive, quadratic": Example(
        lambda: T.spline_autoregressive(SIZE, order="quadratic")
    ),
    "spline_coupling": Example(lambda: T.spline_coupling(5), (5,)),
    "sylvester": Example(lambda: T.sylvester(SIZE)),
    # Conditional transforms, at a context.
    "conditional_affine_autoregressive": Example(
        lambda: T.conditional_affine_autoregressive(SIZE, CONTEXT_SIZE)
    ),
    "conditional_affine_coupling": Example(
        lambda: T.conditional_affine_coupling(SIZE, CONTEXT_SIZE)
    ),
    "conditional_generalized_channel_permute": Example(
        lambda: T.conditional_generalized_channel_permute(CONTEXT_SIZE), IMAGE
    ),
    "conditional_householder": Example(
        lambda: T.conditional_householder(SIZE, CONTEXT_SIZE, count_transforms=2)
    ),
    "conditional_matrix_exponential": Example(
        lambda: T.conditional_matrix_exponential(SIZE, CONTEXT_SIZE)
    ),
    "conditional_neural_autoregressive": Example(
        lambda: T.conditional_neural_autoregressive(SIZE, CONTEXT_SIZE)
    ),
    "conditional_planar": Example(lambda: T.conditional_planar(SIZE, CONTEXT_SIZE)),
    "conditional_radial": Example(lambda: T.conditional_radial(SIZE, CONTEXT_SIZE)),
    "conditional_spline": Example(lambda: T.conditional_spline(SIZE, CONTEXT_SIZE)),
    "conditional_spline, quadratic": Example(
        lambda: T.conditional_spline(SIZE, CONTEXT_SIZE, order="quadratic")
    ),
    "conditional_spline_autoregressive": Example(
        lambda: T.conditional_spline_autoregressive(SIZE, CONTEXT_SIZE)
    ),
    # Transforms whose parameters are given, not learnt.
    "ConditionedGeneralizedChannelPermute": Example(
        lambda: ConditionedGeneralizedChannelPermute(torch.eye(3).flip(0), doubles(3, 3)), IMAGE
    ),
    "ConditionedHouseholder": Example(lambda: ConditionedHouseholder(doubles(3, SIZE))),
    "ConditionedMatrixExponential": Example(
        lambda: ConditionedMatrixExponential(doubles(SIZE, SIZE))
    ),
    "ConditionedPlanar": Example(
        lambda: ConditionedPlanar((doubles(1), doubles(SIZE), doubles(SIZE)))
    ),
    "ConditionedRadial": Example(
        lambda: ConditionedRadial((doubles(SIZE), doubles(1), doubles(1)))
    ),
    "ConditionedSpline": Example(lambda: ConditionedSpline(spline_parameters())),
}

BIJECTIONS = {name: row for name, row in EXAMPLES.items() if row.made().bijective}
MODULES = {name: row for name, row in EXAMPLES.items() if isinstance(row.make(), nn.Module)}
CONDITIONAL = {name: row for name, row in MODULES.items() if hasattr(row.make(), "condition")}
FLOWS = {name: row for name, row in MODULES.items() if name not in CONDITIONAL}
