"""The interface that pyro gives to laws made of tensors."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch.distributions import constraints

from pyro.distributions.checking import CheckedDistribution
from pyro.distributions.distribution import Distribution
from pyro.ops.shapes import broadcast_shape

T = TypeVar("T", bound="TorchDistributionMixin")
Shape = Sequence[int]

NO_SHAPE = torch.Size()


class Wrappers:
    """The classes that wrap a law in another; the rooms that define them put them here."""

    expanded: ClassVar[Callable[[Any, torch.Size], Any]]
    masked: ClassVar[Callable[[Any, Any], Any]]
    independent: ClassVar[Callable[[Any, int], Any]]


def as_shape(shape: Iterable[int]) -> torch.Size:
    """Return a shape as :class:`torch.Size`.

    :param shape: sizes.
    :raises TypeError: for a bare number, with the remedy.

    >>> as_shape([2, 3])
    torch.Size([2, 3])
    """
    if isinstance(shape, int):
        raise TypeError(f"A shape is a sequence of sizes, not the number {shape}: pass ({shape},).")
    return torch.Size(shape)


class TorchDistributionMixin(Distribution):
    """What pyro adds to a :class:`torch.distributions.Distribution`.

    Shapes are aligned at the right: ``sample_shape + batch_shape + event_shape``. Entries along
    ``batch_shape`` are independent of each other but have parameters of their own; entries within
    ``event_shape`` are scored together.
    """

    def __call__(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw a random value, differentiably where the law can.

        :param sample_shape: how many independent draws, as a shape on the left of the result.

        >>> from pyro.distributions.normal import Normal
        >>> Normal(torch.zeros(2), 1.0)((3,)).shape
        torch.Size([3, 2])
        """
        if type(sample_shape) is not torch.Size:
            sample_shape = as_shape(sample_shape)
        draw = self.rsample if self.has_rsample else self.sample  # type: ignore[attr-defined]
        result: torch.Tensor = draw(sample_shape)
        return result

    @property
    def batch_shape(self) -> torch.Size:
        """The shape of independent but differently distributed entries.

        :raises NotImplementedError: where a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no batch_shape.")

    @property
    def event_shape(self) -> torch.Size:
        """The shape of one event.

        :raises NotImplementedError: where a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no event_shape.")

    @property
    def event_dim(self) -> int:
        """The number of dimensions of one event."""
        return len(self.event_shape)

    def shape(self, sample_shape: Shape = NO_SHAPE) -> torch.Size:
        """Return the shape of a draw.

        :param sample_shape: the shape asked for.

        >>> from pyro.distributions.normal import Normal
        >>> Normal(torch.zeros(2), 1.0).shape((3,))
        torch.Size([3, 2])
        """
        return as_shape(sample_shape) + self.batch_shape + self.event_shape

    @classmethod
    def infer_shapes(cls, **arg_shapes: Shape) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape of a law from the shapes of its parameters.

        :param arg_shapes: shapes by parameter name; that of a number is ``()``.
        :raises NotImplementedError: where the event shape does not follow from the support.

        >>> from pyro.distributions.normal import Normal
        >>> Normal.infer_shapes(loc=(2, 1), scale=(3,))
        (torch.Size([2, 3]), torch.Size([]))
        """
        declared: Any = cls.arg_constraints  # type: ignore[attr-defined]
        support: Any = cls.support  # type: ignore[attr-defined]
        if not isinstance(support, constraints.Constraint) or support.event_dim > 0:
            raise NotImplementedError(f"{cls.__name__} does not define infer_shapes().")
        batch_shapes = []
        for name, shape in arg_shapes.items():
            event_dim = declared[name].event_dim if name in declared else 0
            batch_shapes.append(tuple(shape)[: len(shape) - event_dim])
        return torch.Size(broadcast_shape(*batch_shapes)), NO_SHAPE

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.

        >>> from pyro.distributions.normal import Normal
        >>> Normal(torch.zeros(2, 1), 1.0).expand([2, 3]).batch_shape
        torch.Size([2, 3])
        """
        return Wrappers.expanded(self, as_shape(batch_shape))

    def expand_by(self, sample_shape: Shape) -> Any:
        """Return a law with further batch dimensions on the left.

        :param sample_shape: their sizes.

        >>> from pyro.distributions.normal import Normal
        >>> Normal(torch.zeros(2), 1.0).expand_by([3]).batch_shape
        torch.Size([3, 2])
        """
        return self.expand(as_shape(sample_shape) + self.batch_shape)

    def to_event(self: Any, reinterpreted_batch_ndims: int | None = None) -> Any:
        """Return a law that scores batch dimensions together, as parts of one event.

        :param reinterpreted_batch_ndims: how many batch dimensions, from the right, to move into
            the event. None moves all; 0 returns the law itself; a negative number moves that many
            back, which an earlier :meth:`to_event` had moved.
        :raises ValueError: where there are fewer.

        >>> from pyro.distributions.normal import Normal
        >>> law = Normal(torch.zeros(3, 2), 1.0).to_event(1)
        >>> law.batch_shape, law.event_shape
        (torch.Size([3]), torch.Size([2]))
        >>> law.to_event(-1).batch_shape
        torch.Size([3, 2])
        """
        count = reinterpreted_batch_ndims
        if count is None:
            count = len(self.batch_shape)
        if count == 0:
            return self
        if count < 0:
            raise ValueError(
                f"{self}.to_event({count}) would take event dimensions apart that no to_event() "
                f"put together; its event shape is {tuple(self.event_shape)}."
            )
        return Wrappers.independent(self, count)

    def independent(self, reinterpreted_batch_ndims: int | None = None) -> Any:
        """Do what :meth:`to_event` does, under its older name.

        :param reinterpreted_batch_ndims: how many batch dimensions to move into the event.
        """
        return self.to_event(reinterpreted_batch_ndims)

    def reshape(
        self, sample_shape: Shape | None = None, extra_event_dims: int | None = None
    ) -> Any:
        """Do what :meth:`expand_by` and then :meth:`to_event` do, under their older name.

        :param sample_shape: sizes of further batch dimensions on the left.
        :param extra_event_dims: how many batch dimensions to move into the event.
        """
        law = self if sample_shape is None else self.expand_by(sample_shape)
        return law if extra_event_dims is None else law.to_event(extra_event_dims)

    def mask(self, mask: torch.Tensor | bool) -> Any:
        """Return a law that scores some of its batch only; it draws as before.

        :param mask: True, False, or a boolean tensor that broadcasts with the batch shape. What is
            masked out has log density 0 and may hold anything, NaN included.
        :raises TypeError: where the mask is not boolean.

        >>> from pyro.distributions.normal import Normal
        >>> kept = torch.tensor([True, False])
        >>> Normal(0.0, 1.0).mask(kept).log_prob(torch.tensor([0.0, float("nan")]))
        tensor([-0.9189,  0.0000])
        """
        return Wrappers.masked(self, mask)


