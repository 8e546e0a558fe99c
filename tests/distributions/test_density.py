"""Densities: against SciPy, torch and one another; that they integrate to 1; their gradients."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import Tensor
from torch.distributions import constraints

import pyro.distributions as dist
from tests.distributions.examples.example import Example
from tests.distributions.table import EXAMPLES, ids
from tests.helpers import assert_close


def some(condition: Callable[[Any], bool]) -> Any:
    chosen = [example for example in EXAMPLES if condition(example)]
    assert chosen
    return pytest.mark.parametrize("example", chosen, ids=ids)


def is_discrete(example: Example) -> bool:
    return bool(example.make().support.is_discrete)


def is_univariate(example: Example) -> bool:
    law = example.make()
    return not law.event_shape and not isinstance(law, (dist.Delta, dist.MaskedDistribution))


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
    # torch approximates Bessel functions to about seven digits
    tolerance = 1e-6 if isinstance(law, dist.VonMises) else 1e-9
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


def integral(law: Any, index: int, low: float, high: float) -> float:
    def density(x: float) -> float:
        value = torch.full(law.batch_shape, x, dtype=torch.float64)
        return float(law.log_prob(value).reshape(-1)[index].exp())

    return float(integrate.quad(density, low, high, limit=200)[0])


@some(lambda example: is_univariate(example) and not is_discrete(example))
def test_a_density_integrates_to_one(example: Example) -> None:
    law = example.make(torch.float64)
    support = law.support
    for index in range(law.batch_shape.numel()):

        def bound(name: str, default: float, index: int = index) -> float:
            value = torch.as_tensor(getattr(support, name, default), dtype=torch.float64)
            return float(value.expand(law.batch_shape).reshape(-1)[index])

        low, high = bound("lower_bound", -math.inf), bound("upper_bound", math.inf)
        if isinstance(law, dist.VonMises):
            low, high = -math.pi, math.pi
        with dist.validation_enabled(False):
            assert integral(law, index, low, high) == pytest.approx(1.0, abs=2e-6)


def gauss_legendre(low: float, high: float, count: int = 80) -> tuple[Tensor, Tensor]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    half = (high - low) / 2
    return torch.tensor(low + half * (nodes + 1)), torch.tensor(half * weights)


def test_densities_in_the_plane_integrate_to_one() -> None:
    loc = torch.tensor([0.5, -1.0], dtype=torch.float64)
    full = torch.tensor([[1.5, 0.4], [0.4, 0.8]], dtype=torch.float64)
    laws = [
        dist.MultivariateNormal(loc, full),
        dist.MultivariateNormal(loc, precision_matrix=full),
        dist.LowRankMultivariateNormal(loc, full[:, :1], loc.abs()),
        dist.Normal(loc, 1.5).to_event(1),
    ]
    x, weight = gauss_legendre(-14.0, 14.0, 160)
    values = torch.stack(torch.meshgrid(x, x, indexing="ij"), -1)
    for law in laws:
        total = (law.log_prob(values).exp() * weight * weight[:, None]).sum()
        assert_close(total, 1.0, atol=1e-9)


def test_densities_on_the_simplex_integrate_to_one() -> None:
    concentration = torch.tensor([2.0, 1.5, 3.0], dtype=torch.float64)
    normal = dist.LogisticNormal(loc := torch.tensor([0.3, -0.2], dtype=torch.float64), loc.exp())
    # the triangle as an image of the square: x, then a share of what is left
    x, weight = gauss_legendre(0.0, 1.0, 120)
    first, share = torch.meshgrid(x, x, indexing="ij")
    values = torch.stack([first, (1 - first) * share, (1 - first) * (1 - share)], -1)
    area = (1 - first) * weight * weight[:, None]
    relaxed = dist.RelaxedOneHotCategorical(torch.tensor(0.7, dtype=torch.float64), concentration)
    laws: list[Any] = [dist.Dirichlet(concentration), normal, relaxed]
    for law, tolerance in zip(laws, [1e-6, 1e-3, 1e-2], strict=True):
        with dist.validation_enabled(False):  # rounding takes sums further from 1 than its check
            total = (law.log_prob(values).exp() * area).sum()
        assert_close(total, 1.0, atol=tolerance, rtol=0.0)


def test_lkj_integrates_to_one_over_the_correlation() -> None:
    r, weight = gauss_legendre(-1.0, 1.0, 200)
    rows = torch.stack([r, (1 - r * r).sqrt()], -1)
    unit = torch.tensor([1.0, 0.0], dtype=torch.float64).expand_as(rows)
    law: Any = dist.LKJCholesky(2, torch.tensor(1.5, dtype=torch.float64))
    total = (law.log_prob(torch.stack([unit, rows], -2)).exp() * weight).sum()
    assert_close(total, 1.0, atol=1e-6)


@some(lambda example: example.make().has_enumerate_support)
def test_enumeration(example: Example) -> None:
    law = example.make(torch.float64)
    values = law.enumerate_support()
    short = law.enumerate_support(expand=False)
    assert values.shape == short.shape[:1] + law.batch_shape + law.event_shape
    assert short.shape == short.shape[:1] + (1,) * len(law.batch_shape) + law.event_shape
    assert_close(short.expand(values.shape), values)
    assert len(values.reshape(len(values), -1).unique(dim=0)) == len(values)
    assert law.support.check(values).all()
    probabilities = law.log_prob(values).exp()
    assert_close(probabilities.sum(0), torch.ones(law.batch_shape, dtype=torch.float64))
    draws = law.sample((4000,))
    hits = draws.unsqueeze(1) == values
    hits = hits.all(-1) if law.event_dim else hits
    frequency = hits.double().mean(0)
    error = (probabilities * (1 - probabilities) / 4000).sqrt()
    assert ((frequency - probabilities).abs() <= 4.5 * error + 1e-12).all()


@some(
    lambda example: isinstance(
        example.make(), (dist.Poisson, dist.Geometric, dist.NegativeBinomial)
    )
)
def test_masses_of_unbounded_counts_sum_to_one(example: Example) -> None:
    law = example.make(torch.float64)
    counts = torch.arange(400.0, dtype=torch.float64)[(...,) + (None,) * len(law.batch_shape)]
    masses = law.log_prob(counts).exp()
    assert_close(masses.sum(0), torch.ones(law.batch_shape, dtype=torch.float64), atol=1e-8)
    draws = law.sample((4000,))
    mean = (masses * counts).sum(0)
    deviation = ((masses * counts**2).sum(0) - mean**2).sqrt()
    assert ((draws.mean(0) - mean).abs() <= 4.5 * deviation / math.sqrt(4000)).all()


def test_masses_of_a_multinomial_sum_to_one() -> None:
    law = dist.Multinomial(4, torch.tensor([0.2, 0.5, 0.0, 0.3], dtype=torch.float64))
    counts = torch.cartesian_prod(*[torch.arange(5.0, dtype=torch.float64)] * 4)
    counts = counts[counts.sum(-1) == 4]
    assert_close(law.log_prob(counts).exp().sum(), 1.0)


def interior(law: Any) -> Tensor:
    """Return a value of the law that finite differences may move about in."""
    torch.manual_seed(1)
    value: Tensor = law.sample()
    return value


def free_coordinates(law: Any, value: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return unconstrained coordinates of a value, and the way back."""
    transform = dist.biject_to(law.support)
    return transform.inv(value).detach().requires_grad_(), transform


