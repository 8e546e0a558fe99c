"""Groups of site names for ``equalize``: read once, and reviewed for slips of the pen."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

TYPES = ("sample", "param")


class Group:
    """The names that share one value: literal names, patterns and predicates.

    :param label: what the group is called where there are several.
    :param sites: a name or regular expression, a compiled pattern, a predicate, or an iterable of
        these.
    :raises ValueError: for no sites or an invalid expression.
    :raises TypeError: for what is no site.

    >>> group = Group(None, ["x[0]", "y.+"])
    >>> [group.matches(name) for name in ("x[0]", "x0", "y", "y1")]
    [True, True, False, True]
    """

    def __init__(self, label: Any, sites: Any) -> None:
        self.label = label
        terms = [sites] if isinstance(sites, (str, re.Pattern)) or callable(sites) else sites
        if not isinstance(terms, Iterable) or isinstance(terms, (bytes, Mapping)):
            raise TypeError(_not_a_site(sites))
        self.terms: dict[Any, Callable[[str], Any]] = {t: _compile(t) for t in terms}
        if not self.terms:
            raise ValueError("equalize() was given no sites. Name at least two, or a pattern.")
        self.latest_owner: str | None = None

    def matches(self, name: str) -> bool:
        """Tell whether a name belongs to the group."""
        return any(match(name) for match in self.terms.values())

    def names(self, name: str) -> bool:
        """Tell whether a term is the name itself, not only a pattern that happens to match it."""
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


def read_groups(sites: Any) -> list[Group]:
    """Read the groups that a user names: one, or by label as many as a dict holds.

    :param sites: what :class:`Group` takes, or a dict of such.
    :raises ValueError: for an empty dict, and as :class:`Group` does.
    """
    labelled = sites if isinstance(sites, Mapping) else {None: sites}
    if not labelled:
        raise ValueError("equalize() was given no groups. Name the sites of at least one.")
    return [Group(label, listed) for label, listed in labelled.items()]


def read_types(type: Any) -> tuple[str, ...]:
    """Read the types of the sites to tie: one, or several in a tuple.

    :param type: ``"sample"``, ``"param"`` or both.
    :raises ValueError: for another type or none.
    """
    types = tuple(type) if isinstance(type, (tuple, list, set, frozenset)) else (type,)
    for kind in types:
        if kind not in TYPES:
            raise ValueError(
                f"equalize() ties sites of the types {TYPES}, not {kind!r}. If it is a site, list "
                "it with the others: equalize(model, [site, ...])."
            )
    if not types:
        raise ValueError(f"equalize() was given no type. Choose from {TYPES}.")
    return types


def group_of(name: str, groups: Iterable[Group]) -> Group | None:
    """Return the group that a name belongs to, None where it is free.

    :param name: the site's name.
    :param groups: the groups to choose from.
    :raises ValueError: where it belongs to several.
    """
    found = [group for group in groups if group.matches(name)]
    if len(found) > 1:
        labels = " and ".join(repr(group.label) for group in found)
        raise ValueError(
            f"At site {name!r}: it falls in the groups {labels} of one equalize(). "
            "Narrow the patterns so that each name belongs to one group."
        )
    return found[0] if found else None


def review_term(
    group: Group, term: Any, seen: Sequence[str], others: Mapping[str, str]
) -> str | None:
    """Say what is wrong with a term, given the names that there turned out to be.

    :param group: the group.
    :param term: one of its terms.
    :param seen: the names of all sites of the types that are tied.
    :param others: the types of all other sites, by name.
    :returns: None where nothing is.
    """
    match = group.terms[term]
    matched = [name for name in seen if match(name)]
    if not matched:
        shown = term.pattern if isinstance(term, re.Pattern) else term
        if other := next(filter(match, others), None):
            kind = others[other]
            return (
                f"{shown!r} matched no site of this type, but the {kind} {other!r}; "
                f"pass type={kind!r}"
            )
        return f"{shown!r} matched no site{near_misses(shown, seen)}"
    if isinstance(term, str) and term in matched and len(matched) > 1:
        listed = ", ".join(repr(name) for name in matched if name != term)
        return (
            f"{term!r} is a site's name and as a regular expression also matches {listed}; "
            f"write {re.escape(term)!r} to mean the site alone"
        )
    return None


def near_misses(term: Any, names: Sequence[str]) -> str:
    """Ask whether names that look like a term were meant; empty where none does.

    :param term: what was looked for.
    :param names: the names that there are.
    """
    near = get_close_matches(str(term), names, n=3)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
