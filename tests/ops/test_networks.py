"""Networks for parameters: shapes, and that autoregressive ones depend on just what they may."""

import copy
import io
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pyro.ops.networks import (
    AutoRegressiveNN,
    ConditionalAutoRegressiveNN,
    ConditionalDenseNN,
    DenseNN,
    MaskedLinear,
    create_mask,
    sample_mask_indices,
)
from tests.helpers import assert_close, assert_mean

ORDERS = {1: [0], 2: [1, 0], 3: [2, 0, 1], 5: [3, 0, 4, 1, 2]}
HIDDEN: list[list[int]] = [[], [11], [7, 5], [5, 5, 6]]


def jacobian(fn: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """d output / d input, the outputs flattened."""
    rows: Tensor = torch.autograd.functional.jacobian(lambda y: fn(y).flatten(), x)
    return rows


def stacked(output: Any, input_dim: int) -> Tensor:
    """All parameters of a network, ``(sum(param_dims), input_dim)``."""
    parts = [output] if isinstance(output, Tensor) else output
    return torch.cat([part.reshape(-1, input_dim) for part in parts])


def precedes(order: list[int]) -> Tensor:
    """By input d (row) and input e (column): whether e comes before d in the order."""
    return torch.tensor([[order.index(e) < order.index(d) for e in order] for d in sorted(order)])[
        :, torch.tensor(order).argsort()
    ]


def paths(masks: list[Tensor], source: int, target: int) -> int:
    """Number of ways from an input to an output, each walked by itself."""
    count = 0
    for hidden in itertools.product(*(range(len(mask)) for mask in masks[:-1])):
        nodes = [source, *hidden, target]
        steps = zip(masks, itertools.pairwise(nodes), strict=True)
        count += all(mask[above, below] == 1 for mask, (below, above) in steps)
    return count


def test_what_precedes() -> None:
    assert precedes([2, 0, 1]).tolist() == [
        [False, False, True],
        [True, False, True],
        [False, False, False],
    ]


class TestDense:
    @pytest.mark.parametrize("hidden", HIDDEN)
    @pytest.mark.parametrize("dims", [[1, 1], [2], [1, 3, 2]])
    def test_shapes(self, hidden: list[int], dims: list[int]) -> None:
        x, context = torch.randn(7, 1, 5), torch.randn(3, 2)
        for output, batch in (
            (DenseNN(5, hidden, dims)(x), (7, 1)),
            (ConditionalDenseNN(5, 2, hidden, dims)(x, context), (7, 3)),
        ):
            assert isinstance(output, Tensor) == (len(dims) == 1)
            outputs = [output] if isinstance(output, Tensor) else output
            assert [tuple(o.shape) for o in outputs] == [(*batch, n) for n in dims]

    def test_it_computes_layer_by_layer(self) -> None:
        net = ConditionalDenseNN(2, 1, [4, 3], [1, 2], nonlinearity=nn.Tanh()).double()
        x, context = torch.randn(5, 2).double(), torch.randn(5, 1).double()
        hidden = torch.cat([context, x], -1)
        for layer in (net.layers[0], net.layers[1]):
            hidden = torch.tanh(hidden @ layer.weight.T + layer.bias)
        expected = hidden @ net.layers[2].weight.T + net.layers[2].bias
        assert_close(torch.cat(list(net(x, context)), -1), expected)
        plain = DenseNN(3, [4, 3], [1, 2], nonlinearity=nn.Tanh()).double()
        plain.load_state_dict(net.state_dict())
        assert_close(list(plain(torch.cat([context, x], -1))), list(net(x, context)))

    def test_a_nonlinearity_may_learn(self) -> None:
        names = [name for name, _ in DenseNN(1, [2], nonlinearity=nn.PReLU()).named_parameters()]
        assert names[-1] == "f.weight"

    def test_networks_share_no_defaults(self) -> None:
        one, other = DenseNN(1, [2]), DenseNN(1, [2])
        one.param_dims.append(3)
        assert other.param_dims == [1, 1]

    @pytest.mark.parametrize("wrong", [(0, [3]), (2, [0]), (2, [3], [0]), (2, [3], [])])
    def test_sizes_that_are_not_positive_are_refused(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match="must be positive integers"):
            DenseNN(*wrong)


class TestMasks:
    @pytest.mark.parametrize("input_dim", [1, 2, 5])
    @pytest.mark.parametrize("hidden_dim", [5, 6, 23])
    @pytest.mark.parametrize("simple", [True, False])
    def test_degrees_are_all_there(self, input_dim: int, hidden_dim: int, simple: bool) -> None:
        degrees = sample_mask_indices(input_dim, hidden_dim, simple)
        assert degrees.shape == (hidden_dim,)
        assert set(degrees.tolist()) <= set(range(1, input_dim + 1))
        if simple:
            assert set(degrees.tolist()) == set(range(1, input_dim + 1))
            assert (degrees.diff() >= 0).all()

    def test_degrees_at_random_are_even_in_the_mean(self) -> None:
        draws = torch.stack([sample_mask_indices(4, 6, simple=False) for _ in range(2000)])
        steps = [1.0, 1.6, 2.2, 2.8, 3.4, 4.0]
        assert (draws[:, [0, -1]] == torch.tensor([1.0, 4.0])).all()
        assert_mean(draws[:, 1:-1], steps[1:-1])

    @pytest.mark.parametrize("input_dim", [1, 2, 3])
    @pytest.mark.parametrize("context_dim", [0, 2])
    @pytest.mark.parametrize("hidden", [[], [4], [3, 4], [4, 3, 3]])
    def test_there_is_a_way_from_just_what_precedes(
        self, input_dim: int, context_dim: int, hidden: list[int]
    ) -> None:
        order = ORDERS[input_dim]
        masks, straight = create_mask(input_dim, context_dim, hidden, torch.tensor(order), 2)
        sizes = [context_dim + input_dim, *hidden, 2 * input_dim]
        assert [mask.shape for mask in masks] == [(b, a) for a, b in itertools.pairwise(sizes)]
        allowed = torch.cat([torch.ones(input_dim, context_dim).bool(), precedes(order)], -1)
        for output, source in itertools.product(range(2 * input_dim), range(sizes[0])):
            may = bool(allowed[output % input_dim, source])
            assert (paths(masks, source, output) > 0) == may
            assert bool(straight[output, source]) == may

    def test_a_masked_weight_is_zero_for_good(self) -> None:
        mask = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
        layer = MaskedLinear(3, 2, mask)
        assert_close(layer(torch.eye(3)), (layer.weight * mask).T + layer.bias)
        layer(torch.ones(3)).sum().backward()
        assert_close(layer.weight.grad, mask)
        assert list(layer.state_dict()) == ["weight", "bias", "mask"]
        assert MaskedLinear(3, 2, mask, bias=False).bias is None

    def test_a_mask_of_another_shape_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"mask has shape \(3, 2\), expected \(2, 3\)"):
            MaskedLinear(3, 2, torch.ones(3, 2))


