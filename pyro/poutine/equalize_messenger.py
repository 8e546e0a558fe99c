"""``equalize``: let several sites of a model share one value."""

import re
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch

from pyro._foundation.validation import is_validation_enabled
from pyro.distributions.delta import Delta
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_PARAM_STORE
from pyro.poutine.sites import site_is_factor, site_is_subsample

# What this room imports a released pyro-ppl has too, if elsewhere: it can be put into one.

_TYPES = ("sample", "param")


class _Group:
    """The names that share one value: literal names, patterns and predicates."""

    def __init__(self, label: Any, spec: Any) -> None:
        self.label = label
        terms = [spec] if isinstance(spec, (str, re.Pattern)) or callable(spec) else spec
        if not isinstance(terms, Iterable) or isinstance(terms, (bytes, Mapping)):
            raise TypeError(_not_a_site(spec))
        self.terms: dict[Any, Callable[[str], Any]] = {t: _compile(t) for t in terms}
        if not self.terms:
            raise ValueError("equalize() was given no sites. Name at least two, or a pattern.")
        self.latest_owner: str | None = None

    def matches(self, name: str) -> bool:
        return any(match(name) for match in self.terms.values())

    def names(self, name: str) -> bool:
        """Whether a term is the name itself rather than a pattern that it happens to match."""
        return name in self.terms


def _not_a_site(term: Any) -> str:
    return (
        f"equalize() got {term!r} where it takes a site's name, a regular expression, a predicate "
        "over names, an iterable of these, or a dict of groups. Write ['a', 'b'] or 'a|b'."
    )


def _compile(term: Any) -> Callable[[str], Any]:
    if isinstance(term, str):
        try:
            fullmatch = re.compile(term).fullmatch
        except re.error as error:
            raise ValueError(
                f"equalize() cannot read {term!r} as a regular expression: {error}. "
                f"For the site of that very name write {re.escape(term)!r}."
            ) from error
        return lambda name: name == term or fullmatch(name) is not None
    if isinstance(term, re.Pattern):
        if not isinstance(term.pattern, str):
            raise TypeError(_not_a_site(term))
        return term.fullmatch
    if callable(term):
        predicate: Callable[[str], Any] = term
        return predicate
    raise TypeError(_not_a_site(term))


class _Owner(NamedTuple):
    """The site whose value a group shares, as it came to this handler; its value came back."""

    name: str
    type: str
    fn: Any
    plates: tuple[Any, ...]  # those between the site and this handler
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: Any = None
    mask: Any = None


