"""What holds for every transform: inverses, determinants, shapes, memory, copies, learning."""

import copy
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.autograd.functional import jacobian

import pyro
import pyro.distributions as dist
from pyro.distributions import transforms
from pyro.infer.svi import SVI
from pyro.infer.trace_elbo import Trace_ELBO
from pyro.optim.pytorch_optimizers import Adam
from tests.distributions.transforms.table import (
    BIJECTIONS,
    CONDITIONAL,
    CONTEXT_SIZE,
    EXAMPLES,
    FLOWS,
    Example,
    context,
    unchanged,
)
from tests.helpers import assert_close


def each(rows: Mapping[str, Example]) -> Any:
    return pytest.mark.parametrize("row", rows.values(), ids=list(rows))


def test_every_exported_transform_has_a_row() -> None:
    names = {key.partition(",")[0] for key in EXAMPLES}
    classes = {type(row.make()).__name__ for row in EXAMPLES.values()}
    of_torch = set(torch.distributions.transforms.__all__)
    registries = {"biject_to", "transform_to"}
    assert set(transforms.__all__) - of_torch - registries - names - classes == set()


@each(BIJECTIONS)
class TestEveryBijection:
    def test_round_trip(self, row: Example) -> None:
        transform, x = row.made(), row.values(3, 1)
        y = transform(x)
        assert_close(transform.inv(y.clone()), x, rtol=1e-11, atol=1e-11)
        assert y.shape == transform.forward_shape(x.shape)
        assert x.shape == transform.inverse_shape(y.shape)

    def test_log_determinant(self, row: Example) -> None:
        transform, start = row.made(), torch.randn(row.shape, dtype=torch.double)
        of_value, of_image = row.free
        value = jacobian(lambda at: of_value(row.inside(at)), start).flatten(1)
        image = jacobian(lambda at: of_image(transform(row.inside(at))), start).flatten(1)
        # There may be more numbers than coordinates of a value: its rows are a basis for both.
        value, image = value @ value.mT, image @ value.mT
        expected = torch.linalg.slogdet(image).logabsdet - torch.linalg.slogdet(value).logabsdet
        x = row.inside(start)
        y = transform(x)
        assert_close(transform.log_abs_det_jacobian(x, y).sum(), expected)
        assert_close(transform.inv.log_abs_det_jacobian(y, x).sum(), -expected)
        without_memory = copy.deepcopy(transform)
        assert_close(without_memory.log_abs_det_jacobian(x.clone(), y).sum(), expected)

    def test_log_determinants_after_the_inverse(self, row: Example) -> None:
        transform = row.made()
        y = copy.deepcopy(transform)(row.values(2)).detach()
        x = transform.inv(y)
        kept = transform.log_abs_det_jacobian(x, y)
        assert_close(kept, copy.deepcopy(transform).log_abs_det_jacobian(x, y))

    def test_batches_are_mapped_one_by_one(self, row: Example) -> None:
        transform, x = row.made(), row.values(2, 3)
        y = transform(x)
        assert_close(y, torch.stack([torch.stack([transform(one) for one in ones]) for ones in x]))
        log_dets = transform.log_abs_det_jacobian(x, y)
        assert log_dets.shape == x.shape[: x.dim() - transform.domain.event_dim]
        alone = transform.log_abs_det_jacobian(x[1, 2], transform(x[1, 2]))
        assert_close(log_dets[1, 2], alone)


FREE = {name: row for name, row in BIJECTIONS.items() if row.inside is unchanged}


@each(FREE)
def test_the_density_of_a_draw(row: Example) -> None:
    transform, event_dim = row.made(), len(row.shape)
    base = dist.Normal(torch.zeros(row.shape).double(), 1.0).to_event(event_dim)
    law = dist.TransformedDistribution(base, transform)
    y = law.rsample()
    x = transform.inv(y)
    log_det = transform.log_abs_det_jacobian(x, y).sum()
    assert_close(law.log_prob(y), base.log_prob(x) - log_det)
    assert law.expand([3]).rsample().shape == (3, *y.shape)


