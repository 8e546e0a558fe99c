"""Doctests under pyro/ and docs/ start from the same clean slate as the tests."""

from tests.conftest import clean_slate

__all__ = ["clean_slate"]
