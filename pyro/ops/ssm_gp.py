"""State-space Gaussian processes: a door to the module, which stands on the floor of modules."""

from pyro.nn.matern import MaternKernel

__all__ = ["MaternKernel"]
