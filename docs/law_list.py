"""The directive ``laws``: documents laws by name, each with what its class declares.

Parameters are described where the class is documented; the sets in which they and the values lie,
and whether draws have gradients, are read off the class, so that the page cannot go stale.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.nodes import nested_parse_with_titles

import pyro.distributions as dist
from pyro.distributions import constraints

# What every law has, and says nothing new about.
COMMON = (
    "cdf",
    "entropy",
    "enumerate_support",
    "expand",
    "has_enumerate_support",
    "has_rsample",
    "icdf",
    "infer_shapes",
    "log_prob",
    "mean",
    "mode",
    "rsample",
    "sample",
    "score_parts",
    "stddev",
    "support",
    "variance",
)

NAMED_SETS: list[tuple[Any, str]] = [
    (constraints.real, "real numbers"),
    (constraints.positive, "positive numbers"),
    (constraints.nonnegative, "nonnegative numbers"),
    (constraints.unit_interval, "numbers from 0 to 1"),
    (constraints.boolean, "0 and 1"),
    (constraints.nonnegative_integer, "whole numbers from 0"),
    (constraints.simplex, "proportions"),
    (constraints.one_hot, "vectors that are 1 in one place and 0 elsewhere"),
    (constraints.real_vector, "real vectors"),
    (constraints.sphere, "vectors of length 1"),
    (constraints.lower_cholesky, "lower triangular matrices with a positive diagonal"),
    (constraints.corr_cholesky, "Cholesky factors of correlation matrices"),
    (constraints.corr_matrix, "correlation matrices"),
    (constraints.positive_definite, "positive definite matrices"),
]

# Sets that depend on a law's parameters, where torch's class does not describe them.
DEPENDENT = {
    "Categorical": "whole numbers below the number of weights",
    "ExponentialFamily": "what a subclass declares",
    "Multinomial": "vectors of counts whose sum is the number of trials",
    "OrderedLogistic": "whole numbers up to the number of cutpoints",
    "Pareto": "numbers from the scale",
    "MixtureSameFamily": "that of the components",
    "TransformedDistribution": "the image of the base law's under the transforms",
    "Independent": "that of the base law, in each place",
    "TorchDistribution": "what a subclass declares",
    "ExpandedDistribution": "that of the base law",
    "MaskedDistribution": "that of the base law",
}


def support_of(name: str) -> str:
    """Return a description of the support of a law, or nothing where there is none."""
    law = getattr(dist, name)
    if name in DEPENDENT:
        return DEPENDENT[name]
    declared = next(
        (vars(base)["support"] for base in law.__mro__ if "support" in vars(base)), None
    )
    for known, words in NAMED_SETS:
        if declared is known:
            return words
    described: str = getattr(declared, "__doc__", None) or ""
    if isinstance(declared, property):
        getter: Any = declared.fget
        described = getter.__doc__ if getter is not None else described
    first = re.split(r"\.(\s|$)", (described or "").strip(), maxsplit=1)[0]
    return first[:1].lower() + first[1:]


def draws_of(name: str) -> str:
    """Say how a law can be drawn and summed over."""
    law = getattr(dist, name)
    said = []
    if getattr(law, "has_rsample", False) is True:
        said.append("draws have gradients")
    if getattr(law, "has_enumerate_support", False) is True:
        said.append("values can be enumerated")
    return "; ".join(said)


class LawList(Directive):
    """``.. laws::`` with names of laws in its body."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        lines = [line for name in " ".join(self.content).split() for line in self._entry(name)]
        container = nodes.section()
        container.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, "laws"), container)
        return container.children

    def _entry(self, name: str) -> list[str]:
        said = [f"Support: {support_of(name)}", draws_of(name)]
        return [
            f".. autoclass:: pyro.distributions.{name}",
            "   :members:",
            f"   :exclude-members: {', '.join(COMMON)}",
            "",
            f"   {'; '.join(part for part in said if part)}.",
            "",
        ]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("laws", LawList)
    return {"parallel_read_safe": False}
