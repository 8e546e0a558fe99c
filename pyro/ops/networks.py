"""Networks that give the parameters of a law: dense ones, and autoregressive ones by masking."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor, nn

Parameters = Tensor | tuple[Tensor, ...]


def _check_dims(what: str, dims: Sequence[int]) -> None:
    if not all(isinstance(dim, Integral) and dim > 0 for dim in dims):
        raise ValueError(f"{what} must be positive integers, got {dims!r}.")


def _with_context(x: Tensor, context: Tensor) -> Tensor:
    """Put a context before inputs, both at one batch shape."""
    batch = torch.broadcast_shapes(x.shape[:-1], context.shape[:-1])
    return torch.cat([context.expand(*batch, -1), x.expand(*batch, -1)], -1)


def _one_or_all(parameters: Sequence[Tensor]) -> Parameters:
    return parameters[0] if len(parameters) == 1 else tuple(parameters)


class ConditionalDenseNN(nn.Module):
    """A fully connected network that gives the parameters of a law, from an input and a context.

    :param input_dim: the size of the input.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the hidden layers, from the input on; none makes it affine.
    :param param_dims: the sizes of the parameters.
    :param nonlinearity: what each hidden layer applies.
    :raises ValueError: where a size is not positive.

    >>> net = ConditionalDenseNN(2, 3, [16, 16], param_dims=[1, 4])
    >>> loc, logits = net(torch.randn(10, 2), torch.randn(3))
    >>> loc.shape, logits.shape
    (torch.Size([10, 1]), torch.Size([10, 4]))
    """

    def __init__(
        self,
        input_dim: int,
        context_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        nonlinearity: Callable[[Tensor], Tensor] = nn.ReLU(),
    ) -> None:
        super().__init__()
        sizes = [input_dim + context_dim, *hidden_dims, sum(param_dims)]
        _check_dims("The sizes of the layers", sizes)
        _check_dims("param_dims", param_dims)
        self.input_dim = input_dim
        self.context_dim = context_dim
        self.hidden_dims = list(hidden_dims)
        self.param_dims = list(param_dims)
        self.count_params = len(param_dims)
        self.output_multiplier = sum(param_dims)
        self.layers = nn.ModuleList(nn.Linear(*ends) for ends in pairwise(sizes))
        self.f = nonlinearity

    def forward(self, x: Tensor, context: Tensor) -> Parameters:
        """Compute the parameters.

        :param x: inputs, ``(…, input_dim)``.
        :param context: contexts, ``(…, context_dim)``, whose batch broadcasts with that of ``x``.
        :returns: one tensor ``(…, n)`` for each ``n`` in ``param_dims``: a tuple of them, or where
            there is one, that.
        """
        return self._parameters_at(_with_context(x, context))

    def _parameters_at(self, inputs: Tensor) -> Parameters:
        hidden = inputs
        for layer in self.layers[:-1]:
            hidden = self.f(layer(hidden))
        return _one_or_all(self.layers[-1](hidden).split(self.param_dims, -1))


class DenseNN(ConditionalDenseNN):
    """A fully connected network that gives the parameters of a law.

    :param input_dim: the size of the input.
    :param hidden_dims: the sizes of the hidden layers, from the input on; none makes it affine.
    :param param_dims: the sizes of the parameters.
    :param nonlinearity: what each hidden layer applies.
    :raises ValueError: where a size is not positive.

    >>> loc, log_scale = DenseNN(2, [16], param_dims=[3, 3])(torch.randn(10, 2))
    >>> loc.shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        nonlinearity: Callable[[Tensor], Tensor] = nn.ReLU(),
    ) -> None:
        super().__init__(input_dim, 0, hidden_dims, param_dims, nonlinearity)

    def forward(self, x: Tensor) -> Parameters:  # type: ignore[override]
        """Compute the parameters.

        :param x: inputs, ``(…, input_dim)``.
        :returns: one tensor ``(…, n)`` for each ``n`` in ``param_dims``: a tuple of them, or where
            there is one, that.
        """
        return self._parameters_at(x)


def sample_mask_indices(input_dim: int, hidden_dim: int, simple: bool = True) -> Tensor:
    """Choose the degrees of hidden units: how far in the order each may see.

    They rise from 1 to ``input_dim`` in even steps. With as many units as degrees each one occurs.

    :param input_dim: the greatest degree.
    :param hidden_dim: the number of units.
    :param simple: round each step to the nearest degree; else at random, up or down, right in the
        mean.
    :returns: the degrees, a vector of floats.

    >>> sample_mask_indices(3, 6)
    tensor([1., 1., 2., 2., 3., 3.])
    """
    steps = torch.linspace(1, input_dim, hidden_dim)
    return steps.round() if simple else (steps + torch.rand(hidden_dim)).floor()


def _sees(degrees: Tensor, below: Tensor) -> Tensor:
    return degrees.unsqueeze(-1) >= below


