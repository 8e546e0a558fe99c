"""What the laws that torch offers have in common here."""

from typing import Any

import torch

from pyro.distributions.checking import CheckedDistribution
from pyro.distributions.torch_mixin import NO_SHAPE, Shape


class TorchLaw(CheckedDistribution):
    """Goes before a law of :mod:`torch.distributions`, which goes before the mixin.

    A law that leaves its construction to torch checks its parameters before or after, here.
    """

    _init_is_known = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        home = next(base for base in cls.__mro__ if "__init__" in vars(base))
        cls._init_is_known = home.__module__.startswith("pyro.distributions.")

    def _init_torch(self, validate_args: bool | None, *args: Any) -> None:
        """Construct the law as torch does, without torch's checks.

        :param validate_args: whether to check values later.
        :param args: what torch's law takes.
        """
        super().__init__(*args, validate_args=False)  # type: ignore[call-arg]
        if validate_args is None:
            del self._validate_args
        else:
            self._validate_args = validate_args

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
        if not self._init_is_known:
            raise NotImplementedError(
                f"{type(self).__name__} has an __init__ of its own, so it must define expand() too."
            )

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        return self._pass_on(super().expand(batch_shape, _instance))  # type: ignore[misc]

    def _pass_on(self, new: Any) -> Any:
        """Give a derived law what was set on this object alone."""
        held, state = self.__dict__, new.__dict__
        for name in ("_validate_args", "has_rsample"):
            if name in held:
                state[name] = held[name]
            elif name in state:
                del state[name]
        return new
