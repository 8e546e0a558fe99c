"""What the contract does not know of laws that wrap, restrict or extend other laws."""

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.distributions import constraints
from pyro.distributions.mixture import MaskedConstraint
from pyro.distributions.relaxed_straight_through import QuantizeBernoulli, QuantizeCategorical
from pyro.distributions.torch_patch import patch_dependency
from tests.helpers import assert_close, assert_fits_probabilities, assert_mean

NAN = math.nan
GENERATOR_OF_MASKS = [[True, True, True], [False, True, True], [True, False, False], [False] * 3]


def doubles(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Straight-through laws


def test_hard_draws_follow_the_discrete_law() -> None:
    probs = torch.tensor([0.2, 0.5, 0.3])
    for temperature in (0.1, 2.0):
        law = dist.RelaxedOneHotCategoricalStraightThrough(torch.tensor(temperature), probs)
        draws = law((4000,))
        assert ((draws == 0) | (draws == 1)).all() and (draws.sum(-1) == 1).all()
        assert_fits_probabilities(draws.argmax(-1), probs)
        bits = dist.RelaxedBernoulliStraightThrough(temperature, torch.tensor(0.3))((4000,))
        assert_fits_probabilities(bits, torch.tensor([0.7, 0.3]))


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_a_draw_is_scored_and_differentiated_where_it_came_from(temperature: float) -> None:
    logits = doubles(0.3, -1.0, 0.8).requires_grad_()
    pairs: list[tuple[Any, Any]] = [
        (dist.RelaxedOneHotCategoricalStraightThrough, dist.RelaxedOneHotCategorical),
        (dist.RelaxedBernoulliStraightThrough, dist.RelaxedBernoulli),
    ]
    weight = doubles(1.0, 2.0, -1.0)
    for hard_law, soft_law in pairs:
        torch.manual_seed(1)
        hard = hard_law(doubles(temperature).squeeze(), logits=logits)
        draw = hard.rsample()
        torch.manual_seed(1)
        soft = soft_law(doubles(temperature).squeeze(), logits=logits)
        relaxed = soft.rsample()
        assert_close(hard.log_prob(draw), soft.log_prob(relaxed))
        slopes = [
            torch.autograd.grad((weight * value).sum(), logits, retain_graph=True)[0]
            for value in (draw, relaxed)
        ]
        assert_close(*slopes)
        copy = draw.clone()
        unseen = hard.log_prob(copy.detach())
        discrete: Any = dist.OneHotCategorical if hard.event_dim else dist.Bernoulli
        assert_close(unseen, discrete(logits=logits).log_prob(copy))
        (gradient,) = torch.autograd.grad(unseen.sum(), logits)
        assert gradient.isfinite().all()
        inside = relaxed.detach()
        assert_close(hard.log_prob(inside), soft.log_prob(inside))


def test_a_masked_straight_through_law_remembers_too() -> None:
    law = dist.RelaxedOneHotCategoricalStraightThrough(torch.tensor(0.5), torch.ones(4, 3))
    draw = law()
    kept = torch.tensor([True, False, True, False])
    assert_close(law.mask(kept).log_prob(draw), torch.where(kept, law.log_prob(draw), 0.0))


def test_a_straight_through_guide_meets_a_relaxed_and_a_discrete_model() -> None:
    logits = torch.zeros(3, requires_grad=True)

    def guide() -> None:
        law = dist.RelaxedOneHotCategoricalStraightThrough(torch.tensor(0.5), logits=logits)
        pyro.sample("x", law)

    for prior in (
        dist.RelaxedOneHotCategoricalStraightThrough(torch.tensor(0.5), torch.ones(3)),
        dist.OneHotCategorical(torch.ones(3)),
    ):
        loss = pyro.infer.Trace_ELBO().differentiable_loss(
            lambda prior=prior: pyro.sample("x", prior), guide
        )
        if isinstance(prior, dist.OneHotCategorical):
            assert loss.isfinite()
        else:
            assert_close(loss, 0.0)


def test_quantisation_passes_gradients() -> None:
    soft = doubles([0.2, 0.5, 0.3], [0.4, 0.4, 0.2]).requires_grad_()
    for quantize in (QuantizeCategorical, QuantizeBernoulli):
        hard = quantize.apply(soft)
        (gradient,) = torch.autograd.grad(hard, soft, torch.full_like(soft, 3.0))
        assert_close(gradient, torch.full_like(soft, 3.0))
    assert QuantizeCategorical.apply(soft).argmax(-1).tolist() == [1, 0]


# Mixtures by mask


def test_entries_follow_their_component() -> None:
    mask = torch.tensor([True, False])
    normal, exponential = dist.Normal(doubles(0.5), 2.0), dist.Exponential(doubles(3.0))
    law = dist.MaskedMixture(mask, exponential, normal)
    value = law.sample((3,))
    expected = [normal.log_prob(value[:, 0]), exponential.log_prob(value[:, 1])]
    assert_close(law.log_prob(value), torch.stack(expected, -1))
    assert_close(law.mean, doubles(0.5, 1 / 3))
    assert_close(law.variance, doubles(4.0, 1 / 9))
    draws = law.sample((2000,))
    assert_mean(draws, law.mean, law.variance.sqrt())
    assert law.expand([3, 2]).expand([4, 3, 2])().shape == (4, 3, 2)


def test_what_the_other_component_makes_of_a_value_does_not_matter() -> None:
    value = doubles(-1.0, 2.0).requires_grad_()
    law = dist.MaskedMixture(
        torch.tensor([False, True]), dist.Normal(0.0, doubles(1.0)), dist.LogNormal(0.0, 1.0)
    )
    law.log_prob(value).sum().backward()
    assert_close(value.grad, doubles(1.0, -0.5 - math.log(2) / 2))
    for checked in (True, False):
        with dist.validation_enabled(checked):
            assert law.log_prob(value).isfinite().all()


def test_a_mixture_can_be_drawn_differentiably_where_both_can() -> None:
    mask = torch.tensor([True, False])
    both = dist.MaskedMixture(mask, dist.Normal(0.0, 1.0), dist.Cauchy(0.0, 1.0))
    one = dist.MaskedMixture(mask, dist.Poisson(1.0), dist.Normal(0.0, 1.0))
    assert both.has_rsample and not one.has_rsample
    whole = dist.MaskedMixture(mask, dist.Poisson(1.0), dist.Bernoulli(0.5))
    assert whole.support.is_discrete and not one.support.is_discrete
    assert isinstance(one.support, MaskedConstraint) and "Real" in repr(one.support)
    vectors = dist.MaskedMixture(
        mask, dist.Dirichlet(torch.ones(3)), dist.Normal(torch.zeros(3), 1.0).to_event(1)
    )
    assert vectors.support.event_dim == 1
    assert vectors.support.check(torch.tensor([-1.0, 0.0, 0.0])).tolist() == [True, False]


def test_refusals_of_mixtures() -> None:
    normal = dist.Normal(0.0, 1.0)
    with pytest.raises(TypeError, match="mask must be a boolean tensor, not torch.float32"):
        dist.MaskedMixture(torch.ones(2), normal, normal)
    with pytest.raises(TypeError, match="mask must be a boolean tensor, not bool"):
        dist.MaskedMixture(True, normal, normal)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"event shapes \(\) and \(2,\), which must be alike"):
        dist.MaskedMixture(torch.tensor(True), normal, normal.expand([2]).to_event(1))


