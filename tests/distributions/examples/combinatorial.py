"""Laws of trees and matchings."""

from __future__ import annotations

import math

import torch

import pyro.distributions as dist
from tests.distributions.examples.example import Example, WrongParameter, WrongValue

T = torch.tensor
NAN = math.nan

EXAMPLES = [
    Example(
        lambda t: dist.OneOneMatching(t([[0.5, -1.0, 0.2], [1.0, 0.3, 0.0], [0.1, 0.4, -0.5]]))
    ),
    Example(
        lambda t: dist.OneOneMatching(t([[[0.5, -1.0], [1.0, 0.3]], [[0.0, 0.4], [2.0, 0.1]]]))
    ),
    Example(lambda t: dist.OneTwoMatching(t([[0.5, -1.0], [1.0, 0.3], [0.1, 0.4], [-0.3, 0.2]]))),
    Example(lambda t: dist.SpanningTree(t([0.5, -1.0, 0.2, 1.0, 0.3, -0.4]))),
    Example(lambda t: dist.SpanningTree(t([[0.5, -1.0, 0.2], [1.0, 0.3, 0.0]]))),
]

WRONG_PARAMETERS: list[WrongParameter] = [
    ("OneOneMatching", lambda: dist.OneOneMatching(T([[0.0, NAN], [0.0, 1.0]])), "logits", "Real"),
    ("OneTwoMatching", lambda: dist.OneTwoMatching(T([[0.0], [NAN]])), "logits", "Real"),
    ("SpanningTree", lambda: dist.SpanningTree(T([0.0, NAN, 1.0])), "edge_logits", "Real"),
]

WRONG_VALUES: list[WrongValue] = [
    (dist.OneOneMatching(torch.zeros(3, 3)), T([0, 1, 1]), "OneOneMatchingConstraint(3)"),
    (dist.OneTwoMatching(torch.zeros(4, 2)), T([0, 1, 1, 1]), "OneTwoMatchingConstraint(2)"),
    (dist.SpanningTree(torch.zeros(3)), T([[0, 1], [0, 1]]), "SpanningTreeConstraint(3)"),
    (dist.SpanningTree(torch.zeros(3)), T([[1, 2], [0, 1]]), "SpanningTreeConstraint(3)"),
]
