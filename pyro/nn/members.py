"""What containers and recurrent networks of torch need in order to be Pyro modules.

They reach their members past attribute access, where a Pyro module makes them sites.
"""

from collections import OrderedDict
from collections.abc import ItemsView, Iterator, ValuesView
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from pyro.nn.parameters import forget_module


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

    def insert(self, index: int, module: nn.Module) -> Any:
        """Put a member before another one; those behind it take new names.

        :param index: where the member will stand.
        :param module: the member.
        """
        with _renaming(self):
            return super().insert(index, module)  # type: ignore[misc]

    def __delitem__(self, idx: int | slice) -> None:
        """Take members out; those behind them take new names."""
        with _renaming(self):
            super().__delitem__(idx)  # type: ignore[misc]


@contextmanager
def _renaming(container: Any) -> Iterator[None]:
    """Give the members that move within a ``with`` block the names of their new places."""
    before = dict(container._modules)
    yield
    for key, child in list(container._modules.items()):
        if child is not before.get(key):
            forget_module(child)
            setattr(container, key, child)


class ReadsItems:
    """A dictionary that hands out its members as attributes, so that plain ones become sites."""

    def __getitem__(self, key: str) -> Any:
        """Return a member."""
        if key not in vars(self)["_modules"]:
            raise KeyError(key)
        return getattr(self, key)

    def __delitem__(self, key: str) -> None:
        """Take a member out."""
        if key not in vars(self)["_modules"]:
            raise KeyError(key)
        delattr(self, key)

    def items(self: Any) -> ItemsView[str, Any]:
        """Give pairs of a name and a member."""
        return ItemsView(self)

    def values(self: Any) -> ValuesView[Any]:
        """Give the members."""
        return ValuesView(self)


class ReadsWeights:
    """A recurrent network whose second list of weights follows its attributes."""

    _flat_weights_names: list[str]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @_flat_weights.setter
    def _flat_weights(self, weights: list[Tensor]) -> None:
        pass


MIXINS: dict[type, tuple[type, ...]] = {
    nn.Sequential: (ReadsMembers,),
    nn.ModuleList: (ReadsMembers,),
    nn.ModuleDict: (ReadsItems,),
    nn.RNNBase: (ReadsWeights,),
}
