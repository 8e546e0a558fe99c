"""``lift``: make random values of parameters."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.distributions import constraints

from pyro._foundation.errors import site_error
from pyro._foundation.threads import PerThread
from pyro._foundation.validation import is_validation_enabled
from pyro._foundation.warnings import warn_of_absent, warn_once
from pyro.distributions.distribution import Distribution
from pyro.ops.shapes import expands_to
from pyro.params.names import user_param_name
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_PARAM_STORE, Message, _thread, emit, new_message
from pyro.poutine.sites import site_is_equalized

Prior = Distribution | Callable[..., Any]


class _Run(PerThread):
    """What was drawn in a thread's run, and the names that came by."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.names: set[str] = set()


class LiftMessenger(Messenger):
    """Draw parameters from a prior in place of reading them from the param store.

    A parameter with a prior becomes a sample site of its name and does not enter the store. It is
    drawn once a run, however often it is read, and holds the whole parameter: a law that is smaller
    is expanded to the parameter's shape, all of whose dimensions make one event, and plates inside
    of this handler select from it and neither repeat nor weigh it.

    Parameters of modules are lifted like others, and the module computes with what was drawn. A
    parameter that ``equalize`` tied, inside, is left alone: it takes its owner's value.

    :param prior: a law for every parameter; or laws by name, for a parameter of a module its own
        name ``"weight"`` or the full one ``"net$$$weight"``, where parameters that have none stay
        what they are. In place of a law a function will do, which takes what ``pyro.param`` was
        given after the name and returns a law, or a value that it draws by ``pyro.sample`` itself.
    :raises TypeError: where a prior is neither.
    :raises ValueError: that names the site, where a law does not expand to the parameter's shape.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model(x):
    ...     slope = pyro.param("slope", torch.zeros(3))
    ...     return pyro.sample("y", dist.Normal(x @ slope, 1.0))
    >>> lifted = poutine.lift(model, prior={"slope": dist.Normal(0.0, 10.0)})
    >>> site = poutine.trace(lifted).get_trace(torch.ones(3)).nodes["slope"]
    >>> site["type"], site["fn"].event_shape
    ('sample', torch.Size([3]))
    """

    def __init__(self, prior: Prior | Mapping[str, Prior]) -> None:
        super().__init__()
        for one in prior.values() if isinstance(prior, Mapping) else (prior,):
            if not isinstance(one, Distribution) and (not callable(one) or isinstance(one, type)):
                raise TypeError(
                    f"lift() got the prior {one!r}, expected a law such as dist.Normal(0.0, 1.0), "
                    "a function that returns one, or a dict of these by parameter name."
                )
        self.prior = prior
        self._run = _Run()

    def __enter__(self) -> "LiftMessenger":
        entered = super().__enter__()
        self._reset()
        return entered

    def __exit__(self, *args: Any, **kwargs: Any) -> None:
        super().__exit__(*args, **kwargs)
        if isinstance(self.prior, Mapping) and (not args or args[0] is None):
            warn_of_absent("lift", "a prior", self.prior, self._run.names)
        self._reset()

    def _reset(self) -> None:
        self._run.values.clear()
        self._run.names.clear()

    def _pyro_sample(self, msg: Message) -> None:
        if isinstance(self.prior, Mapping) and msg["name"] in self.prior:
            self._run.names.add(msg["name"])  # it was lifted already, inside

    def _pyro_param(self, msg: Message) -> None:
        prior = self._prior_of(msg["name"])
        if prior is None or site_is_equalized(msg):
            return
        values = self._run.values
        if msg["name"] not in values:
            values[msg["name"]] = self._draw(msg, prior)
        msg["value"] = values[msg["name"]]
        msg["done"] = msg["stop"] = True

    def _prior_of(self, name: str) -> Prior | None:
        if not isinstance(self.prior, Mapping):
            return self.prior
        own_name = user_param_name(name)
        self._run.names.update((name, own_name))
        return self.prior.get(name, self.prior.get(own_name))

    def _draw(self, msg: Message, prior: Prior) -> Any:
        law: Any = prior
        if not isinstance(prior, Distribution):
            law = prior(*msg["args"][1:], **msg["kwargs"])
            if not isinstance(law, Distribution):
                return law
        fitting = _fit(msg["name"], law, _shape_of(msg))
        site = new_message("sample", msg["name"], fitting, infer=msg["infer"])
        site["mask"] = msg["mask"]
        site["scale"] = _scale_without_plates(msg)
        value = self._emit_outside(site)
        _warn_outside_of_constraint(msg, fitting, value)
        return value

    def _emit_outside(self, msg: Message) -> Any:
        """Send a message to the handlers further out alone."""
        stack = _thread.stack
        position = next(i for i, handler in enumerate(stack) if handler is self)
        resting = stack[position:]
        del stack[position:]
        try:
            return emit(msg)
        finally:
            stack[position:] = resting


def _shape_of(msg: Message) -> torch.Size | None:
    """The shape of a parameter's value, None where it has none yet."""
    stored = _PYRO_PARAM_STORE.get(msg["name"])
    if stored is not None:
        return stored.shape
    initial = msg["args"][1] if len(msg["args"]) > 1 else None
    if callable(initial) and not isinstance(initial, torch.Tensor):
        initial = initial()
    return None if initial is None else torch.as_tensor(initial).shape


def _fit(name: str, law: Any, shape: torch.Size | None) -> Any:
    """Return a law as one of a single event of a parameter's shape."""
    if shape is None or not hasattr(law, "batch_shape"):
        return law
    if law.event_shape == shape and not law.batch_shape:
        return law
    event_dim = len(law.event_shape)
    batch = shape[: len(shape) - event_dim]
    if batch + law.event_shape != shape or not expands_to(law.batch_shape, batch):
        raise site_error(
            name,
            f"its prior has batch shape {tuple(law.batch_shape)} and event shape "
            f"{tuple(law.event_shape)}, expected what expands to the parameter's shape "
            f"{tuple(shape)}",
            "Give the prior that shape, or let a function of the first value make it: "
            "lift(model, prior=lambda value, **kwargs: dist.Normal(torch.zeros_like(value), 1.0)).",
        )
    expanded = law if law.batch_shape == batch else law.expand(batch)
    return expanded.to_event(len(batch)) if batch else expanded


def _scale_without_plates(msg: Message) -> Any:
    """Undo the weight of subsampled plates inside: a parameter is no element of theirs."""
    weights = [
        frame.full_size / frame.size
        for frame in msg["cond_indep_stack"]
        if frame.full_size not in (None, frame.size)
    ]
    return msg["scale"] / math.prod(weights) if weights else msg["scale"]


def _warn_outside_of_constraint(msg: Message, law: Any, value: Any) -> None:
    constraint = msg["kwargs"].get("constraint", constraints.real)
    if constraint is constraints.real or not is_validation_enabled():
        return
    if not bool(constraint.check(value).all()):
        warn_once(
            ("lift constraint", msg["name"]),
            f"At site {msg['name']!r}: lift() drew a value outside of {constraint}, to which the "
            f"parameter is constrained, from {law}. Use a prior whose support is that set.",
        )
