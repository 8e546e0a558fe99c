"""Transforms one by one: what their formulas say, their limits, and what they refuse."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch.nn.functional import elu, leaky_relu, softplus

from pyro.distributions import transforms
from pyro.distributions.transforms.basic import tanh
from pyro.distributions.transforms.block_autoregressive import MaskedBlockLinear, log_matrix_product
from pyro.distributions.transforms.generalized_channel_permute import (
    ConditionedGeneralizedChannelPermute,
)
from pyro.distributions.transforms.householder import ConditionedHouseholder
from pyro.distributions.transforms.matrix_exponential import ConditionedMatrixExponential
from pyro.distributions.transforms.radial import ConditionedRadial
from pyro.distributions.transforms.spline import ConditionedSpline
from pyro.ops.networks import AutoRegressiveNN
from tests.helpers import assert_close


def doubles(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.double)


def scrambled(flow: Any) -> Any:
    """Give a flow parameters that are not small."""
    for leaf in flow.double().parameters():
        nn.init.normal_(leaf)
    return flow


class TestActivations:
    def test_they_are_those_of_torch(self) -> None:
        x = torch.linspace(-30, 5, 50).double()
        assert_close(transforms.elu()(x), elu(x))
        assert_close(transforms.leaky_relu()(x), leaky_relu(x))
        assert_close(tanh()(x), x.tanh())

    def test_images_of_elu_exceed_minus_one(self) -> None:
        assert transforms.elu().codomain.check(torch.tensor([-0.9, 2.0])).all()
        assert not transforms.elu().codomain.check(torch.tensor(-1.0))

    def test_equality(self) -> None:
        assert transforms.elu() == transforms.ELUTransform(cache_size=1)
        assert transforms.leaky_relu() == transforms.LeakyReLUTransform()
        assert transforms.elu() != transforms.leaky_relu()


class TestPowers:
    def test_the_sign_is_kept(self) -> None:
        power = transforms.PositivePowerTransform(torch.tensor(3.0))
        assert_close(power(torch.tensor([-2.0, 0.0, 2.0])), [-8.0, 0.0, 8.0])

    @pytest.mark.parametrize("exponent, log_slope", [(0.5, math.inf), (1.0, 0.0), (2.0, -math.inf)])
    def test_slope_at_zero(self, exponent: float, log_slope: float) -> None:
        zero = torch.tensor(0.0)
        power = transforms.PositivePowerTransform(exponent)
        assert_close(power.log_abs_det_jacobian(zero, power(zero)), log_slope)

    def test_exponents_that_are_not_positive_are_refused(self) -> None:
        with pytest.raises(ValueError, match="'exponent' is positive, or zero would have no image"):
            transforms.PositivePowerTransform(torch.tensor([1.0, -2.0]))
        transforms.PositivePowerTransform(torch.tensor(-2.0), validate_args=False)

    def test_equality_and_shapes(self) -> None:
        power = transforms.PositivePowerTransform(torch.ones(4, 1))
        assert power == transforms.PositivePowerTransform(torch.ones(4, 1))
        assert power != transforms.PositivePowerTransform(torch.tensor(1.0))
        assert power.forward_shape((3,)) == power.inverse_shape((3,)) == (4, 3)


class TestSimplexToOrdered:
    def test_a_logistic_variable_falls_between_the_cut_points(self) -> None:
        anchor = torch.tensor([0.3, -1.0], dtype=torch.double)
        probabilities = doubles(2, 4).softmax(-1)
        cuts = transforms.SimplexToOrderedTransform(anchor)(probabilities)
        expected = torch.sigmoid(cuts - anchor.unsqueeze(-1))
        assert_close(probabilities.cumsum(-1)[..., :-1], expected)

    def test_rare_categories_at_either_end(self) -> None:
        rare = torch.tensor([1e-30, 1e-25, 1.0, 1e-25, 1e-30], dtype=torch.double)
        transform = transforms.SimplexToOrderedTransform()
        cuts = transform(rare)
        assert_close(cuts, -cuts.flip(-1))
        assert_close(transform.inv(cuts).log(), rare.log())

    def test_equality_and_shapes(self) -> None:
        transform = transforms.SimplexToOrderedTransform(torch.zeros(5))
        assert transform != transforms.SimplexToOrderedTransform()
        assert transforms.SimplexToOrderedTransform() == transforms.SimplexToOrderedTransform(0.0)
        assert transform.forward_shape((5, 4)) == (5, 3)
        assert transform.inverse_shape((3,)) == (5, 4)


class TestAffineCoupling:
    def test_formula(self) -> None:
        flow = transforms.AffineCoupling(1, lambda first: (2 * first, 0.5 * first))
        x = torch.tensor([0.8, 3.0])
        assert_close(flow(x), [0.8, 1.6 + math.exp(0.4) * 3.0])

    def test_scales_are_clipped(self) -> None:
        flow = transforms.AffineCoupling(
            1, lambda x: (x, 100 * x), log_scale_min_clip=-0.5, log_scale_max_clip=0.25
        )
        for first, log_det in ((-1.0, -0.5), (1.0, 0.25)):
            x = torch.tensor([first, 3.0])
            assert_close(flow.log_abs_det_jacobian(x, flow(x)), log_det)

    def test_parts_of_images(self) -> None:
        flow, x = transforms.affine_coupling([4, 3], dim=-2), torch.randn(5, 4, 3)
        assert flow.domain.event_dim == flow.codomain.event_dim == 2
        y = flow(x)
        assert_close(y[:, :2], x[:, :2])
        assert (y[:, 2:] != x[:, 2:]).all()
        assert flow.log_abs_det_jacobian(x, y).shape == (5,)

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="'dim' counts from the right, below 0; it is 0"):
            transforms.AffineCoupling(1, nn.Identity(), dim=0)
        with pytest.raises(ValueError, match="'dim' to -1, with 'dim' below 0; got 3 and -2"):
            transforms.affine_coupling(3, dim=-2)
        with pytest.raises(ValueError, match="neither of them empty; the first would have 0"):
            transforms.affine_coupling(1)
        with pytest.raises(ValueError, match="Choose 'split_dim' between 1 and 2"):
            transforms.AffineCoupling(3, nn.Identity())(torch.zeros(3))


class TestBatchNorm:
    def test_training_normalises_by_the_batch(self) -> None:
        flow = scrambled(transforms.batchnorm(3, momentum=0.25))
        y = doubles(2, 6, 3)
        x = flow.inv(y)
        rows = y.reshape(-1, 3)
        spread = (rows.var(0) + 1e-5).sqrt()
        gamma = flow.gamma.relu() + 1e-6
        assert_close(flow.constrained_gamma, gamma)
        assert_close(x, gamma * (y - rows.mean(0)) / spread + flow.beta)
        assert_close(flow.moving_mean, 0.25 * rows.mean(0))
        assert_close(flow.moving_variance, 0.75 + 0.25 * rows.var(0))
        log_det = flow.log_abs_det_jacobian(x, y)
        assert_close(log_det, (spread / gamma).log().expand(2, 6, 3))

    def test_a_pair_has_the_determinant_of_what_made_it(self) -> None:
        flow = transforms.batchnorm(2).double()
        flow.moving_mean.fill_(5.0)
        flow.moving_variance.fill_(9.0)
        x = doubles(7, 2)
        y = flow(x)
        assert_close(flow.log_abs_det_jacobian(x, y).exp(), (y.std(0) / x.std(0)).expand(7, 2))
        assert_close(flow.inv(y), x)

    def test_evaluation_changes_nothing_and_forgets(self) -> None:
        flow, y = transforms.batchnorm(2), torch.randn(5, 2)
        trained = flow.inv(y)
        flow.eval()
        mean = flow.moving_mean.clone()
        x = flow.inv(y)
        assert (x != trained).all()
        assert_close(flow.moving_mean, mean)
        assert_close(flow(x.clone()), y)

    def test_one_value_has_no_variance(self) -> None:
        with pytest.raises(ValueError, match=r"one value of shape \(2,\).*call .eval\(\)"):
            transforms.batchnorm(2).inv(torch.zeros(2))


class TestBlockAutoregressive:
    def test_products_of_logarithms(self) -> None:
        a, b = doubles(5, 2, 3), doubles(3, 4)
        assert_close(log_matrix_product(a, b), (a.exp() @ b.exp()).log())

    def test_weights_in_blocks(self) -> None:
        layer = MaskedBlockLinear(4, 6, dim=2).double()
        weights, log_blocks = layer.get_weights()
        assert_close(log_blocks.exp(), torch.stack([weights[:3, :2], weights[3:, 2:]]))
        assert (weights[:3, 2:] == 0).all()
        assert_close(torch.linalg.vector_norm(weights, dim=-1), layer._diag_weight.exp()[:, 0])
        x = doubles(5, 4)
        outputs, _ = layer(x.unsqueeze(-1))
        assert_close(outputs, x @ weights.mT + layer.bias)

    @pytest.mark.parametrize("residual", [None, "normal", "gated"])
    @pytest.mark.parametrize("activation", ["tanh", "sigmoid", "ELU", "LeakyReLU"])
    def test_the_jacobian_is_triangular_and_positive(self, activation: str, residual: Any) -> None:
        flow = transforms.block_autoregressive(3, activation=activation, residual=residual)
        slopes = jacobian(scrambled(flow), doubles(3))
        assert (slopes.triu(1) == 0).all()
        assert (slopes.diagonal() > 0).all()

    def test_determinants_where_activations_are_flat(self) -> None:
        flow, far = transforms.block_autoregressive(2).double(), torch.full((2,), 1e3).double()
        assert flow.log_abs_det_jacobian(far, flow(far)) < -50
        assert flow.log_abs_det_jacobian(far, flow(far)).isfinite()

    def test_what_a_bounded_map_does_not_reach(self) -> None:
        with pytest.raises(ValueError, match="outside of what the map reaches.*residual='normal'"):
            transforms.block_autoregressive(2).inv(torch.full((2,), 1e3))

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="'activation' is one of tanh, sigmoid, ELU, LeakyRe"):
            transforms.block_autoregressive(2, activation="elu")
        with pytest.raises(ValueError, match="'residual' is None, 'normal' or 'gated', not 'no'"):
            transforms.block_autoregressive(2, residual="no")
        with pytest.raises(ValueError, match="of which there is one at least; it is \\[\\]"):
            transforms.block_autoregressive(2, hidden_factors=[])
        with pytest.raises(ValueError, match="3 inputs and 4 outputs do not make 2 equal groups"):
            MaskedBlockLinear(3, 4, dim=2)


class TestChannels:
    def test_formula(self) -> None:
        order = torch.tensor([2, 0, 1])
        flow = scrambled(transforms.generalized_channel_permute(permutation=order))
        x = doubles(3, 4, 5)
        mixed = torch.einsum("cd,dhw->chw", flow.L @ flow.U, x)
        assert_close(flow(x), mixed[order])
        assert_close(flow.L.diagonal(), torch.ones(3).double())
        assert_close(flow.U_diag, flow.LU.diagonal())
        log_det = 20 * flow.U_diag.abs().log().sum()
        assert_close(flow.log_abs_det_jacobian(x, flow(x)), log_det)

    def test_it_begins_as_a_rotation(self) -> None:
        flow = transforms.generalized_channel_permute(channels=4).double()
        weights = flow.permutation @ flow.L @ flow.U
        assert_close(weights @ weights.mT, torch.eye(4).double(), rtol=1e-5, atol=1e-5)

    def test_without_a_permutation(self) -> None:
        flow = ConditionedGeneralizedChannelPermute(LU=torch.tensor([[2.0, 1.0], [3.0, 1.0]]))
        x = torch.ones(2, 1, 1)
        assert_close(flow(x).flatten(), [3.0, 10.0])
        assert_close(flow.inv(flow(x).clone()), x)

    def test_what_is_no_permutation_is_refused(self) -> None:
        with pytest.raises(ValueError, match="one for each channel; it is \\[0, 0, 1\\]"):
            transforms.generalized_channel_permute(permutation=torch.tensor([0, 0, 1]))


class TestHouseholder:
    @pytest.mark.parametrize("batch", [(), (1,)])
    def test_reflections_one_after_the_other(self, batch: Any) -> None:
        vectors, x = doubles(*batch, 3, 4), doubles(4)
        expected = x
        for v in vectors.reshape(3, 4):
            expected = expected - 2 * v * (v @ expected) / (v @ v)
        flow = ConditionedHouseholder(vectors)
        assert_close(flow(x), expected.expand(*batch, 4))
        assert_close(flow.inv(flow(x).clone()), x.expand(*batch, 4))

    @pytest.mark.parametrize("batch", [(), (1,)])
    def test_zeros_reflect_nothing(self, batch: Any) -> None:
        vectors = torch.tensor([[0.0, 0.0], [0.0, 2.0]]).expand(*batch, 2, 2)
        assert_close(ConditionedHouseholder(vectors)(torch.ones(2)).flatten(), [1.0, -1.0])

    def test_no_reflection_is_refused(self) -> None:
        with pytest.raises(ValueError, match="one reflection at least; 'count_transforms' is 0"):
            transforms.householder(3, 0)
        with pytest.raises(ValueError, match="one reflection at least"):
            transforms.ConditionalHouseholder(3, nn.Identity(), 0)


class TestMatrixExponential:
    @pytest.mark.parametrize("scale", [0.01, 1.0, 5.0])
    def test_whatever_the_norm(self, scale: float) -> None:
        matrix, x = scale * doubles(3, 4, 4), doubles(3, 4)
        flow = ConditionedMatrixExponential(matrix, iterations=1)
        y = flow(x)
        expected = (torch.linalg.matrix_exp(matrix) @ x.unsqueeze(-1)).squeeze(-1)
        assert_close((y - expected).norm() / expected.norm(), 0.0)
        assert_close(flow.log_abs_det_jacobian(x, y), matrix.diagonal(dim1=-2, dim2=-1).sum(-1))

    @pytest.mark.parametrize("normalization, order", [("weight", "fro"), ("spectral", 2)])
    def test_norms_are_bounded(self, normalization: str, order: Any) -> None:
        x = doubles(4)
        for scale in (0.01, 10.0):
            matrix = scale * doubles(4, 4)
            norm = torch.linalg.matrix_norm(matrix, order)
            flow = ConditionedMatrixExponential(matrix, 8, normalization, bound=0.7)
            expected = matrix * min(1.0, 0.7 / float(norm))
            assert_close(flow(x), torch.linalg.matrix_exp(expected) @ x)

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="'none', 'weight' or 'spectral', not 'norm'"):
            transforms.matrix_exponential(3, normalization="norm")
        for bound in (None, -1.0):
            with pytest.raises(ValueError, match="within 'bound', which is positive; got"):
                transforms.conditional_matrix_exponential(3, 2, None, 8, "weight", bound)


ACTIVATIONS = {
    "sigmoid": (torch.sigmoid, torch.logit),
    "tanh": (torch.tanh, torch.atanh),
    "ELU": (elu, lambda y: torch.where(y > 0, y, y.clamp(max=0).log1p())),
    "LeakyReLU": (leaky_relu, lambda y: torch.where(y > 0, y, 100 * y)),
}


class TestNeuralAutoregressive:
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_formula(self, activation: str) -> None:
        flow = scrambled(transforms.neural_autoregressive(3, activation=activation, width=5))
        x = doubles(7, 3)
        scales, weights, shifts = flow.arn(x)
        bend, unbend = ACTIVATIONS[activation]
        inner = bend(softplus(scales) * x.unsqueeze(-2) + shifts)
        assert_close(flow(x), unbend((weights.softmax(-2) * inner).sum(-2)), rtol=1e-8)

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_far_away(self, activation: str) -> None:
        flow = transforms.neural_autoregressive(1, activation=activation)
        y = torch.tensor([[-300.0], [-40.0], [40.0], [300.0]])
        x = flow.inv(y)
        assert_close(flow(x.clone()), y)
        assert flow.log_abs_det_jacobian(x, y).isfinite().all()

    def test_other_activations_are_refused(self) -> None:
        with pytest.raises(ValueError, match="one of sigmoid, tanh, ELU, LeakyReLU, not 'relu'"):
            transforms.neural_autoregressive(2, activation="relu")


def test_polynomial_is_an_integral_of_squares() -> None:
    class Network(nn.Module):
        permutation = torch.arange(1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([2.0, 1.0, 0.0, 3.0]).double().unsqueeze(-1) + 0 * x.unsqueeze(-2)

    # (2 + u)^2 + (3 u)^2, from 0 to x
    flow = transforms.Polynomial(Network(), 1, count_degree=1, count_sum=2).double()
    x = doubles(5, 1)
    assert_close(flow(x), flow.c + 4 * x + 2 * x**2 + x**3 / 3 + 3 * x**3)
    slope = (2 + x) ** 2 + 9 * x**2
    assert_close(flow.log_abs_det_jacobian(x, flow(x)), slope.log().squeeze(-1))


def test_radial_is_what_the_paper_says() -> None:
    centre, raw_alpha, raw_beta, x = doubles(3), doubles(1), doubles(1), doubles(5, 3)
    alpha = softplus(raw_alpha)
    beta = softplus(raw_beta) - alpha
    radius = (x - centre).norm(dim=-1, keepdim=True)
    flow = ConditionedRadial((centre, raw_alpha, raw_beta))
    assert_close(flow(x), x + beta / (alpha + radius) * (x - centre))
    assert_close(flow.u_hat(centre, centre), transforms.planar(3).u_hat(centre, centre))


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_radial_is_invertible_from_its_centre_on(scale: float) -> None:
    for raw in ((-9.0, 9.0), (9.0, -9.0)):
        flow = ConditionedRadial((torch.ones(2).double(), *torch.tensor(raw).double().view(2, 1)))
        x = torch.cat([torch.ones(1, 2).double(), 1 + scale * doubles(20, 2)])
        assert_close(flow.inv(flow(x).clone()), x)


class TestSplines:
    @pytest.mark.parametrize("order", ["linear", "quadratic"])
    def test_through_its_knots_with_its_slopes(self, order: str) -> None:
        widths, heights = doubles(5).softmax(-1), doubles(5).softmax(-1)
        slopes, middles = doubles(4).exp(), doubles(5).sigmoid()
        flow = ConditionedSpline((widths, heights, slopes, middles), bound=2.0, order=order)
        shares = (0.001 + (1 - 0.005) * share for share in (widths, heights))
        knots, images = (4 * share.cumsum(-1)[:-1] - 2 for share in shares)
        for x, y, slope in zip(knots, images, slopes, strict=True):
            assert_close(flow(x), y)
            for side in (x - 1e-12, x + 1e-12):
                log_slope = flow.log_abs_det_jacobian(side, flow(side))
                assert_close(log_slope.exp(), slope + 0.001, rtol=1e-6)

    @pytest.mark.parametrize("order", ["linear", "quadratic"])
    def test_the_identity_outside(self, order: str) -> None:
        flow = scrambled(transforms.spline(4, bound=2.0, order=order))
        x = torch.tensor([-2.0001, 2.0001, -math.inf, 1e9]).double()
        assert_close(flow(x), x)
        assert_close(flow.inv(x.clone()), x)
        assert_close(flow.log_abs_det_jacobian(x, x), torch.zeros(4).double())
        ends = torch.tensor([-2.0, 2.0, -2.0, 2.0]).double()
        assert_close(flow(ends), ends)
        assert flow(torch.full((4,), math.nan)).isnan().all()

    @pytest.mark.parametrize("order", ["linear", "quadratic"])
    def test_it_increases_whatever_its_parameters(self, order: str) -> None:
        flow = transforms.spline(3, order=order).double()
        with torch.no_grad():
            for leaf in flow.parameters():
                leaf.normal_().mul_(20)
        x = torch.linspace(-3.5, 3.5, 400).double().unsqueeze(-1).expand(400, 3)
        assert (flow(x).diff(dim=0) > -1e-12).all()
        back = flow.inv(x)
        slope = flow.log_abs_det_jacobian(back, x).exp()
        # What rounding of a value makes of its image.
        assert ((flow(back.clone()) - x).abs() < 1e-14 * (1 + slope)).all()

    def test_refusals(self) -> None:
        for make in (
            lambda: transforms.spline(3, order="cubic"),
            lambda: transforms.conditional_spline(3, 2, order="cubic"),
            lambda: transforms.spline_autoregressive(3, order="cubic"),
        ):
            with pytest.raises(ValueError, match="'linear' or 'quadratic', not 'cubic'"):
                make()
        with pytest.raises(ValueError, match="of 2000 bins has no room.*Use fewer bins"):
            transforms.spline(1, count_bins=2000)(torch.zeros(1))
        with pytest.raises(ValueError, match="4 entries are split in two.*'split_dim' is 4"):
            transforms.SplineCoupling(4, 4, nn.Identity())

    def test_a_coupling_that_leaves_the_first_part(self) -> None:
        flow = transforms.spline_coupling(5)
        flow.identity, x = True, torch.randn(7, 5)
        assert_close(flow(x)[:, :2], x[:, :2])
        assert (flow(x)[:, 2:] != x[:, 2:]).any()


class TestSylvester:
    def test_formula(self) -> None:
        flow, x = scrambled(transforms.sylvester(4)), doubles(4)
        rotation = flow.Q(x)
        assert_close(rotation @ rotation.mT, torch.eye(4).double())
        inner = flow.S() @ rotation.mT @ x + flow.b
        assert_close(flow(x), x + rotation @ flow.R() @ inner.tanh())
        assert (flow.R().tril(-1) == 0).all() and (flow.S().tril(-1) == 0).all()
        assert_close(flow.R().diagonal(), flow.R_diag.tanh())
        assert_close(flow.dtanh_dx(x), 1 - x.tanh() ** 2)

    def test_its_rotation_is_the_product_of_its_reflections(self) -> None:
        flow, product = scrambled(transforms.sylvester(3, 2)), torch.eye(3).double()
        for u in flow.u():
            product = product @ (torch.eye(3) - 2 * torch.outer(u, u))
        assert_close(flow.Q(doubles(3)), product)

    def test_it_is_invertible_whatever_its_parameters(self) -> None:
        flow = scrambled(transforms.sylvester(4))
        with torch.no_grad():
            flow.R_diag.copy_(torch.tensor([9.0, -9.0, 9.0, 0.0]))
            flow.S_diag.copy_(torch.tensor([-9.0, 9.0, 9.0, 1.0]))
            flow.R_dense.mul_(3)
        y = 5 * doubles(20, 4)
        assert_close(flow(flow.inv(y).clone()), y)


def given(*params: Any) -> Any:
    return lambda context: params if len(params) > 1 else params[0].flatten()


class WithContext(nn.Module):
    """An autoregressive network that does not look at its context."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.permutation = network.permutation

    def forward(self, x: Tensor, context: Tensor) -> Any:
        return self.network(x)


