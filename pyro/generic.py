"""Door to pyro-api, through which a model can be written once for several backends.

>>> from pyro.generic import distributions as dist
>>> from pyro.generic import ops, pyro, pyro_backend
>>> def model():
...     return pyro.sample("x", dist.Delta(ops.tensor(2.0)))
>>> with pyro_backend("pyro"):
...     model()
tensor(2.)
"""

from pyroapi import (
    distributions,
    handlers,
    infer,
    ops,
    optim,
    pyro,
    pyro_backend,
    register_backend,
)

__all__ = [
    "distributions",
    "handlers",
    "infer",
    "ops",
    "optim",
    "pyro",
    "pyro_backend",
    "register_backend",
]
