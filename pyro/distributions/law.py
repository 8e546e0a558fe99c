"""What the laws that torch offers have in common here."""

from typing import Any

import torch

from pyro.distributions.checking import CheckedDistribution
from pyro.distributions.torch_mixin import NO_SHAPE, Shape


class TorchLaw(CheckedDistribution):
    """Goes before a law of :mod:`torch.distributions`, which goes before the mixin.

    A law that leaves its construction to torch has it done unchecked, and then calls
    :meth:`_check_after_torch`.
    """

    def _check_after_torch(self, validate_args: bool | None) -> None:
        """Check the parameters here, with errors that teach.

        :param validate_args: whether to; None follows the process's switch from now on.
        """
        del self._validate_args  # torch was told False
        self._check_parameters(validate_args)

    def _extended_shape(self, sample_shape: Shape = NO_SHAPE) -> torch.Size:
        batch_shape: torch.Size = self._batch_shape  # type: ignore[attr-defined]
        if sample_shape:
            batch_shape = torch.Size(sample_shape) + batch_shape
        return batch_shape + self._event_shape  # type: ignore[attr-defined, no-any-return]

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is not None:
            return _instance
        self._require_known_init()
        return object.__new__(type(self))

    def _require_known_init(self) -> None:
        """Refuse to copy an object of a foreign subclass, which may hold more than we know of."""
        if not type(self).__init__.__module__.startswith("pyro.distributions."):
            raise NotImplementedError(
                f"{type(self).__name__} has an __init__ of its own, so it must define expand() too."
            )

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = super().expand(batch_shape, _instance)  # type: ignore[misc]
        return self._pass_on(new)

    def _pass_on(self, new: Any) -> Any:
        """Give a derived law what was set on this object alone."""
        for name in ("_validate_args", "has_rsample"):
            if name in vars(self):
                vars(new)[name] = vars(self)[name]
            else:
                vars(new).pop(name, None)
        return new