# Missing values


@pytest.mark.parametrize("batched", [False, True])
def test_the_marginal_of_what_is_there(batched: bool) -> None:
    torch.manual_seed(2)
    root = torch.randn(*([4] if batched else []), 3, 3, dtype=torch.float64)
    covariance = root @ root.mT + torch.eye(3, dtype=torch.float64)
    loc = torch.randn(*([4] if batched else []), 3, dtype=torch.float64)
    law = dist.NanMaskedMultivariateNormal(loc, covariance)
    there = torch.tensor(GENERATOR_OF_MASKS)
    value = torch.randn(4, 3, dtype=torch.float64).masked_fill(~there, NAN)
    scored = law.log_prob(value)
    for i, kept in enumerate(there):
        mean, spread = (loc[i], covariance[i]) if batched else (loc, covariance)
        expected = (
            dist.MultivariateNormal(mean[kept], spread[kept][:, kept]).log_prob(value[i][kept])
            if kept.any()
            else doubles(0.0).squeeze()
        )
        assert_close(scored[i], expected)


def test_missing_values_do_no_harm_to_gradients() -> None:
    loc, scale = doubles(0.5, -1.0, 0.0).requires_grad_(), doubles(1.0, 2.0, 0.5).requires_grad_()
    value = doubles(0.2, NAN, NAN)
    single = dist.NanMaskedNormal(loc, scale)
    diagonal = dist.NanMaskedMultivariateNormal(loc, scale_tril=scale.diag_embed())
    expected = torch.autograd.grad(dist.Normal(loc[0], scale[0]).log_prob(value[0]), (loc, scale))
    for scored in (single.log_prob(value).sum(), diagonal.log_prob(value)):
        assert_close(torch.autograd.grad(scored, (loc, scale)), expected)
    data = value.clone().requires_grad_()
    diagonal.log_prob(data).backward()
    assert_close(data.grad, doubles(0.3, 0.0, 0.0))


