from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import CSIS
from pyro.infer.dreams import dream
from tests.helpers import assert_close, trace_of
from tests.infer.exact import COIN, Drawing, constant, double, leaves

NO_DATA = {"x": double(0.0)}


def model(observations: Any = NO_DATA) -> Any:
    z = pyro.sample("z", dist.Bernoulli(double(0.3)))
    pyro.sample("x", dist.Bernoulli(double(0.2, 0.7)[z.long()]), obs=observations["x"])
    return z


def guide(observations: Any = NO_DATA) -> None:
    table = pyro.param("table", double(0.4, 0.8))
    pyro.sample("z", dist.Bernoulli(table[observations["x"].long()]))


def compiled(**options: Any) -> Any:
    return CSIS(model, guide, pyro.optim.Adam({"lr": 0.05}), **options)


def test_loss_and_gradient_are_exact_over_all_that_the_model_draws() -> None:
    """The divergence, up to the entropy of the posterior, and its gradient."""
    trace_of(guide)
    (table,) = leaves("table")
    expected, loss, gradient = torch.zeros(()), 0.0, torch.zeros(2)
    for z in COIN:
        for x in COIN:
            weight = dist.Bernoulli(double(0.3)).log_prob(z).exp()
            weight = weight * dist.Bernoulli(double(0.2, 0.7)[z.long()]).log_prob(x).exp()
            expected = expected - weight * dist.Bernoulli(table[x.long()]).log_prob(z)
            with Drawing({"z": constant(z), "x": constant(x)}):
                batch = [dream(model, (), {})]
            table.grad = None
            loss += weight * compiled().loss_and_grads(True, batch)
            gradient = gradient + weight * table.grad
    assert_close(loss, expected)
    assert_close(gradient, torch.autograd.grad(expected, table)[0])


def test_a_batch_is_averaged_over() -> None:
    trace_of(guide)
    batch = [dream(model, (), {}) for _ in range(3)]
    each = [compiled().loss_and_grads(False, [record]) for record in batch]
    assert_close(compiled().loss_and_grads(False, batch), sum(each) / 3)
    assert leaves("table")[0].grad is None


def test_training_compiles_the_posterior_of_any_data() -> None:
    csis = compiled(num_inference_samples=50, training_batch_size=20)
    before = csis.validation_loss()
    for _ in range(60):
        loss = csis.step()
    assert isinstance(loss, float)
    assert csis.validation_loss() < before
    joint = double([0.7 * 0.8, 0.3 * 0.3], [0.7 * 0.2, 0.3 * 0.7])
    assert (pyro.param("table") - joint[:, 1] / joint.sum(1)).abs().max() < 0.1
    assert leaves("table")[0].grad is None
    posterior = csis.run(observations={"x": double(1.0)})
    assert len(posterior.exec_traces) == 50
    assert abs(posterior.get_log_normalizer().exp() - joint[1].sum()) < 0.05
    assert posterior().nodes["x"]["value"] == 1.0


def test_the_validation_batch_stays_until_it_is_drawn_anew() -> None:
    csis = compiled(validation_batch_size=30)
    csis.set_validation_batch()
    first = csis.validation_loss()
    assert csis.validation_loss() == first
    assert len(csis.validation_batch) == 30
    csis.set_validation_batch()
    assert csis.validation_loss() != first


def test_the_model_s_parameters_are_left_alone() -> None:
    def learnt(observations: Any = NO_DATA) -> None:
        z = pyro.sample("z", dist.Bernoulli(pyro.param("prior", double(0.3))))
        pyro.sample("x", dist.Bernoulli(0.2 + 0.5 * z), obs=observations["x"])

    CSIS(learnt, guide, pyro.optim.Adam({"lr": 0.5})).step()
    assert pyro.param("prior") == 0.3
    assert (pyro.param("table") != double(0.4, 0.8)).any()


def test_misuse_is_refused() -> None:
    def deaf() -> None:
        guide()

    with pytest.raises(TypeError, match=r"def guide\(..., observations\)"):
        CSIS(model, deaf, pyro.optim.Adam({"lr": 0.1})).step()
    with pytest.raises(ValueError, match="size of a batch must be positive, got 0"):
        compiled(training_batch_size=0)
    with poutine.equalize(sites=["z", "x"]), pytest.raises(ValueError, match="Wrap the model"):
        compiled().step()
