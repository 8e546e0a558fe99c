"""Whether a site may share the value of another: what is refused, and what is only odd.

All is seen at the level of the ``equalize`` that ties them; *owner* is the site whose value is
shared, *member* the one that takes it, a message on its way out.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from pyro._foundation.validation import is_validation_enabled
from pyro.ops.shapes import broadcast_shape
from pyro.poutine.sites import site_is_factor, site_is_subsample


class Owner(NamedTuple):
    """The site whose value a group shares, as it came to the handler; its value came back."""

    name: str
    type: str
    fn: Any
    plates: tuple[Any, ...]  # those between the site and the handler
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: Any = None
    mask: Any = None
    is_enumerated: bool = False  # whether its value varies with a site that is enumerated


def owner_of(msg: Any) -> Owner:
    """Note a message as the owner of a group, before it has its value."""
    keys = ("name", "type", "fn", "cond_indep_stack", "args", "kwargs")
    return Owner(*(msg[key] for key in keys))


def with_value(owner: Owner, msg: Any) -> Owner:
    """Note what an owner's message came back with.

    :param owner: the owner.
    :param msg: its message, on its way back.
    """
    value, event_dim = msg["value"], getattr(msg["fn"], "event_dim", 0)
    shape = getattr(value, "shape", ())
    batch = shape[: len(shape) - event_dim]
    dims = (msg["infer"] or {}).get("_dim_to_id") or ()
    is_enumerated = any(len(batch) >= -dim and batch[dim] != 1 for dim in dims)
    return owner._replace(value=value, mask=msg["mask"], is_enumerated=is_enumerated)


def hindrance(msg: Any, is_named: bool, may_own: bool) -> str | None:
    """Say why a site that belongs to a group by its name cannot join it; None where it can.

    :param msg: a sample message.
    :param is_named: whether the group names the site itself, not by a pattern.
    :param may_own: whether the value that the group shares would be the site's own.
    """
    infer = msg["infer"] or {}
    if tied_to := infer.get("_equalized"):
        can_own = may_own and is_named
        return None if can_own else f"it is tied to {tied_to!r} by another equalize()"
    if site_is_subsample(msg):
        return "it holds the indices of a plate"
    if site_is_factor(msg):
        return "it is a factor and has no value"
    if infer.get("_deterministic") and not may_own:
        return "its value is determined by other sites"
    return None


def shared_value(msg: Any, owner: Owner) -> Any:
    """Return the owner's value at the shape of a member.

    :param msg: the member.
    :param owner: the owner, with its value.
    :raises ValueError: that names both, where their types, plates or shapes do not agree.
    """
    if msg["type"] != owner.type:
        fact = f"one is a {owner.type} and the other a {msg['type']} site"
        raise _refusal(msg, owner, fact, "Make a group of each.")
    _refuse_other_plates(msg, owner)
    if owner.type == "param":
        _refuse_other_first_shape(msg, owner)
        return owner.value
    _refuse_other_law_shape(msg, owner)
    fn, value = msg["fn"], owner.value
    if not isinstance(value, torch.Tensor):
        value = _as_tensor(msg, owner, value)
    if value.shape == fn.batch_shape + fn.event_shape:
        return value
    try:
        batch = broadcast_shape(value.shape[: value.dim() - fn.event_dim], fn.batch_shape)
    except ValueError:
        raise _refusal(
            msg,
            owner,
            f"the shared value has shape {tuple(value.shape)}, which does not expand to its batch "
            f"shape {tuple(fn.batch_shape)}",
            "Give the owner a value of the shape of its own law.",
        ) from None
    return value.expand(*batch, *fn.event_shape)


def _as_tensor(msg: Any, owner: Owner, value: Any) -> torch.Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        fact = f"the shared value is a {type(value).__name__}, which is no tensor"
        remedy = "Tie sites whose values are tensors; under collapse() they are free variables."
        raise _refusal(msg, owner, fact, remedy) from error


def oddities(msg: Any, owner: Owner, value: Any) -> Iterator[str]:
    """Say in which respects owner and member differ although the value does for both.

    :param msg: the member.
    :param owner: the owner.
    :param value: what :func:`shared_value` gave for the two.
    :raises ValueError: that names both, where the value does not do for the member.
    """
    yield from _other_iterations(msg, owner)
    if owner.type == "param":
        theirs, mine = (kwargs.get("constraint") for kwargs in (owner.kwargs, msg["kwargs"]))
        yield from _other_set(msg, owner, "constraint", theirs, mine, value)
        yield from _other_dtype(msg, owner, value.dtype, _of_first_value(msg["args"], "dtype"))
    else:
        theirs, mine = _support(owner.fn), _support(msg["fn"])
        yield from _other_set(msg, owner, "support", theirs, mine, value)
        if is_validation_enabled():
            yield from _other_dtype(msg, owner, _dtype(owner.fn), _dtype(msg["fn"]))


def refuse_other_value(msg: Any, owner: Owner, shared: Any) -> None:
    """Refuse a member that was given a value which is not the shared one.

    :param msg: the member, with the value that it was given.
    :param owner: the owner.
    :param shared: the value that they share; NaN agrees with NaN.
    :raises ValueError: that names both.
    """
    value = msg["value"]
    if value is shared:
        return
    try:
        a, b = torch.broadcast_tensors(torch.as_tensor(value), shared)
        same = bool(((a == b) | ((a != a) & (b != b))).all())
    except RuntimeError:
        same = False
    if not same:
        raise _refusal(
            msg,
            owner,
            "it is observed, replayed or substituted at a value that is not the shared one",
            f"Condition the owner {owner.name!r}, or leave the site out of the group.",
        )


def _refusal(msg: Any, owner: Owner, fact: str, remedy: str) -> ValueError:
    return ValueError(f"At site {msg['name']!r}, equalized to {owner.name!r}: {fact}. {remedy}")


def _refuse_other_plates(msg: Any, owner: Owner) -> None:
    around = {frame.dim: frame for frame in msg["cond_indep_stack"]}
    for frame in owner.plates:
        if frame.dim is None:
            continue
        mine = around.get(frame.dim)
        if mine is None or mine.size != frame.size:
            raise _refusal(
                msg,
                owner,
                f"the owner has a value for each element of plate {frame.name!r} "
                f"(dim={frame.dim}, size={frame.size}), which the member lacks",
                "Put both in such a plate, or let the site outside of it run first.",
            )
        if mine.name == frame.name:
            continue
        if _is_subsampled(mine) or _is_subsampled(frame):
            raise _refusal(
                msg,
                owner,
                f"the plates {frame.name!r} and {mine.name!r} are subsampled, so that their "
                "elements do not pair up",
                "Use one plate for both sites, or run all elements.",
            )
        if owner.is_enumerated:
            raise _refusal(
                msg,
                owner,
                f"the owner is enumerated in plate {frame.name!r}, whose elements are summed over "
                f"each by itself, and the member is in plate {mine.name!r}",
                "Use one plate for both sites, or let a site outside of plates run first.",
            )


def _is_subsampled(frame: Any) -> bool:
    return getattr(frame, "full_size", None) not in (None, frame.size)


def _refuse_other_law_shape(msg: Any, owner: Owner) -> None:
    mine, theirs = msg["fn"], owner.fn
    if mine.event_shape != theirs.event_shape or not _expands(theirs.batch_shape, mine.batch_shape):
        raise _refusal(
            msg,
            owner,
            f"its law has batch shape {tuple(mine.batch_shape)} and event shape "
            f"{tuple(mine.event_shape)}, the owner's {tuple(theirs.batch_shape)} and "
            f"{tuple(theirs.event_shape)}",
            "The event shapes must be the same, and the owner's batch must broadcast to the "
            "member's: let the smaller site run first.",
        )


def _expands(shape: torch.Size, other: torch.Size) -> bool:
    # Of what a released pyro-ppl has too, so that these rooms can be put into one.
    if shape == other:
        return True
    try:
        return broadcast_shape(shape, other) == other
    except ValueError:
        return False


def _refuse_other_first_shape(msg: Any, owner: Owner) -> None:
    theirs, mine = (_of_first_value(args, "shape") for args in (owner.args, msg["args"]))
    # A subsampled plate outside has cut the value; the first values are whole.
    if mine not in (None, owner.value.shape, theirs):
        raise _refusal(
            msg,
            owner,
            f"their shapes are {tuple(owner.value.shape)} and {tuple(mine)}",
            "Give both parameters one shape.",
        )


def _of_first_value(args: tuple[Any, ...], attribute: str) -> Any:
    """The shape or dtype of a param's first value, None where that is not known yet."""
    return getattr(args[1], attribute, None) if len(args) > 1 else None


