"""Laws of single numbers and of counts that torch has not."""

from __future__ import annotations

import math
from types import SimpleNamespace

import scipy.stats as st
import torch

import pyro.distributions as dist
from tests.distributions.examples.example import Example, WrongParameter, WrongValue

T = torch.tensor
NAN = math.nan
LOC, SCALE = [0.5, -1.0], [1.0, 2.0]

EXAMPLES = [
    Example(
        lambda t: dist.AffineBeta(t([2.0, 0.7]), t([1.5, 0.9]), t(LOC), t(SCALE)),
        SimpleNamespace(logpdf=st.beta([2.0, 0.7], [1.5, 0.9], LOC, SCALE).logpdf),
        pathwise=False,
    ),
    Example(lambda t: dist.AffineBeta(2.0, 1.5, t([0.5, -1.0]), 2.0)),
    Example(
        lambda t: dist.AsymmetricLaplace(t(LOC), t(SCALE), t([1.5, 0.4])),
        st.laplace_asymmetric([1.5, 0.4], LOC, SCALE),
    ),
    Example(lambda t: dist.SoftAsymmetricLaplace(t(LOC), t(SCALE))),
    Example(lambda t: dist.SoftAsymmetricLaplace(t(0.5), 2.0, t([1.5, 0.4]), t([0.3, 4.0]))),
    Example(lambda t: dist.SoftLaplace(t(LOC), t(SCALE)), st.hypsecant(LOC, SCALE)),
    Example(lambda t: dist.Logistic(t(LOC), t(SCALE)), st.logistic(LOC, SCALE)),
    Example(lambda t: dist.Logistic(0.5, t([[1.0], [2.0]]))),
    Example(
        lambda t: dist.SkewLogistic(t(LOC), t(SCALE), t([2.5, 0.4])),
        st.genlogistic([2.5, 0.4], LOC, SCALE),
    ),
    Example(lambda t: dist.OrderedLogistic(t([0.3, -1.0]), t([-1.0, 0.5, 2.0]))),
    Example(lambda t: dist.OrderedLogistic(t(0.3), t([[-1.0, 0.5], [0.0, 4.0]]))),
    Example(
        lambda t: dist.BetaBinomial(t([2.0, 0.7]), t([1.5, 0.9]), 5),
        st.betabinom(5, [2.0, 0.7], [1.5, 0.9]),
    ),
    Example(lambda t: dist.BetaBinomial(t([[2.0], [0.7]]), t(1.5), torch.tensor([3, 3]))),
    Example(
        lambda t: dist.DirichletMultinomial(t([2.0, 0.7, 1.0]), 4),
        st.dirichlet_multinomial([2.0, 0.7, 1.0], 4),
    ),
    Example(lambda t: dist.DirichletMultinomial(t([2.0, 0.7, 1.0]), torch.tensor([2, 5]))),
    Example(lambda t: dist.DirichletMultinomial(t([[2.0, 0.7], [0.1, 3.0]]), 7, is_sparse=True)),
    Example(
        lambda t: dist.GammaPoisson(t([2.0, 0.7]), t([1.5, 0.5])),
        st.nbinom([2.0, 0.7], [0.6, 1 / 3]),
    ),
    Example(lambda t: dist.ExtendedBinomial(5, t([0.3, 0.8])), st.binom(5, [0.3, 0.8])),
    Example(lambda t: dist.ExtendedBinomial(torch.tensor([3, 3]), logits=t(0.3))),
    Example(
        lambda t: dist.ExtendedBetaBinomial(t([2.0, 0.7]), t([1.5, 0.9]), 5),
        st.betabinom(5, [2.0, 0.7], [1.5, 0.9]),
    ),
    Example(lambda t: dist.ZeroInflatedDistribution(dist.Binomial(3, t(0.4)), gate=t([0.3, 0.8]))),
    Example(
        lambda t: dist.ZeroInflatedDistribution(
            dist.Geometric(t([[0.4], [0.9]])), gate_logits=t([0.3, -0.8])
        )
    ),
    Example(lambda t: dist.ZeroInflatedPoisson(t([3.0, 0.5]), gate=t([0.3, 0.8]))),
    Example(lambda t: dist.ZeroInflatedPoisson(t([3.0, 0.5]), gate_logits=t([0.3, -0.8]))),
    Example(
        lambda t: dist.ZeroInflatedNegativeBinomial(
            t([3.0, 1.5]), probs=t([0.3, 0.6]), gate=t([0.3, 0.8])
        )
    ),
    Example(
        lambda t: dist.ZeroInflatedNegativeBinomial(
            t(3.0), logits=t([0.3, -0.6]), gate_logits=t([0.3, -0.8])
        )
    ),
    Example(lambda t: dist.LogNormalNegativeBinomial(t([2.0, 0.7]), t([0.3, -1.0]), t([0.3, 0.4]))),
    Example(
        lambda t: dist.LogNormalNegativeBinomial(3.0, t([0.3, -1.0]), t(0.2), num_quad_points=16)
    ),
    Example(
        lambda t: dist.FoldedDistribution(dist.Normal(t(LOC), t(SCALE))),
        st.foldnorm([0.5, 0.5], 0.0, [1.0, 2.0]),
    ),
    Example(lambda t: dist.FoldedDistribution(dist.Uniform(t([-1.0, 0.5]), 2.0))),
    Example(lambda t: dist.TruncatedPolyaGamma(t([[0.0, 0.0]]))),
    Example(lambda t: dist.TruncatedPolyaGamma(t(0.0)).expand([2])),
]

