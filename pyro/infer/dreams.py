"""Dreams: joint draws of latent values and data from the model, for a guide to learn from.

Model and guide take the data in a keyword argument ``observations``, a dict by site. The model
observes what it finds there; the guide may use it to say what the latent values are.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from pyro._foundation.validation import is_validation_enabled
from pyro.infer.checks import check_model_guide_match
from pyro.infer.nonfinite import warn_of_nan_loss
from pyro.infer.plates import inside_plate
from pyro.poutine.handlers import replay, trace, uncondition
from pyro.poutine.sites import site_is_sample
from pyro.poutine.trace_struct import Trace

Program = Callable[..., Any]
DREAM_PLATE = "num_dreams_vectorized"


def dream(model: Program, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Trace:
    """Run a model with its data drawn like all else, without gradients.

    :param model: the model.
    :param args: its arguments.
    :param kwargs: its keyword arguments.

    >>> import pyro, pyro.distributions as dist
    >>> def model(observations):
    ...     pyro.sample("x", dist.Normal(0.0, 1.0), obs=observations["x"])
    >>> record = dream(model, (), {"observations": {"x": torch.tensor(100.0)}})
    >>> bool(record.nodes["x"]["value"] < 50)
    True
    """
    with torch.no_grad():
        return trace(uncondition(model)).get_trace(*args, **kwargs)


def surprise(
    guide: Program, dreamt: Trace, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> torch.Tensor:
    r"""Return :math:`-\log q(z \mid x)` of a dream, by a guide that is told its data.

    :param guide: the guide.
    :param dreamt: the run of the model.
    :param args: arguments of both.
    :param kwargs: keyword arguments of both.
    :raises ValueError: as :func:`~pyro.infer.checks.check_model_guide_match`.
    """
    observations = {
        name: site["value"]
        for name, site in dreamt.nodes.items()
        if site_is_sample(site) and (site["infer"] or {}).get("was_observed")
    }
    told = {**kwargs, "observations": observations}
    record = trace(replay(guide, trace=dreamt)).get_trace(*args, **told)
    if is_validation_enabled():
        check_model_guide_match(dreamt, record)
    record.compute_log_prob()
    loss = -torch.as_tensor(record.log_prob_sum())
    warn_of_nan_loss(loss.item(), (dreamt, record))
    return loss


def sleep_loss(
    model: Program,
    guide: Program,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    num_dreams: int,
    dim: int | None = None,
) -> torch.Tensor:
    r"""Estimate :math:`-E_{p(x, z)}[\log q(z \mid x)]`.

    The gradient by the guide's parameters is unbiased, that by the model's is none.

    :param model: the model.
    :param guide: its guide.
    :param args: arguments of both.
    :param kwargs: keyword arguments of both.
    :param num_dreams: how many joint draws to average over.
    :param dim: the batch dimension along which to draw all of them at once, if any.
    :raises TypeError: where the guide takes no ``observations``.
    """
    check_takes_observations(guide)
    if dim is None:
        dreams = (dream(model, args, kwargs) for _ in range(num_dreams))
    else:
        model, guide = (inside_plate(fn, DREAM_PLATE, num_dreams, dim) for fn in (model, guide))
        dreams = (dream(model, args, kwargs) for _ in range(1))
    total = torch.zeros(())
    for dreamt in dreams:
        total = total + surprise(guide, dreamt, args, kwargs)
    return total / num_dreams


def check_takes_observations(guide: Program) -> None:
    """Check that a guide can be told of dreamt data.

    :param guide: the guide.
    :raises TypeError: where it takes no keyword argument ``observations``.
    """
    try:
        parameters = inspect.signature(guide).parameters.values()
    except (TypeError, ValueError):  # nothing is known of it
        return
    takes = any(p.name == "observations" or p.kind is p.VAR_KEYWORD for p in parameters)
    if not takes:
        raise TypeError(
            "The guide must take the data in a keyword argument: def guide(..., observations), a "
            "dict by site. It is called with data that the model has drawn."
        )
