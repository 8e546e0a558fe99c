"""Transforms that learn: inverses, determinants, memory, copies, contexts."""

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pyro.distributions as dist
from pyro.distributions import transforms
from pyro.distributions.conditional import (
    ConditionalComposeTransformModule,
    ConditionalTransformedDistribution,
    ConstantConditionalDistribution,
    ConstantConditionalTransform,
)
from pyro.distributions.transforms import ComposeTransformModule, iterated
from pyro.distributions.transforms.planar import ConditionedPlanar
from pyro.distributions.transforms.utils import clamp_preserve_gradients
from pyro.ops.networks import AutoRegressiveNN
from pyro.params.module_swap import lend_parameter, restore_parameters
from tests.helpers import assert_close


def test_a_lent_parameter_counts_as_a_change() -> None:
    flow, x = transforms.planar(2), torch.ones(2)
    with torch.no_grad():
        flow.bias.fill_(0.3)

    images = []
    for value in (0.5, 1.5):
        lend_parameter(flow, "u", torch.full((2,), value))
        images.append(flow(x))
    restore_parameters(flow)
    for value, image in zip((0.5, 1.5), images, strict=True):
        params = flow.bias, torch.full((2,), value), flow.w
        assert_close(image, ConditionedPlanar(params)(x))


def test_affine_autoregressive_is_what_its_formula_says() -> None:
    class Network(nn.Module):
        permutation = torch.arange(3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            before = torch.cat([torch.ones_like(x[..., :1]), x[..., :-1]], -1)
            return 0.1 * before, 0.2 * before

    x = torch.tensor([1.0, 2.0, 3.0])
    before = torch.tensor([1.0, 1.0, 2.0])
    affine = transforms.AffineAutoregressive(Network())
    assert_close(affine(x), 0.1 * before + (0.2 * before).exp() * x)
    stable = transforms.AffineAutoregressive(Network(), stable=True, sigmoid_bias=1.5)
    weight = torch.sigmoid(0.2 * before + 1.5)
    assert_close(stable(x), weight * x + (1 - weight) * 0.1 * before)
    clipped = transforms.AffineAutoregressive(
        Network(), log_scale_min_clip=0.25, log_scale_max_clip=0.3
    )
    assert_close(clipped.log_abs_det_jacobian(x, clipped(x)), 0.25 + 0.25 + 0.3)


def test_planar_is_invertible_whatever_its_parameters() -> None:
    y = torch.randn(20, 3).double()
    for scale in (0.1, 3.0, 30.0):
        params = torch.randn(1), scale * torch.randn(3), scale * torch.randn(3)
        flow = ConditionedPlanar(tuple(p.double() for p in params))  # type: ignore[arg-type]
        x = flow.inv(y)
        assert_close(copy.deepcopy(flow)(x), y)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_the_inverse_follows_the_order_of_the_network(order: Any) -> None:
    network = AutoRegressiveNN(3, [8], permutation=list(order)).double()
    flow, y = transforms.AffineAutoregressive(network), torch.randn(5, 3).double()
    assert_close(copy.deepcopy(flow)(flow.inv(y)), y)


def test_clamped_numbers_keep_their_gradients() -> None:
    x = torch.tensor([-2.0, 0.5, 2.0], requires_grad=True)
    y = clamp_preserve_gradients(x, -1.0, 1.0)
    assert_close(y, [-1.0, 0.5, 1.0])
    (y * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert_close(x.grad, [1.0, 2.0, 3.0])


class TestPermute:
    def test_dimensions_further_left(self) -> None:
        flow, x = transforms.permute([3, 2], [2, 0, 1], dim=-2), torch.randn(5, 3, 2)
        assert flow.domain.event_dim == flow.codomain.event_dim == 2
        assert_close(flow(x), x[:, [2, 0, 1]])
        assert_close(flow.inv(flow(x).clone()), x)
        assert_close(flow.log_abs_det_jacobian(x, flow(x)), torch.zeros(5))
        assert flow.inv_permutation.tolist() == [1, 2, 0]

    def test_equality(self) -> None:
        one = transforms.permute(3, [2, 0, 1])
        assert one == transforms.permute(3, [2, 0, 1]).with_cache(0)
        assert one != transforms.permute(3, [0, 1, 2])
        assert one != transforms.permute([3, 1], [2, 0, 1], dim=-2)
        assert one != transforms.ExpTransform()

    def test_a_random_order(self) -> None:
        assert sorted(transforms.permute(10).permutation.tolist()) == list(range(10))

    def test_what_is_no_permutation_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"each of 0, …, 2 once; it is \[0, 0, 1\]"):
            transforms.permute(3, [0, 0, 1])
        with pytest.raises(ValueError, match="'dim' counts from the right, below 0; it is 0"):
            transforms.Permute(torch.arange(2), dim=0)
        with pytest.raises(ValueError, match="sizes of dimensions 'dim' to -1"):
            transforms.permute(3, dim=-2)


def test_lower_cholesky_affine_in_batches() -> None:
    loc, scale_tril = torch.randn(5, 1, 3).double(), torch.randn(2, 3, 3).double().tril()
    x = torch.randn(3).double()
    flow = transforms.LowerCholeskyAffine(loc, scale_tril)
    assert flow(x).shape == (5, 2, 3)
    assert_close(flow(x)[4, 1], loc[4, 0] + scale_tril[1] @ x)
    assert_close(flow.log_abs_det_jacobian(x, flow(x)), scale_tril.det().abs().log())
    assert flow.with_cache(1)._cache_size == 1
    assert flow.with_cache(0) is flow


@pytest.mark.parametrize(("loc", "scale_tril"), [((3,), (2, 2)), ((), (1, 1)), ((2,), (2,))])
def test_lower_cholesky_affine_refuses_shapes(loc: Any, scale_tril: Any) -> None:
    with pytest.raises(ValueError, match="'loc' is a vector and 'scale_tril' a square matrix"):
        transforms.LowerCholeskyAffine(torch.zeros(loc), torch.zeros(scale_tril))


def test_nothing_is_not_iterated() -> None:
    with pytest.raises(ValueError, match="one transform at least, not 0"):
        iterated(0, transforms.planar, 2)


def test_parts_that_are_modules_are_members() -> None:
    one, other = transforms.planar(2), transforms.planar(2)
    flow = ComposeTransformModule([transforms.ExpTransform(), one, transforms.permute(2), other])
    assert list(flow.state_dict()) == ["0.bias", "0.u", "0.w", "1.bias", "1.u", "1.w"]
    assert list(flow) == [one, other]
    twin = copy.deepcopy(flow)
    assert twin.parts[1] is twin[0]
    assert twin.parts[1] is not one


class TestContexts:
    def test_each_context_has_its_own_transform(self) -> None:
        flow = transforms.conditional_planar(3, 2).double()
        contexts, x = torch.randn(4, 2).double(), torch.randn(4, 3).double()
        together = flow.condition(contexts)(x)
        for i in range(4):
            assert_close(together[i], flow.condition(contexts[i])(x[i]))

    def test_the_parameters_are_the_networks(self) -> None:
        flow = transforms.conditional_affine_autoregressive(3, 2, [8], stable=True)
        at_ones = flow.condition(torch.ones(2))
        assert at_ones.stable
        assert [*map(id, at_ones.parameters())] == [*map(id, flow.parameters())]

    def test_inverses(self) -> None:
        flow = transforms.conditional_affine_autoregressive(3, 2)
        x, context = torch.randn(3), torch.randn(2)
        assert_close(flow.inv.condition(context)(flow.condition(context)(x)), x)
        assert flow.inv.inv is flow
        assert list(flow.inv.parameters())

    def test_laws(self) -> None:
        base = dist.Normal(torch.zeros(5, 3).double(), 1.0).to_event(1)
        parts: list[Any] = [
            transforms.conditional_planar(3, 2).double(),
            transforms.permute(3, [2, 0, 1]),
        ]
        law = ConditionalTransformedDistribution(base, parts)
        context = torch.randn(5, 2).double()
        at_context = law.condition(context)
        assert at_context.batch_shape == (5,)
        y = at_context.rsample()
        planar = parts[0].condition(context)
        x = planar.inv(y[:, [1, 2, 0]])
        expected = base.log_prob(x) - planar.log_abs_det_jacobian(x, None)
        assert_close(at_context.log_prob(y), expected)
        constant: Any = law.transforms[1]
        assert isinstance(constant, ConstantConditionalTransform)
        assert constant.transform._cached_x_y[1] is not None
        law.clear_cache()
        assert constant.transform._cached_x_y == (None, None)

    def test_a_base_law_may_depend_on_the_context(self) -> None:
        class Around(dist.ConditionalDistribution):
            def condition(self, context: Any) -> Any:
                return dist.Normal(context, 1.0).to_event(1)

        law = ConditionalTransformedDistribution(Around(), [transforms.ExpTransform()])
        at = law.condition(torch.tensor([1.0, 2.0]))
        value = torch.tensor([3.0, 4.0])
        expected = dist.LogNormal(torch.tensor([1.0, 2.0]), 1.0).log_prob(value).sum()
        assert_close(at.log_prob(value), expected)
        assert ConstantConditionalDistribution(at).condition(None) is at

    def test_several_transforms(self) -> None:
        one, other = transforms.conditional_planar(3, 2), transforms.planar(3)
        flow = ConditionalComposeTransformModule([one, other, transforms.ExpTransform()])
        assert list(flow) == [one, other]
        context, x = torch.randn(2), torch.randn(3)
        assert_close(flow.condition(context)(x), other(one.condition(context)(x)).exp())
        assert_close(flow.inv.condition(context)(flow.condition(context)(x)), x, rtol=1e-4)

    def test_the_bases_leave_condition_to_others(self) -> None:
        for base in (dist.ConditionalDistribution, dist.ConditionalTransform):
            with pytest.raises(TypeError, match="abstract"):
                base()  # type: ignore[abstract]