# law, what builds it wrongly, the parameter, the constraint
WRONG_PARAMETERS: list[WrongParameter] = [
    ("AffineBeta", lambda: dist.AffineBeta(1.0, 0.0, 0.0, 1.0), "concentration0", "GreaterThan"),
    ("AffineBeta", lambda: dist.AffineBeta(1.0, 1.0, 0.0, T([1.0, -1.0])), "scale", "GreaterThan"),
    ("AsymmetricLaplace", lambda: dist.AsymmetricLaplace(0.0, 1.0, -1.0), "asymmetry", "Greater"),
    ("SoftAsymmetricLaplace", lambda: dist.SoftAsymmetricLaplace(NAN, 1.0), "loc", "Real"),
    (
        "SoftAsymmetricLaplace",
        lambda: dist.SoftAsymmetricLaplace(0.0, 1.0, softness=0.0),
        "softness",
        "GreaterThan",
    ),
    ("SoftLaplace", lambda: dist.SoftLaplace(0.0, -1.0), "scale", "GreaterThan"),
    ("Logistic", lambda: dist.Logistic(T([0.0, NAN]), 1.0), "loc", "Real"),
    ("SkewLogistic", lambda: dist.SkewLogistic(0.0, 1.0, 0.0), "asymmetry", "GreaterThan"),
    (
        "OrderedLogistic",
        lambda: dist.OrderedLogistic(T(0.0), T([1.0, 0.5])),
        "cutpoints",
        "OrderedVector",
    ),
    ("OrderedLogistic", lambda: dist.OrderedLogistic(T(NAN), T([0.5])), "predictor", "Real"),
    ("BetaBinomial", lambda: dist.BetaBinomial(-1.0, 1.0, 3), "concentration1", "GreaterThan"),
    ("BetaBinomial", lambda: dist.BetaBinomial(1.0, 1.0, -3), "total_count", "IntegerGreaterThan"),
    (
        "DirichletMultinomial",
        lambda: dist.DirichletMultinomial(T([1.0, 0.0])),
        "concentration",
        "GreaterThan",
    ),
    (
        "DirichletMultinomial",
        lambda: dist.DirichletMultinomial(T([1.0, 1.0]), T([2.0, 1.5])),
        "total_count",
        "IntegerGreaterThan",
    ),
    ("GammaPoisson", lambda: dist.GammaPoisson(1.0, T([1.0, 0.0])), "rate", "GreaterThan"),
    ("ExtendedBinomial", lambda: dist.ExtendedBinomial(1.5, 0.5), "total_count", "Integer"),
    ("ExtendedBinomial", lambda: dist.ExtendedBinomial(-1, 1.5), "probs", "Interval"),
    (
        "ExtendedBetaBinomial",
        lambda: dist.ExtendedBetaBinomial(1.0, 1.0, T([2.0, 0.5])),
        "total_count",
        "Integer",
    ),
    (
        "ZeroInflatedDistribution",
        lambda: dist.ZeroInflatedDistribution(dist.Poisson(1.0), gate=1.5),
        "gate",
        "Interval",
    ),
    ("ZeroInflatedPoisson", lambda: dist.ZeroInflatedPoisson(-1.0, gate=0.5), "rate", "Greater"),
    (
        "ZeroInflatedPoisson",
        lambda: dist.ZeroInflatedPoisson(T([1.0, 2.0]), gate_logits=T(NAN)),
        "gate_logits",
        "Real",
    ),
    (
        "ZeroInflatedNegativeBinomial",
        lambda: dist.ZeroInflatedNegativeBinomial(-1.0, probs=0.5, gate=0.5),
        "total_count",
        "GreaterThanEq",
    ),
    (
        "LogNormalNegativeBinomial",
        lambda: dist.LogNormalNegativeBinomial(1.0, T(0.0), T([1.0, 0.0])),
        "multiplicative_noise_scale",
        "GreaterThan",
    ),
]

