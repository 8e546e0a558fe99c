"""Reparameterisations are checked to the last digits that float64 has."""

from tests.poutine.conftest import double_precision

__all__ = ["double_precision"]
