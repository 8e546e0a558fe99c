import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import EmpiricalMarginal, Importance
from pyro.infer.abstract_infer import Marginals, TracePosterior, TracePredictive
from pyro.ops.stats import waic
from tests.helpers import assert_close, assert_fits_probabilities, trace_of
from tests.infer.exact import Drawing, constant


class Coins(TracePosterior):
    def _traces(self, values: Any, weights: Any) -> Any:
        for value, weight in zip(values, weights, strict=True):
            yield trace_of(poutine.condition(self.model, data={"z": value})), math.log(weight)

    @staticmethod
    def model() -> Any:
        return pyro.sample("z", dist.Normal(0.0, 1.0))


def test_runs_are_drawn_by_their_weights() -> None:
    values = [torch.tensor(float(i)) for i in range(3)]
    posterior = Coins().run(values, [0.2, 0.5, 0.3])
    draws = torch.stack([posterior().nodes["z"]["value"] for _ in range(500)])
    assert_fits_probabilities(draws, torch.tensor([0.2, 0.5, 0.3]))


def test_a_run_starts_afresh_and_is_hidden_from_outer_handlers() -> None:
    posterior = Coins()
    with poutine.trace() as outer:
        for _ in range(2):
            posterior.run([torch.tensor(1.0)], [1.0])
    assert len(posterior.exec_traces) == len(posterior.log_weights) == 1
    assert list(outer.trace.nodes) == []


def test_drawing_before_running_is_refused() -> None:
    with pytest.raises(RuntimeError, match="Coins holds no runs yet: call run"):
        Coins()()


def test_the_base_needs_traces_and_chains() -> None:
    with pytest.raises(TypeError, match="_traces"):
        TracePosterior()  # type: ignore[abstract]
    with pytest.raises(ValueError, match="num_chains must be a positive integer, got 0"):
        Coins(num_chains=0)


class Chains(TracePosterior):
    """Two chains of three runs, which come in turn."""

    def _traces(self, data: Any) -> Any:
        for i in range(6):
            with Drawing({"z": constant(torch.tensor(0.1 * i))}):
                record = trace_of(regression, data)
            yield record, math.log(1.0 + i), i % 2


def regression(data: Any = None) -> Any:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    pyro.deterministic("twice", 2 * z)
    with pyro.plate("data", 3 if data is None else len(data)):
        w = pyro.sample("w", dist.Normal(z, 1.0))
        return pyro.sample("x", dist.Normal(z, 1.0), obs=data) + 0 * w


DATA = torch.tensor([0.3, -0.2, 1.1])


def test_a_marginal_is_the_law_of_a_sites_weighted_values() -> None:
    values = [torch.tensor(float(i)) for i in range(3)]
    posterior = Coins().run(values, [0.2, 0.5, 0.3])
    law = EmpiricalMarginal(posterior, "z")
    assert (law.batch_shape, law.event_shape) == ((), ())
    assert_close(law.mean, 1.1)
    assert_close(law.log_prob(torch.tensor(1.0)).exp(), 0.5)
    assert_close(EmpiricalMarginal(posterior).mean, 1.1)
    samples, log_weights = law._get_samples_and_weights()  # as libraries ask
    assert_close(samples, torch.stack(values))
    assert_close(log_weights.exp(), [0.2, 0.5, 0.3])
    both = EmpiricalMarginal(posterior, ["z", "_RETURN"])
    assert_close(both.mean, [1.1, 1.1])
    marginals = posterior.marginal(["z", "_RETURN"])
    assert list(marginals.empirical) == ["z", "_RETURN"]
    assert_close(dict(posterior.marginal("z").support()), {"z": torch.stack(values)})
    assert_close(dict(posterior.marginal().support(flatten=True)), {"_RETURN": torch.stack(values)})


