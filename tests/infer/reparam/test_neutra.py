"""Posteriors in the coordinates of a guide."""

from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer.autoguide import (
    AutoDiagonalNormal,
    AutoIAFNormal,
    AutoMultivariateNormal,
    AutoNormal,
)
from pyro.infer.reparam import NeuTraReparam
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, refused, value_of

pytestmark = pytest.mark.usefixtures("double_precision")

SITES = ("z", "top", "scale")


def model() -> None:
    with pyro.plate("rows", 3):
        z = pyro.sample("z", dist.Gamma(2.0, 1.5))
    top = pyro.sample("top", dist.Normal(0.0, 1.0))
    scale = pyro.sample("scale", dist.LogNormal(top, 1.0))
    with pyro.plate("data", 3):
        pyro.sample("y", dist.Normal(top * z, scale), obs=torch.ones(3))


def neutra_of(kind: Any) -> NeuTraReparam:
    guide = kind(model)
    guide()
    for parameter in guide.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return NeuTraReparam(guide)


KINDS = pytest.mark.parametrize("kind", [AutoDiagonalNormal, AutoMultivariateNormal, AutoIAFNormal])


@KINDS
def test_the_density_is_that_of_a_change_of_variables(kind: Any) -> None:
    """log p(u) = log p(x, y) + log |det dx/du|, the last by automatic differentiation."""
    neutra = neutra_of(kind)
    record = trace_of(neutra.reparam(model))
    assert latent_names(record) == ["z_shared_latent"]
    u = value_of(record, "z_shared_latent").detach()
    assert u.shape == (5,)

    def values(u: Tensor) -> Tensor:
        found = neutra.transform_sample(u)
        return torch.cat([found[name].reshape(-1) for name in SITES])

    same = {name: value_of(record, name) for name in SITES}
    direct = trace_of(poutine.condition(model, data=same)).log_prob_sum()
    jacobian = torch.autograd.functional.jacobian(values, u)
    assert_close(record.log_prob_sum(), direct + torch.linalg.slogdet(jacobian).logabsdet)
    for name, value in same.items():
        assert_close(neutra.transform_sample(u)[name], value)


@KINDS
def test_samples_come_in_batches(kind: Any) -> None:
    neutra = neutra_of(kind)
    u = torch.randn(4, 2, 5)
    found = neutra.transform_sample(u)
    assert {name: value.shape for name, value in found.items()} == {
        "z": (4, 2, 3),
        "top": (4, 2),
        "scale": (4, 2),
    }
    for name, value in neutra.transform_sample(u[1, 1]).items():
        assert_close(value, found[name][1, 1])


def test_it_is_a_handler_too() -> None:
    neutra = neutra_of(AutoDiagonalNormal)
    with poutine.trace() as record, neutra.reparam():
        model()
    assert latent_names(record.trace) == ["z_shared_latent"]


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="one vector for all sites, .* not AutoNormal"):
        NeuTraReparam(AutoNormal(model))  # type: ignore[arg-type]
    with refused(ValueError, "NeuTraReparam: the guide has not run yet"):
        NeuTraReparam(AutoDiagonalNormal(model)).reparam(model)()
    neutra = neutra_of(AutoDiagonalNormal)
    data = {"top": torch.tensor(1.0)}
    with refused(ValueError, "At site 'top': it is observed, or no latent site of the guide's"):
        neutra.reparam(poutine.condition(model, data=data))()
