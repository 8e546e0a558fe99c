"""Parameters stay as they were passed until somebody looks at them, and nobody notices."""

from typing import Any

import pytest
import torch

import pyro.distributions as dist
from tests.helpers import assert_close

T = torch.tensor


def test_numbers_become_tensors_of_the_batch() -> None:
    law = dist.Normal(0, 2.0).expand([3])
    assert_close(law.loc, torch.zeros(3))
    assert_close(law.scale, torch.full((3,), 2.0))
    assert law.loc is law.loc
    assert repr(dist.Normal(0, 2.0)) == "Normal(loc: 0.0, scale: 2.0)"


def test_numbers_take_the_dtype_and_device_of_tensors() -> None:
    law = dist.Normal(torch.zeros(2, dtype=torch.float64), 1.0)
    assert law.scale.dtype == torch.float64
    assert law().dtype == torch.float64
    meta = dist.Normal(torch.zeros(2, device="meta"), 1.0)
    assert meta.scale.device.type == "meta"


def test_integers_do_not_truncate() -> None:
    law = dist.Normal(T(0), 0.5)
    assert_close(law.scale, T(0.5))
    assert law().is_floating_point()
    assert_close(dist.Normal(T([1, 2]), T(3)).loc, T([1.0, 2.0]))


def test_the_default_dtype_is_that_of_construction() -> None:
    law = dist.Normal(0.0, 1.0)
    torch.set_default_dtype(torch.float64)
    try:
        other = dist.Normal(0.0, 1.0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert (law().dtype, law.loc.dtype) == (torch.float32, torch.float32)
    assert (other().dtype, other.scale.dtype) == (torch.float64, torch.float64)


def test_the_default_device_is_that_of_construction() -> None:
    with torch.device("meta"):
        law = dist.Normal(0.0, 1.0, validate_args=False)
        here = dist.Normal(torch.zeros((), device="cpu"), 1.0)
    assert law().device.type == "meta"
    assert here().device.type == "cpu"
    outside = dist.Normal(0.0, 1.0)
    with torch.device("meta"):
        assert outside().device.type == "cpu"
        assert dist.Exponential(torch.ones((), device="cpu"))().device.type == "cpu"


def test_what_is_read_may_be_changed() -> None:
    law = dist.Normal(0.0, 1.0)
    law.loc.add_(5.0)
    assert_close(law.log_prob(T(5.0)), dist.Normal(5.0, 1.0).log_prob(T(5.0)))
    law.scale = T(2.0)
    assert_close(law.log_prob(T(5.0)), dist.Normal(5.0, 2.0).log_prob(T(5.0)))
    expanded = law.expand([2])
    assert_close(expanded.loc, T([5.0, 5.0]))
    assert_close(expanded.log_prob(T(5.0)), law.log_prob(T(5.0)).expand(2))
    torch.manual_seed(0)
    draw = law()
    torch.manual_seed(0)
    assert_close(draw, dist.Normal(5.0, 2.0)())


def test_what_is_assigned_before_it_is_read_counts() -> None:
    law = dist.Normal(0.0, 1.0)
    law.loc = T(100.0)
    assert law() > 50
    assert_close(law.expand([2]).loc, T([100.0, 100.0]))


def test_gradients_reach_a_parameter_that_was_a_number() -> None:
    law = dist.Normal(0.0, 1.0)
    law.loc.requires_grad_()
    (gradient,) = torch.autograd.grad(law.log_prob(T(2.0)), law.loc)
    assert_close(gradient, T(2.0))


@pytest.mark.parametrize("scale", [1e-20, 1e20, 1e-300])
def test_extreme_scales(scale: float) -> None:
    law = dist.Normal(0.0, scale)
    value = torch.tensor([0.0, 1.0], dtype=torch.float64) * scale
    expected = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), scale)
    assert_close(law.log_prob(value.float())[0], expected.log_prob(value)[0].float())
    if scale == 1e-20:
        assert_close(law.log_prob(value.float())[1], expected.log_prob(value)[1].float())


@pytest.mark.parametrize("bad", [0.0, -1.0])
@pytest.mark.parametrize(
    "law", ["Normal", "LogNormal", "Laplace", "Cauchy", "Gumbel", "StudentT", "Gamma", "Beta"]
)
def test_wrong_numbers_do_not_raise_where_nothing_is_checked(law: str, bad: float) -> None:
    arguments = (3.0, 0.0, bad) if law == "StudentT" else (1.0, bad)
    ours = getattr(dist, law)(*arguments, validate_args=False)
    theirs = getattr(torch.distributions, law)(*arguments, validate_args=False)
    value = T(0.5)
    if bad < 0 or law in ("Gamma", "Beta"):
        assert_close(ours.log_prob(value), theirs.log_prob(value))
    else:
        assert not ours.log_prob(value).isnan() or theirs.log_prob(value).isnan()


@pytest.mark.parametrize("name", ["probs", "logits"])
@pytest.mark.parametrize("law", [dist.Bernoulli, dist.Geometric])
def test_probabilities_and_log_odds_are_two_views(law: Any, name: str) -> None:
    given = law(**{name: T([[0.3], [0.6]])}).expand([2, 3])
    assert given.probs.shape == given.logits.shape == given._param.shape == (2, 3)
    assert_close(given.probs, given.logits.sigmoid())
    assert_close(getattr(given, name), given._param)
    again = given.expand([4, 2, 3])
    assert again.probs.shape == again.logits.shape == (4, 2, 3)


