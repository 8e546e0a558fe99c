"""Floor 0: errors, warnings, the validation switch, random numbers, per-thread state."""

import copy
import pickle
import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from pyro._foundation.errors import DuplicateSiteError, site_error
from pyro._foundation.optional import import_optional
from pyro._foundation.rng import get_rng_state, set_rng_seed, set_rng_state
from pyro._foundation.threads import PerThread
from pyro._foundation.validation import (
    enable_validation,
    is_validation_enabled,
    validation_enabled,
)
from pyro._foundation.warnings import forget_warnings, warn_once

# Errors.


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("z", "it is wrong"), "At site 'z': it is wrong."),
        (("z", "it is wrong", "Do this."), "At site 'z': it is wrong. Do this."),
        ((3, "it is no name"), "At site 3: it is no name."),
    ],
)
def test_an_error_about_a_site(arguments: tuple[str, ...], text: str) -> None:
    error: Exception = site_error(*arguments)  # type: ignore[arg-type]
    assert type(error) is ValueError and str(error) == text


def test_the_kind_of_an_error() -> None:
    assert isinstance(site_error("z", "it is wrong", kind=TypeError), TypeError)
    duplicate = site_error("z", "it is wrong", kind=DuplicateSiteError)
    assert isinstance(duplicate, ValueError) and isinstance(duplicate, RuntimeError)


# The switch.


def test_validation_is_put_back_on_every_way_out() -> None:
    with validation_enabled(False):
        assert not is_validation_enabled()
        with validation_enabled():
            assert is_validation_enabled()
        assert not is_validation_enabled()
    with pytest.raises(KeyError, match="on purpose"), validation_enabled(False):
        raise KeyError("on purpose")
    assert is_validation_enabled()


def test_the_switch_is_torchs_too() -> None:
    with validation_enabled(False):
        torch.distributions.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="scale"):
        torch.distributions.Normal(0.0, -1.0)


def test_a_laws_own_choice_is_kept() -> None:
    with validation_enabled(False), pytest.raises(ValueError, match="scale"):
        torch.distributions.Normal(0.0, -1.0, validate_args=True)


def test_the_switch_takes_what_is_true_or_not() -> None:
    enable_validation(0)  # type: ignore[arg-type]
    assert is_validation_enabled() is False
    enable_validation(1)  # type: ignore[arg-type]
    assert is_validation_enabled() is True


# Warnings.


def caught(*keys: str) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for key in keys:
            warn_once(key, f"about {key}", RuntimeWarning)
    return list(found)


def test_each_cause_is_warned_about_once() -> None:
    found = caught("a", "b", "a", "a")
    assert [str(warning.message) for warning in found] == ["about a", "about b"]
    assert found[0].category is RuntimeWarning and found[0].filename == __file__
    assert caught("a") == []
    forget_warnings()
    assert len(caught("a")) == 1


def test_without_validation_a_cause_is_kept_for_later() -> None:
    with validation_enabled(False):
        assert caught("a") == []
    assert len(caught("a")) == 1


# Random numbers.


def draws() -> tuple[float, float, float]:
    return torch.rand(()).item(), random.random(), np.random.rand()


def test_a_seed_repeats_every_generator() -> None:
    set_rng_seed(11)
    first = draws()
    set_rng_seed(11)
    assert draws() == first
    assert draws() != first


def test_seeding_is_torchs_own_and_leaves_nothing_behind() -> None:
    set_rng_seed(11)
    first = torch.rand(3)
    torch.manual_seed(11)
    assert torch.rand(3).tolist() == first.tolist()
    if torch.accelerator.current_accelerator() is None:  # nobody will ever ask for these
        waiting = len(torch.cuda._queued_calls)
        set_rng_seed(12)
        assert len(torch.cuda._queued_calls) == waiting


def test_a_state_brings_back_every_generator() -> None:
    draws()
    state = get_rng_state()
    first = draws()
    set_rng_state(state)
    assert draws() == first


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_one_refuses_changes_none(seed: int) -> None:
    state = get_rng_state()
    with pytest.raises(ValueError, match="[Ss]eed"):
        set_rng_seed(seed)
    expected = draws()
    set_rng_state(state)
    assert draws() == expected


# State of a thread.


def test_every_thread_has_its_own_state() -> None:
    state = PerThread()
    gate = threading.Barrier(4)

    def own(k: int) -> int:
        assert not hasattr(state, "value")
        state.value = k
        gate.wait()
        found: int = state.value
        return found

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(own, range(4))) == list(range(4))
    assert not hasattr(state, "value")


def test_a_copy_of_a_threads_state_is_empty() -> None:
    state = PerThread()
    state.value = 1
    for twin in (copy.copy(state), copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert isinstance(twin, PerThread) and not hasattr(twin, "value")
    assert state.value == 1


# Optional packages.


def test_an_optional_package() -> None:
    assert import_optional("json", "examples").loads("1") == 1
    with pytest.raises(ImportError, match=r"'no_such_package'.*pip install 'pyro-ppl\[examples\]'"):
        import_optional("no_such_package", "examples")
