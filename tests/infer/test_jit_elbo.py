import math
import pickle
import warnings
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import (
    SVI,
    JitTrace_ELBO,
    JitTraceMeanField_ELBO,
    Trace_ELBO,
    TraceMeanField_ELBO,
)
from pyro.infer.autoguide import AutoNormal
from pyro.ops.graph_compilers import has_inductor
from pyro.optim import Adam, ClippedAdam
from tests.helpers import assert_close

PAIRS = {
    "Trace": (JitTrace_ELBO, Trace_ELBO),
    "MeanField": (JitTraceMeanField_ELBO, TraceMeanField_ELBO),
}
EVERY_PAIR = pytest.mark.parametrize("jit, eager", PAIRS.values(), ids=list(PAIRS))
DATA = torch.tensor([0.5, 2.0, 1.0])


def model(data: Any = DATA, offset: Any = 0.0) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(data)):
        pyro.sample("x", dist.Normal(z + offset, 1.0), obs=data)


def guide(data: Any = DATA, offset: Any = 0.0) -> None:
    loc = pyro.param("loc", torch.tensor(0.0))
    scale = pyro.param("scale", torch.tensor(1.0), constraint=dist.constraints.positive)
    pyro.sample("z", dist.Normal(loc, scale))


def coins() -> None:
    with pyro.plate("coins", 3):
        z = pyro.sample("z", dist.Bernoulli(0.3))
        pyro.sample("x", dist.Normal(z, 1.0), obs=DATA)


def coin_guide() -> None:
    probs = pyro.param("probs", torch.full((3,), 0.5), constraint=dist.constraints.unit_interval)
    with pyro.plate("coins", 3):
        pyro.sample("z", dist.Bernoulli(probs))


def subsampled() -> None:
    loc = pyro.sample("z", dist.Normal(0.0, 1.0))
    with pyro.plate("data", 3, subsample_size=2) as index:
        pyro.sample("x", dist.Normal(loc, 1.0), obs=DATA[index])


def subsampled_guide() -> None:
    guide()


def fitted(elbo: Any, model: Any, guide: Any, steps: int = 5, optim: Any = None) -> Any:
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    svi = SVI(model, guide, optim or Adam({"lr": 0.1}), elbo)
    losses = [svi.step() for _ in range(steps)]
    params = {name: value.detach() for name, value in pyro.get_param_store().items()}
    return torch.tensor(losses), params, torch.rand(())


def variants(elbo: Any) -> list[Any]:
    (function,) = elbo._compiled.values()
    return list(function._variants.values())


@pytest.mark.parametrize(
    "model, guide",
    [(model, guide), (coins, coin_guide), (subsampled, subsampled_guide)],
    ids=["pathwise", "score function", "subsampled"],
)
@EVERY_PAIR
def test_a_seed_gives_the_draws_and_numbers_of_the_eager_objective(
    jit: Any, eager: Any, model: Any, guide: Any
) -> None:
    compiled = jit()
    found, expected = fitted(compiled, model, guide), fitted(eager(), model, guide)
    assert_close(found, expected)
    assert found[0][:3].equal(expected[0][:3])  # later ones follow gradients summed in some order
    assert found[2] == expected[2]
    assert variants(compiled)[0].run is not None


@pytest.mark.parametrize("vectorize_particles", [False, True])
@EVERY_PAIR
def test_particles_are_averaged(jit: Any, eager: Any, vectorize_particles: bool) -> None:
    options: dict[str, Any] = {"num_particles": 3, "vectorize_particles": vectorize_particles}
    found, expected = (fitted(make(**options), model, guide) for make in (jit, eager))
    assert_close(found[:2], expected[:2])
    assert found[2] == expected[2]


def test_an_autoguide_is_fitted() -> None:
    found, expected = (
        fitted(elbo, model, AutoNormal(model), optim=ClippedAdam({"lr": 0.1}))
        for elbo in (JitTrace_ELBO(), Trace_ELBO())
    )
    assert_close(found, expected)


def test_model_and_guide_run_once_and_are_captured_once() -> None:
    runs = []

    def counting(*args: Any) -> None:
        runs.append(args)
        model(*args)

    svi = SVI(counting, guide, Adam({"lr": 0.1}), JitTrace_ELBO())
    for _ in range(6):
        svi.step(DATA)
    assert len(runs) == 2
    assert len({svi.step(DATA) for _ in range(3)}) == 3
    svi.step(DATA[:2])
    assert len(runs) == 3


