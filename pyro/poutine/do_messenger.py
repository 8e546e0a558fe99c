"""``do``: intervene on sites, as in the do-calculus."""

from collections.abc import Mapping
from typing import Any

import torch

from pyro._foundation.errors import site_error
from pyro._foundation.threads import PerThread
from pyro.distributions.delta import Delta
from pyro.ops.shapes import expands_to
from pyro.poutine.messenger import Messenger
from pyro.poutine.plate_shapes import broadcast_to_plates
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_equalized, site_is_factor, site_is_subsample


class _UnderWay(PerThread):
    """The messages on their way through a handler, by id, each with what it is to be set to."""

    def __init__(self) -> None:
        self.messages: dict[int, tuple[Message, Any]] = {}


class DoMessenger(Messenger):
    r"""Set sites to values for all that depends on them, and change nothing else.

    Under :math:`do(x)` the model's equation for a site is replaced by :math:`x`: what comes after
    the site, in the model and in the handlers inside of this one, sees the value :math:`x`, and
    learns nothing about the causes of the site. Outside, the site is what it was without the
    intervention, with its own draw, evidence and density. The two together are a *twin network*, in
    which ``condition`` outside asks what would have been. A site that is observed stays evidence.

    A value has the shape and the dtype of the site's law; what is smaller is expanded. To see
    several interventions at once, put a plate around this handler.

    Where ``equalize`` stands inside, an intervention on an owner reaches the members, which are set
    by it; one on a member cuts that member out of its group: it has its own law again and tells
    nothing about the owner. Where ``equalize`` stands outside, it ties the sites as they are
    without the intervention.

    :param data: numbers or tensors by site name; None leaves its site alone.
    :raises TypeError: where ``data`` is no mapping, or a value no number or tensor.
    :raises ValueError: that names the site, where a value does not fit its law, where two
        interventions set it to different values, and for a plate or a factor.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     return pyro.sample("y", dist.Normal(x, 1.0))
    >>> trace = poutine.trace(poutine.do(model, data={"x": 100.0})).get_trace()
    >>> bool(trace.nodes["x"]["value"] < 50) and bool(trace.nodes["y"]["value"] > 50)
    True

    Source: Pearl 2009, *Causality*, 2nd edition, section 3.2; Balke and Pearl 1994,
    *Probabilistic Evaluation of Counterfactual Queries*, AAAI.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__()
        if not isinstance(data, Mapping):
            raise TypeError(f"do() takes a dict of values by site name, got {data!r}.")
        self.data = data
        self._under_way = _UnderWay()

    def __exit__(self, *args: Any, **kwargs: Any) -> None:
        super().__exit__(*args, **kwargs)
        self._reset()

    def _reset(self) -> None:
        self._under_way.messages.clear()

    def _pyro_sample(self, msg: Message) -> None:
        value = self.data.get(msg["name"])
        if value is None:
            return
        if site_is_subsample(msg) or site_is_factor(msg):
            raise site_error(
                msg["name"],
                "it holds the indices of a plate" if site_is_subsample(msg) else "it is a factor",
                "do() takes the sites that have a value; for a plate pass it subsample=.",
            )
        if site_is_equalized(msg):
            _cut_out(msg)
        self._under_way.messages[id(msg)] = msg, value

    def _pyro_post_sample(self, msg: Message) -> None:
        messages = self._under_way.messages
        if id(msg) in messages:
            _, value = messages.pop(id(msg))
            _intervene(msg, _fit(msg, value))


def _cut_out(msg: Message) -> None:
    """Take a member out of the group that it was tied to, with the law that it had before."""
    msg.update(msg["untied"])  # type: ignore[typeddict-item]
    hints = msg["infer"] or {}
    msg["infer"] = {
        key: hint for key, hint in hints.items() if key not in ("_equalized", "_deterministic")
    }
    broadcast_to_plates(msg)


def _fit(msg: Message, value: Any) -> torch.Tensor:
    """Return a value of an intervention at the dtype and the shape of the site's law."""
    natural = msg["value"]
    dtype = natural.dtype if isinstance(natural, torch.Tensor) else torch.get_default_dtype()
    device = natural.device if isinstance(natural, torch.Tensor) else None
    try:
        given = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise site_error(
            msg["name"],
            f"do() cannot set it to {value!r}",
            "Give a number or a tensor.",
            TypeError,
        ) from error
    fitting = given.to(dtype=dtype, device=device)
    if not dtype.is_floating_point and not bool((fitting.to(given) == given).all()):
        fact = f"do() cannot set it to {value!r}, since its values are of {dtype}"
        raise site_error(msg["name"], fact, "Give whole numbers.")
    fn = msg["fn"]
    if not hasattr(fn, "batch_shape"):
        return fitting
    shape = fn.batch_shape + fn.event_shape
    if fitting.shape == shape:
        return fitting
    if not expands_to(fitting.shape, shape):
        raise site_error(
            msg["name"],
            f"do() cannot set it to a value of shape {tuple(fitting.shape)}, expected "
            f"{tuple(shape)}, which its law has",
            "For several interventions at once put a plate around do().",
        )
    return fitting.expand(shape)


def _intervene(msg: Message, value: torch.Tensor) -> None:
    """Show the handlers inside a site without density that is set to a value."""
    hints = msg["infer"] or {}
    if hints.get("_intervened") and not torch.equal(msg["value"], value):
        raise site_error(
            msg["name"],
            f"two nested do() set it to different values, {value.tolist()} inside and "
            f"{msg['value'].tolist()} outside",
            "Keep one of the two.",
        )
    event_dim = getattr(msg["fn"], "event_dim", 0)
    msg["value"] = value
    msg["fn"] = Delta(value, event_dim=event_dim, validate_args=False).mask(False)
    msg["args"], msg["kwargs"] = (), {}
    msg["is_observed"] = True
    msg["infer"] = {**hints, "_deterministic": True, "_intervened": True}
