"""The joint density of an equalized model, against closed forms, quadrature and brute force."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from tests.helpers import assert_close, trace_of
from tests.poutine.models import dogs_and_cats, latent_names, value_of

BOTH = pytest.mark.parametrize("keep_dist", [False, True])
pytestmark = pytest.mark.usefixtures("double_precision")


def pointwise(model: Callable[..., Any], owner: str, values: Tensor) -> Tensor:
    """The joint log density of a model with scalar sites, at each of many values of its owner."""
    trace = trace_of(poutine.condition(model, {owner: values}))
    trace.compute_log_prob()
    return sum(
        (node["log_prob"] for node in trace.nodes.values() if node["type"] == "sample"),
        torch.zeros(()),
    )


def moments(log_density: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log normaliser, mean and variance of a density on an even grid (it vanishes at the ends)."""
    step = grid[1] - grid[0]
    density = log_density.exp()
    total = density.sum() * step
    mean = (density * grid).sum() * step / total
    variance = (density * (grid - mean) ** 2).sum() * step / total
    return total.log(), mean, variance


# Two normals, of which one is the other: N(0, 1) and N(5, 3), tied.


def two_normals() -> Tensor:
    x: Tensor = pyro.sample("x", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(5.0, 3.0))
    return x


@pytest.mark.parametrize(
    ("keep_dist", "log_evidence", "mean", "variance"),
    [(True, -3.3202311, 0.5, 0.9), (False, 0.0, 0.0, 1.0)],
)
@pytest.mark.parametrize("inside", [False, True])
def test_tied_normals(
    keep_dist: bool, log_evidence: float, mean: float, variance: float, inside: bool
) -> None:
    grid = torch.linspace(-15.0, 15.0, 3001)
    tie = poutine.equalize(sites=["x", "y"], keep_dist=keep_dist)
    if inside:  # a condition inside must say the same as one outside
        conditioned = trace_of(tie(poutine.condition(two_normals, {"x": grid})))
        conditioned.compute_log_prob()
        log_density = conditioned.nodes["x"]["log_prob"] + conditioned.nodes["y"]["log_prob"]
    else:
        log_density = pointwise(tie(two_normals), "x", grid)
    found = moments(log_density, grid)
    # The trapezoid rule on an analytic density that vanishes at both ends is exact to rounding;
    # the expected evidence is given to seven digits.
    assert_close(found[0], log_evidence, atol=5e-8)
    assert_close(found[1], mean, atol=1e-9)
    assert_close(found[2], variance, atol=1e-9)


def test_tied_normals_in_closed_form() -> None:
    """Log evidence of keep_dist: N(0 | 5, 1 + 9)."""
    closed_form = -0.5 * math.log(2 * math.pi * 10) - 25 / 20
    assert_close(closed_form, -3.3202311, atol=5e-8)


@pytest.mark.parametrize(
    ("log_scale", "mean"),
    [(False, -0.5), (True, 0.0)],
)
def test_equal_in_the_parametrisation_as_written(log_scale: bool, mean: float) -> None:
    """Two tied LogNormal(0, 1) give log x ~ N(-1/2, 1/2); their tied logs give N(0, 1/2)."""

    def model() -> None:
        for name in "xy":
            if log_scale:
                pyro.sample(name, dist.Normal(0.0, 1.0))
            else:
                pyro.sample(name, dist.LogNormal(0.0, 1.0))

    grid = torch.linspace(-12.0, 12.0, 2401)
    tied = poutine.equalize(model, "x|y", keep_dist=True)
    if log_scale:
        log_density = pointwise(tied, "x", grid)
    else:
        log_density = pointwise(tied, "x", grid.exp()) + grid  # change of variables to log x
    _, found_mean, found_variance = moments(log_density, grid)
    assert_close(found_mean, mean, atol=1e-9)
    assert_close(found_variance, 0.5, atol=1e-9)


# Discrete sites, by brute force.


