"""AutoDelta: the point that maximises the joint density."""

import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoDelta, init_to_mean, init_to_value
from tests.helpers import assert_close, trace_of

DATA = torch.tensor([0.3, 1.9, 1.1], dtype=torch.double)


def model() -> None:
    mean = pyro.sample("mean", dist.Normal(torch.zeros((), dtype=torch.double), 1.0))
    with pyro.plate("data", 3):
        pyro.sample("y", dist.Normal(mean, 1.0), obs=DATA)


def test_the_loss_is_minus_the_log_joint_density() -> None:
    guide = AutoDelta(model, init_loc_fn=init_to_value(values={"mean": DATA[0]}))
    squares = DATA[0] ** 2 + ((DATA - DATA[0]) ** 2).sum()
    assert_close(Trace_ELBO().loss(model, guide), (squares / 2 + 2 * math.log(2 * math.pi)).item())


def test_a_newton_step_reaches_the_mode() -> None:
    # The log joint density is quadratic with curvature 1 + 3.
    guide = AutoDelta(model)
    SVI(model, guide, pyro.optim.SGD({"lr": 0.25}), Trace_ELBO()).step()
    assert_close(guide.median()["mean"], DATA.sum() / 4)


def test_points_are_attributes_on_the_support() -> None:
    guide = AutoDelta(lambda: pyro.sample("p", dist.Beta(1.0, 3.0)), init_to_mean)
    guide()
    assert_close(guide.p, 0.25)
    assert list(guide.state_dict()) == ["p_unconstrained"]
    assert_close(guide.p_unconstrained.sigmoid(), 0.25)
    assert list(pyro.get_param_store()) == ["AutoDelta.p"]


def test_points_have_no_density_of_their_own() -> None:
    def local() -> None:
        with pyro.plate("rows", 3):
            pyro.sample("p", dist.Dirichlet(torch.ones(2)))

    trace = trace_of(AutoDelta(local))
    trace.compute_log_prob()
    assert_close(trace.nodes["p"]["log_prob"], [0.0, 0.0, 0.0])


@pytest.mark.parametrize("name", ["forward", "training", "plates", "median", "model"])
def test_a_name_that_the_guide_needs_is_refused(name: str) -> None:
    guide: Any = AutoDelta(lambda: pyro.sample(name, dist.Normal(0.0, 1.0)))
    with pytest.raises(ValueError, match=f"At site '{name}': .* attribute '{name}', which it need"):
        guide()


def test_a_starting_point_outside_of_the_support_is_refused() -> None:
    guide = AutoDelta(
        lambda: pyro.sample("p", dist.Beta(1.0, 3.0)),
        init_to_value(values={"p": torch.tensor(2.0)}),
    )
    with pytest.raises(ValueError, match="At site 'AutoDelta.p': the first value breaks the const"):
        guide()
