"""Series of values by the waves that they are made of."""

from pyro.distributions.transforms.discrete_cosine import DiscreteCosineTransform
from pyro.infer.reparam.unit_jacobian import UnitJacobianReparam


class DiscreteCosineReparam(UnitJacobianReparam):
    """Draw a series in the coordinates of the discrete cosine transform.

    The auxiliary site ``{name}_dct`` holds the amplitudes of waves, the longest first. Where
    neighbours depend on each other strongly, as in a random walk, amplitudes hardly do.

    :param dim: the dimension of time, negative; it and those right of it are parts of the event.
    :param smooth: 0 for white noise; 1 for Brownian motion, whose amplitudes it gives about the
        same size; between, or beyond for smoother series.
    :param experimental_allow_batch: see
        :class:`~pyro.infer.reparam.unit_jacobian.UnitJacobianReparam`.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     with pyro.plate("series", 2):
    ...         steps = pyro.sample("x", dist.Normal(torch.zeros(8), 1.0).to_event(1))
    >>> by_waves = pyro.poutine.reparam(model, config={"x": DiscreteCosineReparam()})
    >>> pyro.poutine.trace(by_waves).get_trace().stochastic_nodes
    ['series', 'x_dct']
    """

    def __init__(
        self, dim: int = -1, smooth: float = 0.0, *, experimental_allow_batch: bool = False
    ) -> None:
        transform = DiscreteCosineTransform(dim=dim, smooth=smooth, cache_size=1)
        super().__init__(transform, suffix="dct", experimental_allow_batch=experimental_allow_batch)
