"""Sums of products in several semirings, with an adjoint pass."""

from pyro.ops.einsum.expressions import contract, contract_expression

__all__ = ["contract", "contract_expression"]