def test_chains_stand_along_a_batch_dimension() -> None:
    posterior = Chains(num_chains=2).run(DATA)
    assert posterior.chain_ids == [0, 1] * 3
    law = EmpiricalMarginal(posterior, "z")
    chains = torch.tensor([[0.0, 0.2, 0.4], [0.1, 0.3, 0.5]])
    weights = torch.tensor([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]])
    assert law.batch_shape == (2,)
    assert_close(law.mean, (weights * chains).sum(1) / weights.sum(1))
    marginals = posterior.marginal(["z", "x"])
    assert_close(marginals.support()["z"], chains)
    assert_close(marginals.support(flatten=True)["z"], chains.reshape(-1))
    assert marginals.support()["x"].shape == (2, 3, 3)
    posterior.chain_ids = [0, 0, 0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"Chains hold \[4, 2\] runs, expected as many each"):
        posterior.marginal("z")


def test_marginals_are_of_sites_that_stack() -> None:
    posterior = Chains().run(DATA)
    with pytest.raises(ValueError, match="At site 'nope': a run has no such site; it has"):
        posterior.marginal("nope")
    with pytest.raises(ValueError, match=r"values of shapes \[\(\), \(3,\)\] do not stack"):
        EmpiricalMarginal(posterior, ["z", "x"])
    with pytest.raises(TypeError, match="sites is the name of a site or a list of names, got 3"):
        Marginals(posterior, 3)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="holds no runs yet"):
        Chains().marginal("z")
    posterior.exec_traces[0].nodes["_RETURN"]["value"] = None
    with pytest.raises(ValueError, match="At site '_RETURN': the value is None, expected a tensor"):
        posterior.marginal()


def test_the_information_criterion_is_waic_of_the_observations() -> None:
    """Weighted by the runs; neither latent nor computed sites count."""
    posterior = Chains().run(DATA)
    z = 0.1 * torch.arange(6.0)
    scores = dist.Normal(z.unsqueeze(-1), 1.0).log_prob(DATA)
    weights = (1.0 + torch.arange(6.0)).log()
    for pointwise in (False, True):
        found = posterior.information_criterion(pointwise)
        expected = waic(scores, weights, pointwise)
        assert list(found) == ["waic", "p_waic"]
        assert_close(list(found.values()), list(expected))


def test_several_observed_sites_are_joined() -> None:
    def model() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0), obs=torch.tensor(0.3))
        with pyro.plate("rows", 2):
            pyro.sample("b", dist.Normal(0.0, 1.0), obs=torch.zeros(2))

    found = Importance(model, num_samples=3).run().information_criterion(pointwise=True)
    scores = dist.Normal(0.0, 1.0).log_prob(torch.tensor([0.3, 0.0, 0.0]))
    assert_close(found["waic"], -2 * scores)
    with pytest.raises(ValueError, match="observes no site, only .*'z'"):
        Importance(Coins.model, num_samples=2).run().information_criterion()


def predictive(*args: Any, **kwargs: Any) -> TracePredictive:
    with pytest.warns(FutureWarning, match="use pyro.infer.Predictive"):
        return TracePredictive(*args, **kwargs)


def test_predictions_keep_what_the_posterior_drew() -> None:
    posterior = Importance(regression, num_samples=20).run(DATA)
    drawn = {
        float(z): w for z, w in zip(*posterior.marginal(["z", "w"]).support().values(), strict=True)
    }
    predictions = predictive(regression, posterior, num_samples=9).run()
    assert len(predictions.exec_traces) == 9 and predictions.log_weights == [0.0] * 9
    for record in predictions.exec_traces:
        assert_close(record.nodes["w"]["value"], drawn[float(record.nodes["z"]["value"])])
        assert (record.nodes["x"]["value"] != DATA).all()
    assert predictions.marginal("x").support()["x"].shape == (9, 3)


def test_predictions_draw_anew_what_belongs_to_other_elements() -> None:
    posterior = Importance(regression, num_samples=20).run(DATA)
    for options, size in (({}, 5), ({"keep_sites": ["z"]}, 3)):
        predictions = predictive(regression, posterior, num_samples=4, **options)
        record = predictions.run(torch.zeros(size)).exec_traces[0]
        assert record.nodes["w"]["value"].shape == (size,)
        assert float(record.nodes["z"]["value"]) in posterior.marginal("z").support()["z"]
        old = posterior.marginal("w").support()["w"]
        assert not any(value in old for value in record.nodes["w"]["value"])
