"""Exact expectations of gradient estimators: over finite supports, and by quadrature.

A guide is run at every value that it could draw (a finite support, or the nodes of a Gauss-Hermite
rule, which is exact for polynomials), and the estimates are averaged with the probabilities of
those values. What is left is the estimator's bias, up to rounding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pyro
from pyro.infer import ELBO, Trace_ELBO
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from tests.helpers import assert_close, trace_of

Program = Callable[..., Any]
Draw = Callable[[Any], Tensor]  # the site's law -> its value

COIN = torch.tensor([0.0, 1.0], dtype=torch.double)


def double(*values: Any) -> Any:
    return torch.tensor(values[0] if len(values) == 1 else values, dtype=torch.double)


def leaves(*names: Any) -> Any:
    by_name = dict(pyro.get_param_store().named_parameters())
    return [by_name[name] for name in names]


class Drawing(Messenger):
    """Gives sites the values that a law would have drawn, as if it had."""

    def __init__(self, draws: Mapping[str, Draw]) -> None:
        super().__init__()
        self.draws = draws

    def _pyro_sample(self, msg: Message) -> None:
        if msg["name"] in self.draws and not msg["done"] and not msg["is_observed"]:
            msg["value"] = self.draws[msg["name"]](msg["fn"])
            msg["done"] = True


def constant(value: Tensor) -> Draw:
    """A draw that is this value whatever the law."""
    return lambda fn: value


def finite_outcomes(
    supports: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]
) -> Iterator[dict[str, Tensor]]:
    """All joint values of finite sites, each a tensor of its shape filled from its support."""
    names = list(supports)
    sizes = [int(np.prod(shapes.get(name, ()), dtype=int)) for name in names]
    for flat in product(
        *(product(supports[n], repeat=k) for n, k in zip(names, sizes, strict=True))
    ):
        yield {
            name: torch.stack(list(values)).reshape(tuple(shapes.get(name, ())))
            for name, values in zip(names, flat, strict=True)
        }


def expected_gradient(
    elbo: ELBO,
    model: Program,
    guide: Program,
    outcomes: Iterator[tuple[float, Mapping[str, Draw]]],
    params: Sequence[Tensor],
) -> tuple[float, list[Tensor]]:
    """The exact mean of an objective's loss and of its gradient estimate.

    :param outcomes: probabilities, and the draws that have them.
    :param params: the leaves to differentiate by.
    """
    loss, grads = 0.0, [torch.zeros_like(p) for p in params]
    for weight, draws in outcomes:
        with Drawing(draws):
            value = elbo.differentiable_loss(model, guide)
        parts = torch.autograd.grad(value, params, allow_unused=True)
        loss += weight * value.item()
        grads = [g if d is None else g + weight * d for g, d in zip(grads, parts, strict=True)]
    return loss, grads


def weighted_outcomes(
    supports: Mapping[str, Tensor],
    shapes: Mapping[str, Sequence[int]],
    log_q: Callable[[dict[str, Tensor]], Tensor],
) -> Iterator[tuple[float, dict[str, Draw]]]:
    """Outcomes of finite sites for :func:`expected_gradient`, weighted by the guide's density."""
    for values in finite_outcomes(supports, shapes):
        weight = log_q(values).exp().item()
        yield weight, {name: constant(x) for name, x in values.items()}


def normal_outcomes(
    names: Sequence[str], pathwise: Mapping[str, bool], order: int = 6
) -> Iterator[tuple[float, dict[str, Draw]]]:
    """Outcomes of scalar normal sites at the nodes of a Gauss-Hermite rule.

    :param pathwise: tells of each site whether its draw is to be differentiable.
    :param order: nodes a site; exact for polynomials of degree ``2 * order - 1`` in its noise.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    weights = weights / weights.sum()
    for index in product(range(order), repeat=len(names)):
        draws: dict[str, Draw] = {}
        for name, i in zip(names, index, strict=True):

            def draw(
                fn: Any, eps: float = nodes[i], differentiable: bool = pathwise[name]
            ) -> Tensor:
                value: Tensor = fn.loc + fn.scale * eps
                return value if differentiable else value.detach()

            draws[name] = draw
        yield float(np.prod(weights[list(index)])), draws


def assert_unbiased(
    model: Any, guide: Any, names: Any, shapes: Any, elbo: Any = None, values: Any = COIN
) -> None:
    """Compares the estimator's exact mean with the gradient of the exactly summed objective."""
    trace_of(guide)
    params = leaves(*pyro.get_param_store())
    supports = dict.fromkeys(names, values)

    def run(fn: Any, outcome: Any) -> Any:
        with Drawing({name: constant(x) for name, x in outcome.items()}):
            trace = trace_of(fn)
        trace.compute_log_prob()
        return trace

    log_q = log_density_of(guide, names)
    expected = torch.zeros((), dtype=torch.double)
    for outcome in finite_outcomes(supports, shapes):
        bound = run(model, outcome).log_prob_sum() - run(guide, outcome).log_prob_sum()
        expected = expected - log_q(outcome).exp() * bound
    loss, grads = expected_gradient(
        elbo or Trace_ELBO(), model, guide, weighted_outcomes(supports, shapes, log_q), params
    )
    assert_close(loss, expected)
    assert_close(grads, list(torch.autograd.grad(expected, params)))


def log_density_of(guide: Program, names: Sequence[str]) -> Callable[[dict[str, Tensor]], Tensor]:
    """The log density of a guide's sites, as a function of their values."""

    def log_q(outcome: dict[str, Tensor]) -> Tensor:
        with Drawing({name: constant(x) for name, x in outcome.items()}):
            record = trace_of(guide)
        record.compute_log_prob()
        return torch.as_tensor(sum(record.nodes[name]["unscaled_log_prob"].sum() for name in names))

    return log_q


def variance_of_gradient(
    make: Callable[[], ELBO],
    model: Program,
    guide: Program,
    supports: Mapping[str, Tensor],
    shapes: Mapping[str, Sequence[int]],
    params: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """The exact mean of a gradient estimate and its variance, over all outcomes.

    :param make: makes the objective anew for each outcome, so that none knows of another.
    """
    first, second = torch.zeros(()), torch.zeros(())
    log_q = log_density_of(guide, list(supports))
    for weight, draws in weighted_outcomes(supports, shapes, log_q):
        with Drawing(draws):
            loss = make().differentiable_loss(model, guide)
        found = torch.autograd.grad(loss, list(params), allow_unused=True)
        flat = torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).flatten()
                for p, g in zip(params, found, strict=True)
            ]
        )
        first, second = first + weight * flat, second + weight * flat**2
    return first, second - first**2
