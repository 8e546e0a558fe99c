"""Torch modules as parts of models."""

from pyro.nn.module import PyroModule, PyroModuleList, PyroParam, PyroSample, pyro_method

__all__ = ["PyroModule", "PyroModuleList", "PyroParam", "PyroSample", "pyro_method"]
