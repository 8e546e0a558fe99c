"""State of which every thread has its own."""

import threading
from typing import Any


class PerThread(threading.local):
    """A :class:`threading.local` that an object may hold and still be pickled and deep-copied.

    A copy starts empty: what a thread is in the midst of does not travel.

    >>> import copy, pickle
    >>> state = PerThread()
    >>> state.depth = 3
    >>> hasattr(copy.deepcopy(state), "depth"), hasattr(pickle.loads(pickle.dumps(state)), "depth")
    (False, False)
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()