@BOTH
def test_tied_bernoullis(keep_dist: bool) -> None:
    def model() -> None:
        x = pyro.sample("x", dist.Bernoulli(0.3))
        y = pyro.sample("y", dist.Bernoulli(0.6))
        pyro.sample("z", dist.Normal(x + 2 * y, 1.0), obs=torch.tensor(1.4))

    tied = poutine.equalize(model, ["x", "y"], keep_dist=keep_dist)
    for value in (0.0, 1.0):
        normal = -((1.4 - 3 * value) ** 2) / 2 - 0.5 * math.log(2 * math.pi)
        expected = math.log(0.3 if value else 0.7) + normal
        if keep_dist:
            expected += math.log(0.6 if value else 0.4)
        trace = trace_of(poutine.condition(tied, {"x": torch.tensor(value)}))
        assert_close(trace.log_prob_sum(), expected)


@BOTH
def test_tied_categoricals_in_a_plate(keep_dist: bool) -> None:
    """Over all joint values the densities sum to the probability that all pairs agree."""
    p, q = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([0.6, 0.3, 0.1])

    def model() -> None:
        with pyro.plate("rows", 2):
            pyro.sample("x", dist.Categorical(p))
            pyro.sample("y", dist.Categorical(q))

    tied = poutine.equalize(model, ["x", "y"], keep_dist=keep_dist)
    total = 0.0
    for values in itertools.product(range(3), repeat=2):
        trace = trace_of(poutine.condition(tied, {"x": torch.tensor(values)}))
        total += float(torch.as_tensor(trace.log_prob_sum()).exp())
    assert_close(total, float((p * q).sum()) ** 2 if keep_dist else 1.0)


# How often a member counts.


def owner_and_five() -> None:
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", 5):
        y = pyro.sample("y", dist.Normal(1.0, 2.0))
        pyro.sample("z", dist.Normal(x + y, 1.0), obs=torch.arange(5.0))


@BOTH
def test_a_member_in_a_plate_counts_once_an_element(keep_dist: bool) -> None:
    grid = torch.tensor([-0.7, 0.0, 2.3])
    for x in grid:
        tied = poutine.equalize(owner_and_five, ["x", "y"], keep_dist=keep_dist)
        found = trace_of(poutine.condition(tied, {"x": x})).log_prob_sum()
        expected = dist.Normal(0.0, 1.0).log_prob(x)
        expected = expected + dist.Normal(2 * x, 1.0).log_prob(torch.arange(5.0)).sum()
        if keep_dist:
            expected = expected + 5 * dist.Normal(1.0, 2.0).log_prob(x)
        assert_close(found, expected)


@BOTH
@pytest.mark.parametrize("inside", [False, True])
def test_a_scale_weighs_owner_and_member(keep_dist: bool, inside: bool) -> None:
    tie = poutine.equalize(sites=["x", "y"], keep_dist=keep_dist)
    scaled = poutine.scale(scale=0.25)
    model = tie(scaled(two_normals)) if inside else scaled(tie(two_normals))
    found = trace_of(poutine.condition(model, {"x": torch.tensor(1.5)})).log_prob_sum()
    expected = dist.Normal(0.0, 1.0).log_prob(torch.tensor(1.5))
    if keep_dist:
        expected = expected + dist.Normal(5.0, 3.0).log_prob(torch.tensor(1.5))
    assert_close(found, expected / 4)


def test_a_mask_on_a_member_takes_its_density_away() -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))
        with poutine.mask(mask=False):
            pyro.sample("y", dist.Normal(5.0, 3.0))

    tied = poutine.equalize(model, ["x", "y"], keep_dist=True)
    found = trace_of(poutine.condition(tied, {"x": torch.tensor(1.5)})).log_prob_sum()
    assert_close(found, dist.Normal(0.0, 1.0).log_prob(torch.tensor(1.5)))