def create_mask(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int],
    permutation: Tensor,
    output_dim_multiplier: int,
) -> tuple[list[Tensor], Tensor]:
    r"""Make the masks by which layers give every output only the inputs before it in an order.

    A unit of degree :math:`m` sees, of the layer below, the units of degree at most :math:`m`. A
    context has degree 0 and the :math:`i`-th input of the order degree :math:`i`; the outputs that
    belong to that input have degree :math:`i - 1`.

    :param input_dim: the number of inputs.
    :param context_dim: the number of numbers in a context; they stand before the inputs.
    :param hidden_dims: the sizes of the hidden layers, from the input on.
    :param permutation: the order, the indices of the inputs.
    :param output_dim_multiplier: how many outputs belong to each input.
    :returns: a mask ``(out, in)`` for each layer, of zeros and ones, and one for a layer that leads
        from the inputs straight to the outputs. Output :math:`k \cdot D + d` belongs to input
        :math:`d` of :math:`D`.

    >>> masks, skip = create_mask(3, 0, [4], torch.tensor([0, 1, 2]), 1)
    >>> masks[1] @ masks[0]
    tensor([[0., 0., 0.],
            [2., 0., 0.],
            [4., 2., 0.]])
    >>> skip
    tensor([[0., 0., 0.],
            [1., 0., 0.],
            [1., 1., 0.]])

    Source: Germain, Gregor, Murray and Larochelle 2015, *MADE: Masked Autoencoder for Distribution
    Estimation*, arXiv:1502.03509.
    """
    ranks = 1.0 + permutation.argsort().cpu()
    inputs = torch.cat([torch.zeros(context_dim), ranks])
    outputs = (ranks - 1).repeat(output_dim_multiplier)
    # A hidden unit is of use from the degree of the least input, 0 for a context, up to that of the
    # last output, input_dim - 1.
    if context_dim:
        hidden = [sample_mask_indices(input_dim, size) - 1 for size in hidden_dims]
    else:
        hidden = [sample_mask_indices(max(input_dim - 1, 1), size) for size in hidden_dims]
    layers = [inputs, *hidden, outputs]
    dtype = torch.get_default_dtype()
    masks = [_sees(above, below).to(dtype) for below, above in pairwise(layers)]
    return masks, _sees(outputs, inputs).to(dtype)


class MaskedLinear(nn.Linear):
    """An affine layer some of whose weights are zero for good.

    :param in_features: the number of inputs.
    :param out_features: the number of outputs.
    :param mask: ``(out_features, in_features)``, zero where there is no connection, else one.
    :param bias: whether to add a learnable constant.
    :raises ValueError: where the mask is of another shape.

    >>> layer = MaskedLinear(2, 1, torch.tensor([[1.0, 0.0]]))
    >>> bool(layer(torch.tensor([1.0, 2.0])) == layer(torch.tensor([1.0, 3.0])))
    True
    """

    mask: Tensor

    def __init__(
        self, in_features: int, out_features: int, mask: Tensor, bias: bool = True
    ) -> None:
        super().__init__(in_features, out_features, bias)
        if mask.shape != self.weight.shape:
            raise ValueError(
                f"The mask has shape {tuple(mask.shape)}, expected {tuple(self.weight.shape)}: a "
                "row for each output, a column for each input."
            )
        self.register_buffer("mask", mask)

    def forward(self, _input: Tensor) -> Tensor:
        """Apply the layer.

        :param _input: inputs, ``(…, in_features)``.
        :returns: outputs, ``(…, out_features)``.
        """
        return nn.functional.linear(_input, self.weight * self.mask, self.bias)