class TestAutoRegressive:
    @pytest.mark.parametrize("input_dim", [1, 2, 5])
    @pytest.mark.parametrize("hidden", HIDDEN)
    @pytest.mark.parametrize("dims", [[1], [1, 1], [2, 3]])
    @pytest.mark.parametrize("skip", [False, True])
    def test_the_jacobian_is_strictly_triangular_and_full(
        self, input_dim: int, hidden: list[int], dims: list[int], skip: bool
    ) -> None:
        order = ORDERS[input_dim]
        net = AutoRegressiveNN(input_dim, hidden, dims, order, skip, nn.Tanh()).double()
        x = torch.randn(input_dim, dtype=torch.double)
        rows = jacobian(lambda y: stacked(net(y), input_dim), x)
        depends = (rows != 0).reshape(-1, input_dim, input_dim)
        assert (depends == precedes(order)).all()

    @pytest.mark.parametrize("input_dim", [1, 2, 5])
    @pytest.mark.parametrize("hidden", HIDDEN)
    @pytest.mark.parametrize("skip", [False, True])
    def test_a_context_reaches_every_output(
        self, input_dim: int, hidden: list[int], skip: bool
    ) -> None:
        order = ORDERS[input_dim]
        net = ConditionalAutoRegressiveNN(input_dim, 3, hidden, [1, 2], order, skip, nn.Tanh())
        net.double()
        x, context = torch.randn(input_dim).double(), torch.randn(3).double()
        by_context = jacobian(lambda c: stacked(net(x, c), input_dim), context)
        assert (by_context != 0).all()
        by_input = jacobian(lambda y: stacked(net(y, context), input_dim), x)
        assert ((by_input != 0).reshape(3, input_dim, input_dim) == precedes(order)).all()

    def test_gradients_agree_with_finite_differences(self) -> None:
        net = ConditionalAutoRegressiveNN(3, 2, [5], [1, 2], skip_connections=True).double()
        net.f = nn.Tanh()
        inputs = [torch.randn(4, n, dtype=torch.double, requires_grad=True) for n in (3, 2)]
        assert torch.autograd.gradcheck(net, inputs)

    @pytest.mark.parametrize(
        ("dims", "shapes"),
        [
            ([1], [(7, 3, 5)]),
            ([1, 1], [(7, 3, 5), (7, 3, 5)]),
            ([2], [(7, 3, 2, 5)]),
            ([1, 2], [(7, 3, 1, 5), (7, 3, 2, 5)]),
        ],
    )
    def test_shapes(self, dims: list[int], shapes: list[Any]) -> None:
        x = torch.randn(7, 3, 5)
        for output in (
            AutoRegressiveNN(5, [6], dims)(x),
            ConditionalAutoRegressiveNN(5, 2, [6], dims)(x, torch.randn(2)),
            ConditionalAutoRegressiveNN(5, 2, [6], dims)(x[:, :1], torch.randn(3, 2)),
        ):
            assert isinstance(output, Tensor) == (len(dims) == 1)
            outputs = [output] if isinstance(output, Tensor) else output
            assert [tuple(o.shape) for o in outputs] == shapes

    def test_the_order_is_given_or_drawn(self) -> None:
        given = AutoRegressiveNN(3, [4], permutation=torch.tensor([2, 0, 1]))
        assert given.get_permutation().tolist() == [2, 0, 1]
        drawn = {tuple(AutoRegressiveNN(3, [4]).get_permutation().tolist()) for _ in range(50)}
        assert len(drawn) == 6

    def test_order_and_masks_travel_with_the_state(self) -> None:
        net = AutoRegressiveNN(3, [4], permutation=[2, 0, 1], skip_connections=True)
        file = io.BytesIO()
        torch.save(net.state_dict(), file)
        file.seek(0)
        twin = AutoRegressiveNN(3, [4], permutation=[0, 1, 2], skip_connections=True)
        twin.load_state_dict(torch.load(file))
        x = torch.randn(6, 3)
        assert_close(list(twin(x)), list(net(x)))
        assert_close(list(copy.deepcopy(net)(x)), list(net(x)))
        assert twin.get_permutation().tolist() == [2, 0, 1]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"hidden_dims": [3]}, r"hidden layer in \[3\] is smaller than the input, 4"),
            ({"permutation": [0, 0, 1, 2]}, "must hold each of 0, …, 3 once, got"),
            ({"permutation": [0, 1]}, "must hold each of 0, …, 3 once, got"),
            ({"param_dims": []}, "param_dims is empty"),
            ({"param_dims": [0, 1]}, "must be positive integers, got"),
            ({"input_dim": 0}, "must be positive integers, got"),
        ],
    )
    def test_wrong_arguments_are_refused(self, arguments: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            AutoRegressiveNN(**{"input_dim": 4, "hidden_dims": [8], **arguments})
