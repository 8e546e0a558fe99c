"""The door to pyro-api: whatever it dispatches is there under backend ``"pyro"``."""

from collections.abc import Iterable
from typing import Any

import pyroapi
import pytest
import torch
from pyroapi.testing import MODELS

from pyro import generic
from pyro._foundation.validation import validation_enabled
from pyro.infer.autoguide.point import AutoDelta
from pyro.infer.svi import SVI
from pyro.infer.trace_elbo import Trace_ELBO
from pyro.optim.pytorch_optimizers import Adam
from tests.helpers import trace_of

# pyro-api hands any name on to the module of the backend: these are the public ones there.
EXPOSED: dict[str, str] = {
    "pyro": """
        barrier clear_param_store condition deterministic do enable_validation factor
        get_param_store iarange irange markov module param plate plate_stack random_module
        render_model sample set_rng_seed subsample validation_enabled
    """,
    "distributions": """
        AffineBeta AsymmetricLaplace AVFMultivariateNormal Bernoulli Beta BetaBinomial
        Binomial Categorical Cauchy Chi2 CoalescentRateLikelihood CoalescentTimes
        CoalescentTimesWithRate ComposeTransformModule ConditionalDistribution
        ConditionalTransform ConditionalTransformedDistribution ConditionalTransformModule
        ContinuousBernoulli Delta Dirichlet DirichletMultinomial DiscreteHMM Distribution
        Empirical enable_validation ExpandedDistribution Exponential ExponentialFamily
        ExtendedBetaBinomial ExtendedBinomial FisherSnedecor FoldedDistribution Gamma
        GammaGaussianHMM GammaPoisson GaussianHMM GaussianMRF GaussianScaleMixture
        GeneralizedPareto Geometric GroupedNormalNormal Gumbel HalfCauchy HalfNormal
        ImproperUniform Independent IndependentHMM InverseGamma is_validation_enabled
        Kumaraswamy Laplace LinearHMM LKJ LKJCholesky LKJCorrCholesky Logistic
        LogisticNormal LogNormal LogNormalNegativeBinomial LowRankMultivariateNormal
        MaskedDistribution MaskedMixture MixtureOfDiagNormals
        MixtureOfDiagNormalsSharedCovariance MixtureSameFamily Multinomial
        MultivariateNormal NanMaskedMultivariateNormal NanMaskedNormal
        NegativeBinomial Normal OMTMultivariateNormal OneHotCategorical
        OneHotCategoricalStraightThrough OneOneMatching OneTwoMatching OrderedLogistic
        Pareto Poisson ProjectedNormal Rejector RelaxedBernoulli
        RelaxedBernoulliStraightThrough RelaxedOneHotCategorical
        RelaxedOneHotCategoricalStraightThrough SineBivariateVonMises SineSkewed
        SkewLogistic SoftAsymmetricLaplace SoftLaplace SpanningTree Stable StableWithLogProb
        StudentT TorchDistribution TransformedDistribution TransformModule
        TruncatedPolyaGamma Uniform Unit validation_enabled VonMises VonMises3D Weibull
        Wishart ZeroInflatedDistribution ZeroInflatedNegativeBinomial ZeroInflatedPoisson
    """,
    "handlers": """
        block broadcast collapse condition do enable_validation enum equalize escape
        get_mask infer_config is_validation_enabled lift markov mask NonlocalExit queue
        reparam replay scale seed substitute Trace trace uncondition unwrap
    """,
    "infer": """
        config_enumerate CSIS ELBO EmpiricalMarginal enable_validation EnergyDistance HMC
        Importance IMQSteinKernel infer_discrete is_validation_enabled JitTrace_ELBO
        JitTraceEnum_ELBO JitTraceGraph_ELBO JitTraceMeanField_ELBO MCMC MHResampler NUTS
        Predictive RandomWalkKernel RBFSteinKernel RenyiELBO ReweightedWakeSleep SMCFilter
        SVGD SVI Trace_ELBO Trace_MMD TraceEnum_ELBO TraceGraph_ELBO TraceMeanField_ELBO
        TracePosterior TracePredictive TraceTailAdaptive_ELBO TraceTMC_ELBO
        WeighedPredictive
    """,
    "optim": """
        Adadelta Adafactor Adagrad AdagradRMSProp Adam Adamax AdamW ASGD ChainedScheduler
        ClippedAdam ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR
        DCTAdam ExponentialLR HorovodOptimizer LambdaLR LinearLR LRScheduler
        MultiplicativeLR MultiStepLR Muon NAdam OneCycleLR PolynomialLR PyroLRScheduler
        PyroOptim RAdam ReduceLROnPlateau RMSprop Rprop SequentialLR SGD SparseAdam StepLR
    """,
}

