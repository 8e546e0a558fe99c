"""Densities and draws against those of SciPy and torch, and of numbers against tensors."""

import math
from typing import Any

import pytest
import torch
from torch.distributions import constraints

import pyro.distributions as dist
from tests.distributions.examples.example import Example
from tests.distributions.table import some
from tests.helpers import assert_close


def is_discrete(example: Example) -> bool:
    return bool(example.make().support.is_discrete)


def is_univariate(example: Example) -> bool:
    law = example.make()
    apart = (dist.Delta, dist.MaskedDistribution, dist.StableWithLogProb)
    return not law.event_shape and not isinstance(law, apart)


@some(lambda example: example.reference is not None)
def test_agrees_with_scipy(example: Example) -> None:
    law = example.make(torch.float64)
    values = law.sample((20,))
    density = example.reference.logpmf if is_discrete(example) else example.reference.logpdf
    if isinstance(law, dist.Wishart):
        expected = density(values.numpy().transpose(1, 2, 0))
    elif isinstance(law, dist.Dirichlet):
        expected = density((values / values.sum(-1, True)).numpy().T)
    else:
        expected = density(values.numpy())
    tolerance = 1e-9
    expected = torch.as_tensor(expected)
    assert_close(law.log_prob(values), expected, rtol=tolerance, atol=tolerance)


@some(
    lambda example: (
        hasattr(example.reference, "cdf")
        and is_univariate(example)
        and not is_discrete(example)
        and not isinstance(example.make(), dist.VonMises)
    )  # SciPy counts its turns
)
def test_draws_follow_scipys_law(example: Example) -> None:
    law = example.make(torch.float64)
    values = law((2000,))
    uniform = torch.as_tensor(example.reference.cdf(values.numpy())).reshape(2000, -1)
    uniform = uniform.sort(0).values
    grid = torch.arange(1, 2001) / 2000.0
    distance = (uniform - grid[:, None]).abs().max().item()
    # Dvoretzky, Kiefer and Wolfowitz: P(distance > d) <= 2 exp(-2 n d^2), at most 1e-5 an entry
    assert distance < math.sqrt(math.log(2e5) / 4000) + 1 / 2000


@some(lambda example: example.numbers is not None)
@pytest.mark.parametrize("checked", [True, False])
def test_numbers_do_as_well_as_tensors(example: Example, checked: bool) -> None:
    with dist.validation_enabled(checked):
        ours = example.numbers(dist)  # type: ignore[misc]
        theirs = example.numbers(torch.distributions)  # type: ignore[misc]
        for shape in ((), (3,), (2, 3)):
            torch.manual_seed(5)
            value = ours(shape)
            torch.manual_seed(5)
            expected = theirs.rsample(shape) if theirs.has_rsample else theirs.sample(shape)
            assert_close(value, expected)
            assert_close(ours.log_prob(expected), theirs.log_prob(expected), rtol=2e-5, atol=2e-6)
            expanded = ours.expand((4, *shape))
            assert expanded.log_prob(expected).shape == (4, *shape)
            assert_close(expanded.log_prob(expected)[0], ours.log_prob(expected))
        wide = value.double()
        assert ours.log_prob(wide).dtype in (torch.float64, theirs.log_prob(wide).dtype)
    for name in theirs.arg_constraints:
        if name in vars(theirs):
            assert_close(getattr(ours, name), getattr(theirs, name))


@some(lambda example: hasattr(torch.distributions, example.name))
def test_draws_and_scores_are_those_of_torch(example: Example) -> None:
    ours, leaves = example.make_with_leaves()
    if isinstance(ours, (dist.Independent, dist.MixtureSameFamily)):
        pytest.skip("made of other laws")
    if isinstance(ours, dist.LKJCholesky):
        pytest.skip("torch draws too strong correlations")
    if isinstance(ours, (dist.Wishart, dist.GeneralizedPareto)):
        pytest.skip("torch redraws what is not singular, and fails in double precision")
    if isinstance(ours, dist.LKJCholesky):
        pytest.skip("torch draws rows too long, from the third on")
    theirs = as_torch(ours)
    for shape in (torch.Size(), torch.Size([3])):
        torch.manual_seed(5)
        value = ours.sample(shape)
        torch.manual_seed(5)
        assert_close(value, theirs.sample(shape))
        # torch approximates Bessel functions to about seven digits
        tolerance = 1e-6 if isinstance(ours, dist.VonMises) else 1e-9
        assert_close(ours.log_prob(value), theirs.log_prob(value), rtol=tolerance, atol=tolerance)


def as_torch(law: Any) -> Any:
    """Return torch's own law with the same parameters."""
    own = getattr(torch.distributions, type(law).__name__)
    if isinstance(law, dist.TransformedDistribution):
        base: Any = law.base_dist
        base = base.base_dist if isinstance(base, dist.Independent) else base
        return own(torch.distributions.Normal(base.loc, base.scale), law.transforms)
    if isinstance(law, dist.LKJCholesky):
        return own(law.dim, law.concentration)
    names = list(law.arg_constraints)
    if isinstance(law, dist.Multinomial):
        return own(law.total_count, law.probs)
    if isinstance(law, dist.RelaxedOneHotCategorical):
        return own(law.temperature, law.probs)
    if "probs" in names and "logits" in names:
        given = "probs" if torch.equal(law._param, law.probs) else "logits"
        extra = {n: getattr(law, n) for n in ("total_count", "temperature") if hasattr(law, n)}
        return own(**{given: getattr(law, given)}, **extra)
    for name in ("precision_matrix", "scale_tril", "covariance_matrix"):
        if name in names and name not in vars(law):
            names.remove(name)
    return own(**{name: getattr(law, name) for name in names})


@pytest.mark.parametrize("law", [dist.LogNormal, dist.HalfNormal, dist.HalfCauchy])
@pytest.mark.parametrize("parameter", [1.0, torch.tensor([1.0, 2.0])])
def test_values_outside_the_support_have_no_density(law: Any, parameter: Any) -> None:
    arguments = (0.0, parameter) if law is dist.LogNormal else (parameter,)
    outside = torch.tensor([-1.0, -2.0])
    with pytest.raises(ValueError, match="must lie within the support"):
        law(*arguments).log_prob(outside)
    unchecked = law(*arguments, validate_args=False)
    assert_close(unchecked.log_prob(outside), torch.full((2,), -math.inf))
    mixed = unchecked.log_prob(torch.tensor([-1.0, 1.0]))
    assert mixed[0] == -math.inf and mixed[1].isfinite()
    assert unchecked.log_prob(torch.tensor(math.nan)).isnan().all()


def test_the_ends_of_an_interval_belong_to_the_uniform_law() -> None:
    ends = torch.tensor([0.0, 2.0])
    for law in (dist.Uniform(0.0, 2.0), dist.Uniform(torch.zeros(2), 2.0)):
        assert_close(law.log_prob(ends), torch.full((2,), -math.log(2.0)))
        unchecked = type(law)(law.low, law.high, validate_args=False)
        assert_close(unchecked.log_prob(ends + 0.5), torch.tensor([-math.log(2.0), -math.inf]))


def test_support_of_real_laws_is_real() -> None:
    assert dist.Normal(0.0, 1.0).support is constraints.real
