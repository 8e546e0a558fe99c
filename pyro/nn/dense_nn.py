"""Dense networks that give the parameters of a law; a door to the room where they live."""

from pyro.ops.networks import ConditionalDenseNN, DenseNN

__all__ = ["ConditionalDenseNN", "DenseNN"]
