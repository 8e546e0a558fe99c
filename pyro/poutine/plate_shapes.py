"""What the plates around a site ask of its shapes."""

from collections.abc import Mapping
from typing import Any

import torch

from pyro._foundation.errors import site_error
from pyro.poutine.runtime import Message


def broadcast_to_plates(msg: Message) -> None:
    """Expand a sample site's law to the sizes of the plates around it.

    :param msg: a sample message, changed in place; laws without a batch shape stay as they are.
    :raises ValueError: where the law has elements that a plate has not.
    """
    batch_shape = getattr(msg["fn"], "batch_shape", None)
    if batch_shape is None:
        return
    shape = list(batch_shape)
    for frame in msg["cond_indep_stack"]:
        dim, size = frame.dim, frame.size
        if dim is None or size == -1:
            continue
        if len(shape) < -dim:
            shape[:0] = [1] * (-dim - len(shape))
        if shape[dim] != size:
            if shape[dim] != 1:
                raise _mismatch(msg, frame, shape[dim])
            shape[dim] = size
    if len(shape) != len(batch_shape) or tuple(shape) != batch_shape:
        msg["fn"] = msg["fn"].expand(torch.Size(shape))


def _mismatch(msg: Message, frame: Any, actual: int) -> ValueError:
    return site_error(
        msg["name"],
        f"its law has batch shape {tuple(msg['fn'].batch_shape)}, with {actual} elements at "
        f"dim {frame.dim}, expected {frame.size} inside plate {frame.name!r} "
        f"(dim={frame.dim}, size={frame.size})",
        "Did you forget .to_event(), or pyro.subsample? Or give the plate another dim.",
    )


def check_density_shape(site: Mapping[str, Any], log_prob: torch.Tensor) -> None:
    """Refuse a density whose shape contradicts the plates around the site.

    :param site: the site, for its plates.
    :param log_prob: its log density, element by element.
    :raises ValueError: where a plate's dimension has another size than the plate, or where an
        element of a plate would be counted more than once.
    """
    frames = {frame.dim: frame for frame in site["cond_indep_stack"] if frame.vectorized}
    shape = log_prob.shape
    for dim in range(-1, max(min(frames, default=0), -len(shape)) - 1, -1):
        size, frame = shape[dim], frames.get(dim)
        if frame is None:
            if size != 1:
                raise site_error(
                    site["name"],
                    f"log density has shape {tuple(shape)}, with {size} elements at dim {dim}, "
                    f"which belongs to no plate around it{_describe_plates(site)}",
                    "Values and parameters broadcast against each other there: reshape them, use "
                    ".to_event(), or wrap the site in a plate.",
                )
        elif frame.size not in (-1, size) and size != 1:
            raise site_error(
                site["name"],
                f"value has shape {tuple(site['value'].shape)} and its log density "
                f"{tuple(shape)}, expected {frame.size} elements at dim {dim} inside plate "
                f"{frame.name!r} (dim={dim}, size={frame.size})",
                "Did you forget pyro.subsample?",
            )


def check_value_shape(site: Mapping[str, Any]) -> None:
    """Refuse a value that has another number of elements than a plate around its site.

    :param site: the site.
    :raises ValueError: that names the site, the shapes and the plate.
    """
    fn, shape = site["fn"], tuple(getattr(site["value"], "shape", ()))
    event_dim = getattr(fn, "event_dim", 0)
    for frame in site["cond_indep_stack"]:
        if frame.dim is None or len(shape) < event_dim - frame.dim:
            continue  # what has no dimension for the plate broadcasts over it
        if frame.size != -1 and shape[frame.dim - event_dim] not in (1, frame.size):
            raise site_error(
                site["name"],
                f"value has shape {shape}, expected {tuple(fn.batch_shape + fn.event_shape)} "
                f"inside plate {frame.name!r} (dim={frame.dim}, size={frame.size})",
                "Did you forget pyro.subsample?",
            )


def _describe_plates(site: Mapping[str, Any]) -> str:
    plates = [f"{f.name!r} (dim={f.dim}, size={f.size})" for f in site["cond_indep_stack"]]
    return f"; the plates are {', '.join(plates)}" if plates else ""
