"""``block``: hide sites from the handlers further out."""

from collections.abc import Callable, Iterable
from typing import Any

from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_observed

HideFn = Callable[[Message], Any]


class _Listed:
    """The predicate that lists of names and types describe.

    What is listed as hidden is hidden. Of the rest, everything shows where only hidden things were
    listed, and only what is listed as exposed shows where anything was.
    """

    def __init__(
        self,
        hide_all: bool = True,
        expose_all: bool = False,
        hide: Iterable[str] | None = None,
        expose: Iterable[str] | None = None,
        hide_types: Iterable[str] | None = None,
        expose_types: Iterable[str] | None = None,
    ) -> None:
        listed_hidden = hide is not None or hide_types is not None
        listed_exposed = expose is not None or expose_types is not None
        self.hidden, self.hidden_types = frozenset(hide or ()), frozenset(hide_types or ())
        self.exposed, self.exposed_types = frozenset(expose or ()), frozenset(expose_types or ())
        both = (self.hidden & self.exposed) or (self.hidden_types & self.exposed_types)
        if both or (expose_all and hide_all):
            raise ValueError(
                f"block() cannot hide and expose {sorted(both) or 'everything'} at once. "
                "List each name or type once, and give hide_all=False with expose_all=True."
            )
        self.hides_rest = listed_exposed or (hide_all and not listed_hidden)

    def __call__(self, msg: Message) -> bool:
        if msg["name"] in self.hidden or self.hidden_types and _kind(msg) in self.hidden_types:
            return True
        if not self.hides_rest or msg["name"] in self.exposed:
            return False
        return not (self.exposed_types and _kind(msg) in self.exposed_types)


def _kind(msg: Message) -> str:
    return "observe" if site_is_observed(msg) else msg["type"]


_make_default_hide_fn = _Listed  # the name that libraries import


class _Complement:
    def __init__(self, predicate: HideFn) -> None:
        self.predicate = predicate

    def __call__(self, msg: Message) -> bool:
        return not self.predicate(msg)


class BlockMessenger(Messenger):
    """Hide sites from the handlers further out.

    Without options everything is hidden. Give a predicate over messages, or lists of names and
    types; where names or types to expose are listed, everything else is hidden.

    :param hide_fn: hides the sites for which it is true.
    :param expose_fn: hides the sites for which it is false.
    :param hide_all: hide what nothing else speaks about.
    :param expose_all: show what nothing else speaks about; give ``hide_all=False`` with it.
    :param hide: names to hide.
    :param expose: names to show.
    :param hide_types: message types to hide, such as ``"param"``; ``"sample"`` means the sites that
        are drawn, ``"observe"`` those whose value is given.
    :param expose_types: message types to show.
    :raises ValueError: for options that contradict each other.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     a = pyro.sample("a", dist.Normal(0.0, 1.0))
    ...     return pyro.sample("b", dist.Normal(a, 1.0))
    >>> [n for n in poutine.trace(poutine.block(model, hide=["a"])).get_trace() if n in "ab"]
    ['b']
    """

    def __init__(
        self,
        hide_fn: HideFn | None = None,
        expose_fn: HideFn | None = None,
        hide_all: bool = True,
        expose_all: bool = False,
        hide: Iterable[str] | None = None,
        expose: Iterable[str] | None = None,
        hide_types: Iterable[str] | None = None,
        expose_types: Iterable[str] | None = None,
    ) -> None:
        super().__init__()
        if hide_fn is not None and expose_fn is not None:
            raise ValueError("block() takes hide_fn or expose_fn, not both.")
        if hide_fn is not None:
            self.hide_fn: HideFn = hide_fn
        elif expose_fn is not None:
            self.hide_fn = _Complement(expose_fn)
        else:
            self.hide_fn = _make_default_hide_fn(
                hide_all, expose_all, hide, expose, hide_types, expose_types
            )

    @property
    def hides_everything(self) -> bool:
        """Whether no message passes, as without options."""
        fn = self.hide_fn
        return isinstance(fn, _Listed) and fn.hides_rest and not (fn.exposed or fn.exposed_types)

    def _process_message(self, msg: Message) -> None:
        msg["stop"] = bool(self.hide_fn(msg))

    def _hides(self, msg: Message) -> bool:
        return bool(self.hide_fn(msg))
