import io
import itertools
import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from pyro.optim import SGD, Adam
from pyro.poutine.runtime import _thread
from tests.helpers import assert_close

DATA = torch.tensor([0.5, 2.0, 1.0])


def model(data: Any = DATA) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(data)):
        pyro.sample("x", dist.Normal(z, 1.0), obs=data)


def guide(data: Any = DATA) -> None:
    loc = pyro.param("loc", torch.tensor(0.0))
    scale = pyro.param("scale", torch.tensor(1.0), constraint=dist.constraints.positive)
    pyro.sample("z", dist.Normal(loc, scale))


def map_guide(data: Any = DATA) -> None:
    pyro.sample("z", dist.Delta(pyro.param("loc", torch.tensor(0.0))))


def no_gradients_left() -> bool:
    return all(leaf.grad is None for _, leaf in pyro.get_param_store().named_parameters())


def params() -> Any:
    return {name: value.detach().clone() for name, value in pyro.get_param_store().items()}


@pytest.mark.parametrize("elbo", [Trace_ELBO(num_particles=10), TraceMeanField_ELBO()])
def test_steps_lead_to_the_posterior(elbo: Any) -> None:
    """Exact posterior N(3.5 / 4, 1 / 4)."""
    svi = SVI(model, guide, pyro.optim.ClippedAdam({"lr": 0.05, "lrd": 0.99}), elbo)
    for _ in range(500):
        svi.step()
    loc, scale = pyro.param("loc").item(), pyro.param("scale").item()
    gap = dist.kl_divergence(dist.Normal(loc, scale), dist.Normal(0.875, 0.5))
    assert gap < 1e-3  # nats short of the log evidence


def test_a_step_is_one_gradient_step_and_returns_the_loss_before_it() -> None:
    svi = SVI(model, map_guide, SGD({"lr": 0.1}), Trace_ELBO())
    loss = svi.step()
    log_joint = dist.Normal(0.0, 1.0).log_prob(torch.cat([DATA, torch.zeros(1)])).sum()
    assert isinstance(loss, float)
    assert_close(loss, -log_joint.item(), rtol=1e-6)
    assert_close(pyro.param("loc"), 0.1 * DATA.sum())
    assert no_gradients_left()


def test_arguments_reach_model_and_guide() -> None:
    svi = SVI(model, map_guide, SGD({"lr": 0.1}), Trace_ELBO())
    svi.step(torch.tensor([4.0]))
    assert_close(pyro.param("loc"), 0.4)
    assert svi.evaluate_loss(data=torch.zeros(2)) < svi.evaluate_loss()


def test_only_parameters_that_were_read_are_updated() -> None:
    pyro.param("unread", torch.tensor(3.0))
    SVI(model, map_guide, SGD({"lr": 0.1}), Trace_ELBO()).step()
    assert_close(pyro.param("unread"), 3.0)


def test_a_substituted_parameter_is_given_and_not_learnt() -> None:
    def model() -> None:
        sum_of_two = pyro.param("a", torch.tensor(1.0)) + pyro.param("b", torch.tensor(2.0))
        pyro.sample("x", dist.Normal(sum_of_two, 1.0), obs=torch.tensor(0.0))

    given = poutine.substitute(model, {"a": torch.tensor(5.0)})
    SVI(given, lambda: None, SGD({"lr": 0.1}), Trace_ELBO()).step()
    assert_close(dict(pyro.get_param_store().items()), {"b": torch.tensor(2.0 - 0.1 * 7.0)})


def test_evaluating_the_loss_changes_nothing() -> None:
    svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO())
    svi.step()
    before = params()
    loss = svi.evaluate_loss()
    assert isinstance(loss, float)
    assert params() == before
    assert no_gradients_left()


def test_a_function_is_a_loss() -> None:
    def both(model: Any, guide: Any, *args: Any) -> Any:
        return Trace_ELBO().differentiable_loss(model, guide, *args) + (
            2 * TraceMeanField_ELBO().differentiable_loss(model, guide, *args)
        )

    svi = SVI(model, map_guide, SGD({"lr": 0.1}), both)
    assert_close(svi.step(), 3 * svi_loss_at_zero(), rtol=1e-6)
    assert_close(pyro.param("loc"), 0.3 * DATA.sum())
    assert isinstance(svi.evaluate_loss(), float)


def svi_loss_at_zero() -> Any:
    log_joint = dist.Normal(0.0, 1.0).log_prob(torch.cat([DATA, torch.zeros(1)])).sum()
    return -log_joint.item()


def test_loss_and_grads_may_be_given_and_may_return_several_numbers() -> None:
    calls = []

    def loss_and_grads(model: Any, guide: Any, *args: Any) -> Any:
        calls.append(args)
        return torch.tensor(1.0), 2

    svi = SVI(model, guide, Adam({}), Trace_ELBO().loss, loss_and_grads=loss_and_grads)
    assert svi.step(DATA) == (1.0, 2)
    assert len(calls) == 1


def test_an_optimiser_of_torch_is_refused() -> None:
    with pytest.raises(ValueError, match="SVI needs an optimiser from pyro.optim, got Adam"):
        SVI(model, guide, torch.optim.Adam([torch.zeros(1)]), Trace_ELBO())  # type: ignore[arg-type]