def test_missing_values_inside_vmap_and_wrong_shapes() -> None:
    law = dist.NanMaskedMultivariateNormal(torch.zeros(2), torch.eye(2))
    values = torch.tensor([[0.0, NAN], [1.0, 2.0]])
    assert_close(torch.func.vmap(law.log_prob)(values), law.log_prob(values))
    with pytest.raises(ValueError, match="rightmost dimensions must be the event shape"):
        law.log_prob(torch.tensor([NAN, NAN, NAN]))
    with pytest.raises(ValueError, match="does not broadcast"):
        dist.NanMaskedNormal(torch.zeros(2), 1.0).log_prob(torch.full((3,), NAN))


# Improper and correlation laws


def test_an_improper_law_scores_and_does_not_draw() -> None:
    law = dist.ImproperUniform(constraints.positive, (2,), (3,))
    assert law.support.event_dim == 1 and law.has_rsample is False
    assert_close(law.log_prob(torch.ones(5, 2, 3)), torch.zeros(5, 2))
    assert_close(law.log_prob(torch.ones(3)), torch.zeros(2))
    expanded = law.expand([4, 2])
    assert expanded.batch_shape == (4, 2) and expanded.to_event(1).event_shape == (2, 3)
    assert_close(law.mask(torch.tensor([True, False])).log_prob(torch.ones(2, 3)), torch.zeros(2))
    with pytest.raises(NotImplementedError, match="is improper and cannot be drawn from"):
        law.sample()
    with pytest.raises(RuntimeError, match="must match"):
        law.expand([3])
    with pytest.raises(ValueError, match=r"an event of Simplex\(\) has 1 dimensions"):
        dist.ImproperUniform(constraints.simplex, (), ())
    assert dist.ImproperUniform(constraints.real, (), ()).support is constraints.real


def test_an_improper_prior_leaves_the_likelihood_alone() -> None:
    def model() -> None:
        rate = pyro.sample("rate", dist.ImproperUniform(constraints.positive, (), ()))
        pyro.sample("count", dist.Poisson(rate), obs=torch.tensor(3.0))

    guide = pyro.infer.autoguide.AutoDelta(
        model, init_loc_fn=pyro.infer.autoguide.init_to_value(values={"rate": torch.tensor(2.0)})
    )
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), pyro.infer.Trace_ELBO())
    for _ in range(400):
        svi.step()
    assert abs(float(guide.median()["rate"]) - 3.0) < 0.01  # where the steps have come to rest


