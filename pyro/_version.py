"""The released interface this package offers, and the patch on top of it."""

__version__ = "1.9.2+equalize"
