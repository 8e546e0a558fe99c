"""``seed``: fix the random numbers of a run."""

from typing import Any

from pyro._foundation.rng import RngState, get_rng_state, set_rng_seed, set_rng_state
from pyro.poutine.messenger import Messenger


class SeedMessenger(Messenger):
    """Seed the generators on the way in and put them back on the way out.

    :param rng_seed: the seed.
    :raises TypeError: where the seed is no integer.
    :raises ValueError: where it is outside ``[0, 2**32)``, the range that every generator takes.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     return pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> bool(poutine.seed(model, rng_seed=1)() == poutine.seed(model, rng_seed=1)())
    True
    """

    def __init__(self, rng_seed: int) -> None:
        super().__init__()
        if not isinstance(rng_seed, int) or isinstance(rng_seed, bool):
            raise TypeError(f"rng_seed must be an integer, got {rng_seed!r}.")
        if not 0 <= rng_seed < 2**32:
            raise ValueError(f"rng_seed must lie in [0, 2**32), got {rng_seed}.")
        self.rng_seed = rng_seed
        self._before: list[RngState] = []

    def __enter__(self) -> "SeedMessenger":
        entered = super().__enter__()
        self._before.append(get_rng_state())
        set_rng_seed(self.rng_seed)
        return entered

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        try:
            super().__exit__(exc_type, exc_value, traceback)
        finally:
            self._restore()

    def _abandon(self) -> None:
        self._restore()

    def _restore(self) -> None:
        if self._before:
            set_rng_state(self._before.pop())
