"""Guides that are normalizing flows in unconstrained coordinates."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions.transforms import Transform

from pyro.distributions.normal import Normal
from pyro.distributions.torch_transform import ComposeTransformModule
from pyro.distributions.transforms.affine_autoregressive import AffineAutoregressive
from pyro.infer.autoguide.continuous import AutoContinuous
from pyro.ops.networks import AutoRegressiveNN


class AutoNormalizingFlow(AutoContinuous):
    r"""A guide whose law is that of white noise sent through an invertible map.

    .. math:: x = T(u), \quad u = f(z), \quad z \sim N(0, I), \quad
        \log q(u) = \log N(z; 0, I) - \log |\det \partial f / \partial z| .

    The parameters are those of :math:`f`, the attribute ``transform``. See
    :class:`~pyro.infer.autoguide.continuous.AutoContinuous` for :math:`T`. There are no medians and
    quantiles in closed form.

    :param model: the model.
    :param init_transform_fn: makes the map from ``latent_dim``: a transform of vectors, or a list
        of them to be applied one after the other. Those that are modules learn.
    :raises TypeError: in the first run, where it makes something else.

    >>> import pyro, pyro.distributions as dist
    >>> from functools import partial
    >>> from pyro.distributions.transforms import iterated, planar
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("y", dist.LogNormal(x, 1.0))
    >>> guide = AutoNormalizingFlow(model, partial(iterated, 3, planar))
    >>> sorted(guide())
    ['x', 'y']

    Source: Rezende and Mohamed 2015, *Variational Inference with Normalizing Flows*,
    arXiv:1505.05770.
    """

    transform: Any
    _origin: Tensor

    def __init__(
        self,
        model: Callable[..., Any],
        init_transform_fn: Callable[[int], Transform | Sequence[Transform]],
    ) -> None:
        super().__init__(model, init_loc_fn=None)
        self._init_transform_fn = init_transform_fn

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        if not self.latent_dim:
            return
        # It follows the guide from device to device, and is no part of its state.
        self.register_buffer("_origin", torch.zeros_like(self._init_loc()), persistent=False)
        transform: Any = self._init_transform_fn(self.latent_dim)
        if isinstance(transform, list | tuple):
            transform = ComposeTransformModule(transform)
        if not isinstance(transform, Transform):
            raise TypeError(
                f"init_transform_fn must make a transform, or a list of them, from the number of "
                f"latent dimensions; it made {transform!r}."
            )
        if isinstance(transform, nn.Module):
            transform.to(self._origin)
        self.transform = transform

    def get_base_dist(self) -> Any:
        """Return white noise."""
        scale = torch.ones_like(self._origin)
        return Normal(self._origin, scale, validate_args=False).to_event(1)

    def get_transform(self, *args: Any, **kwargs: Any) -> Transform:
        """Return the map from white noise to the unconstrained vector.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        transform: Transform = self.transform
        return transform


class AutoIAFNormal(AutoNormalizingFlow):
    r"""A guide whose law is that of white noise sent through inverse autoregressive flows.

    .. math:: u_i = \mu_i(z_{<i}) + \sigma_i(z_{<i})\, z_i, \quad z \sim N(0, I) ,

    once, or several times, forwards and backwards in turn. Draws and their densities take one pass
    through a network for each flow.

    :param model: the model.
    :param hidden_dim: the sizes of the network's hidden layers, each at least ``latent_dim``, or
        the size of a single one; one of ``3 * latent_dim + 1`` if None.
    :param init_loc_fn: the strategy for the values with which the model runs as a prototype, see
        :mod:`pyro.infer.initialization`. The flow begins where its network's random weights say.
    :param num_transforms: the number of flows.
    :param init_transform_kwargs: options of
        :class:`~pyro.distributions.transforms.affine_autoregressive.AffineAutoregressive`.
    :raises ValueError: where ``num_transforms`` is not positive.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("y", dist.LogNormal(x, 1.0))
    >>> guide = AutoIAFNormal(model, hidden_dim=[10], num_transforms=2)
    >>> sorted(guide())
    ['x', 'y']

    Source: Kingma et al. 2016, *Improving Variational Inference with Inverse Autoregressive Flow*,
    arXiv:1606.04934.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        hidden_dim: int | Sequence[int] | None = None,
        init_loc_fn: Callable[..., Any] | None = None,
        num_transforms: int = 1,
        **init_transform_kwargs: Any,
    ) -> None:
        if num_transforms < 1:
            raise ValueError(f"num_transforms must be a positive number, got {num_transforms!r}.")
        super().__init__(model, self._make_flows)
        self.init_loc_fn = init_loc_fn
        self._hidden_dims = [hidden_dim] if isinstance(hidden_dim, int) else hidden_dim
        self._num_transforms = num_transforms
        self._options = init_transform_kwargs

    def _make_flows(self, latent_dim: int) -> list[Transform]:
        # The orders are fixed, since they belong to the parameters, and the param store has none.
        forwards = list(range(latent_dim))
        sizes = [3 * latent_dim + 1] if self._hidden_dims is None else self._hidden_dims
        networks = [
            AutoRegressiveNN(latent_dim, sizes, permutation=forwards[:: 1 if i % 2 == 0 else -1])
            for i in range(self._num_transforms)
        ]
        return [AffineAutoregressive(network, **self._options) for network in networks]