def test_a_subsampled_member_is_weighed_for_all_elements() -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 10, subsample_size=2):
            pyro.sample("y", dist.Normal(1.0, 2.0))

    tied = poutine.equalize(model, ["x", "y"], keep_dist=True)
    x = torch.tensor(0.4)
    found = trace_of(poutine.condition(tied, {"x": x})).log_prob_sum()
    assert_close(found, dist.Normal(0.0, 1.0).log_prob(x) + 10 * dist.Normal(1.0, 2.0).log_prob(x))


# Gradients.


def density_of(model: Callable[[], Any], names: list[str]) -> Callable[..., Tensor]:
    def log_density(*values: Tensor) -> Tensor:
        trace = trace_of(poutine.condition(model, dict(zip(names, values, strict=True))))
        return torch.as_tensor(trace.log_prob_sum())

    return log_density


def gradients_agree(fn: Callable[..., Tensor], inputs: list[Tensor]) -> bool:
    # Undefined gradients are no part of it: a released Pyro looks at each for NaNs.
    return torch.autograd.gradcheck(fn, inputs, check_undefined_grad=False)


@BOTH
def test_gradients_equal_finite_differences(keep_dist: bool) -> None:
    data = {f"{category}_values": torch.randn(5) for category in ("dogs", "cats")}
    model = poutine.condition(dogs_and_cats, data)
    tied = poutine.equalize(model, {"std": ".+_std", "mean": ".+_mean"}, keep_dist=keep_dist)
    names = latent_names(trace_of(tied))
    assert names == ["dogs_mean", "dogs_std"]
    values = [torch.tensor(v, requires_grad=True) for v in (0.3, 1.7)]
    assert gradients_agree(density_of(tied, names), values)


@BOTH
def test_vector_gradients_equal_finite_differences(keep_dist: bool) -> None:
    def model() -> None:
        x = pyro.sample("x", dist.Dirichlet(torch.tensor([1.0, 2.0, 3.0])))
        y = pyro.sample("y", dist.Dirichlet(torch.tensor([3.0, 1.5, 1.0])))
        pyro.sample("z", dist.Normal(x * y, 1.0).to_event(1), obs=torch.ones(3))

    tied = poutine.equalize(model, ["x", "y"], keep_dist=keep_dist)
    log_density = density_of(tied, ["x"])
    weights = torch.tensor([0.4, -0.2, 0.1], requires_grad=True)
    assert gradients_agree(lambda w: log_density(w.softmax(-1)), [weights])


def test_param_gradients_equal_finite_differences() -> None:
    def model() -> None:
        a = pyro.param("a", torch.tensor([0.5, 1.5]), constraint=dist.constraints.positive)
        b = pyro.param("b", torch.tensor([2.0, 2.5]), constraint=dist.constraints.positive)
        pyro.sample("z", dist.Normal(a, b).to_event(1), obs=torch.tensor([1.0, -1.0]))

    tied = poutine.equalize(model, ["a", "b"], "param")

    def log_density(a: Tensor) -> Tensor:
        return torch.as_tensor(trace_of(poutine.substitute(tied, {"a": a})).log_prob_sum())

    value = torch.tensor([0.5, 1.5], requires_grad=True)
    assert gradients_agree(log_density, [value])
    (wanted,) = torch.autograd.grad(log_density(value), value)
    loss = torch.as_tensor(trace_of(tied).log_prob_sum())
    (found,) = torch.autograd.grad(loss, pyro.param("a").unconstrained())
    assert_close(found, wanted * value)  # d exp(u) / du = exp(u)


@BOTH
def test_drawn_values_carry_gradients_to_the_laws_parameters(keep_dist: bool) -> None:
    """The shared value is a differentiable draw of the owner, wherever it is used."""
    loc = torch.tensor(0.3, requires_grad=True)

    def model() -> Tensor:
        pyro.sample("x", dist.Normal(loc, 1.0))
        y: Tensor = pyro.sample("y", dist.Normal(0.0, 1.0))
        return 3 * y

    trace = trace_of(poutine.equalize(model, ["x", "y"], keep_dist=keep_dist))
    (gradient,) = torch.autograd.grad(value_of(trace, "_RETURN"), loc)
    assert gradient == 3