def pairs() -> dict[str, tuple[Any, Any]]:
    """Make transforms with learnable parameters, and the same with a context of no account."""
    T = transforms
    planar, radial = T.planar(3), T.radial(3)
    reflections, linear = T.householder(3, 2), T.matrix_exponential(3)
    channels = T.generalized_channel_permute(permutation=torch.tensor([1, 2, 0]))
    splines = {order: T.spline(3, order=order) for order in ("linear", "quadratic")}
    affine = T.affine_autoregressive(3, stable=True)
    neural = T.neural_autoregressive(3, activation="tanh")
    bent = T.spline_autoregressive(3, order="quadratic", bound=2.0)
    coupling = T.affine_coupling(3, log_scale_max_clip=0.1)
    return {
        "planar": (planar, T.ConditionalPlanar(given(planar.bias, planar.u, planar.w))),
        "radial": (radial, T.ConditionalRadial(given(*radial.parameters()))),
        "reflections": (
            reflections,
            T.ConditionalHouseholder(3, given(reflections.u_unnormed), 2),
        ),
        "linear": (linear, T.ConditionalMatrixExponential(3, given(linear.weights))),
        "channels": (
            channels,
            T.ConditionalGeneralizedChannelPermute(
                given(channels.LU), permutation=torch.tensor([1, 2, 0])
            ),
        ),
        **{
            f"{order} spline": (
                flow,
                T.ConditionalSpline(
                    given(*(leaf.flatten() for leaf in flow.parameters())), 3, 8, order=order
                ),
            )
            for order, flow in splines.items()
        },
        "affine": (
            affine,
            T.ConditionalAffineAutoregressive(WithContext(affine.arn), stable=True),
        ),
        "neural": (
            neural,
            T.ConditionalNeuralAutoregressive(WithContext(neural.arn), activation="tanh"),
        ),
        "bent": (
            bent,
            T.ConditionalSplineAutoregressive(
                3, WithContext(bent.arn), order="quadratic", bound=2.0
            ),
        ),
        "coupling": (
            coupling,
            T.ConditionalAffineCoupling(
                1, lambda x, context: coupling.nn(x), log_scale_max_clip=0.1
            ),
        ),
    }


@pytest.mark.parametrize("name", pairs())
def test_the_same_numbers_with_and_without_a_context(name: str) -> None:
    flow, conditional = pairs()[name]
    x = torch.randn(5, 3, 2, 2) if name == "channels" else torch.randn(5, 3)
    at = conditional.condition(torch.ones(2))
    y = flow(x)
    assert_close(at(x), y)
    assert_close(at.log_abs_det_jacobian(x, y), flow.log_abs_det_jacobian(x, y))
    assert_close(at.inv(y.clone()), flow.inv(y.clone()))


def test_a_helper_passes_its_order_on() -> None:
    network = AutoRegressiveNN(3, [8], [8, 8, 7])
    flow = transforms.SplineAutoregressive(3, network, order="quadratic")
    assert flow.spline.order == "quadratic"
    assert transforms.spline_autoregressive(3, order="quadratic").arn.param_dims == [8, 8, 7]
