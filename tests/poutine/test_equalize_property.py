"""Random small models: an equalized one beside a twin whose sites were tied by hand."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, leaves_no_trace, value_of

pytestmark = pytest.mark.usefixtures("double_precision")

PLATES = [("rows", 3, -1), ("columns", 2, -2)]  # a site stands in the first so many of these
DATUM = 0.4  # of every observed site; it lies in all supports
LAWS: dict[str, list[Callable[[float], Any]]] = {
    "real": [lambda p: dist.Normal(p, 1.5), lambda p: dist.Laplace(-p, 0.5 + p)],
    "positive": [lambda p: dist.LogNormal(p, 1.0), lambda p: dist.Gamma(0.5 + p, 2.0)],
    "unit": [lambda p: dist.Beta(0.5 + p, 2.0), lambda p: dist.Uniform(0.0, 1.0)],
    "vector": [
        lambda p: dist.Normal(torch.arange(2.0), 1.0 + p).to_event(1),
        lambda p: dist.MultivariateNormal(torch.ones(2) * p, torch.eye(2) * (1.0 + p)),
    ],
}


class Site(NamedTuple):
    name: str
    kind: str
    variant: int
    parameter: float
    depth: int  # how many plates are around it
    scale: float
    observed: bool

    @property
    def law(self) -> Any:
        return LAWS[self.kind][self.variant](self.parameter)

    @property
    def batch(self) -> tuple[int, ...]:
        return tuple(size for _, size, _ in reversed(PLATES[: self.depth]))

    @property
    def shape(self) -> torch.Size:
        return torch.Size((*self.batch, *self.law.event_shape))

    def obs(self) -> Tensor | None:
        return torch.full(self.shape, DATUM) if self.observed else None


class Case(NamedTuple):
    """A model by its sites, in order; those of the group, the owner first; and the mode."""

    sites: list[Site]
    group: list[str]
    keep_dist: bool
    condition_inside: bool

    def owner_of(self, site: Site) -> str:
        return self.group[0] if site.name in self.group else site.name


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(sorted(LAWS)))
    size = draw(st.integers(2, 4))
    # An owner's plates are around its members too.
    depths = sorted(draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)))
    observed = draw(st.booleans())
    group = [
        draw_site(draw, f"tied{i}", kind, depth, observed and (i == 0 or draw(st.booleans())))
        for i, depth in enumerate(depths)
    ]
    free = [
        draw_site(
            draw,
            f"free{i}",
            draw(st.sampled_from(sorted(LAWS))),
            draw(st.integers(0, 2)),
            draw(st.booleans()),
        )
        for i in range(draw(st.integers(0, 3)))
    ]
    order = draw(st.permutations(range(len(group) + len(free))))
    in_group = iter(group)
    sites = [next(in_group) if i < len(group) else free[i - len(group)] for i in order]
    return Case(sites, [site.name for site in group], draw(st.booleans()), draw(st.booleans()))


def draw_site(draw: st.DrawFn, name: str, kind: str, depth: int, observed: bool) -> Site:
    variant = draw(st.integers(0, len(LAWS[kind]) - 1))
    parameter, scale = draw(st.sampled_from([0.0, 0.3, 1.1])), draw(st.sampled_from([1.0, 0.5]))
    return Site(name, kind, variant, parameter, depth, scale, observed)


def model_of(case: Case) -> Callable[[], None]:
    def model() -> None:
        total = torch.zeros(())
        for site in case.sites:
            total = total + sample_in_plates(site).sum()
        pyro.sample("data", dist.Normal(total, 2.0), obs=torch.tensor(1.0))

    def sample_in_plates(site: Site, depth: int = 0) -> Tensor:
        if depth < site.depth:
            name, size, dim = PLATES[depth]
            with pyro.plate(f"{site.name}_{name}", size, dim=dim):
                return sample_in_plates(site, depth + 1)
        with poutine.scale(scale=site.scale):
            value: Tensor = pyro.sample(site.name, site.law, obs=site.obs())
        return value

    return model


def hand_tied_log_density(case: Case, latents: dict[str, Tensor]) -> Tensor:
    """The density as one would write it down: one variable for all of the group."""
    log_density, total = torch.zeros(()), torch.zeros(())
    values: dict[str, Tensor] = {}
    for site in case.sites:
        owner = case.owner_of(site)
        if site.name == owner:
            datum = site.obs()
            values[owner] = latents[owner] if datum is None else datum
        batch_dims = values[owner].dim() - len(site.law.event_shape)
        lacking = (1,) * (len(site.batch) - batch_dims)
        value = values[owner].reshape(lacking + values[owner].shape).expand(site.shape)
        total = total + value.sum()
        if site.name == owner or case.keep_dist:
            log_density = log_density + site.scale * site.law.log_prob(value).sum()
    return log_density + dist.Normal(total, 2.0).log_prob(torch.tensor(1.0))


def check(case: Case) -> None:
    tie = poutine.equalize(sites=case.group, keep_dist=case.keep_dist)
    model = model_of(case)
    with leaves_no_trace(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of supports that differ at an end point
        drawn = trace_of(tie(model))
        names = latent_names(drawn)
        latents = {name: value_of(drawn, name).detach().requires_grad_() for name in names}
        fix = poutine.condition(data=latents)
        conditioned = tie(fix(model)) if case.condition_inside else fix(tie(model))
        found = torch.as_tensor(trace_of(conditioned).log_prob_sum())
    assert names == [
        site.name for site in case.sites if not site.observed and site.name == case.owner_of(site)
    ]
    expected = hand_tied_log_density(case, latents)
    assert_close(found, expected)
    if latents:
        inputs = list(latents.values())
        assert_close(torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs))


@given(cases())
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_density_and_gradient_are_those_of_a_hand_tied_twin(case: Case) -> None:
    check(case)


@pytest.mark.slow
@given(cases())
@settings(max_examples=2000, deadline=None, derandomize=True, database=None)
def test_density_and_gradient_of_many_more_models(case: Case) -> None:
    check(case)
