"""Steps many one-parameter optimisers in few operations, to the same numbers as one by one."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from pyro.optim.adagrad_rmsprop import AdagradRMSProp
from pyro.optim.clipped_adam import ClippedAdam
from pyro.optim.dct_adam import DCTAdam
from pyro.optim.joint_adam import adam_step, has_plain_step

# Optimisers whose step of a parameter depends on nothing but that parameter, its state and its
# group's hyperparameters, and keeps the state in place: these may be joined with their like.
_OURS = {AdagradRMSProp, ClippedAdam, DCTAdam}
_JOINABLE_NAMES = ("ASGD", "Adafactor", "Muon", "NAdam", "RAdam", "SparseAdam")
# Among torch's, those that give the same bits in torch's mode for many tensors as one by one.
_AT_ONCE_NAMES = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "RMSprop", "Rprop", "SGD")


def _of_torch(names: tuple[str, ...]) -> set[type]:
    return {getattr(torch.optim, name) for name in names if hasattr(torch.optim, name)}


_AT_ONCE = _of_torch(_AT_ONCE_NAMES)
_JOINABLE = _OURS | _AT_ONCE | _of_torch(_JOINABLE_NAMES)

# Stepping for all parameters at once holds temporary copies of all of them, not of one.
_MOST_ELEMENTS_AT_ONCE = 2**22


def step_together(optimizers: Iterable[Optimizer]) -> None:
    """Step optimisers of one parameter each, all those of equal hyperparameters at once.

    The numbers are those of calling each one's ``step``; each keeps its own state and
    hyperparameters, which schedulers and their owners may change between steps.

    :param optimizers: distinct optimisers.

    >>> x, y = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    >>> (x.sum() + 2 * y.sum()).backward()
    >>> step_together([torch.optim.SGD([x], lr=0.1), torch.optim.SGD([y], lr=0.1)])
    >>> x.tolist(), y.tolist()
    ([0.8..., 0.8...], [0.8..., 0.8..., 0.8...])
    """
    for members in _cohorts(optimizers):
        if len(members) == 1:
            members[0].step()
        else:
            _step_cohort(members)


def _cohorts(optimizers: Iterable[Optimizer]) -> list[list[Optimizer]]:
    """Split optimisers into lists of those that may step together."""
    alone: list[list[Optimizer]] = []
    cohorts: dict[object, list[Optimizer]] = {}
    last: list[Optimizer] = []
    last_looks: tuple[type, dict[str, Any]] | None = None
    for optimizer in optimizers:
        if not _is_joinable(optimizer):
            alone.append([optimizer])
            continue
        looks = type(optimizer), _hyperparameters(optimizer)
        if looks != last_looks:
            last_looks = looks
            last = cohorts.setdefault(_hashable(optimizer, *looks), [])
        last.append(optimizer)
    return alone + list(cohorts.values())


def _is_joinable(optimizer: Optimizer) -> bool:
    return (
        type(optimizer) in _JOINABLE
        and len(optimizer.param_groups) == 1
        and not optimizer._optimizer_step_pre_hooks
        and not optimizer._optimizer_step_post_hooks
    )


def _hyperparameters(optimizer: Optimizer) -> dict[str, Any]:
    hyperparameters = optimizer.param_groups[0].copy()
    del hyperparameters["params"]
    return hyperparameters


def _hashable(optimizer: Optimizer, kind: type, hyperparameters: dict[str, Any]) -> object:
    try:
        return kind, frozenset(hyperparameters.items())
    except TypeError:
        return id(optimizer)


def _step_cohort(members: list[Optimizer]) -> None:
    """Step members of one kind and equal hyperparameters through an optimiser that borrows theirs.

    It works on the members' own dictionaries of state, so that nothing has to be handed back but
    hyperparameters that the step itself changed.
    """
    groups = [member.param_groups[0] for member in members]
    hyperparameters = _hyperparameters(members[0])
    params = [p for group in groups for p in group["params"]]
    joint_group = {"params": params, **hyperparameters}
    if type(members[0]) in _AT_ONCE and _may_go_at_once(joint_group):
        states = [member.state[p] for member in members for p in member.param_groups[0]["params"]]
        if type(members[0]) is torch.optim.Adam and has_plain_step(params, states, joint_group):
            adam_step(params, states, joint_group)
            return
        joint_group["foreach"] = True
    joint = object.__new__(type(members[0]))
    joint.__dict__.update(members[0].__dict__)
    joint.__dict__.pop("step", None)  # a scheduler binds a wrapped step to its own optimiser
    joint.param_groups = [joint_group]
    joint.state = defaultdict(dict)
    for member in members:
        for p in member.param_groups[0]["params"]:
            joint.state[p] = member.state[p]
    _bare_step(joint)(joint)
    changed = {key: joint_group[key] for key in hyperparameters if key != "foreach"}
    if any(changed[key] is not hyperparameters[key] for key in changed):
        for group in groups:
            group.update(changed)


def _bare_step(optimizer: Optimizer) -> Callable[[Optimizer], Any]:
    """Return the step without what torch wraps around it: a profiler's record, and hooks.

    Optimisers with hooks of their own are not joined; where hooks are set for all optimisers of the
    process, the step keeps its wrapping.
    """
    step: Any = type(optimizer).step
    if getattr(step, "hooked", False) and not (
        _global_optimizer_pre_hooks or _global_optimizer_post_hooks
    ):
        step = step.__wrapped__
    return step  # type: ignore[no-any-return]


def _may_go_at_once(group: dict[str, Any]) -> bool:
    if group["foreach"] is not None:
        return False
    if any(group.get(mode) for mode in ("fused", "capturable", "differentiable")):
        return False
    if isinstance(group["lr"], torch.Tensor):
        return False
    elements: int = sum(p.numel() for p in group["params"])
    return elements <= _MOST_ELEMENTS_AT_ONCE