def test_a_loss_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="loss must be an ELBO.*got None"):
        SVI(model, guide, Adam({}), None)  # type: ignore[arg-type]


def raise_inside(data: Any = DATA) -> None:
    guide()
    with pyro.plate("p", 2):
        raise KeyError("in the guide")


def misnamed(data: Any = DATA) -> None:
    pyro.sample("zz", dist.Normal(pyro.param("loc", torch.tensor(0.0)), 1.0))


def twice(data: Any = DATA) -> None:
    guide()
    pyro.sample("z", dist.Normal(0.0, 1.0))


def outside_support(data: Any = DATA) -> None:
    pyro.sample("z", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Gamma(1.0, 1.0), obs=torch.tensor(-1.0))


def wrong_size(data: Any = DATA) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    with pyro.plate("data", 10):
        pyro.sample("x", dist.Normal(z, 1.0), obs=data)


@pytest.mark.parametrize(
    "model, guide, kind, text",
    [
        (model, raise_inside, KeyError, "in the guide"),
        (model, misnamed, ValueError, "At site 'zz': the guide draws this site, but the model"),
        (model, twice, ValueError, "At site 'z': the name is used twice"),
        (outside_support, guide, ValueError, "At site 'y': .*support"),
        (wrong_size, guide, ValueError, "At site 'x': .*10"),
    ],
)
def test_an_error_leaves_everything_as_it_was(model: Any, guide: Any, kind: Any, text: Any) -> None:
    pyro.param("loc", torch.tensor(0.5))
    pyro.param("scale", torch.tensor(0.7), constraint=dist.constraints.positive)
    before = params()
    with pytest.raises(kind, match=text):
        SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO()).step()
    assert _thread.stack == [] and _thread.dims._stack == []
    assert params() == before
    assert no_gradients_left()


def test_an_error_in_a_later_particle_leaves_no_gradient_behind() -> None:
    calls = []

    def failing(data: Any = DATA) -> None:
        calls.append(1)
        guide()
        if len(calls) == 2:
            raise KeyError("second particle")

    with pytest.raises(KeyError, match="second particle"):
        SVI(model, failing, Adam({"lr": 0.1}), Trace_ELBO(num_particles=3)).step()
    assert no_gradients_left()


def test_a_nan_parameter_is_named() -> None:
    svi = SVI(model, map_guide, Adam({"lr": 0.1}), Trace_ELBO())
    svi.step()
    pyro.param("loc").data.fill_(math.nan)
    with pytest.raises(ValueError, match="nan"):
        svi.step()


def test_equalize_around_a_step_is_refused() -> None:
    svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO())
    with poutine.equalize(sites=["z", "x"]):
        with pytest.raises(ValueError, match="Wrap the model instead"):
            svi.step()
        with pytest.raises(ValueError, match="Wrap the model instead"):
            svi.evaluate_loss()


def test_an_equalized_model_is_fitted() -> None:
    """x = y tied a priori, with likelihoods at 1 and 3: posterior N(4/3, 1/3)."""

    def twins() -> None:
        for name, datum in (("a", 1.0), ("b", 3.0)):
            mean = pyro.sample(f"{name}_mean", dist.Normal(0.0, 1.0))
            pyro.sample(f"{name}_x", dist.Normal(mean, 1.0), obs=torch.tensor(datum))

    def one_mean() -> None:
        pyro.sample("a_mean", dist.Delta(pyro.param("loc", torch.tensor(0.0))))

    svi = SVI(poutine.equalize(twins, ".+_mean"), one_mean, Adam({"lr": 0.1}), Trace_ELBO())
    for _ in range(200):
        svi.step()
    assert_close(pyro.param("loc"), 4 / 3, atol=1e-3)


def test_run_takes_steps_and_collects_runs() -> None:
    svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO(), num_samples=4, num_steps=3)
    with pytest.warns(FutureWarning, match="SVI.step"):
        assert svi.run() is svi
    assert len(svi.exec_traces) == 4
    assert {"z", "x"} <= set(svi().nodes)
    assert pyro.param("loc").item() != 0.0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("num_samples", [0, 3])
def test_run_shows_the_loss_to_whoever_waits(
    num_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyro._foundation.progress.PATIENCE", 0.0)
    monkeypatch.setattr("tqdm.std.time", itertools.count().__next__)  # each look a second later
    monkeypatch.setenv("TQDM_DISABLE", "0")
    losses = iter([12345.678, (0.5, 2.0), 7.0, 8.0])

    def loss(model: Any, guide: Any) -> Any:
        return next(losses)

    svi = SVI(model, guide, Adam({}), loss, loss, num_samples=num_samples, num_steps=4)
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with pytest.warns(FutureWarning):
        svi.run()
    drawn = terminal.getvalue()
    assert "SVI:" in drawn and "/4" in drawn
    assert all(text in drawn for text in ("loss 1.235e+04", "loss 0.5 2", "loss 7"))
    assert len(svi.exec_traces) == num_samples
    monkeypatch.setattr("sys.stderr", pipe := io.StringIO())
    SVI(model, guide, Adam({}), Trace_ELBO(), num_steps=2).run()
    assert pipe.getvalue() == ""
