"""What containers and recurrent networks of torch need in order to be Pyro modules.

They reach their members past attribute access, where a Pyro module makes them sites.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


class ReadsMembers:
    """A container that hands out its members as attributes, so that plain ones become sites."""

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, key) for key in vars(self)["_modules"])

    def __getitem__(self, idx: int | slice) -> Any:
        """Return a member, or for a slice a plain container of them.

        In a plain container the members keep their names and take part in the same calls.
        """
        if not isinstance(idx, slice):
            return getattr(self, list(vars(self)["_modules"])[idx])
        members = OrderedDict(
            (key, getattr(self, key)) for key in list(vars(self)["_modules"])[idx]
        )
        if isinstance(self, nn.ModuleList):
            return nn.ModuleList(members.values())
        return nn.Sequential(members)


class ReadsWeights:
    """A recurrent network whose second list of weights follows its attributes."""

    _flat_weights_names: list[str]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @_flat_weights.setter
    def _flat_weights(self, weights: list[Tensor]) -> None:
        pass


MIXINS: tuple[tuple[type, type], ...] = (
    (nn.Sequential, ReadsMembers),
    (nn.ModuleList, ReadsMembers),
    (nn.RNNBase, ReadsWeights),
)
