"""Linear flows by the exponential of a matrix."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import pyro.distributions.constraints as constraints
from pyro.distributions.conditional_transforms import ConditionalTransformModule
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms.conditioned import (
    AtContext,
    ConditionedTransform,
    unflattened,
)
from pyro.ops.expm_action import expm_action
from pyro.ops.networks import DenseNN

__all__ = [
    "ConditionalMatrixExponential",
    "ConditionedMatrixExponential",
    "MatrixExponential",
    "conditional_matrix_exponential",
    "matrix_exponential",
]

_NORMS = {"weight": "fro", "spectral": 2}


class ConditionedMatrixExponential(ConditionedTransform):
    r"""Multiply a vector by the exponential of a given matrix: :math:`y = e^M x`.

    The inverse multiplies by :math:`e^{-M}`, and the log-determinant is the trace of :math:`M`,
    whatever the matrix. Power series are summed to rounding.

    :param weights: :math:`M`, shape ``(…, D, D)``; or a function that returns it.
    :param iterations: how many terms of the series to take at least.
    :param normalization: what norm of the matrix is bounded: ``"weight"``, the root of the sum of
        squares, ``"spectral"``, the greatest factor by which it stretches, or ``"none"``.
    :param bound: the bound; a matrix of a greater norm is scaled down to it.
    :raises ValueError: where ``normalization`` is another, or wants a bound that is not there.

    >>> turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]]) * math.pi
    >>> ConditionedMatrixExponential(turn)(torch.tensor([1.0, 2.0]))
    tensor([-1.0000, -2.0000])

    Sources: Hoogeboom, Garcia Satorras, Tomczak and Welling 2020, *The Convolution Exponential and
    Generalized Sylvester Flows*, arXiv:2006.01910; Miyato, Kataoka, Koyama and Yoshida 2018,
    *Spectral Normalization for Generative Adversarial Networks*, arXiv:1802.05957.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(
        self,
        weights: Tensor | Callable[[], Tensor] | None = None,
        iterations: int = 8,
        normalization: str = "none",
        bound: float | None = None,
    ) -> None:
        super().__init__(weights)
        self._set_options(iterations, normalization, bound)

    def _set_options(self, iterations: int, normalization: str, bound: float | None) -> None:
        _check_options(normalization, bound)
        self.iterations = iterations
        self.normalization = normalization
        self.bound = bound

    def _matrix(self) -> Tensor:
        matrix: Tensor = self._parameters_now()
        if self.normalization == "none":
            return matrix
        norm = torch.linalg.matrix_norm(matrix, _NORMS[self.normalization], keepdim=True)
        scaled: Tensor = matrix * (self.bound / norm).clamp(max=1)
        return scaled

    def _call(self, x: Tensor) -> Tensor:
        matrix = self._matrix()
        self._keep(x, matrix)
        return expm_action(matrix, x, self.iterations)

    def _inverse(self, y: Tensor) -> Tensor:
        matrix = self._matrix()
        x = expm_action(-matrix, y, self.iterations)
        self._keep(x, matrix)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the trace of the matrix.

        :param x: a vector.
        :param y: its image.
        """
        matrix = self._kept_at(x)
        if matrix is None:
            matrix = self._matrix()
        trace: Tensor = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
        return trace.expand(torch.broadcast_shapes(trace.shape, x.shape[:-1]))


def _check_options(normalization: str, bound: float | None) -> None:
    if normalization not in ("none", *_NORMS):
        raise ValueError(
            f"A matrix exponential's 'normalization' is 'none', 'weight' or 'spectral', not "
            f"{normalization!r}."
        )
    if normalization != "none" and not (bound is not None and bound > 0):
        raise ValueError(
            f"normalization={normalization!r} keeps a norm within 'bound', which is positive; got "
            f"{bound}."
        )


class MatrixExponential(ConditionedMatrixExponential, TransformModule):
    """Multiply a vector by the exponential of a matrix to be learnt.

    See :class:`ConditionedMatrixExponential`.

    :param input_dim: the size of the vector.
    :param iterations: how many terms of the series to take at least.
    :param normalization: what norm of the matrix is bounded.
    :param bound: the bound.
    :raises ValueError: as there.

    >>> MatrixExponential(3)(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    weights: nn.Parameter

    def __init__(
        self,
        input_dim: int,
        iterations: int = 8,
        normalization: str = "none",
        bound: float | None = None,
    ) -> None:
        super(ConditionedMatrixExponential, self).__init__()
        self._set_options(iterations, normalization, bound)
        self.input_dim = input_dim
        self.weights = nn.Parameter(torch.empty(input_dim, input_dim))
        self.reset_parameters()

    def _parameters_now(self) -> Tensor:
        return self.weights

    def reset_parameters(self) -> None:
        """Draw the matrix anew, uniform with variance about one over the size."""
        bound = 1 / math.sqrt(self.input_dim)
        nn.init.uniform_(self.weights, -bound, bound)


class ConditionalMatrixExponential(ConditionalTransformModule):
    """Multiply a vector by the exponential of a matrix that a network computes from a context.

    :param input_dim: the size ``D`` of the vector.
    :param nn: maps a context to the matrix, ``(…, D * D)``.
    :param iterations: how many terms of the series to take at least.
    :param normalization: what norm of the matrix is bounded.
    :param bound: the bound.
    :raises ValueError: as for :class:`ConditionedMatrixExponential`.

    >>> flow = conditional_matrix_exponential(3, context_dim=2)
    >>> flow.condition(torch.ones(5, 2))(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(
        self,
        input_dim: int,
        nn: Callable[[Tensor], Tensor],
        iterations: int = 8,
        normalization: str = "none",
        bound: float | None = None,
    ) -> None:
        super().__init__()
        _check_options(normalization, bound)
        self.input_dim = input_dim
        self.nn = nn
        self.iterations = iterations
        self.normalization = normalization
        self.bound = bound

    def condition(self, context: Any) -> ConditionedMatrixExponential:
        """Return the flow at a context; it has the same network.

        :param context: what the network takes.
        """
        sizes = self.input_dim, self.input_dim
        weights = AtContext(self.nn, context, partial(unflattened, sizes=sizes))
        return ConditionedMatrixExponential(
            weights, self.iterations, self.normalization, self.bound
        )


def matrix_exponential(
    input_dim: int, iterations: int = 8, normalization: str = "none", bound: float | None = None
) -> MatrixExponential:
    """Make a :class:`MatrixExponential`.

    :param input_dim: the size of the vector.
    :param iterations: how many terms of the series to take at least.
    :param normalization: what norm of the matrix is bounded.
    :param bound: the bound.

    >>> matrix_exponential(2, normalization="spectral", bound=0.5).bound
    0.5
    """
    return MatrixExponential(input_dim, iterations, normalization, bound)


def conditional_matrix_exponential(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    iterations: int = 8,
    normalization: str = "none",
    bound: float | None = None,
) -> ConditionalMatrixExponential:
    """Make a :class:`ConditionalMatrixExponential` with a dense network.

    :param input_dim: the size of the vector.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the network's hidden layers; two of ``10 * input_dim`` if None.
    :param iterations: how many terms of the series to take at least.
    :param normalization: what norm of the matrix is bounded.
    :param bound: the bound.

    >>> conditional_matrix_exponential(3, 2).nn.param_dims
    [9]
    """
    sizes = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    network = DenseNN(context_dim, sizes, [input_dim * input_dim])
    return ConditionalMatrixExponential(input_dim, network, iterations, normalization, bound)