def _other_iterations(msg: Any, owner: Owner) -> Iterator[str]:
    loops = {frame.name: frame.counter for frame in msg["cond_indep_stack"] if frame.dim is None}
    for frame in owner.plates:
        is_other = loops.get(frame.name, frame.counter) != frame.counter
        if frame.dim is None and is_other and _is_subsampled(frame):
            yield (
                f"{owner.name!r} and {msg['name']!r} are tied across iterations of the "
                f"subsampled plate {frame.name!r}; which of them is drawn, and weighed, "
                "varies from run to run"
            )


def _other_set(
    msg: Any, owner: Owner, what: str, theirs: Any, mine: Any, value: Any
) -> Iterator[str]:
    if mine is None or mine is theirs or _told_apart(mine) == _told_apart(theirs):
        return
    facts = f"the {what} of {owner.name!r} is {theirs}, that of {msg['name']!r} is {mine}"
    if not bool(mine.check(value).all()):
        raise _refusal(
            msg,
            owner,
            f"{facts}, and the shared value {value.detach().flatten()[:3].tolist()} is outside",
            "Tie only sites whose values mean the same.",
        )
    yield f"{facts}; the shared value lies in both"


def _told_apart(constraint: Any) -> tuple[type, str]:
    """What tells sets apart: their kind and how they are written, without idle wrappings."""
    while getattr(constraint, "reinterpreted_batch_ndims", None) == 0:
        constraint = constraint.base_constraint
    return type(constraint), str(constraint)


def _support(fn: Any) -> Any:
    try:
        return fn.support
    except NotImplementedError:
        return None


def _other_dtype(msg: Any, owner: Owner, theirs: Any, mine: Any) -> Iterator[str]:
    if None not in (theirs, mine) and theirs != mine:
        yield (
            f"the dtype of {owner.name!r} is {theirs}, that of {msg['name']!r} is {mine}; the "
            "shared value has the former"
        )


def _dtype(fn: Any) -> Any:
    """The dtype of a law's first parameter, None where it has none of its own."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    parameter = next(iter(getattr(fn, "arg_constraints", ())), "")
    return getattr(getattr(fn, parameter, None), "dtype", None)
