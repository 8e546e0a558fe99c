"""Which reparameterisation each law gets, and what is refused."""

from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.infer.reparam as reparam
import pyro.poutine as poutine
from pyro.distributions import constraints
from pyro.distributions import transforms as tr
from pyro.infer.reparam.split import default_support, real_support, same_support
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, refused

LAWS: dict[str, Any] = {
    "normal": lambda: dist.Normal(0.0, 1.0),
    "vector": lambda: dist.Normal(torch.zeros(3), 1.0).to_event(1),
    "student": lambda: dist.StudentT(3.0, 0.0, 1.0),
    "gumbel": lambda: dist.Gumbel(0.0, 1.0),
    "log_normal": lambda: dist.LogNormal(0.0, 1.0),
    "exp_gamma": lambda: dist.TransformedDistribution(dist.Gamma(2.0, 1.0), tr.ExpTransform()),
    "logistic": lambda: dist.Logistic(0.5, 2.0),
    "skew_logistic": lambda: dist.SkewLogistic(0.5, 2.0, 0.7),
    "laplace": lambda: dist.Laplace(0.5, 2.0),
    "soft_laplace": lambda: dist.SoftLaplace(0.5, 2.0),
    "asymmetric_laplace": lambda: dist.AsymmetricLaplace(0.5, 2.0, 0.7),
    "soft_asymmetric_laplace": lambda: dist.SoftAsymmetricLaplace(0.5, 2.0, 0.7, 0.3),
    "affine_beta": lambda: dist.AffineBeta(2.0, 1.5, -1.0, 2.0),
    "folded": lambda: dist.FoldedDistribution(dist.Normal(0.5, 2.0)),
    "weibull": lambda: dist.Weibull(1.0, 2.0),
    "half_normal": lambda: dist.HalfNormal(1.0),
    "gamma": lambda: dist.Gamma(1.0, 1.0),
    "direction": lambda: dist.ProjectedNormal(torch.zeros(3)),
    "relaxed": lambda: dist.RelaxedOneHotCategorical(torch.tensor(0.5), torch.ones(3)),
    "stable": lambda: dist.Stable(torch.tensor(1.5), 0.3),
    "discrete": lambda: dist.Bernoulli(0.5),
}

AUTO = {
    "normal": ["_decentered"],
    "vector": ["_decentered"],
    "student": ["_decentered"],
    "gumbel": ["_decentered"],
    "log_normal": ["_base_decentered"],
    "exp_gamma": ["_base"],
    "logistic": ["_decentered"],
    "skew_logistic": ["_decentered"],
    "laplace": ["_decentered"],
    "soft_laplace": ["_decentered"],
    "asymmetric_laplace": ["_decentered"],
    "soft_asymmetric_laplace": ["_decentered"],
    "affine_beta": ["_base"],
    "folded": [""],
    "weibull": [""],
    "half_normal": [""],
    "gamma": [""],
    "direction": ["_normal_decentered"],
    "relaxed": ["_uniform"],
    "stable": ["_decentered_uniform", "_decentered_exponential"],
    "discrete": [""],
}
MINIMAL = dict.fromkeys(LAWS, [""]) | {
    "direction": ["_normal"],
    "stable": ["_uniform", "_exponential"],
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize(
    ("strategy", "suffixes"),
    [
        (reparam.AutoReparam(), AUTO),
        (reparam.AutoReparam(centered=0.0), AUTO),
        (reparam.MinimalReparam(), MINIMAL),
    ],
)
def test_latent_sites(strategy: Any, suffixes: Any, name: str) -> None:
    wanted = [name + suffix for suffix in suffixes[name]]
    handled = strategy(lambda: pyro.sample(name, LAWS[name]()))
    for _ in range(2):
        assert latent_names(trace_of(handled)) == wanted
    assert set(strategy.config) >= {name, *wanted}
    again = poutine.reparam(lambda: pyro.sample(name, LAWS[name]()), config=strategy.config)
    assert latent_names(trace_of(again)) == wanted


@pytest.mark.parametrize("strategy", [reparam.AutoReparam(), reparam.MinimalReparam()])
def test_observed_sites(strategy: Any) -> None:
    def model() -> None:
        for name, law in LAWS.items():
            pyro.sample(name, law(), obs=law().sample())
        pyro.sample("even", dist.Stable(torch.tensor(1.5), 0.0), obs=torch.tensor(1.0))
        skew = pyro.param("skew", torch.tensor(0.0))
        pyro.sample("learnt", dist.Stable(torch.tensor(1.5), skew), obs=torch.tensor(1.0))

    noise = ("_uniform", "_exponential")
    parts = [
        f"{name}_{part}{end}" for name in ("stable", "learnt") for part in "zt" for end in noise
    ]
    wanted = parts[:4] + [f"even{end}" for end in noise] + parts[4:]
    assert latent_names(trace_of(strategy(model))) == wanted


def test_a_strategy_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="Strategy defines no configure"):
        reparam.Strategy()({"name": "x"})
    with pytest.raises(ValueError, match="centered is 2.0, expected 0 to 1"):
        reparam.AutoReparam(centered=2.0)


