"""Guides that are put together from others, each for a part of the model's sites."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pyro.infer.autoguide.base import AutoGuide
from pyro.nn.members import ReadsMembers


def _no_median(*args: Any, **kwargs: Any) -> dict[str, Tensor]:
    return {}


class AutoCallable(AutoGuide):
    """A guide written by hand, as a part of an :class:`AutoGuideList`.

    :param model: the model.
    :param guide: the guide: a callable that takes the model's arguments, samples sites and returns
        their values by name, or None.
    :param median: a callable that takes the model's arguments and returns medians by name.

    >>> import pyro, pyro.distributions as dist
    >>> def local_guide():
    ...     return {"x": pyro.sample("x", dist.Normal(0.0, 1.0))}
    >>> list(AutoCallable(local_guide, local_guide)())
    ['x']
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        median: Callable[..., Any] = _no_median,
    ) -> None:
        super().__init__(model)
        self._guide = guide
        self._median = median

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Run the guide.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        return self._guide(*args, **kwargs) or {}

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return what the guide's author says are the medians.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        return self._median(*args, **kwargs) or {}


class AutoGuideList(AutoGuide, ReadsMembers, nn.ModuleList):
    """A guide of several parts, each of which has some of the model's sites.

    All parts use the plates of the list, so that they see the same subsample.

    :param model: the model.
    :param create_plates: makes the plates to use, see
        :class:`~pyro.infer.autoguide.base.AutoGuide`.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.infer.autoguide.normal import AutoNormal
    >>> from pyro.infer.autoguide.point import AutoDelta
    >>> from pyro.poutine import block
    >>> def model():
    ...     pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("y", dist.Normal(0.0, 1.0))
    >>> guide = AutoGuideList(model)
    >>> guide.append(AutoDelta(block(model, expose=["x"])))
    >>> guide.append(AutoNormal(block(model, hide=["x"])))
    >>> list(guide())
    ['x', 'y']
    """

    def append(self, part: Any) -> None:  # type: ignore[override]
        """Add a part.

        :param part: a guide of the model with all sites blocked but those it is for, or a guide
            written by hand, as for :class:`AutoCallable`.
        :raises TypeError: where it is no guide and cannot be called.
        :raises ValueError: where it is a part of a list already.
        """
        if not isinstance(part, AutoGuide):
            if not callable(part):
                raise TypeError(f"A part of an AutoGuideList is a guide, got {part!r}.")
            part = AutoCallable(self.model, part)
        if part.master is not None:
            raise ValueError("This guide is a part of an AutoGuideList already. Make another one.")
        part._masters = (self,)
        super().append(part)

    def add(self, part: Any) -> None:
        """Do what :meth:`append` does, under its older name.

        :param part: the part.
        """
        self.append(part)

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Run every part.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the values by site name.
        """
        self._prototype(*args, **kwargs)
        self._create_plates(*args, **kwargs)
        return self._gather(lambda part: part(*args, **kwargs))

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the medians of all parts.

        :param args: the model's arguments, which a guide that has not run yet needs.
        :param kwargs: the model's keyword arguments.
        """
        return self._gather(lambda part: part.median(*args, **kwargs))

    def quantiles(self, quantiles: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the quantiles of all parts.

        :param quantiles: the levels, between 0 and 1.
        :param args: the model's arguments, which a guide that has not run yet needs.
        :param kwargs: the model's keyword arguments.
        """
        return self._gather(lambda part: part.quantiles(quantiles, *args, **kwargs))

    def _gather(self, ask: Callable[[Any], dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: value for part in self for name, value in ask(part).items()}