@some(lambda example: not isinstance(example.make(), dist.Unit))
def test_gradients_of_the_density(example: Example) -> None:
    law, leaves = example.make_with_leaves()
    value = interior(law)
    used = [leaf for leaf in leaves if leaf is not getattr(law, "v", None)]

    def by_parameters(*parameters: Tensor) -> Tensor:
        replaced = iter(parameters)
        remade = example.build(lambda _: next(replaced))
        with dist.validation_enabled(False):
            scored: Tensor = remade.log_prob(value)
        return scored

    if not isinstance(law, dist.Delta):
        assert torch.autograd.gradcheck(by_parameters, used, atol=1e-5)
    without_coordinates = (dist.Delta, dist.LKJCholesky, dist.ProjectedNormal, dist.Wishart)
    if law.support.is_discrete or isinstance(law, without_coordinates):
        return
    free, back = free_coordinates(law, value)
    fixed = example.make(torch.float64)
    with dist.validation_enabled(False):
        assert torch.autograd.gradcheck(lambda u: fixed.log_prob(back(u)), [free], atol=1e-5)


@some(lambda example: example.make().has_rsample and example.pathwise)
def test_gradients_of_draws(example: Example) -> None:
    _, leaves = example.make_with_leaves()
    if isinstance(example.make(), dist.OneHotCategoricalStraightThrough):
        pytest.skip("biased by design")

    def draw(*parameters: Tensor) -> Tensor:
        replaced = iter(parameters)
        torch.manual_seed(3)
        with dist.validation_enabled(False):
            value: Tensor = example.build(lambda _: next(replaced)).rsample((2,))
        return value

    assert torch.autograd.gradcheck(draw, leaves, atol=1e-5)


