"""What a model is written with: each primitive emits a message that handlers may act on."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch.distributions import constraints

from pyro._foundation.errors import site_error
from pyro._foundation.validation import enable_validation, validation_enabled
from pyro._foundation.warnings import warn_deprecated, warn_once
from pyro._primitives.plates import iarange, irange, plate, plate_stack, subsample
from pyro.distributions.delta import Delta
from pyro.distributions.distribution import COERCIONS, Distribution
from pyro.distributions.unit import Unit
from pyro.params.module_swap import lend_parameter, restore_parameters
from pyro.params.param_store import _PYRO_PARAM_STORE, ParamStoreDict, param_with_module_name
from pyro.poutine.lift_messenger import LiftMessenger
from pyro.poutine.mask_messenger import MaskMessenger
from pyro.poutine.runtime import _thread, effectful, emit, new_message

__all__ = [
    "barrier",
    "clear_param_store",
    "deterministic",
    "enable_validation",
    "factor",
    "get_param_store",
    "iarange",
    "irange",
    "module",
    "param",
    "plate",
    "plate_stack",
    "random_module",
    "sample",
    "subsample",
    "validation_enabled",
]


def sample(
    name: str,
    fn: Any,
    *args: Any,
    obs: Any = None,
    obs_mask: bool | torch.Tensor | None = None,
    infer: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Draw a value, or observe one, at a site of the model.

    :param name: the site's name, unique within a run.
    :param fn: the law.
    :param args: arguments for the law's call.
    :param obs: the observed value, of the law's shape; the site then draws nothing.
    :param obs_mask: which elements of ``obs`` were observed, a bool or a tensor of them of the
        batch shape; the others are drawn. Makes the sites ``{name}_observed``,
        ``{name}_unobserved``, and ``name`` with both put together.
    :param infer: hints to inference.
    :param kwargs: keyword arguments for the law's call.
    :returns: the value: batch shape, then event shape.
    :raises TypeError: where the name is no string or ``fn`` no law.
    :raises ValueError: that names the site, where the law or a plate around it refuses.

    >>> import torch, pyro, pyro.distributions as dist
    >>> pyro.sample("x", dist.Normal(torch.zeros(3), 1.0)).shape
    torch.Size([3])
    >>> pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.tensor(2.0))
    tensor(2.)
    """
    if not isinstance(name, str):
        raise site_error(name, "the name is no string", "Write sample('name', law).", TypeError)
    if not isinstance(fn, Distribution):
        _check_law(name, fn)
    if obs_mask is not None:
        return _sample_partly_observed(name, fn, args, kwargs, obs, obs_mask, infer)
    interpreter = _thread.interpreter
    if not interpreter.stack:
        return fn(*args, **kwargs) if obs is None else obs
    msg = new_message("sample", name, fn, args, kwargs, obs, infer, obs is not None)
    return interpreter.send(msg)


def _check_law(name: str, fn: Any) -> None:
    """Refuse what is no law; one of another library will do if it can be drawn and scored."""
    if isinstance(fn, torch.distributions.Distribution):
        law = type(fn).__name__
        raise site_error(
            name,
            f"{law} is one of torch.distributions, expected one of pyro.distributions",
            f"Write pyro.distributions.{law}(...).",
            TypeError,
        )
    if isinstance(fn, type):
        raise site_error(
            name, f"{fn.__name__} is a class, expected a law", "Give it its parameters.", TypeError
        )
    if not (callable(fn) and (hasattr(fn, "log_prob") or COERCIONS)):
        raise site_error(
            name,
            f"expected a law from pyro.distributions, got {fn!r}",
            "To record a value use pyro.deterministic(); for a learnable one, pyro.param().",
            TypeError,
        )


