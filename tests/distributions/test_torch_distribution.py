"""Laws derived from others: expanded, masked; and laws of one's own."""

import copy
from typing import Any

import pytest
import torch
from torch.distributions import constraints

import pyro.distributions as dist
from tests.helpers import assert_close, assert_mean

T = torch.tensor
NAN = float("nan")


class Slow(dist.TorchDistribution):
    """A normal law by somebody who does not define expand()."""

    arg_constraints = {"loc": constraints.real}
    support = constraints.real
    has_rsample = True
    has_enumerate_support = False

    def __init__(self, loc: torch.Tensor) -> None:
        self.loc = loc
        super().__init__(loc.shape)

    def rsample(self, sample_shape: Any = torch.Size()) -> torch.Tensor:
        return self.loc + torch.randn(self.shape(sample_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        return dist.Normal(self.loc, 1.0).log_prob(value)

    @property
    def mean(self) -> torch.Tensor:
        return self.loc

    @property
    def variance(self) -> torch.Tensor:
        return torch.ones_like(self.loc)

    def entropy(self) -> torch.Tensor:
        entropy: torch.Tensor = dist.Normal(self.loc, 1.0).entropy()
        return entropy


class SlowDie(dist.TorchDistribution):
    """A die by somebody who does not define expand()."""

    arg_constraints = {"weights": constraints.independent(constraints.positive, 1)}
    support = constraints.nonnegative_integer
    has_enumerate_support = True

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights = weights
        super().__init__(weights.shape[:-1])

    def sample(self, sample_shape: Any = torch.Size()) -> torch.Tensor:
        return dist.Categorical(self.weights).sample(sample_shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        return dist.Categorical(self.weights).log_prob(value)

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        values: torch.Tensor = dist.Categorical(self.weights).enumerate_support(expand)
        return values


@pytest.mark.parametrize("shape", [(2, 1), (2, 3), (4, 2, 3), (5, 4, 2, 1)])
def test_a_law_without_expand_expands(shape: tuple[int, ...]) -> None:
    law = Slow(T([[0.0], [100.0]]))
    expanded = law.expand(shape)
    assert type(expanded) is dist.ExpandedDistribution
    assert expanded.batch_shape == shape
    value = expanded((7,))
    assert value.shape == (7, *shape)
    assert ((value > 50) == T([[False], [True]])).all(), "entries belong to their own parameters"
    assert len(value.unique()) == value.numel(), "entries are drawn independently"
    assert_close(expanded.log_prob(value), law.log_prob(value).expand(7, *shape))
    assert expanded.log_prob(T(0.0)).shape == shape
    for moment in (expanded.mean, expanded.variance, expanded.entropy()):
        assert moment.shape == shape
    assert expanded.support is constraints.real
    assert expanded.expand((3, *shape))().shape == (3, *shape)
    parts = expanded.score_parts(value)
    assert_close(parts.entropy_term, expanded.log_prob(value))


def test_gradients_flow_through_an_expanded_law() -> None:
    loc = torch.zeros(2, 1, requires_grad=True)
    Slow(loc).expand([2, 3])((4,)).sum().backward()
    assert_close(loc.grad, torch.full((2, 1), 12.0))
    assert not Slow(loc).expand([2, 3]).sample().requires_grad


def test_an_expanded_law_enumerates() -> None:
    law = SlowDie(torch.ones(2, 1, 4)).expand([5, 2, 3])
    assert law.has_enumerate_support and not law.has_rsample
    assert law.enumerate_support().shape == (4, 5, 2, 3)
    assert law.enumerate_support(expand=False).shape == (4, 1, 1, 1)
    assert_close(
        law.log_prob(law.enumerate_support(expand=False)).exp().sum(0), torch.ones(5, 2, 3)
    )
    assert law.sample((6,)).shape == (6, 5, 2, 3)
    assert_close(law.score_parts(law()).score_function, law.log_prob(torch.zeros(5, 2, 3)))


def test_an_expanded_law_that_may_not_flow() -> None:
    law = Slow(torch.zeros(1)).expand([3]).has_rsample_(False)
    assert law.score_parts(law()).entropy_term == 0
    assert not law.expand([2, 3]).has_rsample


def test_what_does_not_expand_is_refused() -> None:
    with pytest.raises(ValueError, match=r"does not expand to \(3,\)"):
        Slow(torch.zeros(2)).expand([3])
    with pytest.raises(ValueError, match=r"does not expand to \(2, 1\)"):
        dist.ExpandedDistribution(Slow(torch.zeros(3)), [2, 1])
    with pytest.raises(ValueError, match="does not expand to"):
        Slow(torch.zeros(2)).expand([3, 2]).expand([2])


@pytest.mark.parametrize(
    "law, missing",
    [
        (dist.Normal(torch.zeros(2), T([1.0, 2.0])), NAN),
        (dist.Normal(torch.zeros(2), 1.0), float("inf")),
        (dist.LogNormal(T([0.0, 1.0]), 1.0), -1.0),
        (dist.Gamma(T([1.5, 1.0]), T([1.0, 2.0])), NAN),
        (dist.Beta(T([1.5, 1.0]), T([1.0, 2.0])), NAN),
        (dist.Uniform(T([0.0, -1.0]), 2.0), NAN),
        (dist.Bernoulli(T([0.3, 0.6])), NAN),
        (dist.Poisson(T([0.3, 0.6])), NAN),
        (dist.Dirichlet(T([[0.3, 0.6], [1.0, 1.0]])), NAN),
        (dist.MultivariateNormal(torch.zeros(2, 3), torch.eye(3)), NAN),
        (dist.Normal(torch.zeros(2, 3), 1.0).to_event(1), NAN),
        (dist.OneHotCategorical(torch.ones(2, 3)), NAN),
        (Slow(torch.zeros(2)), NAN),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_is_masked_out_may_hold_anything(law: Any, missing: float) -> None:
    value = law.sample()
    value[1] = missing
    value = value.requires_grad_(not law.support.is_discrete)
    kept = T([True, False])
    scored = law.mask(kept).log_prob(value)
    assert scored[1] == 0
    assert_close(scored[0], law.log_prob(value.detach()[[0, 0]])[0])
    if scored.requires_grad:
        (gradient,) = torch.autograd.grad(scored.sum(), value)
        assert gradient.isfinite().all()
        assert (gradient[1] == 0).all()


def test_gradients_of_parameters_do_not_see_what_is_masked_out() -> None:
    loc, scale = torch.zeros(2, requires_grad=True), torch.ones(2, requires_grad=True)
    value = T([0.5, NAN])
    law = dist.Normal(loc, scale).mask(T([True, False]))
    gradients = torch.autograd.grad(law.log_prob(value).sum(), [loc, scale])
    assert_close(gradients[0], T([0.5, 0.0]))
    assert_close(gradients[1], T([-0.75, 0.0]))


class Unscored(dist.Normal):
    """A law that must not be scored."""

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        raise AssertionError("scored")


@pytest.mark.parametrize("shape", [(), (2,), (3, 2)])
def test_a_law_masked_out_is_not_scored(shape: tuple[int, ...]) -> None:
    law = Unscored(torch.zeros(2), 1.0).mask(False)
    zero = law.log_prob(torch.zeros(shape))
    assert_close(zero, torch.zeros((*shape[:-1], 2)))
    zero += 1  # it is nobody else's memory
    assert_close(law.log_prob(torch.zeros(shape)), torch.zeros((*shape[:-1], 2)))
    assert law.log_prob(torch.zeros(shape, dtype=torch.float64)).dtype == torch.float64
    with pytest.raises(AssertionError, match="scored"):
        Unscored(0.0, 1.0).mask(True).log_prob(T(0.0))


def test_masks_broadcast() -> None:
    law = dist.Normal(torch.zeros(2), 1.0).mask(torch.ones(3, 1, dtype=torch.bool))
    assert law.batch_shape == (3, 2)
    assert law().shape == (3, 2)
    again = law.mask(T([True, False]))
    assert_close(again.log_prob(torch.zeros(3, 2)) == 0, T([False, True]).expand(3, 2))
    wide = dist.Normal(0.0, 1.0).mask(T([True, False]))
    assert wide.batch_shape == (2,)
    assert wide().unique().numel() == 2


@pytest.mark.parametrize("mask", [torch.ones(2), T([1, 0]), 1, 0.5, None, "yes"])
def test_a_mask_is_boolean(mask: Any) -> None:
    with pytest.raises(TypeError, match="[mM]ask"):
        dist.Normal(torch.zeros(2), 1.0).mask(mask)


def test_score_parts_of_a_masked_law() -> None:
    kept = T([True, False])
    flows = dist.Normal(torch.zeros(2), 1.0)
    value = flows()
    parts = flows.mask(kept).score_parts(value)
    assert parts.score_function == 0
    assert_close(parts.entropy_term, flows.mask(kept).log_prob(value))
    die = dist.Bernoulli(T([0.3, 0.6]))
    value = die()
    parts = die.mask(kept).score_parts(value)
    assert_close(parts.log_prob, die.mask(kept).log_prob(value))
    assert_close(parts.score_function, die.log_prob(value))
    assert parts.entropy_term == 0


def test_the_gradient_estimator_of_a_masked_law_is_unbiased() -> None:
    """d/dp E[f(z)] = f(1) - f(0), though the density of z is masked out of the objective."""
    probs = T(0.3, dtype=torch.float64).requires_grad_()
    law = dist.Bernoulli(probs.expand(20_000)).mask(False)
    value = law()
    score = law.score_parts(value).score_function
    assert isinstance(score, torch.Tensor)
    reward = 3.0 * value + 1.0
    (per_draw,) = torch.autograd.grad(score, law.base_dist.probs, reward)
    assert_mean(per_draw, 3.0)


def test_moments_and_entropy_of_a_masked_law() -> None:
    law = dist.Normal(T([0.0, 1.0]), 2.0)
    masked = law.mask(T([True, False]))
    assert_close(masked.mean, law.mean)
    assert_close(masked.variance, law.variance)
    assert_close(masked.entropy(), law.entropy() * T([1.0, 0.0]))
    assert masked.support is law.support


def test_copies_of_derived_laws() -> None:
    law = copy.deepcopy(Slow(torch.zeros(2)).expand([3, 2]).mask(torch.ones(2, dtype=torch.bool)))
    assert law().shape == (3, 2)
    assert "MaskedDistribution(ExpandedDistribution(" in repr(law)


def test_reshape_and_independent_are_older_names() -> None:
    law = dist.Normal(torch.zeros(2), 1.0)
    assert law.reshape().batch_shape == (2,)
    moved = law.reshape(sample_shape=[3], extra_event_dims=1)
    assert (moved.batch_shape, moved.event_shape) == ((3,), (2,))
    assert law.independent(1).event_shape == (2,)
    assert law.independent().event_shape == (2,)


def test_shapes_must_be_sequences() -> None:
    law: Any = dist.Normal(0.0, 1.0)
    for call in (law, law.expand_by, law.shape):
        with pytest.raises(TypeError, match=r"not the number 3: pass \(3,\)"):
            call(3)


def test_infer_shapes_says_what_it_cannot() -> None:
    assert dist.Normal.infer_shapes(loc=(2, 1), scale=(3,)) == ((2, 3), ())
    assert dist.Multinomial.infer_shapes(total_count=(), probs=(4, 3)) == ((4,), (3,))
    full = dist.MultivariateNormal.infer_shapes
    assert full(loc=(3,), scale_tril=(2, 3, 3)) == ((2,), (3,))
    with pytest.raises(NotImplementedError, match="LKJCholesky"):
        dist.LKJCholesky.infer_shapes(concentration=())
    with pytest.raises(ValueError, match="needs the shape of a matrix"):
        full(loc=(3,))
    with pytest.raises(NotImplementedError, match="no parameters of its own"):
        dist.Independent.infer_shapes()
    with pytest.raises(ValueError, match="takes either 'probs' or 'logits'"):
        dist.OneHotCategorical.infer_shapes()


def test_event_dimensions_that_no_to_event_made_stay() -> None:
    for law in (dist.Normal(torch.zeros(2, 3), 1.0), dist.Dirichlet(torch.ones(2, 3))):
        with pytest.raises(ValueError, match="would take event dimensions apart"):
            law.to_event(-1)
    moved = dist.Normal(torch.zeros(2, 3), 1.0).to_event(1)
    with pytest.raises(ValueError, match="would take event dimensions apart"):
        moved.to_event(-2)


def test_to_event_does_not_pile_up() -> None:
    law = dist.Normal(torch.zeros(2, 3, 4), 1.0).to_event(1).to_event(2)
    assert law.reinterpreted_batch_ndims == 3
    assert isinstance(law.base_dist, dist.Normal)
    assert law.to_event(-3) is not law.base_dist
    assert law.to_event(-3).batch_shape == (2, 3, 4)
    with pytest.raises(ValueError, match="batch dimensions"):
        law.to_event(1)
    with pytest.raises(ValueError, match="cannot become parts of the event"):
        dist.Independent(dist.Normal(0.0, 1.0), -1)


def test_a_transformed_law_moves_dimensions_with_our_own_class() -> None:
    law = dist.TransformedDistribution(
        dist.Normal(torch.zeros(2), 1.0), [dist.transforms.StickBreakingTransform()]
    )
    assert isinstance(law.base_dist, dist.Independent)
    assert law.base_dist.mask(False).log_prob(torch.zeros(2)) == 0
    assert law.expand([4])().shape == (4, 3)
    assert not law.has_rsample_(False).has_rsample


def test_mixtures_can_be_latent() -> None:
    weights = dist.Categorical(torch.ones(2))
    real = dist.MixtureSameFamily(weights, dist.Normal(torch.zeros(2), 1.0))
    assert real.support is constraints.real
    positive = dist.MixtureSameFamily(weights, dist.LogNormal(torch.zeros(2), 1.0))
    assert dist.biject_to(positive.support)(T(0.0)) == 1
    ragged = dist.MixtureSameFamily(weights, dist.Uniform(torch.zeros(2), T([1.0, 2.0])))
    assert ragged.support.check(T([0.5, 1.5, 2.5])).tolist() == [True, False, False]


class Base(dist.TorchDistribution):
    """A library's own base class."""


class Mixed(torch.distributions.MultivariateNormal, Base):
    """torch's law with pyro's interface, as libraries mix them."""


def test_a_law_of_torch_mixed_with_the_base_class() -> None:
    law = Mixed(torch.zeros(2, 3), torch.eye(3))
    plain = torch.distributions.MultivariateNormal(torch.zeros(2, 3), torch.eye(3))
    value = law()
    assert value.shape == (2, 3)
    assert_close(law.log_prob(value), plain.log_prob(value))
    assert law.expand([4, 2]).to_event(1).batch_shape == (4,)
    assert law.mask(False).log_prob(value).shape == (2,)
    with pytest.raises(ValueError, match="Mixed: parameter 'covariance_matrix' must satisfy"):
        Mixed(torch.zeros(3), -torch.eye(3))


class Scaled(dist.Normal):
    """A subclass that says how it expands, in torch's way."""

    def __init__(self, factor: torch.Tensor) -> None:
        self.factor = factor
        super().__init__(factor, 2.0)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(Scaled, object.__new__(Scaled))
        new.factor = self.factor.expand(batch_shape)
        return super().expand(batch_shape, _instance=new)


def test_a_subclass_that_fills_in_an_instance() -> None:
    law = Scaled(T([1.0, 2.0])).has_rsample_(False)
    expanded = law.expand([3, 2])
    assert type(expanded) is Scaled
    assert expanded.factor.shape == expanded.loc.shape == expanded().shape == (3, 2)
    assert_close(expanded.log_prob(T(0.0)), law.log_prob(T(0.0)).expand(3, 2))
    assert not expanded.has_rsample


class ByTorch(torch.distributions.Gamma, dist.TorchDistributionMixin):
    """A law of torch that only takes the mixin."""


def test_a_law_of_torch_with_the_mixin_alone() -> None:
    law = ByTorch(T([1.0, 2.0]), T([1.0, 2.0]))
    assert law((3,)).shape == (3, 2)
    assert law.to_event(1).mask(True).log_prob(law()).shape == ()
    assert law.expand_by([4]).batch_shape == (4, 2)
    assert ByTorch.infer_shapes(concentration=(2,), rate=()) == ((2,), ())