@pytest.mark.parametrize("eta", [0.7, 2.0])
def test_correlations_integrate_to_one(eta: float) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(60)
    angle, weight = doubles(*((nodes + 1) * math.pi / 2)), doubles(*(weights * math.pi / 2))
    r, weight = angle.cos(), weight * angle.sin()
    law = dist.LKJ(2, doubles(eta).squeeze())
    matrices = torch.eye(2, dtype=torch.float64) + r[:, None, None] * (1 - torch.eye(2))
    assert_close((law.log_prob(matrices).exp() * weight).sum(), 1.0, atol=1e-3)
    # three variables: the law of r12, r13 and the partial correlation of the others
    a, b, c = torch.meshgrid(r, r, r, indexing="ij")
    area = weight[:, None, None] * weight[:, None] * weight
    spread = ((1 - a * a) * (1 - b * b)).sqrt()
    third = a * b + c * spread
    one = torch.ones_like(a)
    rows = [torch.stack(row, -1) for row in ([one, a, b], [a, one, third], [b, third, one])]
    with dist.validation_enabled(False):
        density = dist.LKJ(3, doubles(eta).squeeze()).log_prob(torch.stack(rows, -2)).exp()
    assert_close((density * spread * area).sum(), 1.0, atol=1e-3)


def test_correlations_have_beta_marginals() -> None:
    """Entry ij of a matrix of size n has (r + 1) / 2 ~ Beta(b, b), b = eta - 1 + n / 2."""
    law = dist.LKJ(3, doubles(1.5).squeeze())
    draws = law.sample((4000,))
    assert_close(law.mean, torch.eye(3, dtype=torch.float64))
    assert_mean(draws[:, 1, 0], 0.0)
    for i, j in ((1, 0), (2, 0), (2, 1)):
        assert_mean(draws[:, i, j].square(), 1 / (2 * 2.0 + 1))
    with pytest.raises(NotImplementedError):
        law.rsample()


@pytest.mark.parametrize("size, eta", [(2, 0.6), (3, 1.0), (5, 1.5)])
def test_cholesky_factors_of_correlations_are_drawn_right(size: int, eta: float) -> None:
    """All entries have the same law; in the determinant the factors' squares are beta variables."""
    factor = dist.LKJCholesky(size, doubles(eta).squeeze()).sample((4000,))
    i, j = torch.tril_indices(size, size, -1)
    r = (factor @ factor.mT)[:, i, j]
    b = eta - 1 + size / 2
    assert_mean(r, 0.0, (1 / (2 * b + 1)) ** 0.5)
    assert_mean(r**4, 3 / ((2 * b + 1) * (2 * b + 3)))
    k = torch.arange(1, size, dtype=torch.float64)
    rest = eta + (size - 1 - k) / 2
    assert_mean(factor.diagonal(dim1=-2, dim2=-1)[:, 1:].square(), rest / (rest + k / 2))
    assert constraints.corr_cholesky.check(factor).all()


def test_the_older_name_of_the_cholesky_law() -> None:
    with pytest.warns(FutureWarning, match=r"Write: LKJCholesky\(dim, concentration\)"):
        law = dist.LKJCorrCholesky(3, 1.5)
    value = law.sample()
    assert_close(law.log_prob(value), dist.LKJCholesky(3, 1.5).log_prob(value))


# Gradients by transport

SCALE = [[1.2, 0.0, 0.0], [0.3, 0.8, 0.0], [-0.5, 0.2, 1.3]]


def moving(kind: str, loc: Tensor, scale: Tensor, control: Tensor) -> dist.MultivariateNormal:
    if kind == "omt":
        return dist.OMTMultivariateNormal(loc, scale)
    return dist.AVFMultivariateNormal(loc, scale, control)


