"""Plates as models write them, under their present names and their older ones."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from pyro._foundation.warnings import warn_deprecated
from pyro.poutine.plate_messenger import PlateMessenger
from pyro.poutine.runtime import _thread, emit, new_message
from pyro.poutine.subsample_messenger import SubsampleMessenger


class plate(PlateMessenger):
    """Declare that elements are independent of each other given what is outside.

    Entered using ``with``, all elements run at once along a batch dimension, sites inside are
    broadcast to it, and the indices are returned. As an iterator the elements run one after the
    other. With ``subsample_size`` a random part of the elements runs, and the log densities inside
    are scaled by ``size / subsample_size``. The indices are a sample site named as the plate.

    :param name: the plate's name.
    :param size: the number of elements, a positive integer.
    :param subsample_size: how many elements to draw at random.
    :param subsample: the indices to use instead of drawing them.
    :param dim: the batch dimension, a negative number; the rightmost free one if None.
    :param use_cuda: an older way to say ``device``.
    :param device: where the indices live.
    :raises ValueError: that names the plate, where the sizes are no positive integers or do not fit
        each other, the dim is taken, or the plate is active already.

    >>> import torch, pyro, pyro.distributions as dist
    >>> data = torch.randn(100)
    >>> def model():
    ...     loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("data", 100, subsample_size=10) as batch:
    ...         return pyro.sample("x", dist.Normal(loc, 1.0), obs=data[batch])
    >>> model().shape
    torch.Size([10])

    Source: Bingham et al. 2019, *Pyro*, JMLR 20(28); Obermeyer et al. 2019, arXiv:1902.03210.
    """


@contextmanager
def plate_stack(prefix: str, sizes: Sequence[int], rightmost_dim: int = -1) -> Iterator[None]:
    """Enter one plate for each size, nested, the last size rightmost.

    :param prefix: the plates are named ``{prefix}_0``, ``{prefix}_1``, … from the right.
    :param sizes: the plates' sizes.
    :param rightmost_dim: the batch dimension of the last size.

    >>> import pyro, pyro.distributions as dist
    >>> with pyro.plate_stack("grid", (2, 3)):
    ...     pyro.sample("x", dist.Normal(0.0, 1.0)).shape
    torch.Size([2, 3])
    """
    with ExitStack() as stack:
        for i, size in enumerate(reversed(sizes)):
            stack.enter_context(plate(f"{prefix}_{i}", size, dim=rightmost_dim - i))
        yield


class iarange(plate):
    """An older name of :class:`plate`, as it is entered using ``with``.

    :param args: as for :class:`plate`.
    :param kwargs: likewise.

    >>> import pyro, pyro.distributions as dist
    >>> with pyro.validation_enabled(False):  # so that it is not said to be deprecated
    ...     rows = pyro.iarange("data", 3)
    >>> with rows:
    ...     pyro.sample("x", dist.Normal(0.0, 1.0)).shape
    torch.Size([3])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warn_deprecated("pyro.iarange", "with pyro.plate(name, size) as indices: ...")
        super().__init__(*args, **kwargs)


class irange(SubsampleMessenger):
    """An older name of :class:`plate`, as it is iterated over.

    :param args: as for :class:`plate`.
    :param kwargs: likewise.

    >>> import torch, pyro, pyro.distributions as dist
    >>> with pyro.validation_enabled(False):  # so that it is not said to be deprecated
    ...     steps = pyro.irange("data", 3)
    >>> [pyro.sample(f"x{i}", dist.Delta(torch.tensor(2.0 * i))).item() for i in steps]
    [0.0, 2.0, 4.0]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warn_deprecated("pyro.irange", "for i in pyro.plate(name, size): ...")
        super().__init__(*args, **kwargs)


def _first(data: Any, event_dim: int) -> Any:
    return data


def subsample(data: Any, event_dim: int) -> Any:
    """Select the part of some data that the subsampled plates around this line run on.

    :param data: a tensor whose batch dimensions are those of the plates; ``(…, size, *event)``.
    :param event_dim: how many of its rightmost dimensions are the event's.
    :returns: the data at the plates' indices.
    :raises ValueError: where a batch dimension of the data is not as long as its plate.

    >>> import torch, pyro
    >>> with pyro.plate("data", 5, subsample=torch.tensor([1, 3])):
    ...     pyro.subsample(torch.arange(5.0), event_dim=0)
    tensor([1., 3.])
    """
    if not _thread.stack:
        return data
    return emit(
        new_message("subsample", "pyro.subsample", _first, (data,), {"event_dim": event_dim})
    )
