"""What the plates around a site ask of its shapes."""

from collections.abc import Iterable, Mapping
from itertools import permutations
from types import MappingProxyType
from typing import Any

import torch

from pyro._foundation.errors import site_error
from pyro.poutine.runtime import Message
from pyro.poutine.sites import Site, site_is_deterministic, site_is_subsample

Frames = dict[Any, Any]  # the plates around a site by their dims
NO_RECORD: Mapping[str, Site] = MappingProxyType({})


def broadcast_to_plates(msg: Message) -> None:
    """Expand a sample site's law to the sizes of the plates around it.

    :param msg: a sample message, changed in place; laws without a batch shape stay as they are.
    :raises ValueError: where the law has elements that a plate has not.
    """
    batch_shape = getattr(msg["fn"], "batch_shape", None)
    if batch_shape is None or _fills(batch_shape, msg["cond_indep_stack"]):
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
    msg["fn"] = msg["fn"].expand(torch.Size(shape))


def _fills(batch_shape: torch.Size, frames: Iterable[Any]) -> bool:
    """Tell whether a law has every element that the plates have: then there is nothing to do."""
    rank = len(batch_shape)
    for frame in frames:
        dim, size = frame.dim, frame.size
        if dim is not None and size != -1 and (rank < -dim or batch_shape[dim] != size):
            return False
    return True


def _mismatch(msg: Message, frame: Any, actual: int) -> ValueError:
    return site_error(
        msg["name"],
        f"its law has batch shape {tuple(msg['fn'].batch_shape)}, with {actual} elements at "
        f"dim {frame.dim}, expected {frame.size} inside plate {frame.name!r} "
        f"(dim={frame.dim}, size={frame.size})",
        "Did you forget .to_event(), or pyro.subsample? Or give the plate another dim.",
    )


def check_density_shape(
    site: Site, log_prob: torch.Tensor, record: Mapping[str, Site] = NO_RECORD
) -> None:
    """Refuse a density whose shape contradicts the plates around the site.

    :param site: the site, for its plates.
    :param log_prob: its log density, element by element.
    :param record: the run that the site is part of, where it is known: a batch of values that a
        handler gave to another site is no mistake of this one's.
    :raises ValueError: where a plate's dimension has another size than the plate, or where elements
        would be counted more than once: ``n`` values against a column ``(n, 1)`` make ``(n, n)``.
    """
    shape = log_prob.shape
    if not shape or site_is_subsample(site):
        return
    frames = {frame.dim: frame for frame in site["cond_indep_stack"] if frame.vectorized}
    _check_dims(site, shape, frames)
    if not _has_free_dim(site, shape, frames) or site_is_deterministic(site):
        return
    if _batch_of_value(site) != shape:
        pair = _squared_dims(site, shape, frames)
        free = [dim for dim in pair or () if dim not in frames]
        if pair and not any(_comes_in_batches(site, dim, shape, record) for dim in free):
            raise _squared(site, shape, frames, *pair)


def _has_free_dim(site: Site, shape: torch.Size, frames: Frames) -> bool:
    """Tell whether a density has several elements along a dim of no plate and no enumeration."""
    enumerated = (site["infer"] or {}).get("_dim_to_id", ())
    return any(
        size != 1 and dim not in frames and dim not in enumerated
        for dim, size in enumerate(shape, -len(shape))
    )


def _check_dims(site: Site, shape: torch.Size, frames: Frames) -> None:
    """Refuse a dim that has another size than its plate, or lies right of one without a plate."""
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


def _batch_of_value(site: Site) -> torch.Size | None:
    """Return the value's shape without the event's dims; None where law or value has no shape."""
    shape, event_dim = getattr(site["value"], "shape", None), getattr(site["fn"], "event_dim", None)
    return None if shape is None or event_dim is None else shape[: len(shape) - event_dim]


def _factors(site: Site) -> dict[str, tuple[int, ...]]:
    """Return the batch shapes of all that a site's density is made of."""
    shapes = {"value": _batch_of_value(site), "law": getattr(site["fn"], "batch_shape", None)}
    weights = {key: getattr(site[key], "shape", None) for key in ("mask", "scale")}
    return {
        what: tuple(shape) for what, shape in {**shapes, **weights}.items() if shape is not None
    }


def _squared_dims(site: Site, shape: torch.Size, frames: Frames) -> tuple[int, int] | None:
    """Find two dims of one size, a free one first, of which the density is an outer product.

    A free dim belongs to no plate and is not enumerated. A plate stretches every law over its dim,
    so inside it the value alone tells: an ``n`` by ``n`` density of fewer values counts some of
    them ``n`` times. Where the law was not stretched, it may be a batch that knows both dims.
    """
    factors = _factors(site)
    if "value" not in factors or "law" not in factors:
        return None
    enumerated = (site["infer"] or {}).get("_dim_to_id", ())
    dims = [d for d in range(-len(shape), 0) if shape[d] > 1 and d not in enumerated]
    for free, other in permutations(dims, 2):
        if free in frames or shape[free] != shape[other]:
            continue
        stretched = other in frames and frames[other].size == shape[other]
        tells = [factors["value"]] if stretched else factors.values()
        if all(1 in (_size_at(batch, free), _size_at(batch, other)) for batch in tells):
            return free, other
    return None


def _size_at(shape: tuple[int, ...], dim: int) -> int:
    return shape[dim] if len(shape) >= -dim else 1


def _comes_in_batches(site: Site, free: int, shape: torch.Size, record: Mapping[str, Site]) -> bool:
    """Tell whether values given to another site of the run, say posterior draws, fill a free dim.

    Such a value has the dim while its law has not, and has all elements of the plates around it.
    """
    for node in record.values():
        if node is site or node["type"] != "sample":
            continue
        batches = _factors(node)
        value, law = batches.get("value", ()), batches.get("law", ())
        if _size_at(value, free) == shape[free] != _size_at(law, free) and all(
            frame.dim is None or _size_at(value, frame.dim) == frame.size
            for frame in node["cond_indep_stack"]
        ):
            return True
    return False


def _squared(site: Site, shape: torch.Size, frames: Frames, free: int, other: int) -> ValueError:
    factors = _factors(site)
    shapes = [f"its {what} {batch}" for what, batch in factors.items() if what != "value" and batch]
    wide = [what for what, batch in factors.items() if _size_at(batch, free) > 1]
    frame = frames.get(other)
    where = (
        f"with dim {other}"
        if frame is None
        else f"with plate {frame.name!r} (dim={frame.dim}, size={frame.size})"
    )
    return site_error(
        site["name"],
        f"value has shape {tuple(site['value'].shape)}, {', '.join(shapes)}, its log density "
        f"{tuple(shape)}: elements would be counted {shape[free]} times, along dim {free}, which "
        f"belongs to no plate around it{_describe_plates(site)}",
        f"Line up the {' and the '.join(wide)} {where}: a column (n, 1) becomes (n,) by "
        f".squeeze(-1). If dim {free} is meant, say what it is: .to_event(1) makes it part of one "
        f"event, pyro.plate(name, {shape[free]}, dim={free}) a batch.",
    )


def check_value_shape(site: Site) -> None:
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


def _describe_plates(site: Site) -> str:
    plates = [f"{f.name!r} (dim={f.dim}, size={f.size})" for f in site["cond_indep_stack"]]
    return f"; the plates are {', '.join(plates)}" if plates else ""
