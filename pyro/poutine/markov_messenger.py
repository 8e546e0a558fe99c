"""``markov``: say which earlier steps a step can depend on."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pyro._foundation.threads import PerThread
from pyro.poutine.enum_dims import MarkovFrame
from pyro.poutine.reentrant_messenger import ReentrantMessenger
from pyro.poutine.runtime import Message

Self = TypeVar("Self", bound="MarkovMessenger")
_contexts = itertools.count()
_visits = itertools.count()


class _Walk(PerThread):
    """Where a thread is in a context: its position, -1 outside, and the frames up to there."""

    def __init__(self) -> None:
        self.context = next(_contexts)
        self.position = -1
        self.frames: list[MarkovFrame] = []
        self.scope: dict[MarkovFrame, int] = {}


class MarkovMessenger(ReentrantMessenger):
    """Declare that a step depends on few of those before it, so that the others can be forgotten.

    Each time the context is entered within itself, or an iteration begins, is a step. A step sees
    the ``history`` steps before it: sites inside may depend on sites there and on what is outside
    of the context, and on no others. Enumeration then re-uses dimensions, and sums out a chain of
    any length with the few that are visible at once. As an iterator it takes what to iterate over,
    ``for t in pyro.markov(range(10))``; as a decorator each recursive call is a step.

    :param history: how many earlier steps a step sees; 0 makes the steps independent.
    :param keep: whether a step that is come back to is the same one: siblings in a recursion see
        each other then, and an axis that is iterated over again sees its former values. Without,
        siblings are independent given what they share.
    :param dim: for steps along a batch dimension; there is no such thing yet.
    :param name: the name of such a dimension.
    :raises ValueError: where the history is no whole number from 0 on.
    :raises NotImplementedError: for a dim or a name.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model(probs=torch.tensor([[0.9, 0.1], [0.2, 0.8]])):
    ...     x = 0
    ...     for t in pyro.markov(range(100)):
    ...         law = dist.Categorical(probs[x])
    ...         x = pyro.sample(f"x_{t}", law, infer={"enumerate": "parallel"})
    >>> trace = poutine.trace(poutine.enum(model, first_available_dim=-1)).get_trace()
    >>> trace.nodes["x_98"]["value"].shape, trace.nodes["x_99"]["value"].shape
    (torch.Size([2]), torch.Size([2, 1]))

    Source: Obermeyer et al. 2019, *Tensor Variable Elimination for Plated Factor Graphs*,
    arXiv:1902.03210.
    """

    def __init__(
        self,
        history: int = 1,
        keep: bool = False,
        dim: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(history, int) or isinstance(history, bool) or history < 0:
            raise ValueError(
                f"history must be a whole number of steps, 0 or more, got {history!r}."
            )
        for option, value in (("dim", dim), ("name", name)):
            if value is not None:
                raise NotImplementedError(
                    f"markov() takes one step after the other, but {option}={value!r} asks for "
                    f"steps along a batch dimension. Leave {option} out."
                )
        self.history = history
        self.keep = keep
        self.dim = dim
        self.name = name
        self._iterable: Iterable[Any] | None = None
        self._walk = _Walk()

    def generator(self: Self, iterable: Iterable[Any]) -> Self:
        """Take something to iterate over, each item of it one step.

        :param iterable: what to iterate over, as often as it allows itself.
        """
        self._iterable = iterable
        return self

    def __iter__(self) -> Iterator[Any]:
        """Iterate over what :meth:`generator` was given.

        :raises TypeError: where it was given nothing.
        """
        if self._iterable is None:
            raise TypeError("markov() has nothing to iterate over. Write pyro.markov(range(10)).")
        walk = self._walk
        before = walk.position
        try:
            with self:
                for item in self._iterable:
                    yield item
                    self._step_to(walk.position + 1)
        finally:
            self._step_to(before)

    def __enter__(self: Self) -> Self:
        """Go on to the next step."""
        entered = super().__enter__()
        self._step_to(self._walk.position + 1)
        return entered

    def __exit__(self, *args: Any, **kwargs: Any) -> None:
        """Go back to the step that was interrupted."""
        super().__exit__(*args, **kwargs)
        self._step_to(self._walk.position - 1)

    def _step_to(self, position: int) -> None:
        walk, frames = self._walk, self._walk.frames
        ahead = self.history if self.keep else 0
        if not self.keep:
            del frames[position + (position <= walk.position) :]
        if position == len(frames):
            visit = None if self.keep else next(_visits)
            frames.append(MarkovFrame(walk.context, position, visit))
        walk.position = position
        first = max(0, position - self.history)
        walk.scope = {
            frame: position - frame.position for frame in frames[first : position + ahead + 1]
        }

    def _pyro_sample(self, msg: Message) -> None:
        infer = msg["infer"] or {}
        inside = infer.get("_markov_scope")
        scope = self._walk.scope if inside is None else {**inside, **self._walk.scope}
        msg["infer"] = {**infer, "_markov_scope": scope}