def test_new_entries_of_the_same_shape_need_no_new_graph() -> None:
    elbo, twin = JitTrace_ELBO(), Trace_ELBO()
    for t in (0.0, 1.0, 2.0, 3.0):
        data = DATA + t
        pyro.set_rng_seed(int(t))
        found = elbo.differentiable_loss(model, guide, data, offset=0.5)
        pyro.set_rng_seed(int(t))
        assert found == twin.differentiable_loss(model, guide, data, offset=0.5)
    assert len(variants(elbo)) == 1
    elbo.differentiable_loss(model, guide, data, offset=1.5)
    elbo.differentiable_loss(model, guide, data.double(), offset=0.5)
    assert len(variants(elbo)) == 3


@EVERY_PAIR
def test_the_differentiable_loss_has_the_gradient(jit: Any, eager: Any) -> None:
    compiled, gradients = jit(), []
    for elbo in (compiled, compiled, compiled, eager()):
        offset = torch.tensor(0.5, requires_grad=True)
        pyro.set_rng_seed(0)
        loss = elbo.differentiable_loss(coins_or_chain, guide, DATA, offset * 2)
        leaves = [leaf for _, leaf in pyro.get_param_store().named_parameters()]
        gradients.append((loss.detach(), torch.autograd.grad(3 * loss, [*leaves, offset])))
    for each in gradients:
        assert_close(each, gradients[-1])


def coins_or_chain(data: Any, offset: Any) -> None:
    model(data, offset)


def test_gradients_reach_arguments_and_add_up() -> None:
    elbo, shift = JitTrace_ELBO(), torch.tensor(0.5, requires_grad=True)
    grads = []
    for _ in range(3):
        shift.grad = None
        for _ in range(2):
            pyro.set_rng_seed(0)
            elbo.loss_and_grads(model, guide, DATA, shift * 2)
        grads.append(shift.grad)
    assert_close(grads[1], grads[0])
    assert_close(grads[2], grads[0])


def test_a_parameter_is_read_at_each_step() -> None:
    elbo = JitTrace_ELBO()
    store = pyro.get_param_store()

    def mode() -> None:
        scale = pyro.param("w", torch.tensor(1.0), constraint=dist.constraints.positive)
        pyro.sample("z", dist.Delta(scale))

    def exact(value: float) -> float:
        terms = dist.Normal(value, 1.0).log_prob(DATA).sum()
        return -(terms + dist.Normal(0.0, 1.0).log_prob(torch.tensor(value))).item()

    for _ in range(3):
        elbo.loss_and_grads(model, mode)
    store["w"] = torch.tensor(2.5)
    assert_close(elbo.loss_and_grads(model, mode), exact(2.5), rtol=1e-6)
    store.unconstrained("w").data.fill_(0.0)
    assert_close(elbo.loss_and_grads(model, mode), exact(1.0), rtol=1e-6)
    assert store.unconstrained("w").grad is not None
    store.clear()
    assert_close(elbo.loss_and_grads(model, mode), exact(1.0), rtol=1e-6)
    assert "w" in store


def test_parameters_outside_the_store_are_learnt() -> None:
    weight = torch.tensor(0.3, requires_grad=True)

    def mode() -> None:
        pyro.sample("z", dist.Delta(2 * weight))

    elbo, grads = JitTrace_ELBO(), []
    for _ in range(3):
        weight.grad = None
        elbo.loss_and_grads(model, mode)
        grads.append(weight.grad)
    assert_close(grads, [-2 * (DATA.sum() - 4 * 0.6)] * 3, rtol=1e-5)


def test_a_handler_that_records_parameters_sees_them() -> None:
    elbo = JitTrace_ELBO()
    for _ in range(3):
        with poutine.trace(param_only=True) as record:
            elbo.loss_and_grads(model, guide)
        found = {name: site["value"].unconstrained() for name, site in record.trace.nodes.items()}
        assert list(found) == ["loc", "scale"]
        assert all(leaf.grad is not None for leaf in found.values())


