"""``equalize``: let several sites of a model share one value."""

import threading
import warnings
from typing import Any

import torch

from pyro._foundation.validation import is_validation_enabled
from pyro.distributions.delta import Delta
from pyro.poutine.equalize_fit import (
    Owner,
    hindrance,
    oddities,
    owner_of,
    refuse_other_value,
    shared_value,
    with_value,
)
from pyro.poutine.equalize_groups import (
    Group,
    group_of,
    near_misses,
    read_groups,
    read_types,
    review_term,
)
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_PARAM_STORE

# What this room imports a released pyro-ppl has too, if elsewhere: it can be put into one, with
# the two equalize rooms below it.

# What a member was before it was tied; an intervention makes it that again.
_OF_ITS_OWN = ("fn", "args", "kwargs", "is_observed", "value", "done")


class _Run(threading.local):
    """What a handler knows of the run that a thread is in the midst of."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.owners: dict[int, Owner] = {}
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
        self._types = read_types(type)
        if not isinstance(keep_dist, bool):
            raise TypeError(
                f"keep_dist must be a bool, got {keep_dist!r}. If it is a site, list it with the "
                "others: equalize(model, [site, ...])."
            )
        self._groups = read_groups(sites)
        # The group of every name seen so far, for one look-up a site.
        self._sample_groups: dict[str, Group | None] = {}
        self._param_groups: dict[str, Group | None] = {}
        self._run = _Run()
        # By the id of a message that is under way: the message, its group and owner, and the value
        # that a member was given. All threads share it, so that most sites need only see it empty.
        self._under_way: dict[int, tuple[Any, Group, Owner, Any]] = {}
        self._reviewed = 0
        self._warned: set[Any] = set()

    def __getstate__(self) -> dict[str, Any]:
        sites = {group.label: list(group.terms) for group in self._groups}  # as they were read
        return {"sites": sites, "type": self.type, "keep_dist": self.keep_dist}

    def __setstate__(self, state: dict[str, Any]) -> None:
        EqualizeMessenger.__init__(self, **state)

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        try:
            super().__exit__(exc_type, exc_value, traceback)
            if exc_type is None and is_validation_enabled():
                self._review_groups()
        finally:
            self._abandon()

    def _abandon(self) -> None:
        if self._run.owners or self._run.under_way:
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

    def _group_of(self, msg: Any) -> Group | None:
        return group_of(msg["name"], self._groups) if msg["type"] in self._types else None

    def _may_tie(self, msg: Any, group: Group) -> bool:
        """Leave out what no pattern means: plates, factors, and what has a value already."""
        name, owner = msg["name"], self._run.owners.get(id(group))
        if owner is not None and owner.name == (msg["infer"] or {}).get("_equalized"):
            self._run.tied.add(id(group))  # by a handler inside
            return False
        is_named = group.names(name)
        reason = hindrance(msg, is_named, owner is None or owner.name == name)
        if reason is None:
            return True
        if is_partly_observed := f"{name}_unobserved" in self._sample_groups:
            reason = "it is partly observed with obs_mask"
        if is_named or is_partly_observed:
            raise ValueError(
                f"At site {name!r}: {reason}, so it cannot be equalized"
                + (f" to {owner.name!r}." if owner else ".")
                + " Name the sites that the model draws."
            )
        return False

    def _meet(self, msg: Any, group: Group) -> None:
        owner = self._run.owners.get(id(group))
        shared = None
        if owner is None or owner.name == msg["name"]:
            owner = owner_of(msg)
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
            if (msg["infer"] or {}).get("_equalized"):  # else an intervention has cut it out
                refuse_other_value(msg, owner, shared)
                msg["value"] = shared
            return
        self._run.owners[id(group)] = with_value(owner, msg)
        if group.latest_owner not in (None, owner.name):
            self._warn(
                f"the owner of the group was {group.latest_owner!r} in an earlier run and is now "
                f"{owner.name!r}; a guide or samples of the one do not fit the other",
                ("owner", id(group)),
            )
        group.latest_owner = owner.name

    def _tie(self, msg: Any, owner: Owner) -> Any:
        """Give a member its owner's value, and return that."""
        value = shared_value(msg, owner)
        for oddity in oddities(msg, owner, value):
            self._warn(oddity)
        if msg["type"] == "sample":
            self._observe(msg, owner, value)
        elif is_validation_enabled() and msg["name"] in _PYRO_PARAM_STORE:
            self._warn(
                f"{msg['name']!r} has a value of its own in the param store, which is not used "
                f"while it is tied to {owner.name!r}; delete it there if it is not wanted"
            )
        msg["value"] = value
        msg["infer"] = {**(msg["infer"] or {}), "_equalized": owner.name}
        msg["done"] = True
        return value

    def _observe(self, msg: Any, owner: Owner, value: Any) -> None:
        """Make evidence of a member, or without ``keep_dist`` a mere copy."""
        is_computed = (msg["infer"] or {}).get("_reparameterized") == "drawn"
        if msg["is_observed"] and not is_computed:
            refuse_other_value(msg, owner, value)
        msg["untied"] = {key: msg[key] for key in _OF_ITS_OWN}
        msg["is_observed"] = True
        if self.keep_dist:
            return
        if owner.mask is not None and not torch.as_tensor(owner.mask).all():
            self._warn(
                f"{owner.name!r} is masked, so that no prior is left for the value that it "
                f"shares with {msg['name']!r}; tie the sites with keep_dist=True, or unmask it"
            )
        event_dim = msg["fn"].event_dim
        msg["fn"] = Delta(value, event_dim=event_dim, validate_args=False).mask(False)
        msg["args"], msg["kwargs"] = (), {}
        msg["infer"] = {**(msg["infer"] or {}), "_deterministic": True}

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
            complaints = [review_term(group, term, seen, others) for term in group.terms]
            for term, complaint in zip(group.terms, complaints, strict=True):
                if complaint is not None:
                    self._warn(complaint, (id(group), term))
            owner = self._run.owners.get(id(group))
            if not any(complaints) and owner is not None and id(group) not in self._run.tied:
                self._warn(
                    f"only {owner.name!r} matched {list(group.terms)}, so nothing is tied"
                    + near_misses(owner.name, [name for name in seen if name != owner.name]),
                    id(group),
                )