def quadratic(z: Tensor) -> Tensor:
    form = doubles([1.0, 0.5, -0.3], [0.5, 2.0, 0.1], [-0.3, 0.1, -1.0])
    return (z * (z @ form)).sum(-1) + (z @ doubles(1.0, -2.0, 0.5))


@pytest.mark.parametrize("kind", ["omt", "avf"])
def test_gradients_of_a_quadratic_cost_are_unbiased(kind: str) -> None:
    """E cost = tr(A(LL' + mm')) + b'm, in closed form; false-alarm rate 7e-6 an entry."""
    count = 4000
    loc = doubles(0.5, -1.0, 0.3).repeat(count, 1).requires_grad_()
    scale = doubles(*SCALE).repeat(count, 1, 1).requires_grad_()
    control = doubles([[0.3, -0.7, 1.0]], [[0.5, 1.0, -0.2]])
    value = moving(kind, loc, scale, control).rsample()
    gradients = torch.autograd.grad(quadratic(value).sum(), (loc, scale))

    def expected(m: Tensor, lower: Tensor) -> Tensor:
        columns = lower.tril().mT
        return quadratic(m) + quadratic(columns).sum() - columns.sum(0) @ doubles(1.0, -2.0, 0.5)

    exact = torch.autograd.functional.jacobian(expected, (doubles(0.5, -1.0, 0.3), doubles(*SCALE)))
    assert_mean(gradients[0], exact[0])
    where = torch.ones(3, 3).tril().bool()
    assert_mean(gradients[1][:, where], exact[1][where])
    assert not gradients[1][:, ~where].any()


def test_transport_moves_draws_along_a_symmetric_field() -> None:
    """The defining equation: S is symmetric and S Sigma + Sigma S is the change of Sigma."""
    scale = doubles(*SCALE)
    law = dist.OMTMultivariateNormal(doubles(0.0, 0.0, 0.0), scale.requires_grad_())
    torch.manual_seed(0)
    z = law.rsample((3,)).T  # three independent draws determine the field
    change = torch.randn(3, 3, dtype=torch.float64).tril()
    velocity = torch.zeros(3, 3, dtype=torch.float64)
    for i in range(3):
        for j in range(3):
            (slope,) = torch.autograd.grad(z[i, j], scale, retain_graph=True)
            velocity[i, j] = (slope * change).sum()
    z, lower = z.detach(), scale.detach()
    field = velocity @ z.inverse()
    assert_close(field, field.mT, rtol=1e-9, atol=1e-9)
    sigma, moved = lower @ lower.mT, change @ lower.mT + lower @ change.mT
    assert_close(field @ sigma + sigma @ field, moved, rtol=1e-9, atol=1e-9)


def test_transport_of_a_batch_adds_up() -> None:
    scale = doubles(*SCALE).repeat(2, 1, 1).requires_grad_()
    laws = dist.OMTMultivariateNormal(torch.zeros(2, 3, dtype=torch.float64), scale)
    torch.manual_seed(0)
    value = laws.rsample((5,))
    (whole,) = torch.autograd.grad(quadratic(value).sum(), scale, retain_graph=True)
    parts = [
        torch.autograd.grad(quadratic(value)[i].sum(), scale, retain_graph=True)[0]
        for i in range(5)
    ]
    assert_close(whole, torch.stack(parts).sum(0))


def test_swirls_turn_the_noise() -> None:
    """Each draw's gradient by an entry of the scale, by the field in closed form."""
    scale, control = doubles(*SCALE).requires_grad_(), torch.randn(2, 2, 3, dtype=torch.float64)
    law = dist.AVFMultivariateNormal(doubles(0.0, 0.0, 0.0), scale, control)
    z = law.rsample()
    noise = torch.linalg.solve(scale.detach(), z.detach())
    weight = doubles(1.0, -2.0, 0.5)
    (gradient,) = torch.autograd.grad((weight * z).sum(), scale)
    field = control[0].mT @ control[1]
    for a in range(3):
        for b in range(a + 1):
            unit = torch.eye(3, dtype=torch.float64)
            turn = unit[a] * noise[b] - unit[b] * noise[a]
            velocity = unit[a] * noise[b] + field[a, b] * (scale.detach() @ turn)
            assert_close(gradient[a, b], (weight * velocity).sum())


