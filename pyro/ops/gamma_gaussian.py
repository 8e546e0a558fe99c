"""Gamma-scaled Gaussians: a door to the room that holds them, which stands on the laws' floor."""

from pyro.distributions.gamma_gaussian import (
    Gamma,
    GammaGaussian,
    gamma_and_mvn_to_gamma_gaussian,
    gamma_gaussian_tensordot,
    matrix_and_mvn_to_gamma_gaussian,
    scale_mvn,
)

__all__ = [
    "Gamma",
    "GammaGaussian",
    "gamma_and_mvn_to_gamma_gaussian",
    "gamma_gaussian_tensordot",
    "matrix_and_mvn_to_gamma_gaussian",
    "scale_mvn",
]