def _sample_partly_observed(
    name: str,
    fn: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    obs: Any,
    obs_mask: bool | torch.Tensor,
    infer: dict[str, Any] | None,
) -> Any:
    if not (isinstance(obs_mask, bool) or getattr(obs_mask, "dtype", None) is torch.bool):
        raise site_error(
            name,
            f"obs_mask must be a bool or a tensor of bools, got {obs_mask!r}",
            "Try obs_mask > 0.",
        )
    with MaskMessenger(obs_mask):
        observed = sample(f"{name}_observed", fn, *args, obs=obs, infer=infer, **kwargs)
    missing = ~obs_mask if isinstance(obs_mask, torch.Tensor) else not obs_mask
    with MaskMessenger(missing):
        drawn = sample(f"{name}_unobserved", fn, *args, infer=infer, **kwargs)
    if isinstance(obs_mask, torch.Tensor):
        chosen = obs_mask.reshape(obs_mask.shape + (1,) * fn.event_dim)
        value = torch.where(chosen, observed, drawn)
    else:
        value = observed if obs_mask else drawn
    return deterministic(name, value, event_dim=fn.event_dim)


def param(
    name: str,
    init_tensor: torch.Tensor | Callable[[], torch.Tensor] | None = None,
    constraint: constraints.Constraint = constraints.real,
    event_dim: int | None = None,
) -> torch.Tensor:
    """Read a learnable parameter, and create it first where the name is new.

    :param name: the parameter's name.
    :param init_tensor: the value to start from, or a function without arguments that gives it and
        is called for a new name only.
    :param constraint: the set on which the value lives.
    :param event_dim: how many of the rightmost dimensions belong to one element; inside plates the
        dimensions left of them are subsampled along with the data. None: no subsampling.
    :returns: the constrained value.
    :raises KeyError: where the name is new and there is nothing to start from.
    :raises ValueError: that names the parameter, where its first value breaks the constraint.

    >>> import torch, pyro, pyro.distributions as dist
    >>> pyro.param("scale", torch.tensor(2.0), constraint=dist.constraints.positive).item()
    2.0
    """
    read = _PYRO_PARAM_STORE.get_param
    if not _thread.stack:
        return read(name, init_tensor, constraint, event_dim)
    if not isinstance(name, str):
        raise site_error(name, "the name is no string", "Write param('name', value).", TypeError)
    args = (name,) if init_tensor is None else (name, init_tensor)
    kwargs = {"constraint": constraint, "event_dim": event_dim}
    value: torch.Tensor = emit(new_message("param", name, read, args, kwargs))
    return value


def deterministic(name: str, value: torch.Tensor, event_dim: int | None = None) -> torch.Tensor:
    """Record a value that the sites before it determine; it has no density.

    :param name: the site's name.
    :param value: the value.
    :param event_dim: how many of its rightmost dimensions are the event's; all of them if None.
    :returns: the value.

    >>> import torch, pyro
    >>> pyro.deterministic("twice", 2 * torch.tensor(1.5))
    tensor(3.)
    """
    value = value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
    law = Delta(value, event_dim=value.dim() if event_dim is None else event_dim).mask(False)
    recorded: torch.Tensor = sample(name, law, obs=value, infer={"_deterministic": True})
    return recorded


def factor(name: str, log_factor: torch.Tensor, *, has_rsample: bool | None = None) -> None:
    """Add a term to the log density of the run.

    :param name: the site's name.
    :param log_factor: the term, of the batch shape of the plates around it.
    :param has_rsample: in a guide, whether the term came about by pathwise-differentiable draws.

    >>> import torch, pyro
    >>> def model():
    ...     pyro.factor("penalty", torch.tensor(-1.5))
    >>> pyro.poutine.trace(model).get_trace().log_prob_sum()
    tensor(-1.5000)
    """
    try:
        law = Unit(torch.as_tensor(log_factor), has_rsample=has_rsample)
    except ValueError as error:
        raise site_error(name, f"the factor is refused: {str(error).rstrip('.')}") from error
    sample(name, law, obs=law.sample(), infer={"is_auxiliary": True})


@effectful(type="barrier")
def barrier(data: Any) -> Any:
    """Mark a point of the run at which an algorithm may stop and act, e.g. a filter's step.

    :param data: passed through.
    """
    return data


