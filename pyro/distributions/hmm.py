"""Hidden Markov models: a door to the rooms where they live."""

from pyro.distributions.discrete_hmm import DiscreteHMM
from pyro.distributions.gamma_gaussian_hmm import GammaGaussianHMM
from pyro.distributions.gaussian_hmm import GaussianHMM
from pyro.distributions.gaussian_mrf import GaussianMRF
from pyro.distributions.hidden_markov import HiddenMarkovModel
from pyro.distributions.independent_hmm import IndependentHMM
from pyro.distributions.linear_hmm import LinearHMM
from pyro.ops.state_chains import log_matmul_exp as _logmatmulexp
from pyro.ops.state_chains import sequential_index as _sequential_index
from pyro.ops.state_chains import sequential_log_matmul_exp as _sequential_logmatmulexp

__all__ = [
    "DiscreteHMM",
    "GammaGaussianHMM",
    "GaussianHMM",
    "GaussianMRF",
    "HiddenMarkovModel",
    "IndependentHMM",
    "LinearHMM",
    "_logmatmulexp",
    "_sequential_index",
    "_sequential_logmatmulexp",
]
