"""Vectors in another basis, by maps that preserve volume."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import Transform

from pyro._foundation.errors import site_error
from pyro.distributions.compound import TransformedDistribution
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.infer.reparam.computed import computed, coordinate
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult
from pyro.poutine.plate_messenger import block_plate
from pyro.poutine.runtime import get_plates


class UnitJacobianReparam(Reparam):
    r"""Draw a site as the image under a transform that preserves volume.

    For :math:`x\sim p` and :math:`|\det\partial f/\partial x|=1` the auxiliary site
    ``{name}_{suffix}`` is :math:`y=f(x)`, with density :math:`p(f^{-1}(y))`, and
    :math:`x=f^{-1}(y)`.

    :param transform: the transform :math:`f` of real arrays.
    :param suffix: what the auxiliary site's name ends in.
    :param experimental_allow_batch: whether to transform along batch dimensions of the law where
        it has too few of an event. The auxiliary site is then outside the plates of these.
    :raises ValueError: that names the site, where it has too few dimensions of an event, its
        support is not that of all real arrays, or a plate to be left is subsampled.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    >>> swap = dist.transforms.Permute(torch.tensor([1, 0, 2]))
    >>> swapped = pyro.poutine.reparam(model, config={"x": UnitJacobianReparam(swap, "swapped")})
    >>> pyro.poutine.trace(swapped).get_trace().stochastic_nodes
    ['x_swapped']
    """

    def __init__(
        self,
        transform: Transform,
        suffix: str = "transformed",
        *,
        experimental_allow_batch: bool = False,
    ) -> None:
        self.transform = transform
        self.suffix = suffix
        self.experimental_allow_batch = experimental_allow_batch

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw ``{name}_{suffix}``, and compute the site from it.

        :param msg: the site.
        """
        law, transform = msg["fn"], self.transform
        missing = max(0, transform.domain.event_dim - law.event_dim)
        self._check(msg, missing)
        image = TransformedDistribution(law.to_event(missing), transform)
        if not missing:
            _, value = coordinate(msg, self.suffix, image, transform, transform.inv)
            return computed(law, value)
        count = transform.codomain.event_dim
        with _outside_plates(msg["name"], missing):
            _, value = coordinate(
                msg,
                self.suffix,
                _Spaced(image, missing),
                lambda x: _spaced(transform(x), missing, count),
                lambda y: transform.inv(_unspaced(y, missing, count)),
            )
        return computed(law, value)

    def _check(self, msg: ReparamMessage, missing: int) -> None:
        name, law, kind = msg["name"], msg["fn"], type(self).__name__
        if missing and (not self.experimental_allow_batch or missing > len(law.batch_shape)):
            raise site_error(
                name,
                f"{kind} transforms {self.transform.domain.event_dim} dimensions of an event, but "
                f"the law has event shape {tuple(law.event_shape)} and batch shape "
                f"{tuple(law.batch_shape)}",
                f"Make batch dimensions those of an event by .to_event({missing}), or set "
                "experimental_allow_batch=True.",
            )
        support = law.support
        while isinstance(support, constraints.independent):
            support = support.base_constraint
        if support is not constraints.real and support is not constraints.real_vector:
            raise site_error(
                name,
                f"{kind} mixes entries of a value, which would leave the support {law.support}",
                "Reparameterise by TransformReparam() first, so that all real numbers are allowed.",
            )


@contextmanager
def _outside_plates(name: str, count: int) -> Iterator[None]:
    """Leave the plates along so many of the rightmost batch dimensions."""
    with ExitStack() as stack:
        for frame in get_plates():
            if frame.dim is None or frame.dim < -count:
                continue
            if frame.size != frame.full_size:
                raise site_error(
                    name,
                    f"it is transformed along the plate {frame.name!r}, of which {frame.size} of "
                    f"{frame.full_size} elements are drawn",
                    "Run all elements of the plate, or transform along another dimension.",
                )
            stack.enter_context(block_plate(frame.name))
        yield


def _spaced(value: Tensor, count: int, event_dim: int) -> Tensor:
    cut = value.dim() - event_dim
    return value.reshape(value.shape[:cut] + (1,) * count + value.shape[cut:])


def _unspaced(value: Tensor, count: int, event_dim: int) -> Tensor:
    cut = value.dim() - event_dim
    return value.reshape(value.shape[: cut - count] + value.shape[cut:])


class _Spaced(TorchDistribution):
    """A law with batch dimensions of size 1 on the right, where the plates were that it left."""

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, base_dist: Any, count: int) -> None:
        self.base_dist, self.count = base_dist, count
        super().__init__(base_dist.batch_shape + (1,) * count, base_dist.event_shape)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the base law draws differentiably."""
        return bool(self.base_dist.has_rsample)

    @constraints.dependent_property
    def support(self) -> Any:
        """The support of the base law."""
        return self.base_dist.support

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        value = self.base_dist(torch.Size(sample_shape))
        return _spaced(value, self.count, self.event_dim)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        return self.rsample(sample_shape).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the value.
        """
        result: Tensor = self.base_dist.log_prob(_unspaced(value, self.count, self.event_dim))
        return result.reshape(result.shape + (1,) * self.count)
