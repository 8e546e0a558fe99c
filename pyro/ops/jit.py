"""Door to compiled functions."""

from pyro.infer.compile import CompiledFunction, trace

__all__ = ["CompiledFunction", "trace"]