class _Run(threading.local):
    """What a handler knows of the run that a thread is in the midst of."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.owners: dict[int, _Owner] = {}
        self.tied: set[int] = set()
        self.under_way: list[int] = []  # messages between their way out and their way back


class EqualizeMessenger(Messenger):
    r"""Make several sites of a model share one value.

    The first site of a group that runs is its *owner*: it is drawn, conditioned, replayed or read
    from the param store as if nothing were there. Every later one is a *member* and takes the
    owner's value, expanded to its own batch shape. With owner :math:`x` and member :math:`y` of
    prior :math:`p_y` the joint density is

    .. math::

        p(x) \cdot p(\text{all else} \mid x, y = x) \quad\text{or}\quad
        p(x) \, p_y(x) \cdot p(\text{all else} \mid x, y = x)

    without and with ``keep_dist``. Without, the member is a copy and its own prior goes: share a
    parameter. With it the member is evidence, :math:`y` observed at :math:`x`: condition on two
    quantities being equal, up to the normalising constant. They are equal *in the parametrisation
    as written*: two LogNormal(0, 1) so tied give :math:`\log x \sim N(-1/2, 1/2)`, where tying the
    logarithms of the same two gives :math:`N(0, 1/2)`.

    :param sites: which sites form the group: a name or a regular expression that matches the whole
        name (a string is tried as both), a compiled pattern, a predicate over names, or an
        iterable of these. A dict of such makes several groups, which stay apart.
    :param type: ``"sample"``, ``"param"``, or both in a tuple; a group holds one of the two.
    :param keep_dist: count the density of the members at the shared value.
    :raises ValueError: at construction for no sites, an invalid expression or an unknown type; in a
        run, naming both sites, where their shapes, supports, constraints or plates do not agree,
        or where a member is observed at a value that is not the shared one.
    :raises TypeError: for what is no site, or a ``keep_dist`` that is no bool.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def per_category(category):
    ...     mean = pyro.sample(f"{category}_mean", dist.Normal(0.0, 1.0))
    ...     std = pyro.sample(f"{category}_std", dist.LogNormal(0.0, 1.0))
    ...     with pyro.plate(f"{category}_num_samples", 5):
    ...         return pyro.sample(f"{category}_values", dist.Normal(mean, std))
    >>> def model():
    ...     return {category: per_category(category) for category in ["dogs", "cats"]}
    >>> equal_std = poutine.equalize(model, ["dogs_std", "cats_std"])
    >>> trace = poutine.trace(equal_std).get_trace()
    >>> bool(trace.nodes["dogs_std"]["value"] == trace.nodes["cats_std"]["value"])
    True
    >>> [name for name, site in trace.iter_stochastic_nodes() if name.endswith("std")]
    ['dogs_std']
    """

    def __init__(self, sites: Any, type: Any = "sample", keep_dist: bool = False) -> None:
        super().__init__()
        self.sites = sites
        self.type = type
        self.keep_dist = keep_dist
        types = _checked_types(type)
        if not isinstance(keep_dist, bool):
            raise TypeError(
                f"keep_dist must be a bool, got {keep_dist!r}. If it is a site, list it with the "
                "others: equalize(model, [site, ...])."
            )
        specs = sites if isinstance(sites, Mapping) else {None: sites}
        if not specs:
            raise ValueError("equalize() was given no groups. Name the sites of at least one.")
        self._groups = [_Group(label, spec) for label, spec in specs.items()]
        self._types = types
        # The group of every name seen so far, for one look-up a site.
        self._sample_groups: dict[str, _Group | None] = {}
        self._param_groups: dict[str, _Group | None] = {}
        self._run = _Run()
        # By the id of a message that is under way: the message, its group and owner, and the value
        # that a member was given. All threads share it, so that most sites need only see it empty.
        self._under_way: dict[int, tuple[Any, _Group, _Owner, Any]] = {}
        self._reviewed = 0
        self._warned: set[Any] = set()

    def __getstate__(self) -> dict[str, Any]:
        sites = {group.label: list(group.terms) for group in self._groups}  # as they were read
        return {"sites": sites, "type": self.type, "keep_dist": self.keep_dist}

    def __setstate__(self, state: dict[str, Any]) -> None:
        EqualizeMessenger.__init__(self, **state)

    def __enter__(self) -> "EqualizeMessenger":
        entered: EqualizeMessenger = super().__enter__()
        self._reset()
        return entered

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        if exc_type is None and is_validation_enabled():
            self._review_groups()
        self._reset()

    def _reset(self) -> None:
        for message in self._run.under_way:
            del self._under_way[message]
        self._run.begin()

    def _pyro_sample(self, msg: Any) -> None:
        try:
            group = self._sample_groups[msg["name"]]
        except KeyError:
            group = self._sample_groups[msg["name"]] = self._group_of(msg)
        if group is not None and self._may_tie(msg, group):
            self._meet(msg, group)

    def _pyro_param(self, msg: Any) -> None:
        try:
            group = self._param_groups[msg["name"]]
        except KeyError:
            group = self._param_groups[msg["name"]] = self._group_of(msg)
        if group is not None:
            self._meet(msg, group)

    def _pyro_post_sample(self, msg: Any) -> None:
        if self._under_way:
            self._part(msg)

    def _pyro_post_param(self, msg: Any) -> None:
        if self._under_way:
            self._part(msg)

    def _group_of(self, msg: Any) -> _Group | None:
        name = msg["name"]
        found = [g for g in self._groups if g.matches(name)] if msg["type"] in self._types else []
        if len(found) > 1:
            labels = " and ".join(repr(group.label) for group in found)
            raise ValueError(
                f"At site {name!r}: it falls in the groups {labels} of one equalize(). "
                "Narrow the patterns so that each name belongs to one group."
            )
        return found[0] if found else None

    def _may_tie(self, msg: Any, group: _Group) -> bool:
        """Leave out what no pattern means: plates, factors, and what has a value already."""
        owner = self._run.owners.get(id(group))
        may_own = owner is None or owner.name == msg["name"]
        is_partly_observed = False
        infer = msg["infer"] or {}
        if infer.get("_equalized"):
            reason = f"it is tied to {infer['_equalized']!r} by another equalize()"
            if may_own and group.names(msg["name"]):
                return True
            if owner is not None and owner.name == infer["_equalized"]:
                self._run.tied.add(id(group))
                return False
        elif site_is_subsample(msg):
            reason = "it holds the indices of a plate"
        elif site_is_factor(msg):
            reason = "it is a factor and has no value"
        elif infer.get("_deterministic") and not may_own:
            reason = "its value is determined by other sites"
            if is_partly_observed := f"{msg['name']}_unobserved" in self._sample_groups:
                reason = "it is partly observed with obs_mask"
        else:
            return True
        if group.names(msg["name"]) or is_partly_observed:
            raise ValueError(
                f"At site {msg['name']!r}: {reason}, so it cannot be equalized"
                + (f" to {owner.name!r}." if owner else ".")
                + " Name the sites that the model draws."
            )
        return False

    def _meet(self, msg: Any, group: _Group) -> None:
        owner = self._run.owners.get(id(group))
        shared = None
        if owner is None or owner.name == msg["name"]:
            owner = _Owner(*(msg[key] for key in _FACTS))
        else:
            shared = self._tie(msg, owner)
            self._run.tied.add(id(group))
        self._run.under_way.append(id(msg))
        self._under_way[id(msg)] = (msg, group, owner, shared)

    def _part(self, msg: Any) -> None:
        if id(msg) not in self._under_way:
            return
        self._run.under_way.remove(id(msg))
        _, group, owner, shared = self._under_way.pop(id(msg))
        if shared is not None:
            _refuse_other_value(msg, owner, shared)
            msg["value"] = shared
            return
        self._run.owners[id(group)] = owner._replace(value=msg["value"], mask=msg["mask"])
        if group.latest_owner not in (None, owner.name):
            self._warn(
                f"the owner of the group was {group.latest_owner!r} in an earlier run and is now "
                f"{owner.name!r}; a guide or samples of the one do not fit the other",
                ("owner", id(group)),
            )
        group.latest_owner = owner.name

    def _tie(self, msg: Any, owner: _Owner) -> Any:
        """Give a member its owner's value, and return that."""
        if msg["type"] != owner.type:
            raise _refusal(
                msg, owner, f"one is a {owner.type} and the other a {msg['type']} site", "Split it."
            )
        self._check_plates(msg, owner)
        tie = self._tie_sample if msg["type"] == "sample" else self._tie_param
        value = tie(msg, owner)
        msg["infer"] = {**(msg["infer"] or {}), "_equalized": owner.name}
        msg["done"] = True
        return value

    def _tie_sample(self, msg: Any, owner: _Owner) -> Any:
        fn = msg["fn"]
        _refuse_other_shape(msg, owner)
        batch = owner.value.shape[: owner.value.dim() - fn.event_dim]
        value = owner.value.expand(torch.broadcast_shapes(batch, fn.batch_shape) + fn.event_shape)
        self._check_admits(msg, owner, "support", _support(owner.fn), _support(fn), value)
        self._compare_dtypes(msg, owner, _dtype(fn), _dtype(owner.fn))
        if msg["is_observed"]:
            _refuse_other_value(msg, owner, value)
        msg["value"] = value
        msg["is_observed"] = True
        if not self.keep_dist:
            if owner.mask is not None and not torch.as_tensor(owner.mask).all():
                self._warn(
                    f"{owner.name!r} is masked, so that no prior is left for the value that it "
                    f"shares with {msg['name']!r}; tie the sites with keep_dist=True, or unmask it"
                )
            msg["fn"] = Delta(value, event_dim=fn.event_dim, validate_args=False).mask(False)
            msg["args"], msg["kwargs"] = (), {}
            msg["infer"] = {**(msg["infer"] or {}), "_deterministic": True}
        return value

    def _tie_param(self, msg: Any, owner: _Owner) -> Any:
        value = owner.value
        shapes = [_of_first_value(args, "shape") for args in (owner.args, msg["args"])]
        # A subsampled plate outside has cut the value; the first values are whole.
        if shapes[1] not in (None, value.shape, shapes[0]):
            raise _refusal(
                msg,
                owner,
                f"their shapes are {tuple(value.shape)} and {tuple(shapes[1])}",
                "Give both parameters one shape.",
            )
        theirs, mine = (kwargs.get("constraint") for kwargs in (owner.kwargs, msg["kwargs"]))
        self._check_admits(msg, owner, "constraint", theirs, mine, value)
        self._compare_dtypes(msg, owner, _of_first_value(msg["args"], "dtype"), value.dtype)
        if is_validation_enabled() and msg["name"] in _PYRO_PARAM_STORE:
            self._warn(
                f"{msg['name']!r} has a value of its own in the param store, which is not used "
                f"while it is tied to {owner.name!r}; delete it there if it is not wanted"
            )
        msg["value"] = value
        return value

    def _check_plates(self, msg: Any, owner: _Owner) -> None:
        around = {frame.dim: frame for frame in msg["cond_indep_stack"]}
        loops = {frame.name: frame for frame in msg["cond_indep_stack"] if frame.dim is None}
        for frame in owner.plates:
            if frame.dim is None:
                loop = loops.get(frame.name)
                if loop is not None and loop.counter != frame.counter and _is_subsampled(frame):
                    self._warn(
                        f"{owner.name!r} and {msg['name']!r} are tied across iterations of the "
                        f"subsampled plate {frame.name!r}; which of them is drawn, and weighed, "
                        "varies from run to run"
                    )
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
            if mine.name != frame.name and (_is_subsampled(mine) or _is_subsampled(frame)):
                raise _refusal(
                    msg,
                    owner,
                    f"the plates {frame.name!r} and {mine.name!r} are subsampled, so that their "
                    "elements do not pair up",
                    "Use one plate for both sites, or run all elements.",
                )

    def _check_admits(
        self, msg: Any, owner: _Owner, what: str, theirs: Any, mine: Any, value: Any
    ) -> None:
        if (
            mine is None
            or mine is theirs
            or str(mine) == str(theirs)
            and type(mine) is type(theirs)
        ):
            return
        facts = f"the {what} of {owner.name!r} is {theirs}, that of {msg['name']!r} is {mine}"
        if not bool(mine.check(value).all()):
            raise _refusal(
                msg,
                owner,
                f"{facts}, and the shared value {value.detach().flatten()[:3].tolist()} is outside",
                "Tie only sites whose values mean the same.",
            )
        self._warn(f"{facts}; the shared value lies in both")

    def _compare_dtypes(self, msg: Any, owner: _Owner, mine: Any, theirs: Any) -> None:
        if mine not in (None, theirs) and theirs is not None:
            self._warn(
                f"the dtype of {owner.name!r} is {theirs}, that of {msg['name']!r} is {mine}; the "
                "shared value has the former"
            )

    def _warn(self, message: str, cause: Any = None) -> None:
        cause = message if cause is None else cause
        if is_validation_enabled() and cause not in self._warned:
            self._warned.add(cause)
            warnings.warn(f"In equalize(): {message}.", stacklevel=2)

    def _review_groups(self) -> None:
        """Warn about terms that matched nothing, or more than was meant, and groups of one."""
        known = len(self._sample_groups) + len(self._param_groups)
        if known == self._reviewed:
            return
        self._reviewed = known
        names = {"sample": list(self._sample_groups), "param": list(self._param_groups)}
        seen = [name for kind in self._types for name in names.pop(kind, ())]
        others = {name: kind for kind in names for name in names[kind]}
        for group in self._groups:
            reviews = [self._review_term(group, term, seen, others) for term in group.terms]
            owner = self._run.owners.get(id(group))
            if all(reviews) and owner is not None and id(group) not in self._run.tied:
                self._warn(
                    f"only {owner.name!r} matched {list(group.terms)}, so nothing is tied"
                    + _near_misses(owner.name, [name for name in seen if name != owner.name]),
                    ("alone", id(group)),
                )

    def _review_term(
        self, group: _Group, term: Any, seen: list[str], others: dict[str, str]
    ) -> bool:
        """Tell whether a term matched a site of a type that is tied; warn where it is not right."""
        match = group.terms[term]
        matched = [name for name in seen if match(name)]
        if not matched:
            shown = term.pattern if isinstance(term, re.Pattern) else term
            hint = _near_misses(shown, seen)
            if other := next(filter(match, others), None):
                kind = others[other]
                hint = f" of this type, but the {kind} {other!r}; pass type={kind!r}"
            self._warn(f"{shown!r} matched no site{hint}", ("unmatched", id(group), term))
        elif isinstance(term, str) and term in matched and len(matched) > 1:
            listed = ", ".join(repr(name) for name in matched if name != term)
            self._warn(
                f"{term!r} is a site's name and as a regular expression also matches "
                f"{listed}; write {re.escape(term)!r} to mean the site alone",
                ("ambiguous", id(group), term),
            )
        return bool(matched)