def model_of(law: Any) -> Any:
    return lambda: pyro.sample("x", law)


@pytest.mark.parametrize(
    ("how", "law", "text"),
    [
        (reparam.LocScaleReparam(0.0), dist.LogNormal(0.0, 1.0), "takes laws over all real"),
        (reparam.LocScaleReparam(0.0), dist.Gamma(1.0, 1.0), "takes laws over all real numbers"),
        (reparam.TransformReparam(), dist.Normal(0.0, 1.0), "is for TransformedDistribution"),
        (reparam.StudentTReparam(), dist.Normal(0.0, 1.0), "is for StudentT, but the law is Norm"),
        (reparam.StableReparam(), dist.Normal(0.0, 1.0), "is for Stable, but"),
        (reparam.StableReparam(), dist.Stable(1.5, 1.0), "a skew between -1 and 1, both excluded"),
        (reparam.SymmetricStableReparam(), dist.Stable(1.5, 0.1), "is for laws without skew"),
        (reparam.GumbelSoftmaxReparam(), dist.Normal(0.0, 1.0), "is for RelaxedOneHotCategorical"),
        (reparam.ProjectedNormalReparam(), dist.Normal(0.0, 1.0), "is for ProjectedNormal"),
        (reparam.HaarReparam(), dist.Normal(torch.zeros(3), 1.0), r"Make batch .* \.to_event\(1\)"),
        (
            reparam.HaarReparam(dim=-2, experimental_allow_batch=True),
            dist.Normal(torch.zeros(3), 1.0),
            "HaarReparam transforms 2 dimensions of an event",
        ),
        (
            reparam.HaarReparam(),
            dist.Gamma(torch.ones(3), 1.0).to_event(1),
            "would leave the support",
        ),
        (reparam.SplitReparam([1, 1], -1), dist.Normal(torch.zeros(3), 1.0), "event shape is"),
        (
            reparam.SplitReparam([1, 2], -1),
            dist.Dirichlet(torch.ones(3)),
            r"parts of a value in Simplex\(\) depend on each other",
        ),
    ],
)
def test_what_does_not_fit_is_refused(how: Any, law: Any, text: str) -> None:
    with refused(ValueError, text):
        poutine.reparam(model_of(law), config={"x": how})()


def test_a_datum_behind_a_transform_that_forgets_is_refused() -> None:
    handled = poutine.reparam(
        lambda: pyro.sample("x", dist.HalfNormal(1.0), obs=torch.tensor(1.0)),
        config={"x": reparam.TransformReparam()},
    )
    with refused(ValueError, "At site 'x': it is observed, and several values of the base"):
        handled()


def test_laws_that_cannot_be_multiplied_are_refused() -> None:
    for law, kind in (
        (dist.Normal(0.0, 1.0), NotImplementedError),
        (dist.Beta(1.0, 1.0), TypeError),
    ):
        how = reparam.ConjugateReparam(dist.Gamma(1.0, 1.0))
        with refused(kind, "At site 'x': its law .* cannot be multiplied"):
            poutine.reparam(model_of(law), config={"x": how})()
    with pytest.raises(TypeError, match="takes a law, or a function that returns one, not 3"):
        reparam.ConjugateReparam(3)


@pytest.mark.parametrize("arguments", [(2, -1), ([1, 0], -1), ([1, 2], 1)])
def test_parts_need_sizes_and_a_dimension(arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"SplitReparam: (sections are|dim counts)"):
        reparam.SplitReparam(*arguments)


def test_supports_of_parts() -> None:
    low = torch.tensor([0.0, 1.0, 2.0])
    law = dist.Uniform(low, 5.0).to_event(1)
    part = default_support(law, slice(1, 3), -1)
    assert part.event_dim == 1
    assert_close(part.base_constraint.lower_bound, low[1:])
    simplex = dist.Dirichlet(torch.ones(2, 3)).to_event(1)
    rows = default_support(simplex, slice(0, 1), -2)
    assert rows.base_constraint is constraints.simplex and rows.event_dim == 2
    assert same_support(law) is law.support or same_support(law).event_dim == 1
    assert real_support(simplex).event_dim == 2


def test_a_batch_dimension_is_transformed_outside_of_its_plate() -> None:
    def model(size: int | None = None) -> None:
        with pyro.plate("rows", 3, dim=-2), pyro.plate("time", 4, size):
            pyro.sample("x", dist.Normal(torch.zeros(3, size or 4), 1.0))

    how = reparam.DiscreteCosineReparam(experimental_allow_batch=True)
    handled = poutine.reparam(model, config={"x": how})
    node = trace_of(handled).nodes["x_dct"]
    assert [frame.name for frame in node["cond_indep_stack"]] == ["rows"]
    assert node["value"].shape == (3, 1, 4)
    with refused(ValueError, "transformed along the plate 'time', of which 2 of 4 elements"):
        handled(2)
