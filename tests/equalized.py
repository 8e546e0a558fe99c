"""The contract of an equalized model: whatever is asked of it, its hand-tied twin answers the same.

A room of inference calls :func:`assert_equalized_like_handwritten` for each of :data:`PAIRS` with
what it does to a model; see ``tests/infer/test_equalized.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import constraints

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine.sites import site_is_latent, site_is_sample
from tests.helpers import assert_close, trace_of

Program = Callable[..., Any]

GROUPS = {"dogs": [0.5, 2.0], "cats": [-1.0, 0.3], "newts": [1.5, 0.1]}
LOCS = {"dogs": 0.0, "cats": 0.2, "newts": -0.1}  # of the priors, which tell the sites apart


class Pair(NamedTuple):
    """An equalized model and one that a person would have written for the same purpose.

    :param free: the model before its sites are tied.
    :param ties: the options of ``equalize`` that tie them.
    :param twin: the model with its sites tied by hand.
    :param latents: the names of the latent sites, the same in the equalized model and its twin.
    :param members: the names of the sites that are tied to others.
    """

    free: Program
    ties: dict[str, Any]
    twin: Program
    latents: list[str]
    members: list[str]

    @property
    def tied(self) -> Program:
        """The equalized model."""
        return self.tie(self.free)

    def tie(self, model: Program) -> Program:
        """Equalizes a model that has the sites of the free one."""
        return poutine.equalize(model, **self.ties)


def assert_equalized_like_handwritten(
    tied: Program, twin: Program, ask: Callable[[Program], Any], *, seed: int = 1
) -> None:
    """Asserts that an equalized model and its hand-tied twin give one answer.

    Each is asked with an empty param store and from one seed, so that the answers agree up to
    rounding also where random numbers enter; what one draws more than the other shows.

    :param tied: the equalized model.
    :param twin: the same model tied by hand.
    :param ask: does to a model what is tested, and returns the numbers that it found, in a
        structure of mappings, sequences and tensors.
    :param seed: where both begin.
    """
    answers = []
    for program in (tied, twin):
        pyro.clear_param_store()
        pyro.set_rng_seed(seed)
        answers.append((ask(program), torch.rand(())))
    assert_close(*answers)


def facts_of_run(program: Program) -> dict[str, Any]:
    """What a trace says of a run: its sites' values and densities, and the gradients behind them.

    A tied parameter shows by what is computed from it, since the twin reads no such parameter.
    """
    drawn = trace_of(program).nodes.items()
    values = {n: s["value"].detach().requires_grad_() for n, s in drawn if site_is_latent(s)}
    record = trace_of(poutine.condition(program, data=values))
    total = torch.as_tensor(record.log_prob_sum())
    leaves = [*values.values(), *(leaf for _, leaf in pyro.get_param_store().named_parameters())]
    gradients = torch.autograd.grad(total, leaves, allow_unused=True) if leaves else ()
    sites = sorted(record.nodes.items())
    return {
        "values": {name: site["value"] for name, site in sites if site_is_sample(site)},
        "result": record.nodes["_RETURN"]["value"],
        "log density": total,
        "gradients": [torch.zeros(()) if g is None else g for g in gradients],
        "parameters": dict(pyro.get_param_store().items()),
    }


def _one_std(keep_dist: bool, plated: bool) -> Pair:
    """One latent standard deviation for all groups; in plates of which the first lacks one."""
    data = {name: torch.tensor(values) for name, values in GROUPS.items()}

    def law(name: str) -> Any:
        return dist.LogNormal(LOCS[name], 1.0)

    def rows(name: str) -> Any:
        return pyro.plate(f"{name}_rows", 2)

    def free() -> Tensor:
        total = torch.zeros(())
        for name, values in data.items():
            mean = pyro.sample(f"{name}_mean", dist.Normal(0.0, 2.0))
            if not plated or name == "dogs":
                std = pyro.sample(f"{name}_std", law(name))
                with rows(name):
                    pyro.sample(name, dist.Normal(mean, std), obs=values)
            else:
                with rows(name):
                    std = pyro.sample(f"{name}_std", law(name))
                    pyro.sample(name, dist.Normal(mean, std), obs=values)
            total = total + std.sum()
        return total

    def tie(name: str, std: Tensor) -> Tensor:
        if keep_dist:
            return torch.as_tensor(pyro.sample(f"{name}_std", law(name), obs=std))
        return pyro.deterministic(f"{name}_std", std, event_dim=0)

    def by_hand() -> Tensor:
        total, std = torch.zeros(()), None
        for name, values in data.items():
            mean = pyro.sample(f"{name}_mean", dist.Normal(0.0, 2.0))
            if std is None:
                std = pyro.sample(f"{name}_std", law(name))
                total = total + std
            elif not plated:
                total = total + tie(name, std)
            with rows(name):
                if plated and name != "dogs":
                    total = total + tie(name, std.expand(std.shape[:-1] + (2,))).sum()
                pyro.sample(name, dist.Normal(mean, std), obs=values)
        return total

    return Pair(
        free,
        {"sites": ".+_std", "keep_dist": keep_dist},
        by_hand,
        ["dogs_mean", "dogs_std", "cats_mean", "newts_mean"],
        ["cats_std", "newts_std"],
    )


def _one_parameter() -> Pair:
    """One learnable scale for all groups, and another for their means."""

    def program(parameter_of: Callable[[str], str]) -> Program:
        def model() -> Tensor:
            total = torch.zeros(())
            for name, values in GROUPS.items():
                std = pyro.param(
                    parameter_of(name), torch.tensor(1.5), constraint=constraints.positive
                )
                mean = pyro.sample(f"{name}_mean", dist.Normal(0.0, std))
                with pyro.plate(f"{name}_rows", 2):
                    pyro.sample(name, dist.Normal(mean, std), obs=torch.tensor(values))
                total = total + mean
            return total

        return model

    return Pair(
        program(lambda name: f"{name}_scale"),
        {"sites": ".+_scale", "type": "param"},
        program(lambda name: "dogs_scale"),
        ["dogs_mean", "cats_mean", "newts_mean"],
        ["cats_scale", "newts_scale"],
    )


def _vectors_in_two_groups(keep_dist: bool) -> Pair:
    """Two groups in one handler, of vectors and of simplices, with a plate around all."""
    data = torch.tensor([[0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])

    def vector(i: int) -> Any:
        return dist.Normal(torch.arange(2.0), 1.0 + i).to_event(1)

    def weights(i: int) -> Any:
        return dist.Dirichlet(torch.tensor([1.5, 2.0 + i]))

    def observe(i: int, x: Tensor, w: Tensor) -> None:
        pyro.sample(f"y{i}", dist.Normal(x * w, 1.0).to_event(1), obs=data)

    def free() -> Tensor:
        with pyro.plate("rows", 3):
            for i in range(2):
                x, w = pyro.sample(f"x{i}", vector(i)), pyro.sample(f"w{i}", weights(i))
                observe(i, x, w)
        return torch.as_tensor(x + w)

    def by_hand() -> Tensor:
        with pyro.plate("rows", 3):
            x, w = pyro.sample("x0", vector(0)), pyro.sample("w0", weights(0))
            observe(0, x, w)
            if keep_dist:
                pyro.sample("x1", vector(1), obs=x)
                pyro.sample("w1", weights(1), obs=w)
            else:
                pyro.deterministic("x1", x, event_dim=1)
                pyro.deterministic("w1", w, event_dim=1)
            observe(1, x, w)
        return torch.as_tensor(x + w)

    groups = {"location": r"x\d", "weights": ["w0", "w1"]}
    ties = {"sites": groups, "keep_dist": keep_dist}
    return Pair(free, ties, by_hand, ["x0", "w0"], ["x1", "w1"])


PAIRS: dict[str, Pair] = {
    "one std, copies": _one_std(keep_dist=False, plated=False),
    "one std, kept": _one_std(keep_dist=True, plated=False),
    "one std, copies in plates": _one_std(keep_dist=False, plated=True),
    "one std, kept in plates": _one_std(keep_dist=True, plated=True),
    "one parameter": _one_parameter(),
    "two groups of vectors, copies": _vectors_in_two_groups(keep_dist=False),
    "two groups of vectors, kept": _vectors_in_two_groups(keep_dist=True),
}
