"""Names of parameters and of modules."""

import pytest

from pyro.params.param_store import (
    module_from_param_with_module_name,
    normalize_param_name,
    param_with_module_name,
    user_param_name,
)


@pytest.mark.parametrize(
    ("full", "dotted", "module", "user"),
    [
        ("loc", "loc", "loc", "loc"),
        ("a.b", "a.b", "a.b", "a.b"),
        ("net$$$layer.weight", "net.layer.weight", "net", "layer.weight"),
        ("x$$$y$$$z", "x.y.z", "x", "y"),
    ],
)
def test_parts_of_a_full_name(full: str, dotted: str, module: str, user: str) -> None:
    assert normalize_param_name(full) == dotted
    assert module_from_param_with_module_name(full) == module
    assert user_param_name(full) == user


def test_a_full_name_is_put_together() -> None:
    full = param_with_module_name("net", "layer.weight")
    assert full == "net$$$layer.weight"
    assert (module_from_param_with_module_name(full), user_param_name(full)) == (
        "net",
        "layer.weight",
    )
