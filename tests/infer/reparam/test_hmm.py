"""Linear models of time whose noise becomes normal."""

from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.infer.reparam as reparam
import pyro.poutine as poutine
from tests.distributions.hidden_markov import joint_of, normal_vector, parts, randn, seen
from tests.helpers import assert_close, trace_of
from tests.ops.gaussians import quadrature
from tests.poutine.models import latent_names, refused, value_of

pytestmark = pytest.mark.usefixtures("double_precision")

STEPS, SEEN = 4, 3
AS_NORMAL = {
    "init": reparam.StudentTReparam(),
    "trans": reparam.StudentTReparam(),
    "obs": reparam.StudentTReparam(),
}


def student(loc: Tensor) -> Any:
    return dist.StudentT(4.0, loc, 1.3).to_event(1)


def model_of(law: Any, obs: Tensor | None = None) -> Any:
    return lambda: pyro.sample("x", law, obs=obs)


def applied(law: Any, datum: Tensor | None = None, **kinds: Any) -> Any:
    config = {"x": reparam.LinearHMMReparam(**(kinds or AS_NORMAL))}
    return poutine.reparam(model_of(law, datum), config=config)


def given_noise(record: Any, loc: Tensor, kind: str) -> Any:
    """The normal law that Student's law is, given the precision that was drawn."""
    gamma = value_of(record, f"x_{kind}_gamma")
    return dist.Normal(loc, 1.3 * gamma.rsqrt()).to_event(1)


def test_given_the_auxiliary_sites_the_law_is_the_dense_normal_one() -> None:
    F, H = randn(1, 2, 2) / 2, randn(2, SEEN)
    locs = randn(2), randn(2), randn(SEEN)
    law = dist.LinearHMM(student(locs[0]), F, student(locs[1]), H, student(locs[2]), duration=STEPS)
    record = trace_of(applied(law, randn(STEPS, SEEN)))
    assert latent_names(record) == ["x_init_gamma", "x_trans_gamma", "x_obs_gamma"]
    kinds = zip(locs, ("init", "trans", "obs"), strict=True)
    initial, shock, noise = (given_noise(record, loc, kind) for loc, kind in kinds)
    assert shock.batch_shape == noise.batch_shape == (STEPS,)
    dense = joint_of((initial, F, shock, H, noise), STEPS).of(seen(STEPS))
    record.compute_log_prob()
    site = record.nodes["x"]
    assert_close(site["log_prob"], dense.log_prob(site["value"].flatten()))
    gammas = value_of(record, "x_trans_gamma")
    assert_close(
        record.nodes["x_trans_gamma"]["log_prob"], dist.Gamma(2.0, 2.0).log_prob(gammas).sum()
    )


def test_the_mixture_is_the_law() -> None:
    """One step of numbers: the density as an integral over the state, and over the precision."""
    one = torch.ones(1, 1)
    start, noise = dist.Normal(0.4, 0.7), dist.StudentT(4.0, 0.2, 1.3)
    law = dist.LinearHMM(
        start.expand([1]).to_event(1),
        0.5 * one,
        dist.Normal(0.1, 0.9).expand([1]).to_event(1),
        2 * one,
        noise.expand([1]).to_event(1),
        duration=1,
    )
    x = torch.tensor([[1.5]])
    z, weight = quadrature(-10.0, 10.0, 4001)
    state = dist.Normal(0.4 / 2 + 0.1, (0.35**2 + 0.81) ** 0.5)
    exact = (state.log_prob(z) + noise.log_prob(x[0, 0] - 2 * z) + weight).logsumexp(0)
    log_g, weight = quadrature(-14.0, 6.0, 801)

    def joint(g: Tensor) -> Tensor:
        fixed = poutine.condition(
            applied(law, x, obs=reparam.StudentTReparam()),
            data={"x_obs_gamma": g.reshape(1, 1)},
        )
        return trace_of(fixed).log_prob_sum()

    terms = torch.stack([joint(g) for g in log_g.exp()]) + log_g + weight
    assert_close(terms.logsumexp(0), exact, atol=1e-9)


def test_observations_may_be_transformed() -> None:
    model = parts()
    observed = dist.LogNormal(randn(SEEN), 0.7).to_event(1)
    law = dist.LinearHMM(*model[:2], student(randn(2)), model[3], observed, duration=STEPS)
    x = law.sample()
    record = trace_of(applied(law, x, trans=reparam.StudentTReparam()))
    shock = given_noise(record, law.transition_dist.mean, "trans")
    normal = dist.GaussianHMM(*model[:2], shock, model[3], observed.base_dist.base_dist.to_event(1))
    record.compute_log_prob()
    expected = normal.log_prob(x.log()) - x.log().sum()
    assert_close(record.nodes["x"]["log_prob"], expected)


def test_entries_and_batches() -> None:
    base = dist.LinearHMM(
        student(randn(2)), randn(2, 2), student(randn(2)), randn(2, 1), student(randn(1)),
        duration=STEPS,
    ).expand([5, SEEN])  # fmt: skip
    for law, outer in [
        (dist.IndependentHMM(base), (5, SEEN)),
        (dist.IndependentHMM(base).to_event(1), (5, SEEN)),
        (dist.ExpandedDistribution(dist.IndependentHMM(base), [6, 5]), (6, 5, SEEN)),
        (dist.IndependentHMM(base).mask(torch.arange(5) < 2), (5, SEEN)),
    ]:
        record = trace_of(applied(law))
        record.compute_log_prob()
        assert value_of(record, "x_init_gamma").shape == (*outer, 2)
        assert value_of(record, "x_trans_gamma").shape == (*outer, STEPS, 2)
        assert value_of(record, "x_obs_gamma").shape == (*outer, STEPS, 1)
        for name in ("x_init_gamma", "x_trans_gamma", "x_obs_gamma", "x"):
            assert record.nodes[name]["fn"].batch_shape == law.batch_shape
        x = record.nodes["x"]
        assert x["value"].shape == law.shape() and x["log_prob"].shape == law.batch_shape


def test_what_is_refused() -> None:
    heavy = dist.LinearHMM(*parts()[:2], student(randn(2)), *parts()[3:], duration=STEPS)
    with refused(ValueError, "At site 'x': LinearHMMReparam needs normal noise, .* 'trans' is"):
        applied(heavy, init=None)()
    stable = dist.Stable(1.5, 0.0, 1.0, randn(2)).to_event(1)
    law = dist.LinearHMM(*parts()[:2], stable, *parts()[3:], duration=STEPS)
    with refused(ValueError, "needs normal noise, but that of 'trans' is Delta"):
        applied(law, trans=reparam.LatentStableReparam())()
    with refused(ValueError, "At site 'x': LinearHMMReparam is for LinearHMM"):
        applied(dist.GaussianHMM(*parts(), duration=STEPS))()
    with refused(ValueError, r"does not tell how many. Construct the law with duration="):
        applied(dist.LinearHMM(*parts()), randn(STEPS, SEEN), init=None)()
    with pytest.raises(TypeError, match="trans is a Reparam or None, not 'StudentT'"):
        reparam.LinearHMMReparam(trans="StudentT")  # type: ignore[arg-type]


def test_normal_noise_needs_no_help() -> None:
    model, x = parts(STEPS), randn(STEPS, SEEN)
    record = trace_of(applied(dist.LinearHMM(*model), x, init=None))
    assert_close(record.log_prob_sum(), dist.GaussianHMM(*model).log_prob(x))
    assert latent_names(record) == [] and normal_vector(2).event_shape == (2,)
