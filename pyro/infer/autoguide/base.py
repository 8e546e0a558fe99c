"""What all automatic guides share: the model's prototype, its plates, and the way guides join."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.infer.initialization import InitMessenger
from pyro.nn.module import PyroModule
from pyro.ops.objects import detach
from pyro.poutine.handlers import block, trace
from pyro.poutine.indep_messenger import CondIndepStackFrame
from pyro.poutine.runtime import Message
from pyro.poutine.sites import prune_subsample_sites, site_is_latent
from pyro.poutine.trace_struct import Trace
from pyro.primitives import plate

Plates = Mapping[str, plate]


def prototype_hide_fn(msg: Message) -> bool:
    """Tell whether a message of the model is none of an automatic guide's business.

    Guides care for the latent sample sites: neither parameters nor plates, nor what is observed.

    :param msg: the message.
    """
    return not site_is_latent(msg)


class AutoGuide(PyroModule):
    """Base of the guides that are made from a model.

    The first call runs the model once, as a prototype: its latent sites, their shapes, supports and
    plates are what the guide is made of. A subclass extends :meth:`_setup_prototype` to make its
    parameters and defines :meth:`forward`, which samples every latent site and returns their
    values by name.

    Parameters of sites inside plates have the plates' full sizes and are subsampled along with
    the data.

    :param model: the model.
    :param create_plates: called with the model's arguments, returns a plate or several for the
        guide to use in place of plates of its own; for models that draw subsamples otherwise than
        by ``subsample_size``.
    :raises TypeError: where the model cannot be called.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     return pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> class PriorGuide(AutoGuide):
    ...     def forward(self, *args, **kwargs):
    ...         if self.prototype_trace is None:
    ...             self._setup_prototype(*args, **kwargs)
    ...         sites = self.prototype_trace.iter_stochastic_nodes()
    ...         return {name: pyro.sample(name, site["fn"]) for name, site in sites}
    >>> list(PriorGuide(model)())
    ['x']
    """

    init_loc_fn: Callable[..., Any] | None = None

    def __init__(
        self, model: Callable[..., Any], *, create_plates: Callable[..., Any] | None = None
    ) -> None:
        if not callable(model):
            raise TypeError(f"A guide is made from a model, which is callable; got {model!r}.")
        super().__init__(name=type(self).__name__)
        # A tuple hides the model from torch: its parameters are not the guide's.
        self._model = (model,)
        self._masters: tuple[AutoGuide, ...] = ()
        self.create_plates = create_plates
        self.plates: dict[str, plate] = {}
        self.prototype_trace: Any = None  # a Trace, once the model has run
        self._prototype_frames: dict[str, CondIndepStackFrame] = {}
        self._cond_indep_stacks: dict[str, tuple[CondIndepStackFrame, ...]] = {}
        # Names of neighbouring sites behind the names of the plates that they are in.
        self._plate_groups: list[tuple[tuple[str, ...], list[str]]] = []

    @property
    def model(self) -> Callable[..., Any]:
        """The model that the guide is made from."""
        return self._model[0]

    @property
    def master(self) -> "AutoGuide | None":
        """The guide that this one is a part of, whose plates it uses."""
        return self._masters[0] if self._masters else None

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles hold the prototype's latent sites, without data and graphs behind them.
        state = vars(self).copy()
        if self.prototype_trace is not None:
            twin = Trace()
            for name, site in self.prototype_trace.iter_stochastic_nodes():
                parts = {key: detach(site[key]) for key in ("fn", "value")}
                twin.nodes[name] = {**site, **parts}
            state["prototype_trace"] = twin
        return state

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        """Run the model and keep what the guide has to know of it.

        :raises NotImplementedError: that names the site, where it is in an iteration of a
            sequential plate that is subsampled.
        """
        model = self.model
        if self.init_loc_fn is not None:
            model = InitMessenger(self.init_loc_fn)(model)
        with block():
            record = trace(block(model, hide_fn=prototype_hide_fn)).get_trace(*args, **kwargs)
        self.prototype_trace = record = prune_subsample_sites(record)
        self._prototype_frames = {}
        self._cond_indep_stacks = {}
        for name, site in record.iter_stochastic_nodes():
            frames = _vectorized_frames(name, site["cond_indep_stack"])
            self._cond_indep_stacks[name] = frames
            self._prototype_frames.update((frame.name, frame) for frame in frames)
        self._plate_groups = _grouped_by_plates(self._cond_indep_stacks)

    def _prototype(self, *args: Any, **kwargs: Any) -> Trace:
        """Return the prototype; the model's arguments are for the first time."""
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)
        record: Trace = self.prototype_trace
        return record

    def _sample_sites(self, sample_site: Callable[[str], Tensor], plates: Plates) -> dict[str, Any]:
        """Call a function for each latent site, inside its plates."""
        values = {}
        for names_of_plates, names in self._plate_groups:
            with _inside(plates, names_of_plates):
                for name in names:
                    values[name] = sample_site(name)
        return values

    def _create_plates(self, *args: Any, **kwargs: Any) -> Plates:
        """Make the plates of one run, by name."""
        if self.master is not None:
            self.plates = self.master.plates
            return self.plates
        given = () if self.create_plates is None else self.create_plates(*args, **kwargs)
        self.plates = {p.name: p for p in _as_plates(given)}
        for name, frame in self._prototype_frames.items():
            if name not in self.plates:
                self.plates[name] = _plate_like(frame)
        return self.plates

    def call(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Run the guide and return the values alone, in the order of their sites' names.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        values = self(*args, **kwargs)
        return tuple(values[name] for name in sorted(values))

    def sample_latent(self, *args: Any, **kwargs: Any) -> Any:
        """Draw all latent values at once, encoded as the guide sees fit; here, by site.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        return self(*args, **kwargs)

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the guide's median of every latent site.

        :param args: the model's arguments, which a guide that has not run yet needs.
        :param kwargs: the model's keyword arguments.
        :raises NotImplementedError: where the kind of guide has none.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no median().")


def _vectorized_frames(
    name: str, frames: Iterable[CondIndepStackFrame]
) -> tuple[CondIndepStackFrame, ...]:
    """Keep the plates that run at once; each iteration of another is a site of its own."""
    for frame in frames:
        if not frame.vectorized and frame.full_size not in (None, frame.size):
            raise site_error(
                name,
                f"it is in an iteration of the sequential plate {frame.name!r}, which runs "
                f"{frame.size} of its {frame.full_size} elements; other runs have other sites",
                f"Enter the plate as a context, with pyro.plate({frame.name!r}, ...), or run all "
                "of its elements.",
                NotImplementedError,
            )
    return tuple(frame for frame in frames if frame.vectorized)


def _as_plates(given: Any) -> Iterator[plate]:
    for candidate in (given,) if isinstance(given, plate) else given:
        if not isinstance(candidate, plate):
            raise TypeError(
                f"create_plates() must return a plate or several, got {candidate!r}. "
                "Write: return pyro.plate('data', 1000, subsample_size=10, dim=-1)"
            )
        yield candidate


def _plate_like(frame: CondIndepStackFrame) -> plate:
    if frame.size == -1:
        return plate(frame.name, dim=frame.dim)
    size = frame.size if frame.full_size is None else frame.full_size
    subsample_size = None if frame.size == size else frame.size
    return plate(frame.name, size, subsample_size, dim=frame.dim)


def full_sized(value: Tensor, event_dim: int, frames: Iterable[CondIndepStackFrame]) -> Tensor:
    """Repeat a value of subsampled plates until it has one element for each there is.

    :param value: the value, shape ``batch + event``.
    :param event_dim: how many of its rightmost dimensions are the event's.
    :param frames: the plates around its site.

    >>> rows = CondIndepStackFrame("rows", -1, 2, 0, 5)
    >>> full_sized(torch.tensor([1.0, 2.0]), 0, [rows])
    tensor([1., 2., 1., 2., 1.])
    """
    for frame in frames:
        if frame.dim is not None and frame.full_size not in (None, frame.size):
            element = torch.arange(frame.full_size, device=value.device) % frame.size
            value = value.index_select(frame.dim - event_dim, element)
    return value


def _grouped_by_plates(
    stacks: Mapping[str, tuple[CondIndepStackFrame, ...]],
) -> list[tuple[tuple[str, ...], list[str]]]:
    """Gather neighbouring sites that are in the same plates.

    :param stacks: the plates' frames by site name, in the order of the run.
    :returns: pairs of the plates' names and the sites' names.

    >>> rows = CondIndepStackFrame("rows", -1, 2, 0, 2)
    >>> _grouped_by_plates({"a": (), "b": (rows,), "c": (rows,)})
    [((), ['a']), (('rows',), ['b', 'c'])]
    """
    names = {site: tuple(frame.name for frame in frames) for site, frames in stacks.items()}
    return [(plates, list(sites)) for plates, sites in groupby(names, key=names.__getitem__)]


@contextmanager
def _inside(plates: Plates, names: Iterable[str]) -> Iterator[None]:
    """Enter some plates within a ``with`` block.

    :param plates: plates by name.
    :param names: the names of those to enter.
    """
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(plates[name])
        yield