class ConditionalAutoRegressiveNN(nn.Module):
    r"""A network whose outputs for an input depend on the inputs before it and on a context alone.

    In the order of ``permutation`` the Jacobian of each parameter with respect to the inputs is
    strictly lower triangular, so that :math:`p(x) = \prod_i p(x_i \mid x_{<i}, c)` is evaluated in
    one pass. Masks see to it: :func:`create_mask`.

    :param input_dim: the number :math:`D` of inputs.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the hidden layers, from the input on, each at least
        ``input_dim``; none makes it affine.
    :param param_dims: how many numbers each parameter holds for each input.
    :param permutation: the order, the indices of the inputs; one at random if None.
    :param skip_connections: add a layer that leads from the inputs straight to the outputs.
    :param nonlinearity: what each hidden layer applies.
    :raises ValueError: where a size is not positive, a hidden layer is smaller than the input, or
        the permutation is none.

    >>> net = ConditionalAutoRegressiveNN(3, 2, [8], param_dims=[1, 1])
    >>> loc, log_scale = net(torch.randn(10, 3), torch.randn(2))
    >>> loc.shape
    torch.Size([10, 3])

    Source: Germain, Gregor, Murray and Larochelle 2015, *MADE: Masked Autoencoder for Distribution
    Estimation*, arXiv:1502.03509.
    """

    permutation: Tensor

    def __init__(
        self,
        input_dim: int,
        context_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        permutation: Tensor | Sequence[int] | None = None,
        skip_connections: bool = False,
        nonlinearity: Callable[[Tensor], Tensor] = nn.ReLU(),
    ) -> None:
        super().__init__()
        _check_dims("input_dim, hidden_dims and param_dims", [input_dim, *hidden_dims, *param_dims])
        if not param_dims:
            raise ValueError("param_dims is empty; give the size of one parameter at least.")
        if any(size < input_dim for size in hidden_dims):
            raise ValueError(
                f"A hidden layer in {list(hidden_dims)} is smaller than the input, {input_dim}, so "
                "that not every output could depend on all inputs before it. Use larger "
                "hidden_dims."
            )
        self.input_dim = input_dim
        self.context_dim = context_dim
        self.hidden_dims = list(hidden_dims)
        self.param_dims = list(param_dims)
        self.count_params = len(param_dims)
        self.output_multiplier = sum(param_dims)
        self.register_buffer("permutation", _order(input_dim, permutation))
        outputs = input_dim * self.output_multiplier
        sizes = [input_dim + context_dim, *hidden_dims, outputs]
        masks, straight = create_mask(
            input_dim, context_dim, hidden_dims, self.permutation, self.output_multiplier
        )
        self.layers = nn.ModuleList(
            MaskedLinear(*ends, mask) for ends, mask in zip(pairwise(sizes), masks, strict=True)
        )
        self.skip_layer = (
            MaskedLinear(sizes[0], outputs, straight, bias=False) if skip_connections else None
        )
        self.f = nonlinearity

    def get_permutation(self) -> Tensor:
        """Return the order of the inputs."""
        return self.permutation

    def forward(self, x: Tensor, context: Tensor) -> Parameters:
        """Compute the parameters.

        :param x: inputs, ``(…, input_dim)``.
        :param context: contexts, ``(…, context_dim)``, whose batch broadcasts with that of ``x``.
        :returns: one tensor ``(…, n, input_dim)`` for each ``n`` in ``param_dims``, or where all
            are one, ``(…, input_dim)``: a tuple of them, or where there is one, that.
        """
        return self._parameters_at(_with_context(x, context))

    def _parameters_at(self, inputs: Tensor) -> Parameters:
        hidden = inputs
        for layer in self.layers[:-1]:
            hidden = self.f(layer(hidden))
        output = self.layers[-1](hidden)
        if self.skip_layer is not None:
            output = output + self.skip_layer(inputs)
        output = output.unflatten(-1, (self.output_multiplier, self.input_dim))
        if self.count_params == self.output_multiplier:
            return _one_or_all(output.unbind(-2))
        return _one_or_all(output.split(self.param_dims, -2))


def _order(input_dim: int, permutation: Tensor | Sequence[int] | None) -> Tensor:
    if permutation is None:
        return torch.randperm(input_dim)
    order = torch.as_tensor(permutation).long()
    if sorted(order.tolist()) != list(range(input_dim)):
        raise ValueError(
            f"permutation must hold each of 0, …, {input_dim - 1} once, got {order.tolist()}."
        )
    return order


class AutoRegressiveNN(ConditionalAutoRegressiveNN):
    """A network whose outputs for an input depend on the inputs before it alone.

    :param input_dim: the number of inputs.
    :param hidden_dims: the sizes of the hidden layers, from the input on, each at least
        ``input_dim``; none makes it affine.
    :param param_dims: how many numbers each parameter holds for each input.
    :param permutation: the order, the indices of the inputs; one at random if None.
    :param skip_connections: add a layer that leads from the inputs straight to the outputs.
    :param nonlinearity: what each hidden layer applies.
    :raises ValueError: where a size is not positive, a hidden layer is smaller than the input, or
        the permutation is none.

    >>> net = AutoRegressiveNN(3, [8], param_dims=[1], permutation=[0, 1, 2])
    >>> torch.autograd.functional.jacobian(net, torch.randn(3)).triu().abs().max().item()
    0.0

    Source: Germain, Gregor, Murray and Larochelle 2015, *MADE: Masked Autoencoder for Distribution
    Estimation*, arXiv:1502.03509.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        permutation: Tensor | Sequence[int] | None = None,
        skip_connections: bool = False,
        nonlinearity: Callable[[Tensor], Tensor] = nn.ReLU(),
    ) -> None:
        super().__init__(
            input_dim, 0, hidden_dims, param_dims, permutation, skip_connections, nonlinearity
        )

    def forward(self, x: Tensor) -> Parameters:  # type: ignore[override]
        """Compute the parameters.

        :param x: inputs, ``(…, input_dim)``.
        :returns: one tensor ``(…, n, input_dim)`` for each ``n`` in ``param_dims``, or where all
            are one, ``(…, input_dim)``: a tuple of them, or where there is one, that.
        """
        return self._parameters_at(x)
