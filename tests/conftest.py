"""Every test starts from a clean slate and must leave the handler stack empty."""

from collections.abc import Iterator

import pytest

from pyro.poutine.runtime import _PYRO_PARAM_STORE, _PYRO_STACK
from pyro.poutine.util import is_validation_enabled
from pyro.util import set_rng_seed
from tests.rooms import forget_warnings

pytest.register_assert_rewrite("tests.helpers", "tests.equalized")


@pytest.fixture(autouse=True)
def clean_slate() -> Iterator[None]:
    _PYRO_PARAM_STORE.clear()
    forget_warnings()
    set_rng_seed(0)
    yield
    left_behind = list(_PYRO_STACK)
    _PYRO_STACK.clear()
    assert left_behind == [], f"handlers left on the stack: {left_behind}"
    assert is_validation_enabled(), "the test left validation switched off"
