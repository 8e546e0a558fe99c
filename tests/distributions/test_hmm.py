"""Hidden Markov models against sums over all paths and against dense joint laws."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro.distributions as dist
from pyro.distributions import hmm
from tests.distributions.hidden_markov import (
    DOUBLE,
    HIDDEN,
    SEEN,
    CountOperations,
    diagonal_vector,
    joint_of,
    moments_of_draws,
    normal_vector,
    parts,
    randn,
    seen,
    states,
)
from tests.helpers import assert_close, assert_fits_cdf, assert_fits_probabilities

T = 5

# ---- discrete states


def log_sum_over_paths(initial: Tensor, transition: Tensor, seen: Tensor) -> Tensor:
    """Return the log density of a series and each last state, for all paths one by one.

    :param initial: log probabilities of shape (K,).
    :param transition: of shape (T, K, K).
    :param seen: log densities of the series in each state, of shape (T, K).
    """
    steps, size = seen.shape
    by_last: list[list[Tensor]] = [[] for _ in range(size)]
    for path in itertools.product(range(size), repeat=steps + 1):
        total = initial[path[0]]
        for t in range(steps):
            total = total + transition[t, path[t], path[t + 1]] + seen[t, path[t + 1]]
        by_last[path[-1]].append(total)
    return torch.stack([torch.stack(terms).logsumexp(0) for terms in by_last])


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("varies", [False, True], ids=["homogeneous", "heterogeneous"])
def test_discrete_states_are_summed_over(steps: int, varies: bool) -> None:
    time = steps if varies else 1
    initial, transition = randn(3).requires_grad_(), randn(time, 3, 3).requires_grad_()
    loc, x = randn(3).requires_grad_(), randn(steps)
    leaves = [initial, transition, loc]
    law = dist.DiscreteHMM(initial, transition, dist.Normal(loc, 0.5), duration=steps)
    expected = log_sum_over_paths(
        initial.log_softmax(-1),
        transition.log_softmax(-1).expand(steps, 3, 3),
        dist.Normal(loc, 0.5).log_prob(x[:, None]),
    )
    assert_close(law.log_prob(x), expected.logsumexp(0))
    assert_close(law.filter(x).logits, expected.log_softmax(0))
    ours = torch.autograd.grad(law.log_prob(x), leaves)
    assert_close(ours, torch.autograd.grad(expected.logsumexp(0), leaves))


def test_discrete_batches() -> None:
    initial, transition = randn(4, 1, 3), randn(2, T, 3, 3)
    observed = dist.Normal(randn(T, 3, 2), 1.0).to_event(1)
    law = dist.DiscreteHMM(initial, transition, observed)
    assert law.batch_shape == (4, 2) and law.event_shape == (T, 2) and law.duration == T
    x = randn(5, 4, 2, T, 2)
    scored, last = law.log_prob(x), law.filter(x)
    assert scored.shape == last.batch_shape == (5, 4, 2)
    for i, j in itertools.product(range(4), range(2)):
        one = dist.DiscreteHMM(initial[i, 0], transition[j], observed)
        assert_close(scored[:, i, j], one.log_prob(x[:, i, j]))
        assert_close(last.logits[:, i, j], one.filter(x[:, i, j]).logits)
    assert_close(law.initial_logits[1, 1], initial[1, 0].log_softmax(-1))
    assert law.transition_logits.shape == (4, 2, T, 3, 3)


def test_improbable_paths_do_not_underflow() -> None:
    """One path has a transition of probability e^-800, every other one an event at 50 sigma."""
    never = -math.inf
    law = dist.DiscreteHMM(
        torch.tensor([0.0, never]),
        torch.tensor([[0.0, -800.0], [-800.0, 0.0]]),
        dist.Normal(torch.tensor([0.0, 1.0]), 0.02),
    )
    peak = dist.Normal(0.0, 0.02).log_prob(torch.tensor(0.0))
    assert_close(law.log_prob(torch.tensor([0.0, 0.0, 1.0, 1.0])), -800 + 4 * peak)
    assert_close(law.log_prob(torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0])), -1600 + 5 * peak)


def test_impossible_transitions_have_no_gradient() -> None:
    stay = torch.tensor([[0.3, -math.inf], [0.1, 0.2]], dtype=DOUBLE, requires_grad=True)
    law = dist.DiscreteHMM(
        torch.tensor([0.0, -math.inf]).double(),
        stay,
        dist.Delta(torch.tensor([0, 1])),
        validate_args=False,
    )
    total = law.log_prob(torch.tensor([0, 0, 0]))
    assert_close(total, 0.0)
    (gradient,) = torch.autograd.grad(total, stay)
    assert_close(gradient, torch.zeros(2, 2))
    assert law.log_prob(torch.tensor([0, 1, 0])) == -math.inf


def test_discrete_series_are_drawn_from_their_law() -> None:
    observed = dist.Bernoulli(torch.tensor([[0.2, 0.9], [0.5, 0.1], [0.3, 0.8]]))
    law = dist.DiscreteHMM(torch.tensor([0.0, 1.0]), randn(2, 2).float(), observed)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    probabilities = law.log_prob(every).exp()
    assert_close(probabilities.sum(), 1.0)
    for draws in (law.sample((4000,)), law.expand([4000]).sample()):
        assert_fits_probabilities(draws @ torch.tensor([4.0, 2.0, 1.0]), probabilities)


# ---- Gaussian states

MODELS = {
    "homogeneous": lambda: parts(),
    "heterogeneous": lambda: parts(T),
    "diagonal": lambda: parts(law=diagonal_vector),
    "diagonal, heterogeneous": lambda: parts(T, law=diagonal_vector),
}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@each_model
@pytest.mark.parametrize("steps", [1, 2, 3, T])
def test_gaussian_density_and_filter(make: Callable[[], Any], steps: int) -> None:
    model = make()
    joint = joint_of(model, T)
    steps = T if model[1].size(-3) == T else steps
    joint = joint_of(model, steps)
    law = dist.GaussianHMM(*model, duration=steps)
    x = randn(steps, SEEN)
    assert_close(law.log_prob(x), joint.of(seen(steps)).log_prob(x.flatten()))
    last = slice((steps - 1) * HIDDEN, steps * HIDDEN)
    expected, found = joint.given(last, seen(steps), x.flatten()), law.filter(x)
    assert_close(found.mean, expected.mean)
    assert_close(found.covariance_matrix, expected.covariance_matrix)


@each_model
def test_gaussian_draws_have_the_exact_moments(make: Callable[[], Any]) -> None:
    model = make()
    joint, law = joint_of(model, T), dist.GaussianHMM(*model, duration=T)
    mean, covariance = moments_of_draws(law.rsample)
    assert_close(mean, joint.mean[seen(T)])
    assert_close(covariance, joint.covariance[seen(T)][:, seen(T)])
    x = randn(T, SEEN)
    expected = joint.given(states(T), seen(T), x.flatten())
    mean, covariance = moments_of_draws(lambda: law.rsample_posterior(x))
    assert_close(mean, expected.mean)
    assert_close(covariance, expected.covariance_matrix)


@each_model
@pytest.mark.parametrize("count", [1, 2, 4])
def test_gaussian_series_go_on(make: Callable[[], Any], count: int) -> None:
    model = make()
    joint, law = joint_of(model, T), dist.GaussianHMM(*model, duration=T)
    x = randn(T, SEEN)
    rest = law.prefix_condition(x[:count])
    assert rest.duration == T - count and rest.event_shape == (T - count, SEEN)
    first = slice(T * HIDDEN, T * HIDDEN + count * SEEN)
    expected = joint.given(seen(T, count), first, x[:count].flatten())
    assert_close(rest.log_prob(x[count:]), expected.log_prob(x[count:].flatten()))
    mean, covariance = moments_of_draws(rest.rsample)
    assert_close(mean, expected.mean)
    assert_close(covariance, expected.covariance_matrix)


def product_of(one: Any, other: Any) -> tuple[Any, Tensor]:
    """Return the product of two normal densities, and the log of its integral."""
    precision = one.precision_matrix + other.precision_matrix
    both = one.precision_matrix @ one.mean + other.precision_matrix @ other.mean
    mean = torch.linalg.solve(precision, both)
    law = torch.distributions.MultivariateNormal(mean, precision_matrix=precision)
    return law, one.log_prob(mean) + other.log_prob(mean) - law.log_prob(mean)


@each_model
@pytest.mark.parametrize("fixed", [True, False], ids=["fixed length", "any length"])
def test_a_gaussian_model_is_updated(make: Callable[[], Any], fixed: bool) -> None:
    model = make()
    law: Any = dist.GaussianHMM(*model, duration=T if fixed else None)
    dense = joint_of(model, T).of(seen(T))
    likelihoods = [normal_vector(SEEN, T).to_event(1), dist.Normal(randn(T, SEEN), 0.7).to_event(2)]
    x = randn(T, SEEN)
    for other in likelihoods:
        flat = dist.Normal(other.mean.flatten(), other.stddev.flatten()).to_event(1)
        variance = torch.diag_embed(flat.variance)
        if isinstance(other.base_dist, dist.MultivariateNormal):
            variance = torch.block_diag(*other.base_dist.covariance_matrix)
        flat = dist.MultivariateNormal(flat.mean, variance)
        dense, expected = product_of(dense, flat)
        before = law.log_prob(x) + other.log_prob(x)
        law, log_normalizer = law.conjugate_update(other)
        assert_close(log_normalizer, expected)
        assert_close(law.log_prob(x) + log_normalizer, before)
        assert_close(law.log_prob(x), dense.log_prob(x.flatten()))
        assert law.duration == T
    mean, covariance = moments_of_draws(law.rsample)
    assert_close(mean, dense.mean)
    assert_close(covariance, dense.covariance_matrix)
    # later factors tell of earlier states now, which the law of the rest must not forget
    count, cut = 2, 2 * SEEN
    first = dist.MultivariateNormal(dense.mean[:cut], dense.covariance_matrix[:cut, :cut])
    rest = law.prefix_condition(x[:count])
    assert_close(rest.log_prob(x[count:]), law.log_prob(x) - first.log_prob(x[:count].flatten()))
    assert_close(rest.conjugate_update(dist.Normal(x[count:], 1.0).to_event(2))[0]().shape, (3, 3))


def test_gaussian_batches() -> None:
    model = parts(T, 4)
    law = dist.GaussianHMM(*model).expand([2, 4])
    assert law.batch_shape == (2, 4) and law.event_shape == (T, SEEN)
    x = randn(3, 2, 4, T, SEEN)
    scored, last = law.log_prob(x), law.filter(x)
    assert scored.shape == last.batch_shape == (3, 2, 4)
    rest = law.prefix_condition(x[..., :2, :])
    assert rest.batch_shape == (3, 2, 4) and rest.rsample((5,)).shape == (5, 3, 2, 4, T - 2, SEEN)
    updated, log_normalizer = law.conjugate_update(dist.Normal(x, 1.0).to_event(2))
    assert updated.batch_shape == log_normalizer.shape == (3, 2, 4)
    assert law.rsample_posterior(x, (6,)).shape == (6, 3, 2, 4, T, HIDDEN)
    assert law.rsample_posterior(x[0, 0, 0]).shape == (2, 4, T, HIDDEN)
    for i in range(4):
        joint = joint_of(model, T, (i,))
        values = x[:, :, i].flatten(-2)
        assert_close(scored[:, :, i], joint.of(seen(T)).log_prob(values))
        expected = joint.given(slice((T - 1) * HIDDEN, T * HIDDEN), seen(T), values[1, 1])
        assert_close(last.mean[1, 1, i], expected.mean)
    one = law.expand([3, 2, 4])
    assert_close(one.log_prob(x[0, 0, 0]), law.log_prob(x[0, 0, 0]).expand(3, 2, 4))


def test_drawn_batches_are_independent() -> None:
    law = dist.GaussianHMM(*parts(T)).expand([2])
    mean, covariance = moments_of_draws(law.rsample)
    half = T * SEEN
    assert_close(covariance[:half, half:], torch.zeros(half, half))
    assert_close(covariance[:half, :half], covariance[half:, half:])
    assert_close(mean[:half], mean[half:])


# ---- a random scale


@each_model
def test_gamma_gaussian_is_students_law(make: Callable[[], Any]) -> None:
    model = make()
    a, b = torch.tensor(2.5).double(), torch.tensor(1.7).double()
    law = dist.GammaGaussianHMM(dist.Gamma(a, b), *model, duration=T)
    joint = joint_of(model, T)
    flat = joint.of(seen(T))
    x = randn(T, SEEN)
    root = torch.linalg.cholesky(flat.covariance_matrix)
    expected = dist.MultivariateStudentT(2 * a, flat.mean, root * (b / a).sqrt())
    assert_close(law.log_prob(x), expected.log_prob(x.flatten()))
    scale, state = law.filter(x)
    rest = x.flatten() - flat.mean
    assert_close(scale.concentration, a + T * SEEN / 2)
    assert_close(scale.rate, b + rest @ flat.precision_matrix @ rest / 2)
    last = joint.given(slice((T - 1) * HIDDEN, T * HIDDEN), seen(T), x.flatten())
    assert_close(state.mean, last.mean)
    assert_close(state.covariance_matrix, last.covariance_matrix)


@pytest.mark.parametrize("expanded", [False, True])
def test_gamma_gaussian_draws(expanded: bool) -> None:
    """The squared distance from the mean follows a law of Fisher and Snedecor."""
    from scipy.stats import f

    model, size = parts(), T * SEEN
    law = dist.GammaGaussianHMM(dist.Gamma(2.5, 1.7), *model, duration=T)
    draws = law.expand([2000])() if expanded else law((2000,))
    flat = joint_of(model, T).of(seen(T))
    rest = draws.flatten(1) - flat.mean
    distance = (rest * (rest @ flat.precision_matrix)).sum(-1) / size * 2.5 / 1.7
    assert_fits_cdf(distance, lambda y: torch.as_tensor(f.cdf(y, size, 5.0)))


# ---- a random field


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("varies", [False, True])
def test_a_random_field_is_a_dense_integral(steps: int, varies: bool) -> None:
    time = steps if varies else 1
    laws = normal_vector(HIDDEN), normal_vector(2 * HIDDEN, time), normal_vector(HIDDEN + SEEN)
    law = dist.GaussianMRF(*laws)
    x = randn(steps, SEEN)
    size = HIDDEN * (steps + 1) + SEEN * steps

    def place(first: Any, start: int, count: int) -> Tensor:
        select = torch.zeros(count, size, dtype=DOUBLE)
        select[:, start : start + count] = torch.eye(count)
        return select

    precision, info = torch.zeros(size, size, dtype=DOUBLE), torch.zeros(size, dtype=DOUBLE)
    for start, part, t in [(0, laws[0], None)] + [
        (HIDDEN * t, laws[1], t if varies else 0) for t in range(steps)
    ]:
        P = part.precision_matrix if t is None else part.precision_matrix[t]
        m = part.mean if t is None else part.mean[t]
        select = place(part, start, len(m))
        precision, info = precision + select.mT @ P @ select, info + select.mT @ P @ m
    for t in range(steps):
        select = torch.zeros(HIDDEN + SEEN, size, dtype=DOUBLE)
        select[:HIDDEN, HIDDEN * (t + 1) : HIDDEN * (t + 2)] = torch.eye(HIDDEN)
        start = HIDDEN * (steps + 1) + SEEN * t
        select[HIDDEN:, start : start + SEEN] = torch.eye(SEEN)
        P, m = laws[2].precision_matrix, laws[2].mean
        precision, info = precision + select.mT @ P @ select, info + select.mT @ P @ m
    covariance = torch.linalg.inv(precision)
    flat = slice(HIDDEN * (steps + 1), size)
    mean, covariance = (covariance @ info)[flat], covariance[flat][:, flat]
    dense = dist.MultivariateNormal(mean, (covariance + covariance.mT) / 2)
    assert_close(law.log_prob(x), dense.log_prob(x.flatten()))
    if steps > 1 and varies:
        found, spread = moments_of_draws(law.rsample)
        assert_close(found, mean)
        assert_close(spread, covariance)
        assert law.expand([3]).log_prob(x).shape == (3,)


# ---- other noise, and independent entries


def test_linear_models_go_step_by_step() -> None:
    initial, F, shock, H, noise = parts(T, 4, law=diagonal_vector)
    law = dist.LinearHMM(initial, F, shock, H, noise)
    torch.manual_seed(3)
    draws = law.rsample((2,))
    torch.manual_seed(3)
    state = initial.rsample((2,))
    shocks = shock.expand([4, T]).rsample((2,))
    path = []
    for t in range(T):
        state = (state[..., None, :] @ F[:, t])[..., 0, :] + shocks[..., t, :]
        path.append(state)
    expected = torch.stack(path, -2) @ H + noise.expand([4, T]).rsample((2,))
    assert_close(draws, expected)


def test_linear_models_with_normal_noise_have_a_density() -> None:
    model, x = parts(T), randn(T, SEEN)
    expected = dist.GaussianHMM(*model).log_prob(x)
    assert_close(dist.LinearHMM(*model).log_prob(x), expected)
    curved = dist.TransformedDistribution(model[4], [dist.transforms.ExpTransform()])
    law = dist.LinearHMM(*model[:4], curved)
    assert [type(transform) for transform in law.transforms] == [dist.transforms.ExpTransform]
    assert_close(law.log_prob(x.exp()), expected - x.sum())
    torch.manual_seed(0)
    value = law.rsample()
    torch.manual_seed(0)
    assert_close(value, dist.LinearHMM(*model).rsample().exp())
    assert law.support.check(value) and not law.support.check(-value)


def test_linear_models_with_other_noise_have_none() -> None:
    heavy = dist.StudentT(3.0, randn(HIDDEN), 1.0).to_event(1)
    model = parts()
    law = dist.LinearHMM(heavy, *model[1:], duration=T)
    with pytest.raises(NotImplementedError, match="no density .*LinearHMMReparam"):
        law.log_prob(law())
    stuck = dist.Poisson(torch.ones(HIDDEN).double()).to_event(1)
    assert not dist.LinearHMM(stuck, *model[1:], duration=T).has_rsample


def test_noise_that_is_transformed_from_other_numbers_than_real_ones_is_added() -> None:
    model = parts()
    law = dist.LinearHMM(*model[:4], dist.Gumbel(randn(SEEN), 0.5).to_event(1), duration=T)
    assert law.transforms == []
    draws = law.rsample((500,))
    assert draws.isfinite().all() and (draws < 0).any() and law.support.check(draws).all()


def test_entries_are_independent() -> None:
    noise = diagonal_vector(1, 4, 1)
    base = dist.GaussianHMM(*parts(T, 4)[:3], randn(4, T, HIDDEN, 1), noise)
    law = dist.IndependentHMM(base)
    assert law.batch_shape == () and law.event_shape == (T, 4) and law.duration == T
    x = randn(3, T, 4)
    assert_close(law.log_prob(x), base.log_prob(x.mT[..., None]).sum(-1))
    torch.manual_seed(1)
    value = law.rsample((2,))
    torch.manual_seed(1)
    assert_close(value, base.rsample((2,))[..., 0].mT)
    assert law.expand([3]).rsample((2,)).shape == (2, 3, T, 4)
    coins = dist.DiscreteHMM(
        randn(4, 2), randn(2, 2), dist.Bernoulli(randn(T, 2, 1).sigmoid()).to_event(1)
    )
    assert not dist.IndependentHMM(coins).has_rsample
    assert dist.IndependentHMM(coins).sample().shape == (T, 4)


# ---- lengths, masks, refusals


def free_models() -> list[Any]:
    flat = dist.GaussianMRF(diagonal_vector(2), normal_vector(4), normal_vector(5))
    discrete = dist.DiscreteHMM(randn(2), randn(2, 2), dist.Normal(randn(2, SEEN), 1.0).to_event(1))
    gamma = dist.Gamma(torch.tensor(2.0).double(), 1.0)
    return [
        discrete,
        dist.GaussianHMM(*parts()),
        dist.GammaGaussianHMM(gamma, *parts()),
        dist.LinearHMM(*parts()),
        flat,
    ]


@pytest.mark.parametrize("index", range(5))
def test_a_model_without_duration_scores_any_length(index: int) -> None:
    law = free_models()[index].expand([3])
    assert law.duration is None and law.event_shape == (1, SEEN)
    for steps in (1, 2, 7):
        x = randn(3, steps, SEEN)
        scored = law.log_prob(x)
        assert scored.shape == (3,)
        kept = torch.tensor([True, False, True])
        x[1] = math.nan
        assert_close(law.mask(kept).log_prob(x), torch.where(kept, scored, 0.0))
    with pytest.raises(ValueError, match=r"cannot be drawn, since its length is not known. Const"):
        law()
    with pytest.raises(ValueError, match="must be the event shape"):
        law.log_prob(randn(3, 4, SEEN + 1))


def test_the_length_is_checked() -> None:
    model = parts(T)
    assert dist.GaussianHMM(*model, duration=T).duration == T
    with pytest.raises(ValueError, match="duration is 4, but the parameters are for 5 steps"):
        dist.GaussianHMM(*model, duration=4)
    with pytest.raises(ValueError, match="duration is 0"):
        dist.GaussianHMM(*parts(), duration=0)
    with pytest.raises(TypeError, match="expected a number of steps or None"):
        dist.GaussianHMM(*parts(), duration=2.5)  # type: ignore[arg-type]
    law = dist.GaussianHMM(*model)
    with pytest.raises(ValueError, match=r"must be the event shape \(5, 3\)"):
        law.log_prob(randn(T + 1, SEEN))
    for count in (0, T, T + 1):
        with pytest.raises(ValueError, match=rf"was given {count} steps, .* expected 1 to 4"):
            law.prefix_condition(randn(count, SEEN))
    with pytest.raises(ValueError, match=r"must start with the number of steps, 2"):
        hmm.HiddenMarkovModel(2, (), (3, 1))


def test_parts_that_do_not_fit() -> None:
    initial, F, shock, H, noise = parts()
    with pytest.raises(ValueError, match=r"'transition_matrix' has shape \(3, 3\), expected"):
        dist.GaussianHMM(initial, randn(3, 3), shock, H, noise)
    with pytest.raises(ValueError, match=r"'observation_dist' has event shape \(2,\), expected"):
        dist.LinearHMM(initial, F, shock, H, shock)
    with pytest.raises(ValueError, match="become a vector by .to_event"):
        dist.LinearHMM(dist.Normal(0.0, 1.0), F, shock, H, noise)
    with pytest.raises(ValueError, match="'observation_matrix' is no matrix"):
        dist.LinearHMM(initial, F, shock, randn(3), noise)
    with pytest.raises(ValueError, match="with time on the right, do not broadcast"):
        dist.GaussianHMM(normal_vector(HIDDEN, 2), randn(3, 1, 2, 2), shock, H, noise)
    heavy = dist.StudentT(3.0, torch.zeros(HIDDEN), 1.0).to_event(1)
    with pytest.raises(TypeError, match="GaussianHMM: 'transition_dist' must be a Multivariate"):
        dist.GaussianHMM(initial, F, heavy, H, noise)
    with pytest.raises(TypeError, match="'scale_dist' must be a Gamma"):
        dist.GammaGaussianHMM(dist.Beta(1.0, 1.0), initial, F, shock, H, noise)
    with pytest.raises(ValueError, match=r"'transition_logits' has shape \(2, 2\), expected"):
        dist.DiscreteHMM(randn(3), randn(2, 2), dist.Normal(randn(3), 1.0))
    with pytest.raises(ValueError, match=r"'observation_dist' has batch shape \(2,\), expected"):
        dist.DiscreteHMM(randn(3), randn(3, 3), dist.Normal(randn(2), 1.0))
    with pytest.raises(ValueError, match=r"'transition_dist' has event shape \(2,\), expected"):
        dist.GaussianMRF(initial, shock, noise)
    with pytest.raises(ValueError, match="expected more than the 2 entries of a hidden vector"):
        dist.GaussianMRF(initial, normal_vector(4), shock)


def test_laws_that_cannot_be_updated_or_taken_apart() -> None:
    law = dist.GaussianHMM(*parts(T))
    for other in (law, dist.Cauchy(torch.zeros(T, SEEN), 1.0).to_event(2), normal_vector(SEEN, T)):
        with pytest.raises(TypeError, match=r"takes a Normal\(...\).to_event\(2\)"):
            law.conjugate_update(other)
    with pytest.raises(ValueError, match=r"event shape \(4, 3\), expected \(5, 3\)"):
        law.conjugate_update(dist.Normal(torch.zeros(4, SEEN), 1.0).to_event(2))
    with pytest.raises(ValueError, match="a hidden Markov model of numbers"):
        dist.IndependentHMM(law)
    single = dist.GaussianHMM(*parts(T)[:3], randn(HIDDEN, 1), normal_vector(1))
    with pytest.raises(ValueError, match="has no batch dimension, .* Expand it"):
        dist.IndependentHMM(single)


# ---- depth


def long_models(steps: int) -> dict[str, Callable[[], Any]]:
    model = parts()
    gauss = dist.GaussianHMM(*model, duration=steps)
    gamma = dist.GammaGaussianHMM(dist.Gamma(2.0, 1.0), *model, duration=steps)
    linear = dist.LinearHMM(*model, duration=steps)
    field = dist.GaussianMRF(model[0], normal_vector(4), normal_vector(5))
    coins = dist.DiscreteHMM(randn(3), randn(3, 3), dist.Normal(randn(3), 1.0), duration=steps)
    x = randn(steps, SEEN)
    y = dist.Normal(x, 1.0).to_event(2)
    return {
        "DiscreteHMM.log_prob": lambda: coins.log_prob(x[:, 0]),
        "DiscreteHMM.filter": lambda: coins.filter(x[:, 0]),
        "DiscreteHMM.sample": lambda: coins.sample(),
        "GaussianHMM.log_prob": lambda: gauss.log_prob(x),
        "GaussianHMM.filter": lambda: gauss.filter(x),
        "GaussianHMM.rsample": lambda: gauss.rsample(),
        "GaussianHMM.rsample_posterior": lambda: gauss.rsample_posterior(x),
        "GaussianHMM.conjugate_update": lambda: gauss.conjugate_update(y),
        "GammaGaussianHMM.log_prob": lambda: gamma.log_prob(x),
        "GammaGaussianHMM.filter": lambda: gamma.filter(x),
        "GammaGaussianHMM.rsample": lambda: gamma.rsample(),
        "LinearHMM.rsample": lambda: linear.rsample(),
        "GaussianMRF.log_prob": lambda: field.log_prob(x),
    }


@pytest.mark.parametrize("what", list(long_models(1)))
def test_each_doubling_of_the_length_costs_the_same_number_of_operations(what: str) -> None:
    """So that their number grows with the logarithm of the length."""
    counts = []
    for steps in (64, 128, 256, 512):
        run = long_models(steps)[what]
        with dist.validation_enabled(False), CountOperations() as operations:
            run()
        counts.append(operations.count)
    added = [b - a for a, b in itertools.pairwise(counts)]
    assert added[0] == added[1] == added[2] > 0


def test_names_that_libraries_rely_on() -> None:
    x, y = randn(2, 3), randn(3, 4)
    assert_close(hmm._logmatmulexp(x, y), (x.exp() @ y.exp()).log())
    assert_close(
        hmm._sequential_logmatmulexp(torch.stack([y[:, :3], y[:, 1:]])).exp()[0, 0],
        (y[:, :3].exp() @ y[:, 1:].exp())[0, 0],
    )
    maps = torch.tensor([[1, 2, 0], [0, 0, 1]])
    assert hmm._sequential_index(maps).tolist() == [[1, 2, 0], [0, 1, 0]]
