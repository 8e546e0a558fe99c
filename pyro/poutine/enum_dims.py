"""Which batch dimensions left of the plates belong to which enumerated sites.

A site that is enumerated holds a dimension and an id, and so does one whose value varies along
that dimension. Outside of any Markov context the dimension is held for the rest of the run; inside,
until no later site can share a context with the holder, so that any chain needs but a handful.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple


class MarkovFrame(NamedTuple):
    """One step of a Markov context.

    ``context`` tells contexts apart and ``position`` is the step's number in its own. Each visit of
    a position is a frame of its own, counted by ``visit``, but for a context that can be replayed,
    where it is None.
    """

    context: int
    position: int
    visit: int | None


# The frames around a site: how many steps back each lies, 0 for those that the site is in. Frames
# of a replayable context that come after the site's own have negative numbers: sites there may yet
# be met by one that sees this site too.
MarkovScope = Mapping[MarkovFrame, int]


class Held(NamedTuple):
    """A dimension, the id of the site enumerated along it, and the frames that need it kept."""

    dim: int
    id: int
    frames: tuple[MarkovFrame, ...]


class EnumDims:
    """Gives enumerated sites their dimensions, and says which of them a site can depend on.

    :param first: the rightmost dimension to give, a negative number left of all plates.
    :param taken: dimensions that are never given.
    :param next_id: the id of the first site.

    >>> dims = EnumDims(first=-3)
    >>> dims.claim({}), dims.claim({})
    ((-3, 0), (-4, 1))
    """

    def __init__(self, first: int, taken: Collection[int] = (), next_id: int = 0) -> None:
        self.first = first
        self._taken = set(taken)  # for the rest of the run
        self._used = set(taken)
        self._next_id = next_id
        self._everywhere: dict[int, int] = {}
        self._by_frame: dict[MarkovFrame, dict[Held, None]] = {}
        self._replayable: dict[int, set[int]] = {}  # by dim: the contexts that may come back to it

    def resumed(self) -> "EnumDims":
        """Return what goes on after these: other sites, dimensions and ids of their own."""
        return EnumDims(self.first, self._used, self._next_id)

    def claim(self, scope: MarkovScope) -> tuple[int, int]:
        """Find a dimension and an id for a site, which holds them once :meth:`hold` was called.

        :param scope: the frames around the site.
        """
        avoided = self._taken.union(self._in_the_way(scope)) if scope else self._used
        dim = self.first
        while dim in avoided:
            dim -= 1
        self._used.add(dim)
        if not scope:
            self._taken.add(dim)
        self._next_id += 1
        return dim, self._next_id - 1

    def hold(self, dim: int, id: int, scope: MarkovScope) -> None:
        """Note that a site holds a dimension: its own, or one along which its value varies.

        :param dim: the dimension.
        :param id: the id of the site that was enumerated along it.
        :param scope: the frames around the site.
        """
        self._used.add(dim)
        self._next_id = max(self._next_id, id + 1)
        frames = tuple(frame for frame, steps_back in scope.items() if steps_back == 0)
        if self._everywhere.get(dim) == id:
            return
        if not frames:
            self._taken.add(dim)
            self._everywhere = {**self._everywhere, dim: id}  # the former is in use at other sites
            return
        passing = [frame for frame in frames if frame.visit is not None]
        # Of the frames that must all be in a scope, the one to look under is the least long-lived.
        key = max(passing, key=_visit) if passing else frames[-1]
        self._by_frame.setdefault(key, {})[Held(dim, id, frames)] = None
        if not passing:
            self._replayable.setdefault(dim, set()).update(frame.context for frame in frames)

    def visible(self, scope: MarkovScope) -> Mapping[int, int]:
        """Return the ids, by dimension, of the enumerated sites that a site may depend on.

        :param scope: the frames around the site.
        """
        if not scope:
            return self._everywhere
        seen = dict(self._everywhere)
        for frame, steps_back in scope.items():
            if steps_back >= 0:
                for dim, id_, frames in self._by_frame.get(frame, ()):
                    if len(frames) == 1 or all(scope.get(other, -1) >= 0 for other in frames):
                        seen[dim] = id_
        return seen

    def _in_the_way(self, scope: MarkovScope) -> Iterator[int]:
        """Yield the dimensions of the sites that a site may meet, at itself or at a later site."""
        active = {frame.context for frame, steps_back in scope.items() if steps_back == 0}
        for frame in scope:
            for dim, _, frames in self._by_frame.get(frame, ()):
                if len(frames) == 1 or all(_may_meet(one, scope, active) for one in frames):
                    yield dim
        for replayable, contexts in self._replayable.items():
            if not contexts <= active:
                yield replayable


def _visit(frame: MarkovFrame) -> int:
    return -1 if frame.visit is None else frame.visit


def _may_meet(frame: MarkovFrame, scope: MarkovScope, active: Collection[int]) -> bool:
    return frame in scope or frame.visit is None and frame.context not in active
