"""Laws that torch has too, laws made of others, and what stands beside them."""

from __future__ import annotations

import numpy as np
import scipy.stats as st
import torch
from torch import Tensor

import pyro.distributions as dist
from pyro.distributions import transforms
from tests.distributions.examples.example import Example, Tensors, two
from tests.distributions.integration import circle

L3 = [[1.0, 0.0, 0.0], [0.3, 0.8, 0.0], [-0.5, 0.2, 1.3]]
A2 = [[1.2, 0.3], [-0.2, 0.9]]
C2 = (np.array(A2) @ np.array(A2).T).tolist()


def square(t: Tensors) -> Tensor:
    """Return C2, as the square of what the test differentiates with respect to."""
    root = t(A2)
    return root @ root.mT


EXAMPLES = [
    two("Bernoulli", st.bernoulli([0.3, 0.8]), probs=[0.3, 0.8]),
    two("Bernoulli", logits=[-1.0, 3.0]),
    two(
        "Beta",
        st.beta([2.0, 0.7], [1.5, 0.9]),
        False,
        concentration1=[2.0, 0.7],
        concentration0=[1.5, 0.9],
    ),
    Example(lambda t: dist.Binomial(5, t([0.3, 0.8])), st.binom(5, [0.3, 0.8])),
    Example(lambda t: dist.Binomial(torch.tensor([3, 3]), logits=t([0.3, -0.8]))),
    Example(lambda t: dist.Categorical(t([0.2, 0.5, 0.3]))),
    Example(lambda t: dist.Categorical(logits=t([[0.2, 0.5, -0.3], [1.0, 0.0, 2.0]]))),
    two("Cauchy", st.cauchy([0.5, -1.0], [1.0, 2.0]), loc=[0.5, -1.0], scale=[1.0, 2.0]),
    two("Chi2", st.chi2([1.5, 4.0]), False, df=[1.5, 4.0]),
    two("ContinuousBernoulli", probs=[0.3, 0.8]),
    two("ContinuousBernoulli", logits=[-1.0, 2.0]),
    Example(lambda t: dist.Delta(t([0.5, -1.0]), t([0.3, 0.0]))),
    Example(lambda t: dist.Delta(t([[0.5, -1.0], [1.0, 2.0]]), event_dim=1)),
    Example(
        lambda t: dist.Dirichlet(t([2.0, 1.5, 3.0])), st.dirichlet([2.0, 1.5, 3.0]), pathwise=False
    ),
    Example(lambda t: dist.Dirichlet(t([[2.0, 1.5, 3.0], [1.0, 1.0, 1.2]])), pathwise=False),
    Example(lambda t: dist.Empirical(torch.tensor([1, 2, 4]), t([0.0, 0.5, -1.0]))),
    Example(lambda t: dist.Empirical(torch.tensor([[1, 2], [0, 1]]), t([0.0, 0.5]))),
    Example(lambda t: dist.ExpandedDistribution(dist.Normal(t([[0.5], [1.0]]), t(2.0)), [2, 3])),
    two("Exponential", st.expon(scale=[0.5, 2.0]), rate=[2.0, 0.5]),
    two("FisherSnedecor", st.f([3.0, 5.0], [6.0, 2.5]), False, df1=[3.0, 5.0], df2=[6.0, 2.5]),
    two(
        "Gamma",
        st.gamma([2.0, 0.7], scale=[1 / 1.5, 2.0]),
        False,
        concentration=[2.0, 0.7],
        rate=[1.5, 0.5],
    ),
    two(
        "GeneralizedPareto",
        st.genpareto([0.3, 0.1], [0.5, -1.0], [1.0, 2.0]),
        loc=[0.5, -1.0],
        scale=[1.0, 2.0],
        concentration=[0.3, 0.1],
    ),
    two(
        "GeneralizedPareto",
        st.genpareto(-0.4, 0.5, 2.0),
        loc=[0.5],
        scale=[2.0],
        concentration=[-0.4],
    ),
    two(
        "GeneralizedPareto",
        st.genpareto(0.0, 0.5, 2.0),
        loc=[0.5],
        scale=[2.0],
        concentration=[0.0],
    ),
    two("Geometric", st.geom([0.3, 0.8], loc=-1), probs=[0.3, 0.8]),
    two("Geometric", logits=[0.3, -0.8]),
    two("Gumbel", st.gumbel_r([0.5, -1.0], [1.0, 2.0]), loc=[0.5, -1.0], scale=[1.0, 2.0]),
    two("HalfCauchy", st.halfcauchy(scale=[1.0, 2.0]), scale=[1.0, 2.0]),
    two("HalfNormal", st.halfnorm(scale=[1.0, 2.0]), scale=[1.0, 2.0]),
    Example(lambda t: dist.Independent(dist.Normal(t([[0.5, -1.0], [1.0, 2.0]]), t(2.0)), 1)),
    Example(lambda t: dist.Normal(t([[0.5, -1.0], [1.0, 2.0]]), 1.0).to_event(2)),
    two(
        "InverseGamma",
        st.invgamma([2.0, 3.7], scale=[1.5, 0.5]),
        False,
        concentration=[2.0, 3.7],
        rate=[1.5, 0.5],
    ),
    two("Kumaraswamy", concentration1=[2.0, 0.7], concentration0=[1.5, 0.9]),
    Example(lambda t: dist.LKJCholesky(2, t(1.5))),
    Example(lambda t: dist.LKJCholesky(3, t([1.5, 0.5]))),
    two("Laplace", st.laplace([0.5, -1.0], [1.0, 2.0]), loc=[0.5, -1.0], scale=[1.0, 2.0]),
    two(
        "LogNormal",
        st.lognorm([1.0, 0.6], scale=[1.6487212707001282, 0.36787944117144233]),
        loc=[0.5, -1.0],
        scale=[1.0, 0.6],
    ),
    Example(lambda t: dist.LogisticNormal(t([0.3, -0.2]), t([1.0, 0.5]))),
    Example(
        lambda t: dist.LowRankMultivariateNormal(t([0.5, -1.0]), t([[0.7], [-0.3]]), t([0.5, 1.0])),
        st.multivariate_normal([0.5, -1.0], [[0.99, -0.21], [-0.21, 1.09]]),
    ),
    Example(
        lambda t: dist.MaskedDistribution(
            dist.Normal(t([0.5, 1.0]), t(2.0)), torch.tensor([True, False])
        )
    ),
    Example(lambda t: dist.Gamma(t([0.5, 1.0]), t(2.0)).mask(False), pathwise=False),
    Example(
        lambda t: dist.MixtureSameFamily(
            dist.Categorical(t([0.3, 0.7])), dist.Normal(t([0.5, -1.0]), t([1.0, 2.0]))
        )
    ),
    Example(lambda t: dist.Multinomial(4, t([0.2, 0.5, 0.3])), st.multinomial(4, [0.2, 0.5, 0.3])),
    Example(
        lambda t: dist.MultivariateNormal(t([0.5, -1.0]), square(t)),
        st.multivariate_normal([0.5, -1.0], C2),
    ),
    Example(lambda t: dist.MultivariateNormal(t([0.5, -1.0, 0.0]), scale_tril=t(L3).tril())),
    Example(
        lambda t: dist.MultivariateNormal(t([[0.5, -1.0], [0.0, 0.0]]), precision_matrix=square(t))
    ),
    Example(
        lambda t: dist.MultivariateStudentT(
            t(3.5), t([0.5, -1.0]), t([[1.2, 0.0], [0.3, 0.8]]).tril()
        ),
        st.multivariate_t([0.5, -1.0], [[1.44, 0.36], [0.36, 0.73]], 3.5),
        pathwise=False,
    ),
    Example(
        lambda t: dist.MultivariateStudentT(
            t([5.0, 2.5]), t([[0.5, -1.0, 2.0], [0.0, 1.0, -1.0]]), t(L3).tril()
        ),
        pathwise=False,
    ),
    Example(
        lambda t: dist.NegativeBinomial(t([3.0, 1.5]), t([0.3, 0.8])),
        st.nbinom([3.0, 1.5], [0.7, 0.2]),
    ),
    Example(lambda t: dist.NegativeBinomial(3.0, logits=t([0.3, -0.8]))),
    two("Normal", st.norm([0.5, -1.0], [1.0, 2.0]), loc=[0.5, -1.0], scale=[1.0, 2.0]),
    Example(lambda t: dist.Normal(t([[0.5], [-1.0]]), t([1.0, 2.0, 3.0]))),
    Example(lambda t: dist.Normal(t([0.5, -1.0]), 2.0), st.norm([0.5, -1.0], 2.0)),
    Example(lambda t: dist.Normal(0.5, t([2.0, 1.0])), st.norm(0.5, [2.0, 1.0])),
    Example(lambda t: dist.OneHotCategorical(t([0.2, 0.5, 0.3]))),
    Example(lambda t: dist.OneHotCategorical(logits=t([[0.2, 0.5, 0.3], [1.0, 0.0, 2.0]]))),
    Example(lambda t: dist.OneHotCategoricalStraightThrough(t([0.2, 0.5, 0.3])), biased=True),
    two("Pareto", st.pareto([3.0, 1.5], scale=[1.0, 2.0]), scale=[1.0, 2.0], alpha=[3.0, 1.5]),
    two("Poisson", st.poisson([3.0, 0.5]), rate=[3.0, 0.5]),
    Example(lambda t: dist.Poisson(t([3.0, 0.5]), is_sparse=True), st.poisson([3.0, 0.5])),
    Example(lambda t: dist.RelaxedBernoulli(t(0.7), t([0.3, 0.8]))),
    Example(lambda t: dist.RelaxedBernoulli(t(0.7), logits=t([0.3, -0.8]))),
    Example(lambda t: dist.RelaxedOneHotCategorical(t(0.7), t([0.3, 0.7]))),
    Example(lambda t: dist.RelaxedOneHotCategorical(t(0.7), logits=t([[0.2, 0.5, 0.3]]))),
    two(
        "StudentT",
        st.t([1.5, 4.0], [0.5, -1.0], [1.0, 2.0]),
        False,
        df=[1.5, 4.0],
        loc=[0.5, -1.0],
        scale=[1.0, 2.0],
    ),
    Example(
        lambda t: dist.TransformedDistribution(
            dist.Normal(t([0.5, -1.0]), t(2.0)), [transforms.AffineTransform(1.0, 0.5)]
        ),
        st.norm([1.25, 0.5], 1.0),
    ),
    Example(
        lambda t: dist.TransformedDistribution(
            dist.Normal(t([0.5, -1.0]), t(2.0)), transforms.StickBreakingTransform()
        )
    ),
    Example(lambda t: dist.ProjectedNormal(t([0.5, -1.0, 2.0]))),
    Example(lambda t: dist.ProjectedNormal(t([[0.5, -1.0], [0.0, 0.3]]))),
    two("Uniform", st.uniform([0.5, -1.0], [1.5, 3.0]), low=[0.5, -1.0], high=[2.0, 2.0]),
    Example(lambda t: dist.Unit(t([0.5, -1.0]))),
    Example(
        lambda t: dist.VonMises(t([0.5, -1.0]), t([2.0, 0.5])),
        st.vonmises([2.0, 0.5], [0.5, -1.0]),
        lambda laws: laws.VonMises(0.5, 2.0),
        nodes=circle,
    ),
    two(
        "Weibull",
        st.weibull_min([3.0, 0.8], scale=[1.0, 2.0]),
        scale=[1.0, 2.0],
        concentration=[3.0, 0.8],
    ),
    Example(lambda t: dist.Wishart(t(4.0), square(t)), st.wishart(4.0, C2), pathwise=False),
]

WITHOUT_DENSITY = {"Stable"}

MADE_OF_OTHERS = {
    "Empirical",
    "ExpandedDistribution",
    "Independent",
    "MaskedDistribution",
    "MixtureSameFamily",
    "TransformedDistribution",
}
