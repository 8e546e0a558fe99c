"""``enum``: run all values of discrete sites at once, each along a dimension of its own."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from pyro._foundation.errors import site_error
from pyro._foundation.threads import PerThread
from pyro.poutine.enum_dims import EnumDims, MarkovScope
from pyro.poutine.enumerated import enumerate_site, place_values
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_equalized, site_is_observed, site_is_subsample

__all__ = ["EnumMessenger", "enumerate_site"]

Self = TypeVar("Self", bound="EnumMessenger")
_MAX_DIMS = 64  # of a torch tensor


class _Latest(PerThread):
    """The dimensions that a thread's latest enumeration gave, for one that goes on after it."""

    dims: EnumDims | None = None


_latest = _Latest()


class _Put(NamedTuple):
    """What was put into a message that is under way."""

    scope: MarkovScope  # that it is in, as the handlers inside say; what stands outside is no step
    upstream: Mapping[int, int]  # the sites that it may depend on
    ids: Mapping[int, int]  # the same, and the site itself
    value: Any = None
    fn: Any = None  # the law whose values these are


class _Run(PerThread):
    """What a handler knows of the run that a thread is in the midst of."""

    def __init__(self) -> None:
        self.origin: EnumDims | None = None

    def begin(self, first: int | None) -> None:
        if first is not None:
            self.dims = EnumDims(first)
        else:
            self.dims = self.origin.resumed()  # type: ignore[union-attr]
        _latest.dims = self.dims
        self.under_way: dict[int, _Put] = {}
        self.ids: dict[Any, Mapping[int, int]] = {}  # by site


