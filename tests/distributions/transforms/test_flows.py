"""Transforms that learn: inverses, determinants, memory, copies, contexts."""

import copy
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.autograd.functional import jacobian

import pyro
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

SIZE = 4


def double(make: Callable[..., Any]) -> Callable[[], Any]:
    def in_double() -> Any:
        transform = make()
        return transform.double() if isinstance(transform, nn.Module) else transform

    return in_double


def autoregressive(**options: Any) -> Any:
    network = AutoRegressiveNN(SIZE, [9], permutation=[2, 0, 3, 1], nonlinearity=nn.Tanh())
    return transforms.AffineAutoregressive(network, **options)


def lower_cholesky_affine() -> Any:
    return transforms.LowerCholeskyAffine(
        torch.randn(SIZE).double(), torch.randn(SIZE, SIZE).double().tril()
    )


FLOWS: dict[str, Callable[[], Any]] = {
    "affine": double(autoregressive),
    "affine, stable": double(lambda: autoregressive(stable=True)),
    "affine, clipped": double(
        lambda: autoregressive(log_scale_min_clip=-0.1, log_scale_max_clip=0.01)
    ),
    "affine, skip": double(
        lambda: transforms.AffineAutoregressive(AutoRegressiveNN(SIZE, [], skip_connections=True))
    ),
    "planar": double(lambda: transforms.planar(SIZE)),
    "several": double(
        lambda: ComposeTransformModule(
            [autoregressive(), transforms.permute(SIZE, [1, 3, 0, 2]), transforms.planar(SIZE)]
        )
    ),
    "iterated": double(lambda: iterated(2, transforms.affine_autoregressive, SIZE, [7])),
    "lower Cholesky": lower_cholesky_affine,
    "permutation": lambda: transforms.Permute(torch.tensor([2, 0, 3, 1])),
    "conditional affine": double(
        lambda: transforms.conditional_affine_autoregressive(SIZE, 2).condition(torch.ones(2))
    ),
    "planar, given": lambda: ConditionedPlanar(
        (torch.ones(1).double(), torch.randn(SIZE).double(), torch.randn(SIZE).double())
    ),
}
EVERY_FLOW = pytest.mark.parametrize("make", FLOWS.values(), ids=list(FLOWS))


@EVERY_FLOW
class TestEveryFlow:
    def test_determinant(self, make: Any) -> None:
        flow, x = make(), torch.randn(SIZE).double()
        expected = torch.linalg.slogdet(jacobian(flow, x)).logabsdet
        assert_close(flow.log_abs_det_jacobian(x, flow(x)), expected)
        assert_close(flow.inv.log_abs_det_jacobian(flow(x), x), -expected)
        without_memory = copy.deepcopy(flow)
        assert_close(without_memory.log_abs_det_jacobian(x.clone(), flow(x)), expected)

    def test_round_trip(self, make: Any) -> None:
        flow, x = make(), torch.randn(3, 1, SIZE).double()
        y = flow(x)
        back = flow.inv(y.clone())
        assert_close(back, x)
        assert_close(flow(back.clone()), y)
        assert flow.forward_shape(x.shape) == flow.inverse_shape(x.shape) == x.shape

    def test_batches_are_mapped_one_by_one(self, make: Any) -> None:
        flow, x = make(), torch.randn(2, 3, SIZE).double()
        y = flow(x)
        assert_close(y, torch.stack([torch.stack([flow(row) for row in rows]) for rows in x]))
        log_det = flow.log_abs_det_jacobian(x, y)
        assert log_det.shape == (2, 3)
        assert_close(log_det[1, 2], flow.log_abs_det_jacobian(x[1, 2], flow(x[1, 2])))

    def test_the_density_of_a_draw(self, make: Any) -> None:
        flow = make()
        base = dist.Normal(torch.zeros(SIZE).double(), 1.0).to_event(1)
        law = dist.TransformedDistribution(base, flow)
        y = law.rsample()
        x = flow.inv(y.clone())
        expected = base.log_prob(x) - torch.linalg.slogdet(jacobian(flow, x.detach())).logabsdet
        assert_close(law.log_prob(y), expected)
        assert_close(law.log_prob(y.clone()), expected)
        assert law.expand([3]).rsample().shape == (3, SIZE)

    def test_maps_vectors_onto_vectors(self, make: Any) -> None:
        flow = make()
        assert flow.domain.event_dim == flow.codomain.event_dim == 1
        assert flow.domain.check(torch.zeros(3, SIZE)).shape == (3,)
        assert flow.bijective

    def test_copies_hold_nothing_of_what_was_mapped(self, make: Any) -> None:
        flow = make()
        x = torch.randn(SIZE).double()
        y = flow(x)
        assert flow.inv(y) is not None
        for twin in (copy.deepcopy(flow), pickle.loads(pickle.dumps(flow))):
            assert_close(twin(x), y)
            assert_close(twin.inv(y), x)


