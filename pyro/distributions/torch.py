"""The laws that torch offers, with pyro's interface."""

from pyro.distributions.bernoulli import Bernoulli, ContinuousBernoulli, RelaxedBernoulli
from pyro.distributions.beta import Beta, Dirichlet, Kumaraswamy
from pyro.distributions.bounded import Uniform
from pyro.distributions.categorical import (
    Categorical,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    RelaxedOneHotCategorical,
)
from pyro.distributions.compound import (
    ExponentialFamily,
    MixtureSameFamily,
    TransformedDistribution,
)
from pyro.distributions.continuous import Gumbel, Laplace, VonMises, Weibull
from pyro.distributions.counts import (
    Binomial,
    Geometric,
    Multinomial,
    NegativeBinomial,
    Poisson,
)
from pyro.distributions.gamma import Chi2, Exponential, Gamma, InverseGamma
from pyro.distributions.heavy_tailed import (
    Cauchy,
    FisherSnedecor,
    GeneralizedPareto,
    HalfCauchy,
    Pareto,
    StudentT,
)
from pyro.distributions.independent import Independent
from pyro.distributions.logistic_normal import LogisticNormal
from pyro.distributions.multivariate import (
    LKJCholesky,
    LowRankMultivariateNormal,
    MultivariateNormal,
)
from pyro.distributions.normal import HalfNormal, LogNormal, Normal
from pyro.distributions.wishart import Wishart

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ContinuousBernoulli",
    "Dirichlet",
    "Exponential",
    "ExponentialFamily",
    "FisherSnedecor",
    "Gamma",
    "GeneralizedPareto",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "InverseGamma",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "LogNormal",
    "LogisticNormal",
    "LowRankMultivariateNormal",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "StudentT",
    "TransformedDistribution",
    "Uniform",
    "VonMises",
    "Weibull",
    "Wishart",
]