_FACTS = ("name", "type", "fn", "cond_indep_stack", "args", "kwargs")


def _checked_types(type: Any) -> tuple[str, ...]:
    types = tuple(type) if isinstance(type, (tuple, list, set, frozenset)) else (type,)
    for kind in types:
        if kind not in _TYPES:
            raise ValueError(
                f"equalize() ties sites of the types {_TYPES}, not {kind!r}. If it is a site, list "
                "it with the others: equalize(model, [site, ...])."
            )
    if not types:
        raise ValueError(f"equalize() was given no type. Choose from {_TYPES}.")
    return types


def _refusal(msg: Any, owner: _Owner, fact: str, remedy: str) -> ValueError:
    return ValueError(f"At site {msg['name']!r}, equalized to {owner.name!r}: {fact}. {remedy}")


def _refuse_other_shape(msg: Any, owner: _Owner) -> None:
    mine, theirs = msg["fn"], owner.fn
    try:
        fits = torch.broadcast_shapes(mine.batch_shape, theirs.batch_shape) == mine.batch_shape
    except RuntimeError:
        fits = False
    if mine.event_shape != theirs.event_shape or not fits:
        raise _refusal(
            msg,
            owner,
            f"its law has batch shape {tuple(mine.batch_shape)} and event shape "
            f"{tuple(mine.event_shape)}, the owner's {tuple(theirs.batch_shape)} and "
            f"{tuple(theirs.event_shape)}",
            "The event shapes must be the same, and the owner's batch must broadcast to the "
            "member's: let the smaller site run first.",
        )


def _refuse_other_value(msg: Any, owner: _Owner, shared: Any) -> None:
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


def _of_first_value(args: tuple[Any, ...], attribute: str) -> Any:
    """The shape or dtype of a param's first value, None where that is not known yet."""
    return getattr(args[1], attribute, None) if len(args) > 1 else None


def _dtype(fn: Any) -> Any:
    """The dtype of a law's first parameter, None where it has none of its own."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    parameter = next(iter(getattr(fn, "arg_constraints", ())), "")
    return getattr(getattr(fn, parameter, None), "dtype", None)


def _support(fn: Any) -> Any:
    try:
        return fn.support
    except NotImplementedError:
        return None


def _is_subsampled(frame: Any) -> bool:
    return getattr(frame, "full_size", None) not in (None, frame.size)


def _near_misses(term: Any, names: list[str]) -> str:
    near = get_close_matches(str(term), names, n=3)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