@each(EXAMPLES)
class TestEveryTransform:
    def test_images_lie_in_the_codomain(self, row: Example) -> None:
        transform, x = row.made(), row.values(5)
        assert transform.domain.check(x).all()
        y = transform(x)
        assert transform.codomain.check(y).all()
        assert y.shape == (5, *(row.image_shape or row.shape))
        assert transform.codomain.event_dim in (0, y.dim() - 1)

    def test_copies_hold_nothing_of_what_was_mapped(self, row: Example) -> None:
        transform, x = row.made(), row.values()
        y = transform(x)
        assert transform.inv(y) is not None
        for twin in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
            assert getattr(twin, "_cached_x_y", (None, None)) == (None, None)
            assert_close(twin(x), y)

    def test_single_precision(self, row: Example) -> None:
        made = row.make()
        if not isinstance(made, nn.Module):
            return
        flow = (
            made.eval().condition(context().float()) if hasattr(made, "condition") else made.eval()
        )
        x = row.values(3, dtype=torch.float)
        y = flow(x)
        assert y.dtype == flow.log_abs_det_jacobian(x, y).dtype == torch.float
        # An inverse loses digits where the map is flat; a thousandth is what float32 leaves then.
        assert_close(flow.inv(y.clone()), x, rtol=1e-3, atol=1e-3)

    def test_a_new_cache_is_the_same_map(self, row: Example) -> None:
        transform, x = row.made(), row.values()
        for size in (0, 1):
            twin = transform.with_cache(size)
            assert twin._cache_size == size
            assert_close(twin(x), transform(x))
            assert twin.with_cache(size) is twin


# Finite differences do not see a clamp, or a kink, as its gradient does.
SMOOTH = {
    name: row
    for name, row in FREE.items()
    if not any(word in name.lower() for word in ("clipped", "leaky"))
}


@each(SMOOTH)
def test_gradients_of_both_directions(row: Example) -> None:
    # Finite differences change a tensor in place, which memory would take for the same value.
    transform, x = row.made(), row.values().requires_grad_()
    assert gradcheck(lambda x: transform(x.clone()), (x,), fast_mode=True)
    y = transform(x).detach().clone().requires_grad_()
    assert gradcheck(lambda y: transform.inv(y.clone()), (y,), fast_mode=True)


@each(FLOWS)
class TestEveryFlow:
    def test_states_are_restored(self, row: Example) -> None:
        one, other, x = row.made(), row.made(), row.values()
        other.load_state_dict(one.state_dict())
        y = one(x)
        assert_close(other(x), y)
        assert_close(other.inv(y.clone()), x, rtol=1e-11, atol=1e-11)

    def test_a_step_of_learning_changes_the_map(self, row: Example) -> None:
        flow, x = row.made(), row.values(5)
        y = flow(x)
        optimiser = torch.optim.SGD(flow.parameters(), lr=0.1)
        (y.square().sum() + flow.log_abs_det_jacobian(x, y).square().sum()).backward()
        grads = {name: leaf.grad for name, leaf in flow.named_parameters()}
        without = {name for name, grad in grads.items() if grad is None}
        assert all(name.startswith("lower_spline") for name in without)
        optimiser.step()
        assert (flow(x) != y).any()
        assert_close(flow(x), copy.deepcopy(flow)(x))

    def test_an_image_is_forgotten_when_a_parameter_changes(self, row: Example) -> None:
        flow, x = row.made(), row.values()
        y = flow(x)
        assert flow.inv(y) is not None
        with torch.no_grad():
            for leaf in flow.parameters():
                leaf += 0.1
        expected = copy.deepcopy(flow)(x)
        assert (expected != y).any()
        assert_close(flow(x), expected)
        twin = copy.deepcopy(flow)
        assert_close(flow.log_abs_det_jacobian(x, expected), twin.log_abs_det_jacobian(x, expected))
        assert_close(flow.inv(expected.clone()), x, rtol=1e-9, atol=1e-9)

    def test_an_image_without_gradients_is_not_given_where_they_are_wanted(
        self, row: Example
    ) -> None:
        flow, x = row.made(), row.values()
        with torch.no_grad():
            flow(x)
        assert flow(x).requires_grad

    def test_is_hashable_and_equal_to_itself_alone(self, row: Example) -> None:
        flow = row.made()
        assert {flow: 1}[flow] == 1
        assert flow == flow
        assert flow != row.made()

    def test_another_cache_shares_parameters(self, row: Example) -> None:
        flow = row.made()
        for size in (0, 1):
            twin = flow.with_cache(size)
            assert [*map(id, twin.parameters())] == [*map(id, flow.parameters())]

    def test_serves_a_guide(self, row: Example) -> None:
        flow = row.make().double()
        if isinstance(flow, transforms.BatchNorm):
            flow.eval()
        event_dim = len(row.shape)
        base = dist.Normal(torch.zeros(row.shape).double(), 1.0).to_event(event_dim)

        def model() -> None:
            pyro.sample("x", dist.Normal(torch.ones(row.shape).double(), 2.0).to_event(event_dim))

        def guide() -> None:
            pyro.module("flow", flow)
            pyro.sample("x", dist.TransformedDistribution(base, flow))

        before = [leaf.detach().clone() for leaf in flow.parameters()]
        trace = pyro.poutine.trace(guide).get_trace()
        names = {name for name in trace.nodes if name.startswith("flow$$$")}
        assert names == {f"flow$$${name}" for name, _ in flow.named_parameters()}
        loss = SVI(model, guide, Adam({"lr": 0.01}), Trace_ELBO()).step()
        assert torch.tensor(loss).isfinite()
        after = flow.parameters()
        assert any((a != b).any() for a, b in zip(after, before, strict=True))


