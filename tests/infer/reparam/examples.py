"""One example or more of each reparameterisation, from which the contract tests are generated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.infer.reparam as reparam
from pyro.distributions import transforms as tr

ROWS, COLUMNS = 2, 4


@dataclass
class Example:
    """A reparameterisation of a law with batch shape (2, 4) before ``to_event``.

    :param make: makes the reparameterisation.
    :param law: makes the law.
    :param suffixes: what the names of its auxiliary sites add to the site's.
    :param observed: what becomes of a datum: "exact" where the density stays as it was, "mixture"
        where that holds once auxiliary sites are integrated out, "refused" where there is none.
    :param one_to_one: whether auxiliary values and the site's determine each other.
    :param keeps_start: whether an initial value of the site is kept.
    """

    make: Callable[[], Any]
    law: Callable[[], Any]
    suffixes: tuple[str, ...]
    observed: str = "exact"
    one_to_one: bool = True
    keeps_start: bool = True

    def model(self, obs: Tensor | None = None, mask: Any = None) -> Callable[[], Any]:
        law = self.law() if mask is None else self.law().mask(mask)
        return lambda: pyro.sample("x", law, obs=obs)

    def names(self) -> list[str]:
        return ["x" + suffix for suffix in self.suffixes]

    def applied(self, fn: Callable[[], Any]) -> Any:
        return pyro.poutine.reparam(fn, config={"x": self.make()})


def grid(low: float = -1.0, high: float = 1.0) -> Tensor:
    return torch.linspace(low, high, ROWS * COLUMNS, dtype=torch.float64).reshape(ROWS, COLUMNS)


def normal() -> Any:
    return dist.Normal(grid(), grid().exp())


def ident(example: Example) -> str:
    return f"{type(example.make()).__name__}-{type(example.law()).__name__}"


def walk(law: Callable[[Tensor], Any], seen: int) -> Any:
    """A series of three steps in each of two rows, all of whose noise follows a law."""
    return dist.LinearHMM(
        law(grid()[:, :2]),
        grid()[:, :2],
        law(grid()[0, :2]),
        grid()[:, :seen],
        law(grid()[0, :seen]),
        duration=3,
    )


def heavy(loc: Tensor) -> Any:
    return dist.StudentT(4.0, loc, 1.5).to_event(1)


def stable(loc: Tensor) -> Any:
    return dist.Stable(1.7, 0.0, 1.5, loc).to_event(1)


NOISE = ("_uniform", "_exponential")

EXAMPLES = [
    Example(lambda: reparam.LocScaleReparam(0.0), normal, ("_decentered",)),
    Example(lambda: reparam.LocScaleReparam(0.3), lambda: normal().to_event(1), ("_decentered",)),
    Example(lambda: reparam.LocScaleReparam(grid(0.0, 1.0)), normal, ("_decentered",)),
    Example(lambda: reparam.LocScaleReparam(), lambda: normal().to_event(2), ("_decentered",)),
    Example(
        lambda: reparam.LocScaleReparam(0.5, ["df"]),
        lambda: dist.StudentT(grid(3.0, 9.0), grid(), 2.0),
        ("_decentered",),
    ),
    Example(
        lambda: reparam.LocScaleReparam(0.5),
        lambda: dist.Gumbel(grid(), grid().exp()).to_event(1),
        ("_decentered",),
    ),
    Example(
        lambda: reparam.LocScaleReparam(0.3),
        lambda: dist.Logistic(grid(), grid().exp()),
        ("_decentered",),
    ),
    Example(
        lambda: reparam.LocScaleReparam(0.3),
        lambda: dist.SkewLogistic(grid(), grid().exp(), grid(0.5, 2.0)).to_event(1),
        ("_decentered",),
    ),
    Example(
        lambda: reparam.LocScaleReparam(0.3),
        lambda: dist.SoftLaplace(grid(), grid().exp()),
        ("_decentered",),
    ),
    Example(
        lambda: reparam.LocScaleReparam(0.3),
        lambda: dist.AsymmetricLaplace(grid(), grid().exp(), grid(0.5, 2.0)),
        ("_decentered",),
    ),
    Example(
        lambda: reparam.LocScaleReparam(0.3),
        lambda: dist.SoftAsymmetricLaplace(grid(), grid().exp(), grid(0.5, 2.0), 0.7),
        ("_decentered",),
    ),
    Example(
        reparam.TransformReparam,
        lambda: dist.AffineBeta(grid(2.0, 3.0), 1.5, grid(), grid().exp()),
        ("_base",),
    ),
    Example(reparam.TransformReparam, lambda: dist.LogNormal(grid(), grid().exp()), ("_base",)),
    Example(reparam.TransformReparam, lambda: dist.LogNormal(grid(), 1.0).to_event(1), ("_base",)),
    Example(
        reparam.TransformReparam,
        lambda: dist.TransformedDistribution(
            normal(), [tr.AffineTransform(1.0, grid(1.0, 2.0)), tr.ExpTransform()]
        ),
        ("_base",),
    ),
    Example(
        reparam.TransformReparam,
        lambda: dist.TransformedDistribution(
            normal().to_event(1), [tr.Permute(torch.tensor([2, 0, 1, 3])), tr.ExpTransform()]
        ),
        ("_base",),
    ),
    Example(
        lambda: reparam.SplitReparam([1, 3], -1),
        lambda: normal().to_event(1),
        ("_split_0", "_split_1"),
    ),
    Example(
        lambda: reparam.SplitReparam([1, 1], -2),
        lambda: dist.Gamma(grid(2.0, 3.0), grid().exp()).to_event(2),
        ("_split_0", "_split_1"),
    ),
    Example(reparam.DiscreteCosineReparam, lambda: normal().to_event(1), ("_dct",)),
    Example(
        lambda: reparam.DiscreteCosineReparam(dim=-2, smooth=1.0),
        lambda: normal().to_event(2),
        ("_dct",),
    ),
    Example(reparam.HaarReparam, lambda: normal().to_event(1), ("_haar",)),
    Example(
        lambda: reparam.HaarReparam(dim=-2, flip=True), lambda: normal().to_event(2), ("_haar",)
    ),
    Example(
        lambda: reparam.UnitJacobianReparam(tr.Permute(torch.tensor([2, 0, 1, 3])), "moved"),
        lambda: normal().to_event(1),
        ("_moved",),
    ),
    Example(
        lambda: reparam.HaarReparam(experimental_allow_batch=True),
        normal,
        ("_haar",),
    ),
    Example(
        reparam.StudentTReparam,
        lambda: dist.StudentT(grid(3.0, 9.0), grid(), grid().exp()),
        ("_gamma",),
        "mixture",
        False,
    ),
    Example(
        reparam.StudentTReparam,
        lambda: dist.StudentT(3.0, grid(), 2.0).to_event(1),
        ("_gamma",),
        "mixture",
        False,
    ),
    Example(
        reparam.GumbelSoftmaxReparam,
        lambda: dist.RelaxedOneHotCategorical(grid(1.0, 2.0)[:, :1, None].squeeze(-1), grid(1, 2)),
        ("_uniform",),
        "refused",
        False,
    ),
    Example(
        reparam.ProjectedNormalReparam,
        lambda: dist.ProjectedNormal(grid()),
        ("_normal",),
        "refused",
        False,
    ),
    Example(
        reparam.LatentStableReparam,
        lambda: dist.Stable(grid(0.8, 1.9), grid(-0.9, 0.9), grid().exp(), grid()),
        NOISE,
        "refused",
        False,
        False,
    ),
    Example(
        reparam.SymmetricStableReparam,
        lambda: dist.Stable(grid(0.8, 1.9), 0.0, grid().exp(), grid()).to_event(1),
        NOISE,
        "mixture",
        False,
    ),
    Example(
        reparam.StableReparam,
        lambda: dist.Stable(grid(0.8, 1.9), grid(-0.9, 0.9), grid().exp(), grid(), coords="S"),
        tuple("_z" + s for s in NOISE) + tuple("_t" + s for s in NOISE),
        "mixture",
        False,
    ),
    Example(
        lambda: reparam.LinearHMMReparam(*[reparam.StudentTReparam()] * 3),
        lambda: walk(heavy, 3),
        ("_init_gamma", "_trans_gamma", "_obs_gamma"),
        "mixture",
        False,
    ),
    Example(
        lambda: reparam.LinearHMMReparam(*[reparam.SymmetricStableReparam()] * 3),
        lambda: dist.IndependentHMM(walk(stable, 1).expand_by([3])),
        tuple(f"_{part}{s}" for part in ("init", "trans", "obs") for s in NOISE),
        "mixture",
        False,
    ),
    Example(
        lambda: reparam.ConjugateReparam(dist.Gamma(2.0, 1.0)),
        lambda: dist.Gamma(grid(2.0, 3.0), grid().exp()),
        (),
        "refused",
        False,
    ),
]
