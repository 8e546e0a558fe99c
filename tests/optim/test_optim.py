"""Optimisers whose parameters come and go."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

import pyro.optim
from pyro.optim.optim import PyroOptim, is_scheduler
from pyro.params.param_store import _PYRO_PARAM_STORE
from tests.helpers import assert_close
from tests.optim.optimisers import (
    EVERY_OPTIMISER,
    NAMES,
    SCHEDULE,
    constructor_of,
    fresh_params,
    one_by_one,
    set_gradient,
    stored_params,
    trajectory,
)


def _make(name: str) -> PyroOptim:
    made = getattr(pyro.optim, name)(EVERY_OPTIMISER[name])
    assert isinstance(made, PyroOptim)
    return made


def _one_step(optim: PyroOptim, params: list[Tensor], step: int = 0) -> None:
    for p in params:
        set_gradient(p, step)
    optim(params)


def _learning_rates(optim: PyroOptim) -> list[float]:
    return [made.param_groups[0]["lr"] for made in optim.optim_objs.values()]


@pytest.mark.parametrize("name", EVERY_OPTIMISER)
def test_only_parameters_passed_in_step_and_as_torch_steps_them(name: str) -> None:
    kind, sparse = constructor_of(name), name == "SparseAdam"
    alone, together = fresh_params(), fresh_params()
    step = one_by_one(alone, lambda p, i: kind([p], **EVERY_OPTIMISER[name]))
    expected = trajectory(alone, step, sparse)
    actual = trajectory(together, _make(name), sparse)
    for one, other in zip(actual, expected, strict=True):
        assert torch.equal(one, other)


def test_each_parameter_has_an_optimiser_of_its_own() -> None:
    params = fresh_params()
    optim = pyro.optim.Adam({"lr": 0.1})
    _one_step(optim, params[:2])
    assert list(optim.optim_objs) == params[:2]
    _one_step(optim, params[1:])
    assert [type(made) for made in optim.optim_objs.values()] == [torch.optim.Adam] * 4
    steps = [float(optim.optim_objs[p].state[p]["step"]) for p in params]
    assert steps == [1.0, 2.0, 1.0, 1.0]


def test_params_may_be_any_iterable_and_repeat() -> None:
    (p, *_) = params = fresh_params()
    start = p.detach().clone()
    for passed in (params, set(params), iter(params), [p, p], {p: 1}):
        p.grad = torch.ones_like(p)
        pyro.optim.SGD({"lr": 0.5})(passed)
    assert_close(p.detach(), start - 5 * 0.5)


def test_a_parameter_without_a_gradient_stays() -> None:
    params = fresh_params()
    pyro.optim.SGD({"lr": 0.5}, {"clip_norm": 1.0})(params)
    assert_close([p.detach() for p in params], [p.detach() for p in fresh_params()])


def test_an_optimiser_object_can_be_changed_or_put_in_place() -> None:
    a, b = fresh_params()[:2]
    optim = pyro.optim.SGD({"lr": 0.5}, {"clip_norm": 100.0})
    _one_step(optim, [a])
    optim.optim_objs[a].param_groups[0]["lr"] = 0.0
    optim.optim_objs[b] = torch.optim.Adam([b], lr=0.0)
    before = [a.detach().clone(), b.detach().clone()]
    _one_step(optim, [a, b])
    assert_close([a.detach(), b.detach()], before)


def test_arguments_of_step_reach_every_optimiser() -> None:
    losses = []

    def closure() -> Tensor:
        losses.append(1)
        return torch.zeros(())

    pyro.optim.SGD({"lr": 0.1})(fresh_params(), closure)
    assert len(losses) == 4


class TestPerParameterArguments:
    def test_a_function_of_the_full_name(self) -> None:
        names = []

        def arguments(param_name: str) -> dict[str, float]:
            names.append(param_name)
            return {"lr": 0.5 if param_name == "net.c" else 0.1}

        optim = pyro.optim.SGD(arguments)
        params = stored_params()
        for step in range(3):
            _one_step(optim, params, step)
        assert names == ["a", "b", "net.c", "d"]
        assert _learning_rates(optim) == [0.1, 0.1, 0.5, 0.1]

    def test_a_function_of_the_module_and_the_name_in_it(self) -> None:
        seen = []

        def arguments(module_name: str, param_name: str) -> dict[str, float]:
            seen.append((module_name, param_name))
            return {"lr": 0.1}

        _one_step(pyro.optim.SGD(arguments), stored_params())
        assert seen == [("a", "a"), ("b", "b"), ("net", "c"), ("d", "d")]

    def test_the_trajectory_is_that_of_each_ones_arguments(self) -> None:
        rates = dict(zip(NAMES, [0.1, 0.2, 0.1, 0.3], strict=True))
        alone = fresh_params()
        step = one_by_one(alone, lambda p, i: torch.optim.Adam([p], lr=rates[NAMES[i]]))
        expected = trajectory(alone, step)
        optim = pyro.optim.Adam(lambda name: {"lr": rates[name.replace(".", "$$$")]})
        for one, other in zip(trajectory(stored_params(), optim), expected, strict=True):
            assert torch.equal(one, other)

    def test_clipping_by_a_function(self) -> None:
        params = stored_params()
        optim = pyro.optim.SGD({"lr": 1.0}, lambda name: {"clip_value": 0.5 if name == "a" else 9})
        for p in params:
            p.grad = torch.full_like(p, 2.0)
        optim(params)
        assert [float(p.grad.max()) for p in params if p.grad is not None] == [0.5, 2.0, 2.0, 2.0]


class TestClipping:
    @pytest.mark.parametrize(
        "clip_args",
        [
            {"clip_norm": 0.5},
            {"clip_value": 0.25},
            {"clip_norm": 1.5, "clip_value": 0.6},
            {"clip_norm": 1e6},
            {},
            None,
        ],
    )
    @pytest.mark.parametrize("sparse", [False, True])
    def test_each_gradient_is_clipped_by_itself(
        self, clip_args: Mapping[str, float] | None, sparse: bool
    ) -> None:
        alone, together = fresh_params(), fresh_params()
        for p, q in zip(alone, together, strict=True):
            set_gradient(p, 0)
            set_gradient(q, 0, sparse)
            if clip_args and "clip_norm" in clip_args:
                clip_grad_norm_(p, clip_args["clip_norm"])
            if clip_args and "clip_value" in clip_args:
                clip_grad_value_(p, clip_args["clip_value"])
        pyro.optim.SGD({"lr": 0.1}, clip_args)(together)
        for p, q in zip(alone, together, strict=True):
            assert p.grad is not None and q.grad is not None
            assert q.grad.is_sparse == sparse
            assert torch.equal(p.grad, q.grad.to_dense())


class TestState:
    @pytest.mark.parametrize("name", EVERY_OPTIMISER)
    @pytest.mark.parametrize("seen_before", [False, True])
    def test_a_saved_state_goes_on_where_it_was(
        self, name: str, seen_before: bool, tmp_path: Path
    ) -> None:
        sparse = name == "SparseAdam"
        expected = trajectory(stored_params(), _make(name), sparse)
        half = len(SCHEDULE) // 2
        params, optim = stored_params(), _make(name)
        trajectory(params, optim, sparse, SCHEDULE[:half])
        optim.save(tmp_path / "optim.pt")
        resumed = _make(name)
        if seen_before:
            others = [p.detach().clone() for p in params]
            trajectory(params, resumed, sparse, SCHEDULE[:1])
            for p, other in zip(params, others, strict=True):
                p.data.copy_(other)
        resumed.load(tmp_path / "optim.pt", map_location="cpu")
        for i, indices in enumerate(SCHEDULE[half:], half):
            for k in indices:
                set_gradient(params[k], i, sparse)
            resumed([params[k] for k in indices])
        # torch loads one number of NAdam's in another precision than it began with.
        rtol = torch.finfo(torch.float32).eps if name == "NAdam" else 0.0
        assert_close([p.detach() for p in params], expected[-4:], rtol=rtol, atol=rtol)

    def test_a_state_is_kept_by_names(self) -> None:
        params = stored_params()
        optim = pyro.optim.Adam({"lr": 0.1})
        _one_step(optim, params)
        state = optim.get_state()
        assert list(state) == NAMES
        made = optim.optim_objs[params[0]].state_dict()
        assert str(state["a"]) == str(made)

    def test_a_state_is_a_copy_both_ways(self) -> None:
        params = stored_params()
        optim = pyro.optim.Adam({"lr": 0.1})
        _one_step(optim, params)
        state = optim.get_state()
        shown = str(state)
        _one_step(optim, params)
        assert str(state) == shown
        other = pyro.optim.Adam({"lr": 0.1})
        other.set_state(state)
        _one_step(other, params)
        assert str(state) == shown

    def test_a_state_waits_for_its_parameter(self) -> None:
        params = stored_params()
        first = pyro.optim.Adam({"lr": 0.1})
        _one_step(first, params)
        second = pyro.optim.Adam({"lr": 0.7})
        second.set_state(first.get_state())
        assert second.get_state() == {}
        _one_step(second, params[:2])
        assert list(second.get_state()) == NAMES[:2]
        _one_step(second, params)
        assert _learning_rates(second) == [0.1] * 4
        steps = [float(second.optim_objs[p].state[p]["step"]) for p in params]
        assert steps == [3.0, 3.0, 2.0, 2.0]

    def test_a_state_goes_to_the_leaf_that_bears_the_name_now(self) -> None:
        params = stored_params()
        optim = pyro.optim.Adam({"lr": 0.1})
        _one_step(optim, params)
        state = optim.get_state()
        (new, *_) = stored_params()
        optim.set_state(state)
        _one_step(optim, [new])
        assert float(optim.optim_objs[new].state[new]["step"]) == 2.0
        assert float(optim.get_state()["a"]["state"][0]["step"]) == 2.0
        assert float(optim.optim_objs[params[0]].state[params[0]]["step"]) == 1.0

    def test_names_outlive_the_store(self) -> None:
        optim = pyro.optim.SGD({"lr": 0.1})
        _one_step(optim, stored_params())
        _PYRO_PARAM_STORE.clear()
        assert list(optim.get_state()) == NAMES

    def test_a_parameter_without_a_name_has_no_state(self) -> None:
        optim = pyro.optim.SGD({"lr": 0.1})
        _one_step(optim, fresh_params())
        assert optim.get_state() == {}

    def test_an_optimiser_can_be_copied(self) -> None:
        optim = pyro.optim.Adam({"lr": 0.1})
        _one_step(optim, stored_params())
        copied = copy.deepcopy(optim)
        assert len(copied.optim_objs) == 4


class TestRefusals:
    def test_arguments_that_are_no_dictionary(self) -> None:
        with pytest.raises(TypeError, match="optim_args must be a dictionary.*got 0.1"):
            pyro.optim.Adam(0.1)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="clip_args must be a dictionary.*got 0.1"):
            pyro.optim.Adam({"lr": 0.1}, 0.1)  # type: ignore[arg-type]

    def test_an_unknown_argument_is_named(self) -> None:
        with pytest.raises(TypeError, match="Adam has no argument 'learning_rate'; it takes 'lr'"):
            pyro.optim.Adam({"learning_rate": 0.1})
        optim = pyro.optim.Adam(lambda name: {"learning_rate": 0.1})
        with pytest.raises(TypeError, match="Adam has no argument 'learning_rate'"):
            _one_step(optim, stored_params())
        with pytest.raises(TypeError, match="clip_args has no key 'norm'; it takes 'clip_norm'"):
            pyro.optim.Adam({"lr": 0.1}, {"norm": 1.0})

    def test_a_function_that_gives_no_dictionary(self) -> None:
        with pytest.raises(TypeError, match="At site 'a': optim_args gave 0.1, expected a dict"):
            _one_step(pyro.optim.Adam(lambda name: 0.1), stored_params())  # type: ignore[arg-type,return-value]

    def test_a_function_of_a_name_that_is_not_there(self) -> None:
        optim = pyro.optim.Adam(lambda name: {"lr": 0.1})
        with pytest.raises(ValueError, match="optim_args depends on the parameter's name"):
            _one_step(optim, fresh_params())
        assert optim.optim_objs == {}

    def test_a_value_that_torch_refuses(self) -> None:
        with pytest.raises(ValueError, match="At site 'a': Invalid learning rate: -1"):
            _one_step(pyro.optim.Adam({"lr": -1.0}), stored_params())
        with pytest.raises(ValueError, match="At site 'x': Muon only supports 2D parameters"):
            _PYRO_PARAM_STORE["x"] = torch.zeros(3)
            pyro.optim.Muon({"lr": 0.1})([_PYRO_PARAM_STORE["x"]])

    @pytest.mark.parametrize(
        ("state", "kind", "message"),
        [
            (3, TypeError, "The state is 3, expected a dictionary by names"),
            ({"a": 3}, ValueError, "'a': there is no state of an optimiser"),
            ({"a": {"scheduler": {}, "optimizer": {}}}, ValueError, "'a': there is no state of"),
            (
                {"a": {"state": {}, "param_groups": []}},
                ValueError,
                "'a': the saved state does not fit.*different number of parameter groups",
            ),
        ],
    )
    def test_a_wrong_state(self, state: Any, kind: type[Exception], message: str) -> None:
        optim = pyro.optim.Adam({"lr": 0.1})
        _one_step(optim, stored_params())
        with pytest.raises(kind, match=message):
            optim.set_state(state)
        _one_step(optim, stored_params())

    def test_a_wrong_file(self, tmp_path: Path) -> None:
        optim, path = pyro.optim.Adam({"lr": 0.1}), tmp_path / "wrong.pt"
        _PYRO_PARAM_STORE["x"] = torch.zeros(3)
        _PYRO_PARAM_STORE.save(path)
        with pytest.raises(ValueError, match=r"the state of an optimiser from '.*wrong\.pt': At"):
            optim.load(path)
        path.write_bytes(b"junk")
        with pytest.raises(ValueError, match=r"'.*wrong\.pt': it is damaged or of another kind"):
            optim.load(path)
        torch.save({"a": print}, path)
        with pytest.raises(ValueError, match=r"'.*wrong\.pt': it names print, and no code"):
            optim.load(path)


def test_a_scheduler_is_told_from_an_optimiser() -> None:
    (p, *_) = fresh_params()
    sgd = torch.optim.SGD([p], lr=0.1)
    assert not is_scheduler(sgd)
    assert is_scheduler(torch.optim.lr_scheduler.ExponentialLR(sgd, 0.5))
    assert is_scheduler(torch.optim.lr_scheduler.ReduceLROnPlateau(sgd))
