"""The registry of settings."""

from collections.abc import Iterator
from typing import Any

import pytest

from pyro import settings

LIMIT = 3
SWITCHES = (
    *("validate_distributions_pyro", "validate_distributions_torch"),
    *("validate_infer", "validate_poutine"),
)


class Holder:
    size = 1


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = dict(settings._SETTINGS)

    @settings.register("limit", __name__, "LIMIT")
    def positive(value: Any) -> None:
        if not value > 0:
            raise ValueError("limit must be positive")

    settings.register("size", __name__, "Holder.size")
    yield
    globals()["LIMIT"], Holder.size = 3, 1
    settings._SETTINGS.clear()
    settings._SETTINGS.update(before)


def test_a_setting_is_a_module_attribute() -> None:
    assert settings.get("limit") == 3
    settings.set(limit=5, size=2)
    assert (LIMIT, Holder.size) == (5, 2)
    globals()["LIMIT"] = 7
    assert settings.get("limit") == 7


def test_all_settings_at_once() -> None:
    found = settings.get()
    assert found["limit"] == 3 and found["size"] == 1
    assert list(found) == sorted(found)
    assert set(SWITCHES) <= set(found)


def test_a_context_puts_back_on_every_way_out() -> None:
    with settings.context(limit=5):
        assert settings.get("limit") == 5
    assert settings.get("limit") == 3
    with pytest.raises(KeyError, match="on purpose"), settings.context(limit=5, size=4):
        raise KeyError("on purpose")
    assert (LIMIT, Holder.size) == (3, 1)


def test_a_context_decorates() -> None:
    @settings.context(limit=5)
    def limit() -> Any:
        return settings.get("limit")

    assert limit() == limit() == 5 and settings.get("limit") == 3


def test_either_all_are_set_or_none_is() -> None:
    with pytest.raises(ValueError, match="limit must be positive"):
        settings.set(size=9, limit=-1)
    assert (LIMIT, Holder.size) == (3, 1)
    with pytest.raises(ValueError, match="limit must be positive"):
        settings.context(size=9, limit=-1).__enter__()
    assert (LIMIT, Holder.size) == (3, 1)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    for use in (
        lambda: settings.get("unknown"),
        lambda: settings.set(limit=9, unknown=1),
        lambda: settings.context(unknown=1).__enter__(),
    ):
        with pytest.raises(ValueError, match="Unknown setting 'unknown'; there are: .*limit, .*va"):
            use()
    assert LIMIT == 3


def test_a_validator_may_be_given_at_once() -> None:
    def even(value: Any) -> None:
        if value % 2:
            raise ValueError("size must be even")

    assert settings.register("size", __name__, "Holder.size", even) is even
    with pytest.raises(ValueError, match="size must be even"):
        settings.set(size=3)
    settings.set(size=4)


@pytest.mark.parametrize("name", SWITCHES)
def test_the_validation_switch_is_a_setting(name: str) -> None:
    from pyro import poutine

    with settings.context(**{name: False}):
        assert not poutine.is_validation_enabled()
        assert settings.get("validate_poutine") is False
    assert poutine.is_validation_enabled()
