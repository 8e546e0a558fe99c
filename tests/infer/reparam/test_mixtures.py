"""Auxiliary sites integrated out by quadrature leave the law that was there."""

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.infer.reparam as reparam
import pyro.poutine as poutine
from pyro.distributions.stable import skew_excess
from pyro.infer.reparam.stable import positive_stable
from tests.helpers import assert_close, assert_fits_cdf, assert_mean, trace_of
from tests.infer.reparam.examples import grid

pytestmark = pytest.mark.usefixtures("double_precision")


def integrated(law: Any, how: Any, obs: float, nodes: dict[str, Tensor], weights: Tensor) -> Tensor:
    """The density of a datum, with the auxiliary sites summed over nodes of a rule."""

    def model() -> None:
        with pyro.plate("nodes", len(weights)):
            pyro.sample("x", law, obs=torch.full((len(weights),), obs))

    handled = poutine.condition(poutine.reparam(model, config={"x": how}), data=nodes)
    record = trace_of(handled)
    record.compute_log_prob()
    log_prob = sum(record.nodes[name]["log_prob"] for name in (*nodes, "x"))
    assert isinstance(log_prob, Tensor)
    return (log_prob.exp() * weights).sum()


@pytest.mark.parametrize("obs", [0.3, -4.0])
def test_student_is_a_mixture_over_precisions(obs: float) -> None:
    law = dist.StudentT(3.0, 0.5, 2.0)
    y = torch.linspace(-30.0, 6.0, 2000)
    g = y.exp()
    density = integrated(law, reparam.StudentTReparam(), obs, {"x_gamma": g}, g * (y[1] - y[0]))
    assert_close(density, law.log_prob(torch.tensor(obs)).exp())


def noise_rule() -> tuple[dict[str, Tensor], Tensor]:
    """The trapezoidal rule in the logit of the uniform and the logarithm of the exponential."""
    y, z = torch.linspace(-34.0, 34.0, 273), torch.linspace(-34.0, 4.0, 153)
    share = y.sigmoid()
    angle = math.pi * (share - 0.5)
    width = math.pi * share * (-y).sigmoid() * (y[1] - y[0])
    pairs = torch.cartesian_prod(torch.arange(len(y)), torch.arange(len(z)))
    nodes = {"x_uniform": angle[pairs[:, 0]], "x_exponential": z.exp()[pairs[:, 1]]}
    return nodes, width[pairs[:, 0]] * nodes["x_exponential"] * (z[1] - z[0])


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("obs", [0.0, 1.7, -6.0])
def test_symmetric_stable_is_a_mixture_over_variances(alpha: float, obs: float) -> None:
    law = dist.Stable(torch.tensor(alpha), 0.0, 1.3, 0.2)
    nodes, weights = noise_rule()
    density = integrated(law, reparam.SymmetricStableReparam(), obs, nodes, weights)
    expected = stats.levy_stable(alpha, 0.0, 0.2, 1.3).pdf(obs)
    # SciPy's density has about nine digits
    assert_close(density, torch.tensor(expected), rtol=1e-7)


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.9])
def test_variances_have_their_laplace_transform(rho: float) -> None:
    nodes, weights = noise_rule()
    a = positive_stable(torch.tensor(rho), nodes["x_uniform"], nodes["x_exponential"])
    density = weights * (-nodes["x_exponential"]).exp() / math.pi
    for s in (0.2, 1.0, 5.0):
        assert_close((density * (-s * a).exp()).sum(), math.exp(-(s**rho)), rtol=1e-8)


@pytest.mark.parametrize(("alpha", "skew"), [(0.8, 0.5), (1.0, -0.9), (1.6, 0.0), (1.6, -0.9)])
def test_stable_draws_have_the_characteristic_function(alpha: float, skew: float) -> None:
    law = dist.Stable(torch.tensor(alpha), skew)

    def model() -> Any:
        with pyro.plate("draws", 20_000):
            return pyro.sample("x", law)

    x = poutine.reparam(model, config={"x": reparam.StableReparam()})()
    t = torch.tensor([0.3, 1.0, 2.0])
    excess = skew_excess(torch.tensor(alpha), t.log())
    expected = (-(t**alpha) * torch.complex(torch.ones_like(t), skew * excess)).exp()
    assert_mean((x[:, None] * t).cos(), expected.real)
    assert_mean((x[:, None] * t).sin(), expected.imag)


