"""Divergences of the laws that torch does not know."""
