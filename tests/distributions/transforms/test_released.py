"""Flows that a released Pyro saved: their states load, and mean the same."""

from typing import Any

import pytest
import torch

from pyro.distributions import transforms
from tests.distributions.transforms.released import CONTEXT, ROWS, fill, inputs
from tests.helpers import assert_close


def made(call: str) -> Any:
    return eval(f"transforms.{call}", {"transforms": transforms}).double().eval()


@pytest.mark.parametrize("call, state", [row[:2] for row in ROWS], ids=[row[0] for row in ROWS])
def test_states_have_the_same_names_and_shapes(call: str, state: str) -> None:
    ours = {
        name: "x".join(map(str, tensor.shape)) for name, tensor in made(call).state_dict().items()
    }
    assert " ".join(f"{name}:{shape}" for name, shape in ours.items()) == " ".join(state.split())


def test_every_helper_that_makes_a_module_has_a_row() -> None:
    helpers = {name for name in transforms.__all__ if name[0].islower()}
    missing = helpers - {row[0].partition("(")[0] for row in ROWS}
    assert missing == {
        # These make no module, or one of given parts.
        *("biject_to", "elu", "identity_transform", "iterated", "leaky_relu", "permute"),
        "transform_to",
    }


NUMBERS = [(call, numbers) for call, _, numbers in ROWS if numbers]


@pytest.mark.parametrize("call, numbers", NUMBERS, ids=[call for call, _ in NUMBERS])
def test_a_state_means_the_same(call: str, numbers: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.arange(n))
    flow = made(call)
    fill(flow)
    at = flow.condition(CONTEXT) if hasattr(flow, "condition") else flow
    shape = (len(numbers) - 1,)
    if "channel" in call:
        shape = (2, 1, 2)
    elif "[2, 2]" in call:
        shape = (2, 2)
    x = inputs(shape)
    y = at(x)
    # The released one adds 1e-8 inside of some logarithms, and 1e-6 at most comes of it.
    assert_close(y.flatten(), numbers[:-1], rtol=1e-6, atol=1e-6)
    assert_close(at.log_abs_det_jacobian(x, y).sum(), numbers[-1], rtol=1e-6, atol=1e-6)
