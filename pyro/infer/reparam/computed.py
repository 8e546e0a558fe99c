"""Sites that are computed from auxiliary ones."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from pyro.distributions.delta import Delta
from pyro.infer.reparam.reparam import ReparamMessage, ReparamResult
from pyro.poutine.plate_messenger import block_plate
from pyro.poutine.runtime import emit, get_plates, new_message


def auxiliary(name: str, law: Any, start: Any = None, is_observed: bool | None = False) -> Any:
    """Draw an auxiliary site.

    :param name: its name.
    :param law: its law.
    :param start: its value, where the site's that it stands for is given.
    :param is_observed: whether that is a datum; a value to start from else.
    """
    given = start is not None
    return emit(
        new_message("sample", name, law, value=start, is_observed=given and bool(is_observed))
    )


@contextmanager
def outside_plates(names: Collection[str]) -> Iterator[None]:
    """Leave those of some plates that a site is in.

    :param names: the names of the plates.
    """
    with ExitStack() as stack:
        for frame in get_plates():
            if frame.name in names:
                stack.enter_context(block_plate(frame.name))
        yield


def computed(law: Any, value: Tensor, log_density: Tensor | float = 0.0) -> ReparamResult:
    """Return a site whose value is known.

    :param law: the law that it had.
    :param value: the value.
    :param log_density: what the density of the auxiliary sites lacks, of the law's batch shape.
    """
    fn = Delta(value, log_density, event_dim=law.event_dim, validate_args=False)
    return {"fn": fn, "value": value, "is_observed": True}


def coordinate(
    msg: ReparamMessage,
    suffix: str,
    law: Any,
    inverse: Callable[[Tensor], Tensor],
    forward: Callable[[Tensor], Tensor],
) -> tuple[Any, Any]:
    """Draw a site in another coordinate.

    A value that the site has already is one for the coordinate: observed where it is a datum.

    :param msg: the site.
    :param suffix: what the coordinate's name ends in.
    :param law: the law of the coordinate.
    :param inverse: from values to coordinates.
    :param forward: from coordinates to values.
    :returns: the coordinate, and the value.
    """
    value = msg["value"]
    start: Any = None if value is None else inverse(value)
    drawn = auxiliary(f"{msg['name']}_{suffix}", law, start, msg["is_observed"])
    if msg["is_observed"] and drawn is start:
        return drawn, value  # exactly, without the rounding of there and back
    return drawn, forward(drawn)