def test_stable_gradients_are_finite_where_there_is_no_skew() -> None:
    skew = torch.tensor(0.0, requires_grad=True)
    law = dist.Stable(torch.tensor(1.0), skew)
    handled = poutine.reparam(
        lambda: pyro.sample("x", law, obs=torch.tensor(2.0)), {"x": reparam.StableReparam()}
    )
    (slope,) = torch.autograd.grad(trace_of(handled).log_prob_sum(), skew)
    assert slope.isfinite()


def test_relaxed_draws_have_logistic_log_ratios() -> None:
    """T log(x_1 / x_2) - (l_1 - l_2) is logistic."""
    law = dist.RelaxedOneHotCategorical(torch.tensor(0.7), logits=torch.tensor([0.5, -0.2]))

    def model() -> Any:
        with pyro.plate("draws", 2000):
            return pyro.sample("x", law)

    x = poutine.reparam(model, config={"x": reparam.GumbelSoftmaxReparam()})()
    ratio = 0.7 * (x[:, 0] / x[:, 1]).log() - 0.7
    assert_fits_cdf(ratio, torch.sigmoid)


def test_conjugate_draws_weigh_the_evidence() -> None:
    """In a gamma-Poisson model every trace scores the negative binomial evidence."""
    law = dist.Gamma(torch.tensor([2.0, 3.0]), torch.tensor([3.0, 1.0])).to_event(1)
    counts = torch.tensor([4.0, 1.0])

    def model(counts: Tensor) -> None:
        rate = pyro.sample("rate", law)
        pyro.sample("counts", dist.Poisson(rate).to_event(1), obs=counts)

    how = reparam.ConjugateReparam(lambda counts: dist.Gamma(counts + 1, 1.0).to_event(1))
    record = trace_of(poutine.reparam(model, config={"rate": how}), counts)
    evidence = stats.nbinom([2, 3], [0.75, 0.5]).logpmf(counts.numpy()).sum()
    assert_close(record.log_prob_sum(), evidence)
    draws = torch.stack(
        [
            trace_of(poutine.reparam(model, config={"rate": how}), counts).nodes["rate"]["value"]
            for _ in range(500)
        ]
    )
    assert_mean(draws, torch.tensor([6 / 4, 4 / 2]))


def test_a_learnt_degree_is_a_parameter_of_the_event() -> None:
    handled = poutine.reparam(
        lambda: pyro.sample("x", dist.Normal(grid(), 2.0).to_event(1)),
        config={"x": reparam.LocScaleReparam()},
    )
    record = trace_of(handled)
    degree = pyro.param("x_centered")
    assert degree.shape == (4,) and (degree == 0.5).all()
    start = {"x_decentered": record.nodes["x_decentered"]["value"].detach()}
    x = trace_of(poutine.condition(handled, data=start)).nodes["x"]["value"]
    moved = torch.autograd.grad(x.sum(), pyro.param("x_centered").unconstrained())[0]
    assert moved.abs().min() > 0


def test_subsampled_plates_scale_a_datum_with_its_factor() -> None:
    data = torch.randn(6)

    def model() -> None:
        with pyro.plate("data", 6, subsample=torch.tensor([1, 3])) as index:
            pyro.sample("x", dist.Normal(1.0, 3.0), obs=data[index])

    expected = 3 * dist.Normal(1.0, 3.0).log_prob(data[[1, 3]]).sum()
    handled = poutine.reparam(model, config={"x": reparam.LocScaleReparam(0.0)})
    assert_close(trace_of(handled).log_prob_sum(), expected)