NOT_THERE_YET: dict[str, str] = {
    "infer": "HMC MCMC NUTS RandomWalkKernel",
}

BATCHES_WITHOUT_PLATES = ["logistic_regression", "neals_funnel"]  # written for MCMC


def names_of(table: dict[str, str]) -> set[tuple[str, str]]:
    return {(module, name) for module, names in table.items() for name in names.split()}


def resolves(module: str, name: str) -> bool:
    with generic.pyro_backend("pyro"):
        try:
            getattr(getattr(generic, module), name)
        except NotImplementedError:  # what pyro-api makes of an AttributeError
            return False
    return True


def unresolved(exposed: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(module, name) for module, name in exposed if not resolves(module, name)}


def test_every_name_resolves_but_those_that_are_listed_as_missing() -> None:
    """Fails for a name that is missing unlisted, and for one that is there and still listed."""
    assert unresolved(names_of(EXPOSED)) == names_of(NOT_THERE_YET)


def test_a_name_that_is_nowhere_does_not_resolve() -> None:
    assert unresolved([("infer", "SVI"), ("infer", "NOTHING")]) == {("infer", "NOTHING")}


@pytest.mark.parametrize("name", generic.__all__)
def test_the_door_gives_what_pyro_api_gives(name: str) -> None:
    assert getattr(generic, name) is getattr(pyroapi, name)


def test_the_operations_are_torchs() -> None:
    with generic.pyro_backend("pyro"):
        assert generic.ops.exp is torch.exp


def test_a_backend_seeds_and_puts_the_generators_back() -> None:
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with generic.pyro_backend("pyro"):
            draws.append(generic.pyro.sample("x", generic.distributions.Normal(0.0, 1.0)))
    assert draws[0] == draws[1]
    assert torch.equal(torch.get_rng_state(), before)


def in_backend(name: str) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    case = MODELS[name]()
    return case["model"], case.get("model_args", ()), case.get("model_kwargs", {})


@pytest.mark.parametrize("name", MODELS)
def test_pyro_apis_models_are_recorded(name: str) -> None:
    with generic.pyro_backend("pyro"):
        model, args, kwargs = in_backend(name)
        record = trace_of(model, *args, **kwargs)
        assert record.log_prob_sum().isfinite()
        assert record.stochastic_nodes
        observed = {"logistic_regression": ["obs"], "eight_schools": ["obs"]}
        observed |= {"beta_binomial": ["binomial"], "neals_funnel": []}
        assert record.observation_nodes == observed[name]


@pytest.mark.parametrize("name", MODELS)
def test_pyro_apis_models_are_fitted(name: str) -> None:
    checked = name not in BATCHES_WITHOUT_PLATES
    with generic.pyro_backend("pyro"), validation_enabled(checked):
        model, args, kwargs = in_backend(name)
        svi = SVI(model, AutoDelta(model), Adam({"lr": 0.01}), Trace_ELBO())
        losses = torch.tensor([svi.step(*args, **kwargs) for _ in range(20)])
    assert losses.isfinite().all()
    assert losses[-1] < losses[0]