@pytest.mark.parametrize("name", [name for name in FLOWS if "clipped" not in name])
def test_gradients_of_both_directions(name: str) -> None:
    # Finite differences change a tensor in place, which memory would take for the same value.
    flow, x = FLOWS[name](), torch.randn(SIZE).double().requires_grad_()
    assert gradcheck(lambda x: flow(x.clone()), (x,))
    y = flow(x).detach().clone().requires_grad_()
    assert gradcheck(lambda y: flow.inv(y.clone()), (y,))


MODULES = [name for name in FLOWS if isinstance(FLOWS[name](), nn.Module)]
EVERY_MODULE = pytest.mark.parametrize("make", [FLOWS[name] for name in MODULES], ids=MODULES)


@EVERY_MODULE
class TestEveryModule:
    def test_states_are_restored(self, make: Any) -> None:
        one, other = make(), make()
        other.load_state_dict(one.state_dict())
        x = torch.randn(SIZE).double()
        assert_close(other(x), one(x))
        assert_close(other.inv(x), one.inv(x))

    def test_learns_by_gradients(self, make: Any) -> None:
        flow, x = make(), torch.randn(5, SIZE).double()
        y = flow(x)
        (y.square().sum() + flow.log_abs_det_jacobian(x, y).square().sum()).backward()
        assert any(leaf.grad.any() for leaf in flow.parameters())
        assert all(leaf.grad is not None for leaf in flow.parameters())

    def test_an_image_is_forgotten_when_a_parameter_changes(self, make: Any) -> None:
        flow, x = make(), torch.randn(SIZE).double()
        y = flow(x)
        assert flow.inv(y) is not None
        with torch.no_grad():
            for leaf in flow.parameters():
                leaf += 0.1
        expected = copy.deepcopy(flow)(x)
        assert (expected != y).any()
        assert_close(flow(x), expected)
        assert_close(flow.inv(y), copy.deepcopy(flow).inv(y))
        assert_close(
            flow.log_abs_det_jacobian(x, expected),
            copy.deepcopy(flow).log_abs_det_jacobian(x, expected),
        )

    def test_an_image_without_gradients_is_not_given_where_they_are_wanted(self, make: Any) -> None:
        flow, x = make(), torch.randn(SIZE).double()
        with torch.no_grad():
            flow(x)
        assert flow(x).requires_grad
        assert flow.log_abs_det_jacobian(x, flow(x)).requires_grad

    def test_is_hashable_and_equal_to_itself_alone(self, make: Any) -> None:
        flow = make()
        assert {flow: 1}[flow] == 1
        assert flow == flow
        assert flow != make()

    def test_another_cache_shares_parameters(self, make: Any) -> None:
        flow, x = make(), torch.randn(SIZE).double()
        for size in (0, 1):
            twin = flow.with_cache(size)
            assert [*map(id, twin.parameters())] == [*map(id, flow.parameters())]
            assert_close(twin(x), flow(x))
            assert_close(twin.inv(twin(x)), x)
            assert twin.with_cache(size) is twin

    def test_serves_a_model_as_a_module(self, make: Any) -> None:
        flow = make()
        base = dist.Normal(torch.zeros(SIZE).double(), 1.0).to_event(1)

        def model() -> Any:
            pyro.module("flow", flow)
            return pyro.sample("x", dist.TransformedDistribution(base, flow))

        trace = pyro.poutine.trace(model).get_trace()
        names = {name for name in trace.nodes if name.startswith("flow$$$")}
        assert names == {f"flow$$${name}" for name, _ in flow.named_parameters()}
        trace.compute_log_prob()


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
