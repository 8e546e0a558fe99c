"""Dotted attributes and the public paths of what guides are built with."""

import pytest
import torch
from torch import nn

import pyro
import pyro.distributions as dist
from pyro.infer.autoguide import guides, utils
from pyro.nn import PyroModule
from tests.helpers import assert_close


@pytest.mark.parametrize("module", [guides, utils])
def test_values_are_set_and_read_by_dotted_name(module: object) -> None:
    tree = PyroModule()
    module.deep_setattr(tree, "a.b.c", 3)  # type: ignore[attr-defined]
    module.deep_setattr(tree, "a.d", 4)  # type: ignore[attr-defined]
    assert module.deep_getattr(tree, "a.b.c") == 3  # type: ignore[attr-defined]
    assert tree.a.d == 4
    assert isinstance(tree.a.b, PyroModule)


def test_a_missing_attribute_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'x'"):
        utils.deep_getattr(PyroModule(), "x.y")


def test_what_is_no_module_stands_in_the_way() -> None:
    tree = PyroModule()
    tree.a = torch.zeros(())
    with pytest.raises(ValueError, match="At site 'a.b': the name has a dot after 'a', which is"):
        utils.deep_setattr(tree, "a.b", nn.Parameter(torch.zeros(())))


def test_mean_field_entropy_is_the_sum_over_sites() -> None:
    def model(scale: float) -> None:
        with pyro.plate("rows", 3):
            pyro.sample("x", dist.Normal(0.0, scale))
        pyro.sample("y", dist.Uniform(0.0, 2.0))

    entropy = 0.5 * torch.tensor(2 * torch.pi * torch.e * 4.0).log()
    expected = (entropy + torch.tensor(2.0).log()).expand(3)
    assert_close(utils.mean_field_entropy(model, (2.0,)), expected)
    assert_close(utils.mean_field_entropy(model, (2.0,), whitelist=["y"]), torch.tensor(2.0).log())
