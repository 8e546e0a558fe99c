"""Door: reparameterisations."""

from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult

__all__ = ["Reparam", "ReparamMessage", "ReparamResult"]