def test_handlers_around_are_obeyed_with_a_warning() -> None:
    elbo = JitTrace_ELBO()
    for _ in range(3):
        elbo.loss_and_grads(model, guide)
    pyro.set_rng_seed(0)
    plain = elbo.loss_and_grads(model, guide)
    pyro.set_rng_seed(0)
    with poutine.scale(scale=2.0), pytest.warns(UserWarning, match="inside ScaleMessenger, and"):
        assert_close(elbo.loss_and_grads(model, guide), 2 * plain, rtol=1e-6)
    pyro.set_rng_seed(0)
    with poutine.scale(scale=2.0), poutine.block():
        assert elbo.loss_and_grads(model, guide) == plain


def looks(data: Any = DATA) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    pyro.sample("x", dist.Normal(1.0 if z > 0 else -1.0, 1.0), obs=torch.tensor(0.3))


def test_a_model_that_looks_at_its_draws_runs_as_it_is_with_one_warning() -> None:
    elbo = JitTrace_ELBO()
    with pytest.warns(UserWarning, match="could not be compiled .*torch.where") as caught:
        found = fitted(elbo, looks, guide)
    assert len(caught) == 1
    assert_close(found, fitted(Trace_ELBO(), looks, guide), rtol=0, atol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(JitTrace_ELBO(ignore_jit_warnings=True), looks, guide)


class NanDensity(dist.Normal):
    def log_prob(self, value: Any) -> Any:
        return super().log_prob(value) * pyro.param("factor", torch.tensor(1.0))


def test_a_nan_loss_names_its_site_and_moves_no_generator() -> None:
    def broken() -> None:
        model()
        pyro.sample("y", NanDensity(0.0, 1.0), obs=torch.tensor(1.0))

    elbo = JitTrace_ELBO()
    for _ in range(3):
        elbo.loss_and_grads(broken, guide)
    pyro.set_rng_seed(0)
    elbo.loss_and_grads(broken, guide)
    after = torch.rand(())
    pyro.param("factor").data.fill_(math.nan)
    pyro.set_rng_seed(0)
    with pytest.warns(UserWarning, match="NaN log density at: 'y'"):
        assert math.isnan(elbo.loss_and_grads(broken, guide))
    assert torch.rand(()) == after


def test_a_draw_that_nothing_uses_is_drawn() -> None:
    def wasteful() -> None:
        torch.rand(7)
        model()

    found, expected = (fitted(make(), wasteful, guide) for make in (JitTrace_ELBO, Trace_ELBO))
    assert_close(found, expected)
    assert found[2] == expected[2]


def test_gradients_may_be_written_to() -> None:
    """No two parameters share one, and none is a constant of the graph."""

    def pair() -> None:
        a, b = (pyro.param(name, torch.zeros(2)) for name in "ab")
        pyro.factor("f", (a + b).sum())

    elbo = JitTrace_ELBO()
    for _ in range(4):
        elbo.loss_and_grads(pair, lambda: None)
        for _, leaf in pyro.get_param_store().named_parameters():
            assert_close(leaf.grad, -torch.ones(2))
            leaf.grad.mul_(5.0)
            leaf.grad = None


def test_a_compiled_objective_pickles() -> None:
    elbo = JitTrace_ELBO(num_particles=2)
    for _ in range(3):
        elbo.loss_and_grads(model, guide)
    assert pickle.loads(pickle.dumps(elbo)).num_particles == 2


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="'backend'.* is 'magic', expected one of 'auto'"):
        JitTrace_ELBO(jit_options={"backend": "magic"}).loss_and_grads(model, guide)


@pytest.mark.parametrize("backend", ["trace", "graph"])
def test_backends_give_the_same_numbers(backend: str) -> None:
    found = fitted(JitTrace_ELBO(jit_options={"backend": backend}), model, guide)
    assert_close(found, fitted(Trace_ELBO(), model, guide))


@pytest.mark.slow
@pytest.mark.skipif(not has_inductor(), reason="no C++ compiler")
def test_inductor_gives_the_same_numbers_up_to_rounding() -> None:
    elbo = JitTrace_ELBO(jit_options={"backend": "inductor"})
    found, expected = fitted(elbo, model, guide), fitted(Trace_ELBO(), model, guide)
    assert variants(elbo)[0].run is not None
    assert_close(found[:2], expected[:2], rtol=1e-4)
    assert found[2] == expected[2]