def module(name: str, nn_module: torch.nn.Module, update_module_params: bool = False) -> Any:
    """Make every parameter of a torch module a param site, ``{name}$$${path.to.parameter}``.

    A module whose parameter is given another value by a handler, as by
    :class:`~pyro.poutine.equalize_messenger.EqualizeMessenger`, computes with that value until this
    is called again.

    :param name: the module's name.
    :param nn_module: the module.
    :param update_module_params: also load into the module what the param store already holds.
    :returns: the module.
    :raises TypeError: where this is no module.

    >>> import torch, pyro
    >>> net = pyro.module("net", torch.nn.Linear(2, 1))
    >>> sorted(pyro.get_param_store())
    ['net$$$bias', 'net$$$weight']
    """
    _check_module(name, nn_module)
    if not isinstance(name, str):
        raise site_error(name, "the name is no string", "Write module('name', net).", TypeError)
    restore_parameters(nn_module)
    for path, own in list(nn_module.named_parameters()):
        if own.requires_grad:
            _register_parameter(
                nn_module, path, own, param_with_module_name(name, path), update_module_params
            )
    return nn_module


def _check_module(name: str, nn_module: Any) -> None:
    if not isinstance(nn_module, torch.nn.Module):
        raise site_error(
            name, f"expected a torch.nn.Module, got {nn_module!r}", "Instantiate it.", TypeError
        )


def _register_parameter(
    nn_module: torch.nn.Module, path: str, own: torch.Tensor, name: str, update: bool
) -> None:
    value = param(name, own)
    if value is own:
        return
    if value is not _PYRO_PARAM_STORE.get(name):
        lend_parameter(nn_module, path, value)  # a handler's doing, for this run
    elif update:
        with torch.no_grad():
            own.copy_(value)
        _PYRO_PARAM_STORE.bind(name, own)
    else:
        warn_once(
            ("module", name),
            f"At site {name!r}: the module computes with its own parameter while the param store "
            "holds another, which is the one that is optimised. Pass update_module_params=True to "
            "load it into the module, or clear the store.",
        )


def random_module(
    name: str, nn_module: torch.nn.Module, prior: Any, *args: Any, **kwargs: Any
) -> Callable[[], Any]:
    """Make a function that returns a copy of a torch module with parameters drawn from a prior.

    An older way to say :class:`~pyro.nn.module.PyroModule` with
    :class:`~pyro.nn.declarations.PyroSample` attributes. Each parameter is a sample site
    ``{name}$$${path.to.parameter}``. One without a prior stays a param site, and all copies share
    it with the module, which is left as it is.

    :param name: the module's name.
    :param nn_module: the module.
    :param prior: a law, laws by the parameters' names, or a function, as for
        :class:`~pyro.poutine.lift_messenger.LiftMessenger`.
    :param args: more arguments for that.
    :param kwargs: likewise.
    :returns: a function without arguments; each call draws.
    :raises TypeError: where this is no module, or no prior.

    >>> import torch, pyro, pyro.distributions as dist
    >>> with pyro.validation_enabled(False):  # so that it is not said to be deprecated
    ...     draw = pyro.random_module("net", torch.nn.Linear(2, 1), dist.Normal(0.0, 1.0))
    >>> draw()(torch.ones(3, 2)).shape
    torch.Size([3, 1])

    Source: Blundell et al. 2015, *Weight Uncertainty in Neural Networks*, arXiv:1505.05424.
    """
    warn_deprecated("pyro.random_module", "a PyroModule whose attributes are PyroSample(prior)")
    _check_module(name, nn_module)
    lifted = LiftMessenger(prior, *args, **kwargs)(module)

    def draw() -> Any:
        shared: dict[int, Any] = {id(own): own for own in nn_module.parameters()}
        return lifted(name, copy.deepcopy(nn_module, shared))

    return draw


def get_param_store() -> ParamStoreDict:
    """Return the store of all learnable parameters of the process."""
    return _PYRO_PARAM_STORE


def clear_param_store() -> None:
    """Forget every learnable parameter of the process."""
    _PYRO_PARAM_STORE.clear()