# law, a value outside its support, how the support is called
WRONG_VALUES: list[WrongValue] = [
    (dist.AffineBeta(1.0, 1.0, T(0.0), 2.0), T([1.0, 2.5]), "Interval"),
    (dist.AsymmetricLaplace(0.0, 1.0, 1.0), T(NAN), "Real"),
    (dist.SoftAsymmetricLaplace(0.0, 1.0), T(NAN), "Real"),
    (dist.SoftLaplace(0.0, 1.0), T(NAN), "Real"),
    (dist.Logistic(0.0, 1.0), T(NAN), "Real"),
    (dist.SkewLogistic(0.0, 1.0), T(NAN), "Real"),
    (dist.OrderedLogistic(T(0.0), T([0.5])), T(2), "IntegerInterval"),
    (dist.BetaBinomial(1.0, 1.0, 3), T([1.0, 4.0]), "IntegerInterval"),
    (dist.DirichletMultinomial(T([1.0, 1.0]), 3), T([4.0, 0.0]), "Multinomial"),
    (dist.GammaPoisson(1.0, 1.0), T(-1.0), "IntegerGreaterThan"),
    (dist.ExtendedBinomial(3, 0.5), T(0.5), "Integer"),
    (dist.ExtendedBetaBinomial(1.0, 1.0, 3), T(0.5), "Integer"),
    (dist.ZeroInflatedDistribution(dist.Gamma(1.0, 1.0), gate=0.5), T(-1.0), "GreaterThan"),
    (dist.ZeroInflatedDistribution(dist.LogNormal(0.0, 1.0), gate=0.5), T(-1.0), "OrZero"),
    (dist.ZeroInflatedPoisson(1.0, gate=0.5), T(0.5), "IntegerGreaterThan"),
    (dist.ZeroInflatedNegativeBinomial(1.0, probs=0.5, gate=0.5), T(-1.0), "IntegerGreaterThan"),
    (dist.LogNormalNegativeBinomial(1.0, T(0.0), 1.0), T(-1.0), "IntegerGreaterThan"),
    (dist.FoldedDistribution(dist.Normal(0.0, 1.0)), T(-1.0), "GreaterThanEq"),
    (dist.TruncatedPolyaGamma(torch.ones(())), T(2.6), "Interval"),
]

MADE_OF_OTHERS = {"FoldedDistribution", "TruncatedPolyaGamma"}  # the latter has no parameters