class EnumMessenger(Messenger):
    """Run sites that ask for it with all values of their support at once.

    A site with ``infer={"enumerate": "parallel"}`` takes as value its whole support, along a new
    batch dimension left of the plates, and what depends on it broadcasts. Each site notes the
    enumerated sites that it may depend on as ``infer["_dim_to_id"]``, and an enumerated one its
    own dimension as ``infer["_enumerate_dim"]``. Sites outside of any
    :class:`~pyro.poutine.markov_messenger.MarkovMessenger` keep their dimension to themselves;
    inside, dimensions are used again once no later site can depend on their former holder.

    Further hints: ``expand``, to give each element of a batch values of its own; ``num_samples``
    and ``tmc`` (``"diagonal"`` or ``"mixture"``), to draw values in place of the support, see
    :func:`enumerate_site`. A site with ``"enumerate": "sequential"`` is left to
    :func:`~pyro.poutine.handlers.queue`. Sites that have a value, observed and tied ones among
    them, are not enumerated.

    :param first_available_dim: the rightmost dimension to use, a negative number, left of all
        plates: ``-1 - max_plate_nesting``. Left out, the enumeration goes on after the latest one
        of this thread, as a model's after its guide's: its dimensions and ids are left alone.
    :raises ValueError: at construction, for a dim that is not negative; in a run, naming the site,
        where a plate is in the way, dimensions run out, or a site depends on an enumerated one that
        its Markov context has forgotten.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     z = pyro.sample("z", dist.Bernoulli(0.3), infer={"enumerate": "parallel"})
    ...     with pyro.plate("data", 3):
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=torch.zeros(3))
    >>> trace = poutine.trace(poutine.enum(model, first_available_dim=-2)).get_trace()
    >>> trace.compute_log_prob()
    >>> trace.nodes["z"]["log_prob"].shape, trace.nodes["x"]["log_prob"].shape
    (torch.Size([2, 1]), torch.Size([2, 3]))

    Source: Obermeyer et al. 2019, arXiv:1902.03210.
    """

    def __init__(self, first_available_dim: int | None = None) -> None:
        super().__init__()
        if first_available_dim is not None and not (
            isinstance(first_available_dim, int) and first_available_dim < 0
        ):
            raise ValueError(
                f"first_available_dim must be a negative integer, got {first_available_dim!r}. "
                "It is -1 - max_plate_nesting, left of all plates."
            )
        self.first_available_dim = first_available_dim
        self._run = _Run()

    def __enter__(self: Self) -> Self:
        """Begin an enumeration.

        :raises ValueError: without a first dim, where there is no enumeration to go on after.
        """
        if self.first_available_dim is None and _latest.dims is None:
            raise ValueError(
                "enum() does not know where the plates end. Write "
                "enum(first_available_dim=-1 - max_plate_nesting)."
            )
        entered = super().__enter__()
        self._run.origin = _latest.dims
        self._run.begin(self.first_available_dim)
        return entered

    def _reset(self) -> None:
        self._run.begin(self.first_available_dim)

    def _pyro_sample(self, msg: Message) -> None:
        if site_is_subsample(msg):
            return
        run = self._run
        infer = msg["infer"] = {**(msg["infer"] or {})}
        scope = infer.get("_markov_scope") or {}
        upstream = run.dims.visible(scope)
        if "_dim_to_id" in infer:  # it is replayed from a run that was enumerated
            upstream = {**upstream, **infer["_dim_to_id"]}
        infer["_dim_to_id"] = upstream
        put = _Put(scope, upstream, upstream)
        if infer.get("enumerate") is not None and _is_free(msg):
            put = self._enumerate(msg, infer, put)
        run.under_way[id(msg)] = put

    def _enumerate(self, msg: Message, infer: dict[str, Any], put: _Put) -> _Put:
        if infer["enumerate"] != "parallel":
            if infer["enumerate"] == "sequential":
                return put
            fact = f"enumerate must be 'parallel' or 'sequential', got {infer['enumerate']!r}"
            raise site_error(msg["name"], fact)
        dims, fn = self._run.dims, msg["fn"]
        _refuse_plates(msg, dims.first)
        _refuse_forgotten(msg, "law", fn.batch_shape, dims.first, put.upstream)
        values = enumerate_site(msg)
        dim, id_ = dims.claim(put.scope)
        if fn.event_dim - dim > _MAX_DIMS:
            raise site_error(
                msg["name"],
                f"its values would need dim {dim}, but tensors have at most {_MAX_DIMS} dimensions",
                "Let pyro.markov() forget sites of a chain, or enumerate fewer sites at once.",
            )
        value = msg["value"] = place_values(values, fn.event_dim, dim)
        msg["done"] = True
        ids = {**put.upstream, dim: id_}
        infer.update(_enumerate_dim=dim, _dim_to_id=ids)
        return _Put(put.scope, put.upstream, ids, value, fn)

    def _pyro_post_sample(self, msg: Message) -> None:
        run = self._run
        put = run.under_way.pop(id(msg), None)
        if put is None:
            return
        infer: dict[str, Any] = msg["infer"]  # type: ignore[assignment]  # a trace outside has it too
        if infer["_dim_to_id"] is not put.ids:  # replayed from outside
            recorded = infer["_dim_to_id"]
            if infer.get("_enumerate_dim") not in recorded:
                infer.pop("_enumerate_dim", None)
            infer["_dim_to_id"] = {**put.upstream, **recorded}
        elif put.value is not None and msg["value"] is not put.value:  # overruled from outside
            infer["_dim_to_id"] = put.upstream
            infer.pop("_enumerate_dim", None)
        if site_is_observed(msg):
            infer.pop("_enumerate_dim", None)
        ids = run.ids[msg["name"]] = infer["_dim_to_id"]
        dim = infer.get("_enumerate_dim")
        if dim is not None:
            run.dims.hold(dim, ids[dim], put.scope)
        _refuse_plates(msg, run.dims.first)
        if ids is put.ids and put.value is msg["value"] is not None and put.fn is msg["fn"]:
            return  # it varies along its own dim, and its law was checked on the way in
        for dim in self._checked(msg, ids):
            run.dims.hold(dim, ids[dim], put.scope)

    def _checked(self, msg: Message, ids: Mapping[int, int]) -> list[int]:
        """Check the shapes of a site, and return the dimensions along which its value varies."""
        first, fn, value = self._run.dims.first, msg["fn"], msg["value"]
        batch_shape = getattr(value, "shape", ())
        batch_shape = batch_shape[: len(batch_shape) - getattr(fn, "event_dim", 0)]
        shared = ids
        if site_is_equalized(msg):
            owner = self._run.ids.get(msg["infer"]["_equalized"], ids)  # type: ignore[index]
            shared = {dim: id_ for dim, id_ in ids.items() if owner.get(dim) == id_}
        varying = _refuse_forgotten(msg, "value", batch_shape, first, shared)
        _refuse_forgotten(msg, "law", getattr(fn, "batch_shape", ()), first, ids)
        return varying


def _is_free(msg: Message) -> bool:
    return not msg["done"] and not msg["is_observed"] and msg["value"] is None


def _refuse_plates(msg: Message, first: int) -> None:
    for frame in msg["cond_indep_stack"]:
        if frame.dim is not None and frame.dim <= first:
            raise site_error(
                msg["name"],
                f"plate {frame.name!r} (dim={frame.dim}) is where enumeration has its dims, "
                f"from {first} on to the left",
                f"Pass max_plate_nesting={-frame.dim} to the objective, or first_available_dim="
                f"{frame.dim - 1} to enum().",
            )


def _refuse_forgotten(
    msg: Message, what: str, batch_shape: Any, first: int, ids: Mapping[int, int]
) -> list[int]:
    varying = [dim for dim in range(first, -1 - len(batch_shape), -1) if batch_shape[dim] != 1]
    for dim in varying:
        if dim not in ids:
            owner = msg["infer"].get("_equalized")  # type: ignore[union-attr]
            source = f", shared with {owner!r}," if owner and what == "value" else ""
            raise site_error(
                msg["name"],
                f"its {what}{source} has {batch_shape[dim]} elements at dim {dim}, left of all "
                "plates, where no enumerated site that it can depend on has its values",
                "Did a value leave its markov() context, or is the history too short? Or is a "
                "plate missing?",
            )
    return varying
