import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer.abstract_infer import TracePosterior
from tests.helpers import assert_fits_probabilities, trace_of


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
