"""In which order a plated factor graph is contracted.

A factor belongs to an *ordinal*, the set of plates that it is in: there is one copy of it for each
element of their product. So does a variable: to the plates that all of its factors have in common.
It is *local* to a factor of its own ordinal, and *global* to one in more plates, whose copies all
see the same value.

Plates are left from the inside out. In a set of plates that no other contains, the local variables
are summed out, one connected component of factors at a time. What is left of a component depends
on global variables only. It is multiplied over the plates that none of these is in, and so becomes
one factor further out. Each step is linear in the size of its plates. It fails where the global
variables that are left are together in all plates of the component, though each is in fewer: then
no plate can be left, and the problem can be as hard as counting.

To keep a variable of a plate, its component is split into the message to the outside, which is
multiplied over the plate, and the conditional given the outside, which stays.

**References**

- F. Obermeyer et al. (2019), *Tensor variable elimination for plated factor graphs*,
  arXiv:1902.03210.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from typing import NamedTuple

Ordinal = frozenset[str]
Structure = tuple[tuple[Ordinal, tuple[str, ...]], ...]


class IntractableError(ValueError, NotImplementedError):
    """A plated factor graph that cannot be contracted plate by plate.

    :param leaf: the plates of a component that cannot leave any of them.
    :param ordinals: the plates of each variable that keeps it there.
    """

    def __init__(self, leaf: Ordinal, ordinals: dict[str, Ordinal]) -> None:
        self.plates = leaf
        self.variables = ordinals
        where = ", ".join(f"{name!r} in {_spelled(ordinals[name])}" for name in sorted(ordinals))
        super().__init__(
            f"cannot sum exactly: a factor in {_spelled(leaf)} joins the variables {where}. Exact "
            "summation leaves plates from the inside out, which needs a plate of the factor that "
            "none of its variables is in. Write one of these plates as a sequential one, `for i in "
            "pyro.plate(...)` (the cost is exponential in its size), or move a variable out of "
            "its plate, or sample it."
        )


def _spelled(ordinal: Ordinal) -> str:
    names = [repr(name) for name in sorted(ordinal)]
    if not names:
        return "no plate"
    return f"plate {names[0]}" if len(names) == 1 else f"plates {' and '.join(names)}"


class Move(NamedTuple):
    """One component of one set of plates.

    :param terms: its factors; what comes out is numbered on from those that were given.
    :param summed: the local variables to sum out.
    :param leaf: its plates.
    :param parent: the plates that its message to the outside goes to, or None where it has none.
    :param kept: the local variables to split off, with the outside given.
    """

    terms: tuple[int, ...]
    summed: str
    leaf: Ordinal
    parent: Ordinal | None
    kept: str


def ordinals_of(structure: Structure, sum_dims: Iterable[str]) -> dict[str, Ordinal]:
    """Return the plates of each variable: those that all of its factors have in common.

    :param structure: for each ordinal the letters of its factors.
    :param sum_dims: the letters of the variables. Those that occur nowhere are left out.

    >>> ordinals_of(((frozenset("i"), ("ix",)), (frozenset("ij"), ("ijx",))), "x")
    {'x': frozenset({'i'})}
    """
    wanted = set(sum_dims)
    found: dict[str, Ordinal] = {}
    for ordinal, terms in structure:
        for letter in dict.fromkeys("".join(terms)):
            if letter in wanted:
                found[letter] = found.get(letter, ordinal) & ordinal
    return found


@lru_cache(maxsize=2**10)
def schedule(
    structure: Structure, sum_dims: frozenset[str], target_dims: frozenset[str] = frozenset()
) -> tuple[Move, ...]:
    """Find the moves that contract a plated factor graph.

    The factors are numbered as they stand in the structure. A move makes a factor, the message to
    the outside; one with ``kept`` variables then makes another, the conditional. A move whose
    parent is None ends a component, and its factor is a part of the result.

    :param structure: for each ordinal the letters of its factors.
    :param sum_dims: the letters of all variables.
    :param target_dims: those to keep.
    :raises IntractableError: where the plates cannot be left one by one.

    >>> (move,) = schedule(((frozenset("i"), ("ix",)),), frozenset("x"))
    >>> move.summed, move.parent
    ('x', None)
    """
    ordinals = ordinals_of(structure, sum_dims)
    tree: dict[Ordinal, list[int]] = {}
    dims: list[str] = []
    for ordinal, factors in structure:
        tree.setdefault(ordinal, []).extend(range(len(dims), len(dims) + len(factors)))
        dims.extend(factors)
    pinned = set(target_dims)
    moves = []
    while tree:
        leaf = max(tree, key=lambda ordinal: (len(ordinal), sorted(ordinal)))
        local = {letter for letter, ordinal in ordinals.items() if ordinal == leaf}
        for terms in components(tree.pop(leaf), dims, local):
            letters = "".join(dict.fromkeys("".join(dims[term] for term in terms)))
            outer = {x: ordinals[x] for x in letters if x in ordinals and x not in local}
            kept = "".join(x for x in letters if x in local and x in pinned)
            if kept:
                pinned.update(outer)
            parent = reduce(Ordinal.union, outer.values()) if outer else None
            if parent == leaf:
                raise IntractableError(leaf, outer)
            summed = "".join(x for x in letters if x in local and x not in pinned)
            moves.append(Move(tuple(terms), summed, leaf, parent, kept))
            if parent is not None:
                tree.setdefault(parent, []).append(len(dims))
            gone = set(summed) | set(kept) | leaf.difference(parent or ())
            dims.append("".join(x for x in letters if x not in gone))
            if kept:
                dims.append("".join(x for x in letters if x not in summed))
    return tuple(moves)


def components(terms: Sequence[int], dims: Sequence[str], local: set[str]) -> list[list[int]]:
    """Part terms into those that share no local variable.

    :param terms: some terms.
    :param dims: the letters of each of all terms.
    :param local: the local variables.

    >>> components([0, 1, 2], ["x", "xy", "z"], {"x", "y", "z"})
    [[0, 1], [2]]
    """
    holders: dict[str, list[int]] = {}
    for term in terms:
        for letter in dims[term]:
            if letter in local:
                holders.setdefault(letter, []).append(term)
    parts, seen = [], set()
    for first in terms:
        if first in seen:
            continue
        seen.add(first)
        part, pending = [], [first]
        while pending:
            term = pending.pop()
            part.append(term)
            for letter in dims[term]:
                for other in holders.pop(letter, ()):
                    if other not in seen:
                        seen.add(other)
                        pending.append(other)
        parts.append(sorted(part))
    return parts