class TorchDistribution(
    CheckedDistribution, torch.distributions.Distribution, TorchDistributionMixin
):
    """Base class for laws of your own that are made of tensors.

    A subclass declares ``arg_constraints``, ``support`` and ``has_rsample``, sets its parameters
    and then calls ``super().__init__(batch_shape, event_shape)``. It defines :meth:`sample` or
    :meth:`rsample`, and :meth:`log_prob`. What :meth:`expand`, :meth:`mask` and :meth:`to_event`
    give is correct without further work; a law that can expand its parameters overrides
    :meth:`expand` to be faster.

    :param batch_shape: the shape over which parameters are batched.
    :param event_shape: the shape of one event.
    :param validate_args: whether to check parameters and values; None follows the process's switch.

    >>> class Exact(TorchDistribution):
    ...     arg_constraints = {"v": constraints.real}
    ...     support = constraints.real
    ...     def __init__(self, v):
    ...         self.v = v
    ...         super().__init__(v.shape)
    ...     def sample(self, sample_shape=torch.Size()):
    ...         return self.v.expand(self.shape(sample_shape))
    ...     def log_prob(self, value):
    ...         return (value == self.v).log()
    >>> Exact(torch.zeros(2)).expand([3, 2])().shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        batch_shape: Shape = NO_SHAPE,
        event_shape: Shape = NO_SHAPE,
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape = torch.Size(batch_shape)
        self._event_shape = torch.Size(event_shape)
        self._check_parameters(validate_args)
        super(torch.distributions.Distribution, self).__init__()

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        return TorchDistributionMixin.expand(self, batch_shape, _instance)
