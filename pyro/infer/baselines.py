"""Baselines: what is taken from the cost of a draw so that its score-function gradient varies less.

The expectation of a score function is zero, so that any number which does not depend on the draw
may be taken from what multiplies it. A guide's site names its baseline in ``infer["baseline"]``.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from pyro._foundation.errors import site_error
from pyro.ops.provenance import detach_provenance
from pyro.ops.shapes import broadcast_shape

OPTIONS = (
    "nn_baseline",
    "nn_baseline_input",
    "baseline_value",
    "use_decaying_avg_baseline",
    "baseline_beta",
)


class Steadied(NamedTuple):
    """A cost less its baseline, and the loss by which a learnt baseline is fitted."""

    cost: torch.Tensor
    misfit: torch.Tensor | None


class Baselines:
    r"""The baselines of a guide's sites: learnt ones, given ones, and running averages.

    For a site with cost :math:`c` the baseline is :math:`b = b_\psi(x) + a`. Its first part is a
    function of some input, or a value; where it is learnt, :math:`\psi` descends on
    :math:`(c - b)^2`. Its second part is the average of earlier costs, which forgets them at the
    rate of ``baseline_beta``: :math:`a \leftarrow \beta a + (1 - \beta) c`.

    >>> site = {"name": "z", "infer": {"baseline": {"use_decaying_avg_baseline": True}}}
    >>> baselines = Baselines()
    >>> [round(baselines.steady(site, torch.tensor(4.0), ()).cost.item(), 2) for _ in range(3)]
    [4.0, 3.6, 3.24]

    Source: Mnih and Gregor 2014, *Neural Variational Inference and Learning in Belief Networks*,
    arXiv:1402.0030, section 2.3.
    """

    def __init__(self) -> None:
        self.averages: dict[str, torch.Tensor] = {}

    def steady(
        self, site: Mapping[str, Any], cost: torch.Tensor, shape: tuple[int, ...]
    ) -> Steadied:
        """Return the cost of a draw less its site's baseline.

        :param site: a site of the guide.
        :param cost: what its draw answers for; broadcasts to the shape.
        :param shape: the batch shape of the draw.
        :raises ValueError: that names the site, where its options are unknown or contradict each
            other, or its baseline is of another shape.
        """
        options = (site["infer"] or {}).get("baseline")
        if not options:
            return Steadied(cost, None)
        _check(site["name"], options)
        learnt = _learnt(options)
        misfit = None
        if options.get("use_decaying_avg_baseline"):
            cost = cost - self._average(site["name"], cost, options.get("baseline_beta", 0.9))
        if learnt is not None:
            if tuple(broadcast_shape(learnt.shape, shape)) != tuple(shape):
                raise site_error(
                    site["name"],
                    f"its baseline has shape {tuple(learnt.shape)}, expected {tuple(shape)}, the "
                    "batch shape of the site",
                    "Give the baseline one number for each element, e.g. by .squeeze(-1) of a "
                    "network's output.",
                )
            residual = cost - learnt
            misfit = (residual**2).sum() if residual.requires_grad else None
            cost = residual.detach()
        return Steadied(cost, misfit)

    def _average(self, name: str, cost: torch.Tensor, beta: float) -> torch.Tensor:
        """Return the average of the costs before this one, and let it know of this one."""
        before = self.averages.get(name)
        if before is None:
            before = torch.zeros_like(cost)
        elif before.shape != cost.shape:  # as the last part of the data may be smaller
            before = before.mean().expand(cost.shape)
        self.averages[name] = beta * before + (1 - beta) * cost.detach()
        return before


def _check(name: str, options: Any) -> None:
    unknown = [key for key in options if key not in OPTIONS]
    if unknown:
        raise site_error(
            name,
            f"its baseline has unknown options {', '.join(map(repr, unknown))}",
            f"The options are {', '.join(OPTIONS)}.",
        )
    if "nn_baseline" in options and "baseline_value" in options:
        raise site_error(
            name,
            "both nn_baseline and baseline_value are given",
            "Give one of them; either goes with use_decaying_avg_baseline.",
        )
    if ("nn_baseline" in options) != ("nn_baseline_input" in options):
        raise site_error(
            name,
            "of nn_baseline and nn_baseline_input one is given without the other",
            "Give the function and what to call it with.",
        )
    beta = options.get("baseline_beta", 0.9)
    if not 0 <= beta <= 1:
        raise site_error(name, f"baseline_beta is {beta}, expected a number from 0 to 1")


def _learnt(options: Mapping[str, Any]) -> torch.Tensor | None:
    if "nn_baseline" in options:
        found = options["nn_baseline"](_cut(detach_provenance(options["nn_baseline_input"])))
        return detach_provenance(torch.as_tensor(found))
    value = options.get("baseline_value")
    return None if value is None else detach_provenance(torch.as_tensor(value))


def _cut(x: Any) -> Any:
    """Detach the tensors of an input, which the fit of a baseline must not change."""
    if isinstance(x, torch.Tensor):
        return x.detach()
    if isinstance(x, Mapping):
        return {key: _cut(part) for key, part in x.items()}
    if isinstance(x, list | tuple):
        parts = [_cut(part) for part in x]
        return x._make(parts) if hasattr(x, "_make") else type(x)(parts)
    return x
