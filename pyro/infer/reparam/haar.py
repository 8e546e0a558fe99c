"""Series of values by wavelets."""

from pyro.distributions.transforms.haar import HaarTransform
from pyro.infer.reparam.unit_jacobian import UnitJacobianReparam


class HaarReparam(UnitJacobianReparam):
    """Draw a series in the coordinates of the Haar wavelet transform.

    The auxiliary site ``{name}_haar`` holds the amplitudes of wavelets, the longest first. It costs
    less than :class:`~pyro.infer.reparam.discrete_cosine.DiscreteCosineReparam`, and an amplitude
    concerns a part of the series only.

    :param dim: the dimension of time, negative; it and those right of it are parts of the event.
    :param flip: whether to turn time around first.
    :param experimental_allow_batch: see
        :class:`~pyro.infer.reparam.unit_jacobian.UnitJacobianReparam`.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.Normal(torch.zeros(8), 1.0).to_event(1))
    >>> by_wavelets = pyro.poutine.reparam(model, config={"x": HaarReparam()})
    >>> pyro.poutine.trace(by_wavelets).get_trace().stochastic_nodes
    ['x_haar']
    """

    def __init__(
        self, dim: int = -1, flip: bool = False, *, experimental_allow_batch: bool = False
    ) -> None:
        transform = HaarTransform(dim=dim, flip=flip, cache_size=1)
        super().__init__(
            transform, suffix="haar", experimental_allow_batch=experimental_allow_batch
        )
