import math
from functools import partial
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import (
    ELBO,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
    RenyiELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    TraceTailAdaptive_ELBO,
    TraceTMC_ELBO,
)
from pyro.infer.elbo import ELBOModule
from tests.helpers import assert_close

ALL_ELBOS = [
    Trace_ELBO,
    TraceMeanField_ELBO,
    partial(TraceEnum_ELBO, strict_enumeration_warning=False),
    partial(TraceTMC_ELBO, strict_enumeration_warning=False),
    TraceGraph_ELBO,
    RenyiELBO,
    TraceTailAdaptive_ELBO,
    JitTrace_ELBO,
    JitTraceMeanField_ELBO,
    partial(JitTraceEnum_ELBO, strict_enumeration_warning=False),
    JitTraceGraph_ELBO,
]


def model(offset: Any = 0.0) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    with pyro.plate("data", 2):
        pyro.sample("x", dist.Normal(z + offset, 1.0), obs=torch.tensor([0.5, 2.0]))


def guide(offset: Any = 0.0) -> None:
    loc = pyro.param("loc", torch.tensor(0.3))
    pyro.sample("z", dist.Normal(loc, 0.8))


class NanDensity(dist.Normal):
    def log_prob(self, value: Any) -> Any:
        return torch.full_like(value, math.nan)


class Guide(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.loc = torch.nn.Parameter(torch.tensor(0.3))

    def forward(self, offset: Any = 0.0) -> None:
        pyro.sample("z", dist.Normal(self.loc, 0.8))


def test_the_base_is_abstract() -> None:
    with pytest.raises(TypeError, match="_get_trace"):
        ELBO()  # type: ignore[abstract]


@pytest.mark.parametrize("Elbo", ALL_ELBOS)
def test_no_particles_are_refused(Elbo: Any) -> None:
    with pytest.raises(ValueError, match="num_particles must be a positive integer, got 0"):
        Elbo(num_particles=0)


def test_the_older_name_of_max_plate_nesting_works() -> None:
    with pytest.warns(DeprecationWarning, match="max_plate_nesting"):
        assert Trace_ELBO(max_iarange_nesting=2).max_plate_nesting == 2


@pytest.mark.parametrize("Elbo", ALL_ELBOS)
def test_the_particles_plate_counts_in_max_plate_nesting(Elbo: Any) -> None:
    given = Elbo(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    guessed = Elbo(num_particles=3, vectorize_particles=True)
    single = Elbo(num_particles=1, vectorize_particles=True, max_plate_nesting=1)
    assert guessed.max_plate_nesting == math.inf
    traces = [list(elbo._get_traces(model, guide, (), {})) for elbo in (given, guessed, single)]
    assert [elbo.max_plate_nesting for elbo in (given, guessed, single)] == [2, 2, 1]
    shapes = [pairs[0][0].nodes["x"]["log_prob"].shape for pairs in traces]
    assert shapes == [(3, 2), (3, 2), (2,)]


def test_a_guess_changes_no_draw() -> None:
    losses = []
    for max_plate_nesting in (math.inf, 1):
        pyro.set_rng_seed(0)
        elbo = Trace_ELBO(
            num_particles=3, vectorize_particles=True, max_plate_nesting=max_plate_nesting
        )
        losses.append(elbo.loss(model, guide))
    assert losses[0] == losses[1]


def test_a_max_plate_nesting_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="plate 'data' has dim=-1, but max_plate_nesting is 0"):
        Trace_ELBO(max_plate_nesting=0).loss(model, guide)


@pytest.mark.parametrize("Elbo", ALL_ELBOS)
def test_the_module_is_the_differentiable_loss(Elbo: Any) -> None:
    variational = Guide()
    module = Elbo()(model, variational)
    assert isinstance(module, ELBOModule)
    assert [name for name, _ in module.named_parameters()] == ["guide.loc"]
    pyro.set_rng_seed(1)
    loss = module(offset=0.1)
    pyro.set_rng_seed(1)
    assert loss.item() == Elbo().loss(model, variational, offset=0.1)
    loss.backward()
    assert variational.loc.grad is not None


def test_the_module_fits_with_a_torch_optimiser() -> None:
    variational = Guide()
    module = Trace_ELBO(num_particles=10, vectorize_particles=True)(model, variational)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        module().backward()
        optimiser.step()
    assert abs(variational.loc.item() - 2.5 / 3) < 0.1  # the exact posterior mean


@pytest.mark.parametrize("Elbo", [Elbo for Elbo in ALL_ELBOS if Elbo is not RenyiELBO])
def test_retain_graph_keeps_the_graph(Elbo: Any) -> None:
    kept = []

    def holding_guide() -> None:
        loc = pyro.param("loc", torch.tensor(0.3)) * 1.0
        kept.append(loc * loc)
        pyro.sample("z", dist.Normal(kept[-1], 0.8))

    Elbo(retain_graph=True).loss_and_grads(model, holding_guide)
    kept[-1].backward()
    Elbo().loss_and_grads(model, holding_guide)
    with pytest.raises(RuntimeError, match="second time"):
        kept[-1].backward()


@pytest.mark.parametrize("Elbo", ALL_ELBOS)
def test_a_nan_loss_is_warned_of_with_its_site(Elbo: Any) -> None:
    def broken(offset: Any = 0.0) -> None:
        model()
        pyro.sample("y", NanDensity(0.0, 1.0), obs=torch.tensor(1.0))

    with pytest.warns(UserWarning, match="The loss is NaN .*density at: 'y'"):
        assert math.isnan(Elbo().loss(broken, guide))


@pytest.mark.parametrize("Elbo", ALL_ELBOS)
def test_equalize_around_an_objective_is_refused(Elbo: Any) -> None:
    with poutine.equalize(sites=["z", "x"]), pytest.raises(ValueError, match="Wrap the model"):
        Elbo().loss(model, guide)


@pytest.mark.parametrize("Elbo", ALL_ELBOS)
def test_validation_changes_no_number(Elbo: Any) -> None:
    losses = []
    for is_validate in (True, False):
        pyro.set_rng_seed(0)
        with pyro.validation_enabled(is_validate):
            losses.append(Elbo(num_particles=2).loss(model, guide))
    assert_close(losses[0], losses[1], rtol=0, atol=0)


def test_a_subclass_may_bring_its_own_loss() -> None:
    class Own(ELBO):
        def _get_trace(self, *args: Any) -> Any:
            raise AssertionError("not needed")

        def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
            return 4.0

    assert Own().loss(model, guide) == 4.0
    with pytest.raises(NotImplementedError, match="Own defines no _particle_loss"):
        Own()._particle_loss(None, None)  # type: ignore[arg-type]