def test_sure_things_have_finite_scores() -> None:
    for probs in (0.0, 1.0, T(0.0), T(1.0)):
        law = dist.Bernoulli(probs)
        expected = torch.distributions.Bernoulli(probs)
        for value in (T(0.0), T(1.0)):
            assert_close(law.log_prob(value), expected.log_prob(value), rtol=1e-4)


def test_an_expanded_law_holds_no_stale_memory() -> None:
    law = dist.VonMises(T([0.0, 1.0]), T([1.0, 2.0]))
    law(), law.variance  # torch keeps what these compute
    expanded = law.expand([3, 2])
    assert expanded.variance.shape == expanded().shape == (3, 2)
    counts = dist.NegativeBinomial(T([3.0, 1.0]), T([0.5, 0.5]))
    counts()
    assert counts.expand([3, 2])().shape == (3, 2)


class Shifted(dist.Normal):
    """A subclass with an __init__ of its own."""

    def __init__(self, shift: float) -> None:
        self.shift = shift
        super().__init__(shift, 1.0)


def test_a_foreign_subclass_must_say_how_it_expands() -> None:
    with pytest.raises(NotImplementedError, match="Shifted has an __init__ of its own"):
        Shifted(1.0).expand([2])


class Renamed(dist.Gamma):
    """A subclass without."""


def test_a_plain_subclass_expands_to_itself() -> None:
    assert type(Renamed(1.0, 2.0).expand([2])) is Renamed


@pytest.mark.parametrize(
    "law, transforms",
    [
        (dist.LogNormal(0.5, 2.0), 1),
        (dist.HalfNormal(T([0.5, 2.0])), 1),
        (dist.HalfCauchy(2.0), 1),
        (dist.InverseGamma(2.0, 3.0), 1),
        (dist.Gumbel(T([0.5, 2.0]), 1.0), 4),
        (dist.Weibull(2.0, 3.0), 2),
        (dist.Pareto(2.0, 3.0), 2),
        (dist.Kumaraswamy(2.0, 3.0), 3),
        (dist.RelaxedBernoulli(0.5, 0.3), 1),
        (dist.RelaxedOneHotCategorical(0.5, T([0.3, 0.7])), 1),
        (dist.LogisticNormal(T([0.3, 0.7]), 1.0), 1),
    ],
    ids=lambda x: type(x).__name__,
)
def test_transformed_laws_show_what_they_are_made_of(law: Any, transforms: int) -> None:
    for shown in (law, law.expand_by([3])):
        assert isinstance(shown, torch.distributions.TransformedDistribution)
        assert isinstance(shown.base_dist, dist.TorchDistributionMixin)
        assert len(shown.transforms) == transforms
        rebuilt = dist.TransformedDistribution(shown.base_dist, shown.transforms)
        value = shown.sample()
        if isinstance(law, (dist.HalfNormal, dist.HalfCauchy)):  # folded: not a bijection
            assert_close(shown.log_prob(value), shown.base_dist.log_prob(value) + T(2.0).log())
        else:
            assert rebuilt.batch_shape == shown.batch_shape
            assert_close(rebuilt.log_prob(value), shown.log_prob(value), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [0.5, 0.0, -0.5])
def test_generalized_pareto_of_numbers(shape: float) -> None:
    value = T([0.6, 1.1])
    law = dist.GeneralizedPareto(0.5, 2.0, shape)
    tensors = dist.GeneralizedPareto(T([0.5]), T([2.0]), T([shape]))
    assert_close(law.log_prob(value), tensors.log_prob(value))
    assert type(law.support) is type(tensors.support)
    mixed = dist.GeneralizedPareto(0.5, 2.0, T([shape, -0.25]))
    assert_close(mixed.log_prob(value)[0], tensors.log_prob(value)[0])
    with pytest.raises(ValueError, match="must lie within the support"):
        mixed.log_prob(T([0.4, 0.6]))


def test_laws_of_log_odds_and_logarithms() -> None:
    relaxed = dist.RelaxedBernoulli(0.5, T([0.3, 0.6]))
    base = relaxed.base_dist
    torch.manual_seed(0)
    log_odds = base()
    torch.manual_seed(0)
    assert_close(relaxed(), log_odds.sigmoid())
    value = log_odds.sigmoid()
    expected = base.log_prob(log_odds) - value.log() - (1 - value).log()
    assert_close(relaxed.log_prob(value), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="'temperature' must satisfy"):
        type(base)(0.0, 0.5)
    choice: Any = dist.RelaxedOneHotCategorical(0.5, T([0.3, 0.6]))
    assert choice.base_dist.infer_shapes(probs=(4, 2)) == ((4,), (2,))
    assert choice.infer_shapes(temperature=(), logits=(4, 2)) == ((4,), (2,))


def test_whole_logits_are_logits() -> None:
    law = dist.Categorical(logits=T([0, 1]))
    assert_close(law.logits, T([0.0, 1.0]).log_softmax(-1))
    assert_close(dist.Categorical(T([1, 3])).probs, T([0.25, 0.75]))
    assert_close(law.log_prob(T([[0.0, 1.0]])), law.logits[None])


def test_gamma_scores_a_number() -> None:
    law = dist.Gamma(2.0, 1.0)
    assert_close(law.log_prob(1.5), law.log_prob(T(1.5)))  # type: ignore[arg-type]
    assert_close(dist.Chi2(3.0).mean, T(3.0))


def test_exponential_families_of_ones_own() -> None:
    law = dist.ExponentialFamily(torch.Size([2]))
    assert law.expand([3, 2]).batch_shape == (3, 2)
