"""Gaussians against dense linear algebra and quadrature."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

import pyro.distributions as dist
from pyro.ops import form_chains, gaussian_form
from pyro.ops.gaussian import (
    AffineNormal,
    Gaussian,
    gaussian_tensordot,
    matrix_and_gaussian_to_gaussian,
    matrix_and_mvn_to_gaussian,
    mvn_to_gaussian,
    sequential_gaussian_filter_sample,
    sequential_gaussian_tensordot,
)
from tests.helpers import assert_close, assert_mean
from tests.ops.gaussians import (
    DOUBLE,
    chain_joint,
    log_integral,
    mean_of,
    quadrature,
    random_affine,
    random_gaussian,
)

FIELDS = {"log_normalizer": 0, "info_vec": 1, "precision": 2}
BATCHES: list[tuple[int, ...]] = [(), (1,), (3,), (2, 3)]


def assert_same(actual: Gaussian, expected: Gaussian) -> None:
    for name in FIELDS:
        assert_close(getattr(actual, name), getattr(expected, name))


@pytest.mark.parametrize(
    ("change", "on_batch"),
    [
        (lambda g: g.expand((4, 2, 3)), lambda x: x.expand(4, 2, 3)),
        (lambda g: g.reshape((6,)), lambda x: x.reshape(6)),
        (lambda g: g.reshape((3, -1)), lambda x: x.reshape(3, -1)),
        (lambda g: g[1], lambda x: x[1]),
        (lambda g: g[:, 1:], lambda x: x[:, 1:]),
        (lambda g: g[..., 2], lambda x: x[..., 2]),
        (lambda g: g[1, ...], lambda x: x[1, ...]),
        (lambda g: g[..., ::2], lambda x: x[..., ::2]),
        (lambda g: g[None, :, None], lambda x: x[None, :, None]),
        (lambda g: g[torch.tensor([0, 1, 1])], lambda x: x[torch.tensor([0, 1, 1])]),
        (lambda g: g[torch.ones(2, 3) > 0], lambda x: x[torch.ones(2, 3) > 0]),
        (lambda g: g.cat([g, g[:1]]), lambda x: torch.cat([x, x[:1]])),
        (lambda g: g.cat([g, g[:, :1]], -1), lambda x: torch.cat([x, x[:, :1]], -1)),
    ],
)
@pytest.mark.parametrize("broadcast", [False, True])
def test_batches_change_as_tensors_do(
    change: Callable[[Any], Any], on_batch: Callable[[Tensor], Tensor], broadcast: bool
) -> None:
    full = Gaussian(torch.randn(2, 3), torch.randn(2, 3, 4), torch.randn(2, 3, 4, 4))
    thin = Gaussian(torch.randn(3), torch.randn(2, 1, 4), torch.randn(4, 4))
    gaussian = thin if broadcast else full
    numbers = torch.arange(6).reshape(2, 3)
    where = on_batch(numbers)
    changed = change(gaussian)
    assert changed.batch_shape == where.shape
    for name, rank in FIELDS.items():
        whole = getattr(gaussian, name)
        event = whole.shape[whole.dim() - rank :]
        flat = whole.expand((2, 3) + event).reshape((6,) + event)
        actual = getattr(changed, name)
        assert_close(actual.expand(where.shape + event), flat[where])


def test_an_index_must_fit_the_batch() -> None:
    gaussian = random_gaussian(2, dim=3)
    for index in [5, (0, 0), (..., 0, 0)]:
        with pytest.raises(IndexError):
            gaussian[index]


def test_a_precision_must_fit_the_information_vector() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 3\), expected \(..., 2, 2\)"):
        Gaussian(torch.zeros(()), torch.zeros(2), torch.eye(3))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dim", [0, 1, 2, 5])
def test_densities_integrals_and_draws(batch: tuple[int, ...], dim: int) -> None:
    gaussian = random_gaussian(*batch, dim=dim)
    assert gaussian.dim() == dim
    assert_close(gaussian.event_logsumexp(), log_integral(gaussian))
    x = torch.randn(4, *batch, dim, dtype=DOUBLE)
    if dim:
        law = MultivariateNormal(mean_of(gaussian), precision_matrix=gaussian.precision)
        assert_close(gaussian.log_density(x), law.log_prob(x) + gaussian.event_logsumexp())
    noise = torch.randn(4, *batch, dim, dtype=DOUBLE)
    draw = gaussian.rsample((4,), noise=noise)
    factor = torch.linalg.cholesky(gaussian.precision)
    whitened = (factor.mT @ (draw - mean_of(gaussian))[..., None])[..., 0]
    assert_close(whitened, noise)
    assert gaussian.rsample().shape == batch + (dim,)
    assert gaussian.rsample(torch.Size([2, 3])).shape == (2, 3, *batch, dim)


def test_draws_without_noise_have_mean_and_covariance() -> None:
    gaussian = random_gaussian(dim=3)
    covariance = gaussian.precision.inverse()
    draws = gaussian.rsample((20_000,)) - mean_of(gaussian)
    assert_mean(draws, torch.zeros(3))
    assert_mean(draws[:, :, None] * draws[:, None, :], covariance)


def test_noise_must_have_the_shape_of_the_draw() -> None:
    gaussian = random_gaussian(2, dim=3)
    with pytest.raises(ValueError, match=r"noise has shape \(2, 3\), expected \(5, 2, 3\)"):
        gaussian.rsample((5,), noise=torch.zeros(2, 3))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("left", "right"), [(0, 0), (1, 0), (0, 1), (2, 1), (0, 4), (4, 0)])
def test_conditioning_and_integrating(batch: tuple[int, ...], left: int, right: int) -> None:
    gaussian = random_gaussian(*batch, dim=4)
    x = torch.randn(*batch, 4, dtype=DOUBLE)
    first, middle, last = x.split([left, 4 - left - right, right], -1)
    conditioned = gaussian.condition(last).left_condition(first)
    assert_close(conditioned.log_density(middle), gaussian.log_density(x))
    marginal = gaussian.marginalize(left=left, right=right)
    assert marginal.dim() == 4 - left - right
    # p(middle) p(others | middle) = p(all); the integral over the others is closed form above.
    outer = gaussian.event_permute(torch.arange(4).roll(-left)).left_condition(middle)
    assert_close(marginal.log_density(middle), log_integral(outer))
    assert_close(marginal.event_logsumexp(), gaussian.event_logsumexp())


def test_conditioning_broadcasts() -> None:
    gaussian = random_gaussian(2, 3, dim=4)
    value = torch.randn(5, 1, 1, 2, dtype=DOUBLE)
    assert gaussian.condition(value).batch_shape == (5, 2, 3)
    assert gaussian.left_condition(value).batch_shape == (5, 2, 3)


def test_integrals_agree_with_quadrature() -> None:
    gaussian = random_gaussian(dim=2)
    points, weights = quadrature(-60.0, 60.0, 3001)
    x = torch.tensor([0.3], dtype=DOUBLE).expand(3001, 1)
    for value, marginal in [
        (torch.cat([x, points[:, None]], -1), gaussian.marginalize(right=1)),
        (torch.cat([points[:, None], x], -1), gaussian.marginalize(left=1)),
    ]:
        integral = (gaussian.log_density(value) + weights).logsumexp(0)
        assert_close(marginal.log_density(x[0]), integral)


def test_padding_and_permuting() -> None:
    gaussian = random_gaussian(3, dim=2)
    x = torch.randn(3, 5, dtype=DOUBLE)
    padded = gaussian.event_pad(left=1, right=2)
    assert_close(padded.log_density(x), gaussian.log_density(x[:, 1:3]))
    perm = torch.tensor([3, 0, 4, 2, 1])
    assert_close(padded.event_permute(perm).log_density(x[:, perm]), padded.log_density(x))


def test_sums_multiply() -> None:
    f, g = random_gaussian(3, dim=2), random_gaussian(4, 1, dim=2)
    x, c = torch.randn(4, 3, 2, dtype=DOUBLE), torch.randn(3, dtype=DOUBLE)
    assert_close((f + g).log_density(x), f.log_density(x) + g.log_density(x))
    for total in (f + c, c + f, f - -c):
        assert_close(total.log_density(x), f.log_density(x) + c)
    assert_close((1 + f - 0.5).log_normalizer, f.log_normalizer + 0.5)


def test_what_does_not_fit_is_refused() -> None:
    f = random_gaussian(dim=2)
    with pytest.raises(ValueError, match="2 variables and the other 3; pad them"):
        f + random_gaussian(dim=3)
    for wrong in (lambda: f + "one", lambda: f - f):
        with pytest.raises(TypeError, match="unsupported operand"):
            wrong()
    for condition in (f.condition, f.left_condition):
        with pytest.raises(ValueError, match="values for 3 variables, but there are 2"):
            condition(torch.zeros(3))
    with pytest.raises(ValueError, match="integrate out 3 variables, but there are 2"):
        f.marginalize(1, 2)
    with pytest.raises(ValueError, match="left=-1 and right=0, below 0"):
        f.marginalize(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes_are_kept(dtype: torch.dtype) -> None:
    f = random_gaussian(3, dim=4, dtype=dtype)
    assert f.rsample().dtype == f.event_logsumexp().dtype == dtype
    assert f.marginalize(2, 1).precision.dtype == dtype
    path = sequential_gaussian_filter_sample(f[0].marginalize(2), f)
    assert path.dtype == dtype


def test_gradients() -> None:
    def integral(c: Tensor, u: Tensor, root: Tensor) -> Tensor:
        gaussian = Gaussian(c, u, root @ root.mT + torch.eye(3))
        return gaussian.marginalize(1, 1).log_density(u[..., :1]) + gaussian.event_logsumexp()

    def draw(u: Tensor, root: Tensor) -> Tensor:
        precision = root @ root.mT + torch.eye(3)
        return Gaussian(u[..., 0], u, precision).rsample(noise=torch.ones(1, 3, dtype=DOUBLE))

    u, root = (torch.randn(1, *shape, dtype=DOUBLE, requires_grad=True) for shape in [(3,), (3, 3)])
    assert torch.autograd.gradcheck(
        integral, [torch.zeros(1, dtype=DOUBLE, requires_grad=True), u, root]
    )
    assert torch.autograd.gradcheck(draw, [u, root])


LAWS = [
    dist.MultivariateNormal(torch.randn(3, dtype=DOUBLE), 2 * torch.eye(3, dtype=DOUBLE)),
    MultivariateNormal(torch.ones(4, 3, dtype=DOUBLE), torch.eye(3, dtype=DOUBLE) + 0.5),
    LowRankMultivariateNormal(*(torch.ones(shape, dtype=DOUBLE) for shape in [3, (3, 1), 3])),
    dist.Normal(torch.arange(3.0, dtype=DOUBLE), 2.0).to_event(1),
    dist.Normal(torch.tensor(1.0, dtype=DOUBLE), 2.0).expand([4, 3]).to_event(1),
    Independent(Normal(torch.zeros(3, dtype=DOUBLE), 0.5), 1),
]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("size", [0, 1, 2])
def test_laws_become_gaussians(law: Distribution, size: int) -> None:
    gaussian = mvn_to_gaussian(law)
    assert gaussian.batch_shape == law.batch_shape
    z = torch.randn(4, 3, dtype=DOUBLE)
    assert_close(gaussian.log_density(z), law.log_prob(z))
    assert_close(gaussian.event_logsumexp(), torch.zeros(law.batch_shape))
    matrix, x = torch.randn(2, 1, size, 3, dtype=DOUBLE), torch.randn(4, size, dtype=DOUBLE)
    shifted = torch.cat([x.expand(2, 4, size), z + (x[:, None] @ matrix)[..., 0, :]], -1)
    for joint in (
        matrix_and_mvn_to_gaussian(matrix, law),
        matrix_and_gaussian_to_gaussian(matrix, gaussian),
    ):
        assert joint.dim() == size + 3
        assert_close(joint.log_density(shifted), law.log_prob(z).expand(2, 4))


def test_independent_noise_makes_an_affine_normal() -> None:
    matrix = torch.ones(1, 3, dtype=DOUBLE)
    kinds = [type(matrix_and_mvn_to_gaussian(matrix, law)) for law in LAWS]
    assert kinds == [Gaussian] * 3 + [AffineNormal] * 3


@pytest.mark.parametrize(
    "law",
    [
        dist.Normal(torch.zeros(3), 1.0),
        dist.Normal(torch.zeros(2, 3), 1.0).to_event(2),
        dist.Gamma(torch.ones(3), 1.0).to_event(1),
    ],
)
def test_other_laws_are_refused(law: Distribution) -> None:
    with pytest.raises(TypeError, match="Expected a multivariate normal law"):
        mvn_to_gaussian(law)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("x_dim", "y_dim"), [(0, 2), (1, 1), (2, 3), (3, 1)])
def test_affine_normals_are_gaussians(batch: tuple[int, ...], x_dim: int, y_dim: int) -> None:
    affine = random_affine(*batch, x_dim=x_dim, y_dim=y_dim)
    gaussian = affine.to_gaussian()
    assert affine.to_gaussian() is gaussian
    assert affine.dim() == gaussian.dim() == x_dim + y_dim
    assert affine.batch_shape == gaussian.batch_shape == batch
    z = torch.randn(5, *batch, x_dim + y_dim, dtype=DOUBLE)
    x, y = z.split([x_dim, y_dim], -1)
    mean = affine.loc + (x[..., None, :] @ affine.matrix)[..., 0, :]
    expected = Normal(mean, affine.scale).log_prob(y).sum(-1)
    assert_close(affine.log_density(z), expected)
    assert_close(gaussian.log_density(z), expected)
    for count in range(x_dim + y_dim + 1):
        first, last = z.split([count, x_dim + y_dim - count], -1)
        assert_close(affine.left_condition(first).log_density(last), expected)
        assert_close(affine.condition(last).log_density(first), expected)
    for count in range(y_dim + 1):
        rest = affine.marginalize(right=count)
        kept = Normal(mean, affine.scale).log_prob(y)[..., : y_dim - count].sum(-1)
        assert_close(rest.log_density(z[..., : x_dim + y_dim - count]), kept)
    perm = torch.randperm(x_dim + y_dim)
    assert_close(affine.event_permute(perm).log_density(z[..., perm]), expected)
    assert_close(affine.event_pad(1, 1).log_density(torch.nn.functional.pad(z, (1, 1))), expected)


def test_affine_normals_change_as_batches_do() -> None:
    affine = random_affine(3, x_dim=1, y_dim=2)
    wide = AffineNormal.cat([affine.expand((2, 3)), affine[None]]).reshape((9,))
    z = torch.randn(3, 3, dtype=DOUBLE)
    assert_close(wide.log_density(z.repeat(3, 1)), affine.log_density(z).repeat(3))
    assert_close(wide[..., 3:6].log_density(z), affine.log_density(z))


def test_affine_normals_multiply_with_gaussians() -> None:
    affine, gaussian = random_affine(2, x_dim=2, y_dim=1), random_gaussian(2, dim=3)
    z = torch.randn(2, 3, dtype=DOUBLE)
    both = affine.log_density(z) + gaussian.log_density(z)
    for product in (affine + gaussian, gaussian + affine):
        assert_close(product.log_density(z), both)
    assert_close((affine + affine).log_density(z), 2 * affine.log_density(z))
    assert_close((1.0 + affine).log_density(z), 1.0 + affine.log_density(z))
    assert_close((affine + gaussian).event_logsumexp(), log_integral(affine + gaussian))
    marginal = (affine + gaussian).marginalize(left=1)
    assert_close(marginal.event_logsumexp(), log_integral(affine + gaussian))


def test_affine_normals_integrate_to_their_gaussians_integral() -> None:
    affine = random_affine(2, x_dim=1, y_dim=2)
    by_y = affine.marginalize(left=1)
    assert_close(by_y.log_normalizer, affine.to_gaussian().marginalize(left=1).log_normalizer)
    known = random_affine(2, x_dim=0, y_dim=2)
    assert_close(known.event_logsumexp(), torch.zeros(2))


def test_affine_normals_draw_once_x_is_known() -> None:
    affine = random_affine(2, x_dim=1, y_dim=3)
    x, noise = torch.randn(5, 2, 1, dtype=DOUBLE), torch.randn(4, 5, 2, 3, dtype=DOUBLE)
    known = affine.left_condition(x)
    mean = affine.loc + (x[..., None, :] @ affine.matrix)[..., 0, :]
    assert_close(known.rsample((4,), noise=noise), mean + affine.scale * noise)
    assert known.rsample().shape == (5, 2, 3)
    with pytest.raises(NotImplementedError, match="1 variables in x have no value. Call left_cond"):
        affine.rsample()
    with pytest.raises(ValueError, match=r"noise has shape \(3,\), expected \(5, 2, 3\)"):
        known.rsample(noise=torch.zeros(3))
    with pytest.raises(ValueError, match="leads to 3 variables, loc has 2 and scale 3"):
        AffineNormal(torch.ones(2, 3), torch.ones(2), torch.ones(3))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("a", "b", "c"), [(1, 1, 1), (2, 0, 1), (0, 2, 1), (2, 1, 0), (2, 3, 2)])
def test_tensordot(batch: tuple[int, ...], a: int, b: int, c: int) -> None:
    f, g = random_gaussian(*batch, dim=a + b), random_gaussian(dim=b + c)
    x, z = torch.randn(*batch, a, dtype=DOUBLE), torch.randn(*batch, c, dtype=DOUBLE)
    inner = f.left_condition(x) + g.condition(z)
    h = gaussian_tensordot(f, g, b)
    assert h.dim() == a + c
    assert_close(h.log_density(torch.cat([x, z], -1)), log_integral(inner))


def test_tensordot_takes_affine_normals() -> None:
    f, g = random_affine(x_dim=2, y_dim=1), random_affine(x_dim=1, y_dim=2)
    expected = gaussian_tensordot(f.to_gaussian(), g.to_gaussian(), 1)
    assert_same(gaussian_tensordot(f, g, 1), expected)
    with pytest.raises(ValueError, match="dims is 4, but the functions have 3 and 3"):
        gaussian_tensordot(f, g, 4)


STEPS = [1, 2, 3, 4, 5, 7, 8, 11]


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("steps", STEPS)
def test_a_chain_is_its_joint(steps: int, size: int, batch: tuple[int, ...]) -> None:
    init, trans = random_gaussian(*batch, dim=size), random_gaussian(*batch, steps, dim=2 * size)
    joint = chain_joint(init, trans)
    inner = size * (steps - 1)
    order = torch.arange(size * (steps + 1)).split([size, inner, size])
    outside_in = joint.event_permute(torch.cat([order[0], order[2], order[1]]))
    product = sequential_gaussian_tensordot(trans) + init.event_pad(right=size)
    assert_same(product, outside_in.marginalize(right=inner))
    # A draw is affine in the noise, so its law is known exactly from the noise's unit vectors.
    count = size * (steps + 1)
    noise = torch.cat([torch.zeros(1, count), torch.eye(count)]).double()
    noise = noise.reshape((count + 1,) + (1,) * len(batch) + (steps + 1, size))
    noise = noise.expand((count + 1,) + batch + (steps + 1, size))
    draws = sequential_gaussian_filter_sample(init, trans, (count + 1,), noise).flatten(-2)
    assert_close(draws[0], mean_of(joint))
    columns = (draws[1:] - draws[0]).movedim(0, -1)
    assert_close(columns @ columns.mT, joint.precision.inverse())


def test_a_chain_of_no_steps_is_its_first_state() -> None:
    init, trans = random_gaussian(2, dim=2), random_gaussian(2, 0, dim=4)
    noise = torch.randn(3, 2, 1, 2, dtype=DOUBLE)
    path = sequential_gaussian_filter_sample(init, trans, (3,), noise)
    assert_close(path[..., 0, :], init.rsample((3,), noise=noise[..., 0, :]))


@pytest.mark.parametrize("steps", STEPS)
def test_affine_chains(steps: int) -> None:
    trans, init = random_affine(steps, x_dim=2, y_dim=2), random_gaussian(dim=2)
    product = sequential_gaussian_tensordot(trans)
    assert_same(product, sequential_gaussian_tensordot(trans.to_gaussian()))
    noise = torch.randn(steps + 1, 2, dtype=DOUBLE)
    assert_close(
        sequential_gaussian_filter_sample(init, trans, noise=noise),
        sequential_gaussian_filter_sample(init, trans.to_gaussian(), noise=noise),
    )


def test_paths_broadcast_and_draw_their_own_noise() -> None:
    init, trans = random_gaussian(3, 1, dim=2), random_gaussian(2, 5, dim=4)
    path = sequential_gaussian_filter_sample(init, trans, (7,))
    assert path.shape == (7, 3, 2, 6, 2)
    assert path[0].ne(path[1]).all()


def test_paths_have_gradients() -> None:
    noise = torch.randn(4, 1, dtype=DOUBLE)

    def draw(u: Tensor, root: Tensor) -> Tensor:
        trans = Gaussian(u.new_zeros(()), u, root @ root.mT + torch.eye(2))
        return sequential_gaussian_filter_sample(trans[0].marginalize(1), trans[1:], noise=noise)

    u, root = (torch.randn(4, *shape, dtype=DOUBLE, requires_grad=True) for shape in [(2,), (2, 2)])
    assert torch.autograd.gradcheck(draw, [u, root])


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 64, 100, 129])
def test_chains_take_logarithmically_many_steps(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors: list[torch.Size] = []

    def counted(x: Tensor) -> Tensor:
        factors.append(x.shape)
        return torch.linalg.cholesky(x)

    monkeypatch.setattr(form_chains, "safe_cholesky", counted)
    monkeypatch.setattr(gaussian_form, "safe_cholesky", counted)
    rounds = math.ceil(math.log2(steps))
    init, trans = random_gaussian(dim=1), random_gaussian(steps, dim=2)
    sequential_gaussian_tensordot(trans)
    assert len(factors) == rounds
    assert sum(shape[0] for shape in factors) == steps - 1, "the work is linear"
    factors.clear()
    sequential_gaussian_filter_sample(init, trans)
    assert len(factors) == rounds + 1, "each state is drawn with the factor it was left out by"


@pytest.mark.parametrize("steps", [*range(1, 16), 100])
@pytest.mark.parametrize("batch", [(), (3,)], ids=str)
def test_a_precision_that_all_steps_share(steps: int, batch: tuple[int, ...]) -> None:
    alike = random_gaussian(dim=4)
    c = torch.randn(*batch, steps, dtype=DOUBLE)
    shared = Gaussian(c, torch.randn(steps, 4, dtype=DOUBLE), alike.precision)
    apart = shared.expand(shared.batch_shape)
    apart.precision = apart.precision.clone()
    init, x = random_gaussian(dim=2), torch.randn(*batch, 4, dtype=DOUBLE)
    product, expected = sequential_gaussian_tensordot(shared), sequential_gaussian_tensordot(apart)
    assert product.batch_shape == batch and product.dim() == 4
    assert_close(product.log_density(x), expected.log_density(x))
    noise = torch.randn(5, *batch, steps + 1, 2, dtype=DOUBLE)
    path = sequential_gaussian_filter_sample(init.expand(batch), shared, (5,), noise)
    other = sequential_gaussian_filter_sample(init.expand(batch), apart, (5,), noise)
    assert_close(path, other)


def test_chains_must_fit() -> None:
    with pytest.raises(ValueError, match="chain of length 0 has no product"):
        sequential_gaussian_tensordot(random_gaussian(0, dim=2))
    with pytest.raises(ValueError, match="need a batch dimension, that of time"):
        sequential_gaussian_tensordot(random_gaussian(dim=2))
    with pytest.raises(ValueError, match="have 3 variables, expected an even number"):
        sequential_gaussian_tensordot(random_gaussian(2, dim=3))
    with pytest.raises(ValueError, match="init has 2 variables and trans 6"):
        sequential_gaussian_filter_sample(random_gaussian(dim=2), random_gaussian(2, dim=6))
    with pytest.raises(ValueError, match=r"noise has shape \(2, 1\), expected \(3, 1\)"):
        sequential_gaussian_filter_sample(
            random_gaussian(dim=1), random_gaussian(2, dim=2), noise=torch.zeros(2, 1)
        )


def test_what_was_converted_without_gradients_has_them_later() -> None:
    affine = random_affine(x_dim=2, y_dim=2)
    affine.scale.requires_grad_()
    value = torch.randn(4, dtype=torch.float64)
    with torch.no_grad():
        affine.to_gaussian()
    (found,) = torch.autograd.grad(affine.to_gaussian().log_density(value), affine.scale)
    (direct,) = torch.autograd.grad(affine.log_density(value), affine.scale)
    assert_close(found, direct)
