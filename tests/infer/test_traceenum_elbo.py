from typing import Any

import pytest
import torch

import pyro.poutine as poutine
from pyro.infer import TraceEnum_ELBO
from tests.helpers import assert_close
from tests.infer.brute_force import bound, log_evidence
from tests.infer.finite_models import CASES, Case

EVERY_CASE = pytest.mark.parametrize("name", CASES)
EVERY_SEED = pytest.mark.parametrize("seed", range(3))

# Guides whose sites in a plate do not meet again outside of it.
GUIDES = [name for name in CASES if "tied" not in name and "scaled" not in name]


def no_guide(*args: Any) -> None:
    pass


def assert_same_value_and_gradient(actual: Any, expected: Any, params: Any) -> None:
    assert_close(actual, expected)
    assert_close(
        torch.autograd.grad(actual, params, materialize_grads=True),
        torch.autograd.grad(expected, params, materialize_grads=True),
    )


@EVERY_SEED
@EVERY_CASE
def test_what_the_model_enumerates_is_summed_exactly(name: str, seed: int) -> None:
    case = CASES[name](seed)
    loss = TraceEnum_ELBO().differentiable_loss(case.model, no_guide)
    exact = log_evidence(case.model, case.sites, {}) if "scaled" not in name else None
    if exact is None:  # the sum as a whole is scaled
        twin = CASES[name.replace("scaled ", "")](seed)
        exact = 0.5 * log_evidence(twin.model, twin.sites, {})
        assert_close(loss, -exact)
        return
    assert_same_value_and_gradient(loss, -exact, case.params)


def priors_of(case: Case, mode: str) -> Any:
    """The laws of a model's enumerated sites as a guide."""

    def hints(site: Any) -> dict[str, Any]:
        return {"enumerate": mode} if site["name"] in case.sites else {}

    latent = poutine.block(case.model, hide_fn=lambda site: not_latent(site, case))
    return poutine.infer_config(latent, hints)


def not_latent(site: Any, case: Case) -> bool:
    return site["type"] == "sample" and site["name"] not in case.sites


@EVERY_SEED
@pytest.mark.parametrize("mode", ["parallel", "sequential"])
@pytest.mark.parametrize("name", GUIDES)
def test_what_the_guide_enumerates_is_weighed_exactly(name: str, mode: str, seed: int) -> None:
    case, other = CASES[name](seed), CASES[name](seed + 100)
    guide = priors_of(other, mode)
    loss = TraceEnum_ELBO().differentiable_loss(case.model, guide)
    exact = bound(case.model, guide, case.sites, {})
    assert_same_value_and_gradient(loss, -exact, case.params + other.params)
