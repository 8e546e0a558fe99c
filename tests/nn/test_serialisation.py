"""Copies, pickles and state dictionaries of modules."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn

import pyro
from pyro import settings
from pyro.nn import PyroModule, PyroModuleList
from tests.helpers import assert_close
from tests.nn.models import Declared, Inner, Outer, sites_of


class TestCopies:
    def test_a_deep_copy_shares_nothing(self) -> None:
        module: Any = Outer()
        module()
        twin: Any = copy.deepcopy(module)
        assert twin._pyro_context is twin.inner._pyro_context
        assert twin._pyro_context is not module._pyro_context
        twin.inner.scale = torch.tensor(9.0)
        assert_close(module.inner.scale, 2.0)
        assert list(twin.state_dict()) == list(module.state_dict())

    def test_a_copy_from_within_a_call_starts_outside(self) -> None:
        module: Any = Inner()
        module.forward = lambda: copy.deepcopy(module)
        assert not module()._pyro_context.active

    @pytest.mark.parametrize("called", [False, True])
    def test_a_pickled_module_comes_back(self, called: bool) -> None:
        module: Any = Outer()
        if called:
            module()
        twin: Any = pickle.loads(pickle.dumps(module))
        assert_close(dict(twin.state_dict()), dict(module.state_dict()))
        assert type(twin.linear) is PyroModule[nn.Linear]
        assert sites_of(twin) == sites_of(module)
        file = io.BytesIO()
        torch.save(module, file)
        file.seek(0)
        again = torch.load(file, weights_only=False)
        assert_close(dict(again.state_dict()), dict(module.state_dict()))

    def test_declared_attributes_pickle(self) -> None:
        module: Any = Declared()
        module()
        twin: Any = pickle.loads(pickle.dumps(module))
        assert_close(twin.scale, 3.0)
        assert set(sites_of(twin)) == {"scale", "shift", "noise", "rate"}

    @pytest.mark.parametrize("cls", [PyroModule, PyroModuleList, PyroModule[nn.Linear], Inner])
    def test_classes_pickle(self, cls: type) -> None:
        assert pickle.loads(pickle.dumps(cls)) is cls

    def test_subclasses_of_made_classes_pickle_by_name(self) -> None:
        make: Any = Special
        assert type(pickle.loads(pickle.dumps(make(1, 1)))) is Special


class Special(PyroModule[nn.Linear]):  # type: ignore[type-arg]
    pass


class TestStates:
    @pytest.mark.parametrize("cls", [Inner, Outer, Declared])
    @pytest.mark.parametrize("local", [False, True])
    @pytest.mark.parametrize("saved_after", [False, True])
    @pytest.mark.parametrize("loaded_after", [False, True])
    def test_a_state_goes_round(
        self, cls: Any, local: bool, saved_after: bool, loaded_after: bool
    ) -> None:
        def build(called: bool) -> Any:
            module = cls()
            for parameter in module.parameters():
                nn.init.normal_(parameter)
            if called:
                module()
            return module

        with settings.context(module_local_params=local):
            old = build(saved_after)
            state = {key: value.clone() for key, value in old.state_dict().items()}
            pyro.clear_param_store()
            new = build(loaded_after)
            report = new.load_state_dict(state, strict=True)
        assert report.missing_keys == report.unexpected_keys == []
        assert_close(dict(new.state_dict()), state)
        assert_close(dict(new.named_pyro_params()), dict(old.named_pyro_params()))

    def test_a_local_module_pickles(self) -> None:
        module: Any = Outer()
        with settings.context(module_local_params=True):
            module()
            for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
                twin.inner.scale = torch.tensor(9.0)
                assert_close(module.inner.scale, 2.0)
                assert sites_of(twin) == sites_of(module)
                assert_close(twin.inner.scale, 9.0)
        assert len(pyro.get_param_store()) == 0

    def test_a_function_given_first_value_waits(self) -> None:
        module: Any = Declared()
        assert list(dict(module.named_parameters())) == ["rate_unconstrained"]
        assert set(module.state_dict()) == {
            "scale_unconstrained",
            "shift_unconstrained",
            "rate_unconstrained",
        }