@each(CONDITIONAL)
class TestEveryConditionalTransform:
    def test_each_context_has_its_own_transform(self, row: Example) -> None:
        flow = row.make().double()
        contexts, x = torch.randn(3, CONTEXT_SIZE).double(), row.values(3)
        together = flow.condition(contexts)
        y = together(x)
        log_dets = together.log_abs_det_jacobian(x, y)
        back = flow.condition(contexts).inv(y.clone())
        assert_close(back, x, rtol=1e-11, atol=1e-11)
        for i in range(3):
            alone = flow.condition(contexts[i])
            assert_close(y[i], alone(x[i]))
            assert_close(log_dets[i], alone.log_abs_det_jacobian(x[i], y[i]))

    def test_a_batch_of_contexts_maps_one_value(self, row: Example) -> None:
        flow, x = row.make().double(), row.values()
        contexts = torch.randn(3, CONTEXT_SIZE).double()
        at = flow.condition(contexts)
        y = at(x)
        log_dets = at.log_abs_det_jacobian(x, y)
        assert y.shape == (3, *row.shape)
        assert log_dets.expand(3, *log_dets.shape[1:]).shape == log_dets.shape
        assert_close(y[1], flow.condition(contexts[1])(x))

    def test_follows_the_parameters_of_its_network(self, row: Example) -> None:
        flow, x = row.make().double(), row.values()
        at = flow.condition(context())
        y = at(x)
        with torch.no_grad():
            for leaf in flow.parameters():
                leaf += 0.01
        expected = flow.condition(context())(x)
        assert (expected != y).any()
        assert_close(at(x), expected)
        assert_close(at.inv(expected.clone()), x, rtol=1e-9, atol=1e-9)

    def test_gradients_reach_the_network_and_the_context(self, row: Example) -> None:
        flow, x = row.make().double(), row.values(5)
        contexts = torch.randn(5, CONTEXT_SIZE).double().requires_grad_()
        at = flow.condition(contexts)
        y = at(x)
        (y.square().sum() + at.log_abs_det_jacobian(x, y).square().sum()).backward()
        assert contexts.grad is not None and contexts.grad.any()
        assert all(leaf.grad is not None for leaf in flow.parameters())

    def test_states_and_copies(self, row: Example) -> None:
        flow, x = row.make().double(), row.values()
        other = row.make().double()
        other.load_state_dict(flow.state_dict())
        expected = flow.condition(context())(x)
        for twin in (other, copy.deepcopy(flow), pickle.loads(pickle.dumps(flow))):
            assert_close(twin.condition(context())(x), expected)
            assert_close(twin.inv.condition(context())(expected), x, rtol=1e-9, atol=1e-9)
