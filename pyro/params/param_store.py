"""The store of learnable parameters, shared by all threads of a process."""

import os
import re
import threading
from collections.abc import ItemsView, Iterator, KeysView
from contextlib import contextmanager

import torch
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from pyro._foundation.errors import site_error
from pyro.params.names import (
    module_from_param_with_module_name,
    normalize_param_name,
    param_with_module_name,
    user_param_name,
)
from pyro.params.slot import InitialValue, Slot, slot_around, slot_from_value
from pyro.params.state import StateDict, load_slots, save_state, slots_of_state, state_of_slots
from pyro.params.state_file import MapLocation
from pyro.params.table import Table, Tables

__all__ = [
    "ParamStoreDict",
    "StateDict",
    "module_from_param_with_module_name",
    "normalize_param_name",
    "param_with_module_name",
    "user_param_name",
]


class ParamStoreDict:
    r"""A dictionary from names to learnable parameters.

    A parameter :math:`x` that lives on a constrained set is kept as an unconstrained leaf
    :math:`u`, on which optimisers work, and read as :math:`x = T(u)`, where :math:`T` is
    :func:`torch.distributions.transform_to` of its constraint. The value read has an attribute
    ``unconstrained``, which gives :math:`u` when called. Where there is no constraint, the value
    is the leaf.

    There is one store to a process, ``pyro.get_param_store()``. Reading takes no lock. Threads
    that create one name at once get one tensor, and what iterates goes over the parameters as they
    were when it began. Within ``with store.lock:`` no other thread changes the store.

    >>> store = ParamStoreDict()
    >>> scale = store.get_param("scale", torch.tensor(2.0), constraints.positive)
    >>> scale.unconstrained()
    tensor(0.6931, requires_grad=True)
    >>> store["scale"] = torch.tensor(3.0)
    >>> {name: round(value.item(), 4) for name, value in store.items()}
    {'scale': 3.0}
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._tables = Tables()

    @property
    def _table(self) -> Table:
        return self._tables.current()

    @property
    def _slots(self) -> dict[str, Slot]:
        return self._table.slots

    # The names of these two are relied on by other libraries.
    @property
    def _params(self) -> dict[str, torch.Tensor]:
        return self.get_state()["params"]

    @property
    def _constraints(self) -> dict[str, Constraint]:
        return self.get_state()["constraints"]

    def get_param(
        self,
        name: str,
        init_tensor: InitialValue | None = None,
        constraint: Constraint = constraints.real,
        event_dim: int | None = None,
    ) -> torch.Tensor:
        """Read a parameter, and create it first where the name is new.

        :param name: the parameter's name.
        :param init_tensor: the constrained value to start from, or a function without arguments
            that gives it and is called for a new name only.
        :param constraint: the set that the value lives on; of use for a new name only.
        :param event_dim: how many of the rightmost dimensions belong to one draw; those left of
            them are subsampled by plates. At least the constraint's own.
        :returns: the constrained value.
        :raises KeyError: where the name is new and there is nothing to start from.
        :raises TypeError: where an argument is of the wrong type.
        :raises ValueError: where the first value breaks the constraint or lacks dimensions.

        >>> store = ParamStoreDict()
        >>> store.get_param("loc", lambda: torch.zeros(2))
        tensor([0., 0.], requires_grad=True)
        >>> store.get_param("loc") is store["loc"]
        True
        """
        table = self._tables.current() if self._tables.scopes else self._tables.of_process
        slot = table.slots.get(name)
        if slot is None:
            slot = self._create(name, init_tensor, constraint, event_dim)
        return slot.value()

    def setdefault(
        self,
        name: str,
        init_constrained_value: InitialValue,
        constraint: Constraint = constraints.real,
    ) -> torch.Tensor:
        """Read a parameter, or create it from a constrained value where the name is new.

        :param name: the parameter's name.
        :param init_constrained_value: the first value, or a function that gives it.
        :param constraint: the set that the value lives on.
        :returns: the constrained value.

        >>> ParamStoreDict().setdefault("p", torch.tensor(0.5), constraints.unit_interval).item()
        0.5
        """
        return self.get_param(name, init_constrained_value, constraint)

    def _create(
        self,
        name: str,
        initial: InitialValue | None,
        constraint: Constraint,
        event_dim: int | None,
    ) -> Slot:
        if not isinstance(name, str):
            raise site_error(name, "the name is no string", kind=TypeError)
        if initial is None:
            raise site_error(
                name, "there is no such parameter", "Pass a value to start from.", KeyError
            )
        with self.lock:
            slot = self._slots.get(name)
            if slot is None:
                slot = slot_from_value(name, initial, constraint, event_dim)
                self._table.put(name, slot)
            return slot

    def __getitem__(self, name: str) -> torch.Tensor:
        """Give the constrained value of a parameter."""
        return self._slot_of(name).value()

    def __setitem__(self, name: str, new_constrained_value: torch.Tensor) -> None:
        """Give a parameter a new leaf and value under the constraint that it has, or none."""
        with self.lock:
            slot = self._slots.get(name)
            constraint = constraints.real if slot is None else slot.constraint
            self._table.put(name, slot_from_value(name, new_constrained_value, constraint))

    def __delitem__(self, name: str) -> None:
        """Remove a parameter."""
        with self.lock:
            self._slot_of(name)
            self._table.remove(name)

    def __contains__(self, name: object) -> bool:
        return name in self._slots

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots.copy())

    def __len__(self) -> int:
        return len(self._slots)

    def _slot_of(self, name: str) -> Slot:
        slot = self._slots.get(name)
        if slot is None:
            raise site_error(name, "there is no such parameter", kind=KeyError)
        return slot

    def get(self, name: str, default: torch.Tensor | None = None) -> torch.Tensor | None:
        """Give the constrained value of a parameter, or ``default`` where there is none.

        :param name: the parameter's name.
        :param default: what to give for a name that the store lacks.
        """
        slot = self._slots.get(name)
        return default if slot is None else slot.value()

    def keys(self) -> KeysView[str]:
        """Give the names of the parameters, as of now."""
        return self._slots.copy().keys()

    def values(self) -> Iterator[torch.Tensor]:
        """Give the constrained values one after another."""
        return (slot.value() for slot in self._slots.copy().values())

    def items(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Give pairs of a name and a constrained value."""
        return ((name, slot.value()) for name, slot in self._slots.copy().items())

    def named_parameters(self) -> ItemsView[str, torch.Tensor]:
        """Give pairs of a name and an unconstrained leaf."""
        return self._params.items()

    def get_all_param_names(self) -> KeysView[str]:
        """Give the names of the parameters, as of now."""
        return self.keys()

    def param_name(self, p: torch.Tensor) -> str | None:
        """Find the name of an unconstrained leaf, None where it is not in the store.

        :param p: the leaf; not the constrained value.
        """
        return self._table.names.get(p)

    def match(self, name: str) -> dict[str, torch.Tensor]:
        """Collect the parameters whose names begin with a match of a regular expression.

        :param name: the expression, as for :func:`re.match`.
        :returns: constrained values by name.

        >>> store = ParamStoreDict()
        >>> _ = store.setdefault("a_loc", torch.zeros(())), store.setdefault("b", torch.ones(()))
        >>> store.match("a|c")
        {'a_loc': tensor(0., requires_grad=True)}
        """
        matches = re.compile(name).match
        return {key: slot.value() for key, slot in self._slots.copy().items() if matches(key)}

    def replace_param(
        self, param_name: str, new_param: torch.Tensor, old_param: torch.Tensor
    ) -> None:
        """Give a parameter a new value, provided that it still has the old one.

        :param param_name: the parameter's name.
        :param new_param: the new constrained value.
        :param old_param: what the store gave for the parameter, a value or its leaf.
        :raises ValueError: where ``old_param`` is not this parameter.
        """
        with self.lock:
            if self._slot_of(param_name).leaf is not _leaf_of(old_param):
                raise site_error(param_name, "the parameter to replace is not in the store")
            self[param_name] = new_param

    def clear(self) -> None:
        """Remove all parameters."""
        with self.lock:
            self._table.clear()

    def bind(
        self, name: str, unconstrained: torch.Tensor, constraint: Constraint = constraints.real
    ) -> None:
        """Make a tensor that somebody else holds the leaf of a parameter, without a copy.

        This is how a module's own :class:`torch.nn.Parameter` gets a name in the store: both
        then see every step of an optimiser. What the name stood for before is replaced.

        :param name: the parameter's name.
        :param unconstrained: the leaf, with ``requires_grad``.
        :param constraint: the set that the value read under the name lives on.
        :raises ValueError: where the tensor is no leaf that requires a gradient.

        >>> store, weight = ParamStoreDict(), torch.nn.Parameter(torch.zeros(2))
        >>> store.bind("net$$$weight", weight)
        >>> store["net$$$weight"] is weight
        True
        """
        self._update({name: slot_around(name, unconstrained, constraint)})

    def rebind(self, name: str, new_unconstrained: torch.Tensor) -> None:
        """Give a parameter another leaf under the constraint that it has.

        :param name: the parameter's name.
        :param new_unconstrained: the leaf, as for :meth:`bind`.
        :raises KeyError: where there is no such parameter.
        """
        with self.lock:
            self.bind(name, new_unconstrained, self._slot_of(name).constraint)

    def unconstrained(self, name: str) -> torch.Tensor:
        """Give the unconstrained leaf of a parameter.

        :param name: the parameter's name.
        :raises KeyError: where there is no such parameter.
        """
        return self._slot_of(name).leaf

    def get_state(self) -> StateDict:
        """Give the leaves and constraints of all parameters; the leaves are no copies.

        >>> store = ParamStoreDict()
        >>> _ = store.setdefault("scale", torch.tensor(1.0), constraints.positive)
        >>> store.get_state()
        {'params': {'scale': tensor(0., requires_grad=True)},
         'constraints': {'scale': GreaterThan(lower_bound=0.0)}}
        """
        return state_of_slots(self._slots.copy())

    def set_state(self, state: StateDict) -> None:
        """Put the parameters of a state into the store, beside those of other names.

        :param state: what :meth:`get_state` gave; a leaf that requires a gradient is taken as it
            is, any other tensor is copied.
        :raises TypeError: where the state is of the wrong type.
        :raises ValueError: where it lacks a constraint. The store is then as before.
        """
        self._update(slots_of_state(state))

    def _update(self, slots: dict[str, Slot]) -> None:
        with self.lock:
            for name, slot in slots.items():
                self._table.put(name, slot)

    def __getstate__(self) -> StateDict:
        return self.get_state()

    def __setstate__(self, state: StateDict) -> None:
        ParamStoreDict.__init__(self)
        self.set_state(state)

    @contextmanager
    def scope(self, state: StateDict | None = None) -> Iterator[StateDict]:
        """Use another set of parameters within a ``with`` block.

        The present thread does; all others, those started within the block too, go on with the
        parameters that they have, so that threads may use scopes of their own at once.

        :param state: the parameters to begin with, none by default. It holds at the end what the
            store held at the end of the block, so that a later block can go on from there.
        :returns: a context manager that gives the state.

        >>> store = ParamStoreDict()
        >>> with store.scope() as inner:
        ...     _ = store.setdefault("x", torch.zeros(()))
        >>> list(store), list(inner["params"])
        ([], ['x'])
        """
        if state is None:
            state = {"params": {}, "constraints": {}}
        with self._tables.scope(slots_of_state(state)) as table:
            try:
                yield state
            finally:
                state.update(state_of_slots(table.slots.copy()))

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write all parameters to a file that holds tensors and plain data, no code.

        :param filename: the file; it is written whole or left as it was.
        :raises ValueError: where a constraint is not one that a file can name, see
            :func:`pyro.params.constraint_data.register_constraint`.
        """
        save_state(self.get_state(), filename)

    def load(self, filename: str | os.PathLike[str], map_location: MapLocation = None) -> None:
        """Read parameters from a file into the store, beside those of other names.

        No code in the file is run: it may hold tensors and the constraints that are registered.
        Files of a released Pyro that keep to these load too. A module that holds a parameter has
        its old leaf still; ``pyro.module(name, module, update_module_params=True)`` hands it the
        one that was read.

        :param filename: a file that :meth:`save` wrote.
        :param map_location: where the tensors go, as for :func:`torch.load`.
        :raises ValueError: where the file is damaged, foreign, or names other code. The store is
            then as before.

        >>> import tempfile
        >>> store = ParamStoreDict()
        >>> _ = store.setdefault("p", torch.tensor(0.5), constraints.unit_interval)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store.save(f"{folder}/params.pt")
        ...     store.clear()
        ...     store.load(f"{folder}/params.pt")
        >>> store["p"].item()
        0.5
        """
        self._update(load_slots(filename, map_location))


def _leaf_of(param: torch.Tensor) -> torch.Tensor | None:
    reference = getattr(param, "unconstrained", None)
    return param if reference is None else reference()


# The one store of the process.
_PYRO_PARAM_STORE = ParamStoreDict()