def test_the_field_learns_from_half_the_square() -> None:
    """Its gradient, summed over single draws, against finite differences at the same draws."""
    scale, loc = doubles(*SCALE), doubles(0.0, 0.0, 0.0)
    control = torch.randn(2, 2, 3, dtype=torch.float64)

    def half_square(control: Tensor) -> Tensor:
        torch.manual_seed(4)
        leaf = scale.repeat(6, 1, 1).requires_grad_()
        value = dist.AVFMultivariateNormal(loc, leaf, control).rsample()
        (gradient,) = torch.autograd.grad(quadratic(value).sum(), leaf)
        return 0.5 * gradient.square().sum()

    torch.manual_seed(4)
    leaf = control.clone().requires_grad_()
    value = dist.AVFMultivariateNormal(loc, scale, leaf).rsample((6,))
    (slope,) = torch.autograd.grad(quadratic(value).sum(), leaf)
    step = 1e-5
    for index in np.ndindex(2, 2, 3):
        shift = torch.zeros_like(control)
        shift[index] = step
        difference = (half_square(control + shift) - half_square(control - shift)) / (2 * step)
        assert_close(slope[index], difference, rtol=1e-6, atol=1e-6)


def test_the_field_learns_to_lower_the_variance() -> None:
    """For the product of two variables the best coefficient is known: -E[pm] / E[m^2]."""
    scale, loc = doubles([1.0, 0.0], [0.9, 0.3]), doubles(0.0, 0.0)
    control = doubles([[0.1, 0.1]], [[-0.1, 0.1]]).requires_grad_()
    optimiser = torch.optim.Adam([control], lr=0.01)
    for _ in range(150):
        optimiser.zero_grad()
        leaf = scale.clone().requires_grad_()
        value = dist.AVFMultivariateNormal(loc, leaf, control).rsample((200,))
        value.prod(-1).sum().backward()
        optimiser.step()
    learnt = (control[0].mT @ control[1]).detach()[1, 0]
    # with z = L e: p = e0^2 and m = 0.3 e0^2 - 1.8 e0 e1 - 0.3 e1^2
    best = -(0.3 * 3 - 0.3) / (0.09 * 3 + 1.8**2 + 0.09 * 3 - 2 * 0.09)
    assert abs(learnt - best) < 0.04  # the optimiser's noise; it began at -0.01


def test_the_field_has_a_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 3, 2\), expected \(2, M, D\)"):
        dist.AVFMultivariateNormal(torch.zeros(2), torch.eye(2), torch.zeros(3, 3, 2))


# Patches


def test_a_function_is_replaced_once_and_knows_the_old_one() -> None:
    library = ModuleType("library")
    library.inner = ModuleType("library.inner")  # type: ignore[attr-defined]

    def double(x: int) -> int:
        """Double a number."""
        return 2 * x

    library.inner.double = double  # type: ignore[attr-defined]

    @patch_dependency("library.inner.double", library)
    def _double(x: int) -> int:
        return int(_double._pyro_unpatched(x)) + 1  # type: ignore[attr-defined]

    assert library.inner.double(2) == 5  # type: ignore[attr-defined]
    assert _double.__name__ == "double" and _double.__doc__ == "Double a number."
    again = patch_dependency("library.inner.double", library)(lambda x: -x)
    assert again._pyro_unpatched is double  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match="There is no library.inner.triple any more"):
        patch_dependency("library.inner.triple", library)(lambda x: x)
    with pytest.raises(ValueError, match="is no dotted name below 'torch'. Pass root_module=math"):
        patch_dependency("math.sin")
