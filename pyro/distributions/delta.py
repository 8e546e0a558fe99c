"""The law that is sure of its value."""

import math
from typing import Any

import torch
from torch.distributions import constraints

from pyro.distributions.checking import is_readable
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution, as_shape
from pyro.ops.shapes import expands_to

Real = torch.Tensor | float


class Delta(TorchDistribution):
    r"""Law of one sure value: :math:`\log p(x)` is ``log_density`` where ``x`` is ``v``, else -inf.

    A draw is ``v`` itself, so gradients flow into it.

    :param v: the value.
    :param log_density: the log density at ``v``, where that is known of a value drawn elsewhere; a
        number, or a tensor of the batch shape.
    :param event_dim: how many dimensions of ``v``, from the right, make one event.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where ``v`` has fewer dimensions.

    >>> Delta(torch.tensor([1.0, 2.0])).log_prob(torch.tensor([1.0, 1.0]))
    tensor([0., -inf])
    """

    has_rsample = True
    arg_constraints = {"v": constraints.dependent, "log_density": constraints.real}

    def __init__(
        self,
        v: Real,
        log_density: Real = 0.0,
        event_dim: int = 0,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(v, torch.Tensor):
            v = torch.as_tensor(v)
        cut = v.dim() - event_dim
        if cut < 0 or event_dim < 0:
            raise ValueError(
                f"Delta: 'v' has shape {tuple(v.shape)}, so event_dim lies between 0 and "
                f"{v.dim()}; it is {event_dim}."
            )
        batch_shape = v.shape[:cut]
        if isinstance(log_density, torch.Tensor) and log_density.shape != batch_shape:
            if not expands_to(log_density.shape, batch_shape):
                raise ValueError(
                    f"Delta: 'log_density' has shape {tuple(log_density.shape)}, which does not "
                    f"expand to the batch shape {tuple(batch_shape)} of 'v'."
                )
            log_density = log_density.expand(batch_shape)
        self.v = v
        self._log_density = log_density
        self._batch_shape = batch_shape
        self._event_shape = v.shape[cut:]
        self._check_parameters(validate_args)

    def _parameter_values(self) -> dict[str, Any]:
        return {"log_density": self._log_density}

    @property
    def log_density(self) -> torch.Tensor:
        """The log density at the value, of the batch shape."""
        held = self._log_density
        if not isinstance(held, torch.Tensor):
            self._log_density = held = self._at_value()
        return held

    @constraints.dependent_property
    def support(self) -> Any:
        """All real events of its shape."""
        count = len(self._event_shape)
        return constraints.independent(constraints.real, count) if count else constraints.real

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "Delta":
        """Return the law with its value repeated to another batch shape.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = batch_shape = as_shape(batch_shape)
        held["v"] = self.v.expand(batch_shape + self._event_shape)
        if isinstance(self._log_density, torch.Tensor):
            held["_log_density"] = self._log_density.expand(batch_shape)
        return new

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Return the value.

        :param sample_shape: how often to repeat it.
        """
        return self.v.expand(as_shape(sample_shape) + self.v.shape) if sample_shape else self.v

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``log_density`` where a value is the sure one, else minus infinity.

        :param x: the value.
        """
        if self._validate_args:
            self._validate_sample(x)
        v = self.v
        if x is v or (x.shape == v.shape and is_readable(x) and torch.equal(x, v)):
            return self._at_value()
        equal = x == v
        if self._event_shape:
            equal = equal.flatten(-len(self._event_shape)).all(-1)
        level = self.log_density
        return torch.where(equal, level, torch.full_like(level, -math.inf))

    def _at_value(self) -> torch.Tensor:
        held = self._log_density
        if isinstance(held, torch.Tensor):
            return held.clone()
        return torch.full(self._batch_shape, held, dtype=self._dtype, device=self.v.device)

    @property
    def _dtype(self) -> torch.dtype:
        return self.v.dtype if self.v.is_floating_point() else torch.get_default_dtype()

    @property
    def mean(self) -> torch.Tensor:
        """The value."""
        return self.v

    @property
    def variance(self) -> torch.Tensor:
        """Zero."""
        return torch.zeros_like(self.v)

    def entropy(self) -> torch.Tensor:
        """Return the expectation of minus the log density: minus ``log_density``."""
        return -self.log_density
