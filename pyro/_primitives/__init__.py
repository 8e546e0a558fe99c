"""Floor 4: rooms behind :mod:`pyro.primitives`, which holds their public names."""
