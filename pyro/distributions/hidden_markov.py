"""What all hidden Markov models have in common: a length, and a batch to the left of time."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.checking import belongs, parameter_error, quick_test
from pyro.distributions.torch_mixin import Shape, TorchDistribution, as_shape
from pyro.ops.shapes import broadcast_shape, expands_to


class HiddenMarkovModel(TorchDistribution):
    """Base class of the laws of series that hidden states give rise to.

    Time is the leftmost dimension of an event. Parameters have a dimension of time too, the
    rightmost of their batch dimensions. Where its size is 1 in all of them the model is the same at
    each step, and ``duration`` tells how many there are. Without it a series of any length can be
    scored and filtered, and none drawn; the event shape then has size 1 in place of the length.

    :param duration: the number of steps, None where any will do.
    :param batch_shape: the shape over which parameters are batched, without time.
    :param event_shape: the shape of a series.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where the event shape starts with another number.

    >>> HiddenMarkovModel(3, (2,), (3, 1)).duration
    3
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(
        self,
        duration: int | None,
        batch_shape: Shape,
        event_shape: Shape,
        validate_args: bool | None = None,
    ) -> None:
        if not event_shape or event_shape[0] != (duration or 1):
            raise ValueError(
                f"{type(self).__name__}: the event shape {tuple(event_shape)} must start with the "
                f"number of steps, {1 if duration is None else duration} for duration={duration}."
            )
        self._duration = duration
        super().__init__(batch_shape, event_shape, validate_args)

    @property
    def duration(self) -> int | None:
        """The number of steps; None where it is not fixed."""
        return self._duration

    def _steps(self) -> int:
        """Return the number of steps, where something is to be drawn."""
        if self._duration is None:
            raise ValueError(
                f"{self} cannot be drawn, since its length is not known. Construct it with "
                "duration=, or with parameters for each step."
            )
        return self._duration

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        :raises ValueError: where it does not broadcast.
        """
        batch_shape = as_shape(batch_shape)
        if not expands_to(self._batch_shape, batch_shape):
            raise ValueError(f"{self} does not expand to {tuple(batch_shape)}.")
        new = object.__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        new.__dict__["_batch_shape"] = batch_shape  # parameters need only broadcast to it
        return new

    def _over_batch(self, log_prob: Tensor) -> Tensor:
        """Repeat a log density over those batch dimensions that no operand had."""
        return log_prob.expand(broadcast_shape(log_prob.shape, self._batch_shape))

    def _validate_shape(self, actual: torch.Size, expected: torch.Size) -> None:
        time = -self.event_dim
        if self._duration is None and len(actual) >= self.event_dim:
            expected = expected[:time] + actual[time:][:1] + self._event_shape[1:]
        super()._validate_shape(actual, expected)

    def _check_matrices(self, **matrices: Tensor) -> None:
        """Refuse matrices that hold what is no number.

        :param matrices: them, by the names of parameters.
        """
        if self._validate_args:
            for name, matrix in matrices.items():
                if not belongs(matrix, constraints.real, quick_test(constraints.real)):
                    raise parameter_error(self, name, matrix, constraints.real)

    def __repr__(self) -> str:
        shapes = f"{tuple(self._batch_shape)}, event_shape={tuple(self._event_shape)}"
        return f"{type(self).__name__}(batch_shape={shapes}, duration={self._duration})"


def batch_and_duration(
    law: str, duration: int | None, *shapes: Shape
) -> tuple[torch.Size, int | None]:
    """Return the batch shape and the number of steps that parameters have together.

    :param law: the name of the law, for errors.
    :param duration: the number of steps as it was given.
    :param shapes: the batch shape of each parameter, with time on the right; empty for none.
    :raises ValueError: where they do not broadcast, or time has another size.
    :raises TypeError: where the number of steps is no number.

    >>> batch_and_duration("GaussianHMM", None, (2, 1), (5,))
    (torch.Size([2]), 5)
    """
    try:
        *batch, steps = broadcast_shape((1,), *shapes)
    except ValueError:
        listed = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(
            f"{law}: the batch shapes of the parameters, with time on the right, do not broadcast: "
            f"{listed}."
        ) from None
    if duration is None:
        return torch.Size(batch), steps if steps != 1 else None
    if not isinstance(duration, int) or isinstance(duration, bool):
        raise TypeError(f"{law}: duration is {duration!r}, expected a number of steps or None.")
    if duration < 1 or steps not in (1, duration):
        raise ValueError(
            f"{law}: duration is {duration}, but the parameters are for {steps} steps. Leave it "
            "out where they have a dimension of time."
        )
    return torch.Size(batch), duration


def check_linear_parts(
    law: str,
    initial_dist: Any,
    transition_matrix: Tensor,
    transition_dist: Any,
    observation_matrix: Tensor,
    observation_dist: Any,
) -> list[Shape]:
    r"""Check that the parts of a linear model fit together, :math:`z^\top F+w` and
    :math:`z^\top H+v`.

    :param law: the name of the law, for errors.
    :param initial_dist: the law of the state before the first step.
    :param transition_matrix: the matrix :math:`F`.
    :param transition_dist: the law of :math:`w`.
    :param observation_matrix: the matrix :math:`H`.
    :param observation_dist: the law of :math:`v`.
    :returns: the batch shape of each, with time on the right.
    :raises ValueError: that names a part which does not fit.
    """
    if observation_matrix.dim() < 2:
        raise ValueError(f"{law}: 'observation_matrix' is no matrix, it has too few dimensions.")
    states, seen = observation_matrix.shape[-2:]
    if transition_matrix.shape[-2:] != (states, states):
        raise ValueError(
            f"{law}: 'transition_matrix' has shape {tuple(transition_matrix.shape)}, expected "
            f"(..., {states}, {states}), since 'observation_matrix' has shape "
            f"{tuple(observation_matrix.shape)}."
        )
    parts = {
        "initial_dist": (initial_dist, states),
        "transition_dist": (transition_dist, states),
        "observation_dist": (observation_dist, seen),
    }
    for name, (part, size) in parts.items():
        check_event(law, name, part, size)
    return [
        initial_dist.batch_shape + (1,),
        transition_matrix.shape[:-2],
        transition_dist.batch_shape,
        observation_matrix.shape[:-2],
        observation_dist.batch_shape,
    ]


def check_event(law: str, name: str, part: Any, size: int) -> None:
    """Check that a part of a law is a law of vectors of some size.

    :param law: the name of the law, for errors.
    :param name: the name of the part.
    :param part: the part.
    :param size: the size.
    :raises ValueError: where it is not.
    """
    if part.event_shape != (size,):
        raise ValueError(
            f"{law}: {name!r} has event shape {tuple(part.event_shape)}, expected ({size},). "
            "Numbers become a vector by .to_event(1)."
        )
