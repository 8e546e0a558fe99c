from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer import SVI, TraceEnum_ELBO, config_enumerate
from pyro.infer.autoguide import AutoDiscreteParallel
from pyro.optim import Adam
from tests.helpers import trace_of

DATA = torch.tensor([0.0, 3.0, 3.2])


@config_enumerate
def model() -> Any:
    with pyro.plate("data", 3):
        z = pyro.sample("z", dist.Categorical(torch.tensor([0.5, 0.3, 0.2])))
        b = pyro.sample("b", dist.Bernoulli(0.4))
        hot = pyro.sample("hot", dist.OneHotCategorical(torch.tensor([0.9, 0.1])))
        pyro.sample("x", dist.Normal(2.0 * z, 1.0), obs=DATA)
    return z, b, hot


def test_it_starts_as_the_prior_in_the_plates_of_the_model() -> None:
    guide = AutoDiscreteParallel(model)
    values = guide()
    assert [tuple(values[name].shape) for name in ("z", "b", "hot")] == [(3,), (3,), (3, 2)]
    assert guide.z_probs.tolist() == [pytest.approx([0.5, 0.3, 0.2])] * 3
    assert guide.b_probs.tolist() == pytest.approx([0.4] * 3)
    record = trace_of(guide)
    for name in values:
        site = record.nodes[name]
        assert site["infer"]["enumerate"] == "parallel"
        assert [frame.name for frame in site["cond_indep_stack"]] == ["data"]


def test_it_finds_independent_posteriors() -> None:
    guide = AutoDiscreteParallel(model)
    svi = SVI(model, guide, Adam({"lr": 0.1}), TraceEnum_ELBO(max_plate_nesting=1))
    for _ in range(200):
        loss = svi.step()
    means = 2.0 * torch.arange(3.0)
    joint = torch.tensor([0.5, 0.3, 0.2]).log() + dist.Normal(means, 1.0).log_prob(DATA[:, None])
    # Adam stops within its step of the optimum, where the loss is flat
    assert (guide.z_probs - joint.softmax(-1)).abs().max() < 0.05
    assert loss + joint.logsumexp(-1).sum() < 0.05


def test_sites_of_another_kind_are_refused() -> None:
    def continuous() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0), infer={"enumerate": "parallel"})

    with pytest.raises(NotImplementedError, match="'x': AutoDiscreteParallel .*kind Normal"):
        AutoDiscreteParallel(continuous)()
    with pytest.raises(NotImplementedError, match="does not ask to be enumerated in parallel"):
        AutoDiscreteParallel(lambda: pyro.sample("z", dist.Bernoulli(0.5)))()