@some(
    lambda example: (
        not example.pathwise
        and hasattr(example.reference, "cdf")
        and is_univariate(example)
        and not isinstance(example.make(), (dist.StudentT, dist.FisherSnedecor))
    )
)
def test_implicit_gradients_of_draws(example: Example) -> None:
    """With F the distribution function, F(x; theta) fixed means dx/dtheta = -(dF/dtheta) / p(x)."""
    law, leaves = example.make_with_leaves()
    value = law.rsample()
    gradients = torch.autograd.grad(value.sum(), leaves, retain_graph=True)
    for which, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        step = 1e-5

        def cdf(shift: float, which: int = which) -> np.ndarray:
            count = iter(range(9))

            def shifted(numbers: Any) -> Tensor:
                tensor = torch.tensor(numbers, dtype=torch.float64)
                return tensor + shift if next(count) == which else tensor

            result: np.ndarray = scipy_law(example.build(shifted)).cdf(value.detach().numpy())
            return result

        slope = torch.as_tensor(cdf(step) - cdf(-step)) / (2 * step)
        expected = -slope / law.log_prob(value).exp().detach()
        assert leaf.shape == gradient.shape
        # torch computes derivatives of gamma and beta draws to about three digits
        assert_close(gradient, expected, rtol=5e-3, atol=5e-3)


def scipy_law(law: Any) -> Any:
    """Return SciPy's law with the parameters of ours."""
    from scipy import stats

    a = {name: value.numpy() for name, value in parameters_of(law)}
    if isinstance(law, dist.Beta):
        return stats.beta(a["concentration1"], a["concentration0"])
    if isinstance(law, dist.Chi2):
        return stats.chi2(a["df"])
    if isinstance(law, dist.InverseGamma):
        return stats.invgamma(a["concentration"], scale=a["rate"])
    return stats.gamma(a["concentration"], scale=1 / a["rate"])


def parameters_of(law: Any) -> Iterator[tuple[str, Tensor]]:
    for name in law.arg_constraints:
        yield name, getattr(law, name)


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
    if isinstance(ours, (dist.Wishart, dist.GeneralizedPareto)):
        pytest.skip("torch redraws what is not singular, and fails in double precision")
    theirs = as_torch(ours)
    for shape in (torch.Size(), torch.Size([3])):
        torch.manual_seed(5)
        value = ours.sample(shape)
        torch.manual_seed(5)
        assert_close(value, theirs.sample(shape))
        assert_close(ours.log_prob(value), theirs.log_prob(value), rtol=1e-9, atol=1e-9)


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
