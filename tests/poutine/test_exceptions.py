"""An exception at any point of a message's way leaves the interpreter as it was."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import nn

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro._foundation import warnings as pyro_warnings
from pyro._foundation.rng import get_rng_state
from pyro.distributions import constraints
from pyro.distributions.distribution import Distribution
from pyro.infer.autoguide.normal import AutoNormal
from pyro.infer.svi import SVI
from pyro.infer.trace_elbo import Trace_ELBO
from pyro.optim.pytorch_optimizers import Adam
from pyro.poutine import handlers, runtime
from pyro.poutine.messenger import Messenger
from tests.helpers import assert_close
from tests.poutine import fake_funsor, pair_laws
from tests.poutine.models import interpreter_state


class Injected(KeyboardInterrupt):
    """What may come at any time, and is no ``Exception`` that somebody might catch."""


class Injector:
    """Raises at one of the calls that it is told of: the one with number ``at``, from 0."""

    def __init__(self) -> None:
        self.arm(None)

    def arm(self, at: int | None, kind: type[BaseException] = Injected) -> None:
        self.at, self.kind, self.calls = at, kind, 0

    def tick(self) -> None:
        self.calls += 1
        if self.at is not None and self.calls == self.at + 1:
            raise self.kind("on purpose")

    def around(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with a point before it runs and a point when it has."""

        def ticking(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            result = fn(*args, **kwargs)
            self.tick()
            return result

        return ticking


@pytest.fixture
def injector(monkeypatch: pytest.MonkeyPatch) -> Injector:
    """Puts a point before and after each hook, each draw, and each score."""
    injector = Injector()

    class TickingItinerary(runtime.Itinerary):
        __slots__ = ()

        def __init__(self, message_type: str, stack: list[Any]) -> None:
            super().__init__(message_type, stack)
            self.out = [injector.around(hook) for hook in self.out]
            self.back = [injector.around(hook) for hook in self.back]

    monkeypatch.setattr(runtime, "Itinerary", TickingItinerary)
    monkeypatch.setattr(Distribution, "__call__", injector.around(Distribution.__call__))
    default = runtime.default_process_message
    monkeypatch.setattr(runtime, "default_process_message", injector.around(default))
    return injector


class Noise(Messenger):
    """Emits a site of its own from within a hook."""

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["name"] == "x":
            msg["value"] = msg["value"] + pyro.sample("noise", dist.Normal(0.0, 0.1))


NET = nn.Linear(2, 1)


def model() -> Any:
    """Latents tied and untied, parameters, data, plates of each kind, a module, a factor."""
    scale = pyro.param("scale", torch.tensor(2.0), constraint=constraints.positive)
    pyro.module("net", NET)
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    b = pyro.sample("b", dist.Normal(1.0, 1.0))
    with pyro.plate("columns", 2, dim=-2), pyro.plate("rows", 6, subsample_size=3) as rows:
        batch = pyro.subsample(torch.arange(12.0).reshape(2, 6), event_dim=0)
        y = pyro.sample("y", dist.Normal(x + a, scale))
        pyro.sample("z", dist.Normal(y, 1.0), obs=batch)
        with poutine.mask(mask=rows > 1):
            pyro.sample("w", dist.Normal(b, 1.0), obs=batch, obs_mask=batch > 4)
    for i in pyro.plate("steps", 2):
        pyro.sample(f"s{i}", dist.Bernoulli(torch.tensor(0.5)))
    pyro.factor("penalty", -x.abs())
    return NET(torch.stack([pyro.deterministic("sum", a + b), x], -1))


def handled() -> Callable[..., Any]:
    """The model within one of each kind of handler."""
    inner = poutine.equalize(Noise()(model), ["a", "b"], keep_dist=True)
    inner = poutine.condition(inner, {"s1": torch.tensor(1.0)})
    inner = poutine.substitute(inner, {"scale": torch.tensor(3.0)})
    inner = poutine.block(poutine.trace(inner), hide=["s0"])
    inner = poutine.infer_config(inner, lambda site: {"seen": site["name"]})
    inner = poutine.broadcast(poutine.scale(inner, 0.5))
    return poutine.trace(poutine.seed(inner, rng_seed=7), graph_type="dense")


def facts(run: Any) -> dict[str, Any]:
    record = run.get_trace()
    record.compute_log_prob()
    return {
        name: (site["value"], site["log_prob"], site["infer"])
        for name, site in record.nodes.items()
        if site["type"] == "sample"
    }


def state() -> tuple[Any, ...]:
    rng = get_rng_state()
    return (
        *interpreter_state(),
        rng["torch"].tolist(),
        rng["random"],
        str(rng["numpy"]),
        {name: type(value) for name, value in NET.named_parameters()},
        [each for each in warnings.filters if "sympy" not in str(each)],  # torch imports it late
        dict(pyro_warnings._given),
    )


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name in expected:
        assert_close(found[name][0], expected[name][0], rtol=0.0, atol=0.0)
        assert_close(found[name][1], expected[name][1], rtol=0.0, atol=0.0)
        assert found[name][2] == expected[name][2]


def points(injector: Injector, run: Callable[[], Any], stride: int) -> Iterator[int]:
    """The numbers of the points that a run passes, all or one in so many."""
    injector.arm(None)
    run()
    yield from range(0, injector.calls, stride)
    injector.arm(None)


@pytest.mark.parametrize(("kind", "stride"), [(Injected, 1), (ValueError, 7), (GeneratorExit, 7)])
def test_an_exception_at_any_point_leaves_no_trace(
    injector: Injector, kind: type[BaseException], stride: int
) -> None:
    run = handled()
    expected = facts(run)
    passed = 0
    before = state()
    for k in points(injector, run.get_trace, stride):
        injector.arm(k, kind)
        with warnings.catch_warnings(record=True, action="always") as caught:
            with pytest.raises(kind, match="on purpose"):
                run.get_trace()
        assert state() == before and caught == []
        passed += 1
        if passed % 20 == 0:
            injector.arm(None)
            same(facts(run), expected)
    assert passed > 300 / stride
    same(facts(run), expected)


def within(name: str) -> Callable[[], Any]:
    """A model within one instance of a handler."""
    if name == "collapse":
        return poutine.collapse(pair_laws.switch)
    if name == "queue":  # its partial runs are its user's, and an exception loses one
        return lambda: pair_laws.wrap("queue", pair_laws.coins)()
    handled: Callable[[], Any] = pair_laws.wrap(name, pair_laws.model)
    if name != "escape":
        return handled

    def left() -> Any:
        with suppress(poutine.NonlocalExit):
            return handled()

    return left


@pytest.mark.parametrize("name", handlers.HANDLERS)
def test_an_exception_at_any_point_within_a_handler_leaves_no_trace(
    injector: Injector, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One instance, left at every point in turn, does afterwards what it did before."""
    fake_funsor.install(monkeypatch)
    handled = within(name)
    expected = pair_laws.Run(handled)
    seeded = poutine.seed(poutine.trace(handled), rng_seed=0)
    before = state()
    passed = 0
    for k in points(injector, seeded, stride=1):
        injector.arm(k)
        with pytest.raises(Injected, match="on purpose"):
            seeded()
        assert state() == before
        passed += 1
        if passed % 20 == 0:
            injector.arm(None)
            assert pair_laws.Run(handled) == expected
    assert passed > 15
    assert pair_laws.Run(handled) == expected


def test_an_exception_within_blocks_leaves_those_around_active(injector: Injector) -> None:
    inner = handled()
    inner()
    with pyro.plate("around", 2, dim=-4), poutine.trace() as record, poutine.scale(scale=2.0):
        before = interpreter_state()
        for k in points(injector, inner, stride=15):
            record._reset()
            injector.arm(k)
            with pytest.raises(Injected, match="on purpose"):
                inner()
            assert interpreter_state() == before
        injector.arm(None)
        record._reset()
        pyro.sample("after", dist.Normal(0.0, 1.0))
    assert record.trace.nodes["after"]["scale"] == 2.0
    assert record.trace.nodes["after"]["value"].shape == (2, 1, 1, 1)


def test_an_exception_in_a_fit_leaves_the_parameters(injector: Injector) -> None:
    """Whichever point of a step fails, the next ones go on as if it had not been tried."""

    def fit_model() -> None:
        a = pyro.sample("a", dist.Normal(0.0, 1.0))
        b = pyro.sample("b", dist.LogNormal(0.0, 1.0))
        with pyro.plate("rows", 4):
            pyro.sample("x", dist.Normal(a, b), obs=torch.arange(4.0))

    def fresh() -> SVI:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        svi = SVI(fit_model, AutoNormal(fit_model), Adam({"lr": 0.1}), Trace_ELBO())
        svi.step()
        return svi

    svi = fresh()
    injector.arm(None)
    expected = [svi.step() for _ in range(2)]
    svi = fresh()
    rng = get_rng_state()["torch"]
    before = state()
    injector.arm(None)
    for k in itertools.count():
        injector.arm(k)
        try:
            first = svi.step()
        except Injected:
            torch.set_rng_state(rng)
            assert state() == before
        else:
            break
    assert k > 50
    injector.arm(None)
    assert [first, svi.step()] == expected


def test_a_warning_that_is_an_error_leaves_no_trace() -> None:
    """The warning that comes as a handler is left is raised there, and the group still ends."""
    tie = poutine.equalize(sites=["x", "nothing"])
    for _ in range(2):
        with warnings.catch_warnings(action="error"):
            try:
                with tie:
                    pyro.sample("x", dist.Normal(0.0, 1.0))
            except UserWarning:
                pass
        assert tie._run.owners == {} and runtime._PYRO_STACK == []


@pytest.mark.parametrize("device", ["nowhere", "cuda:99"])
def test_a_plate_that_cannot_be_entered_leaves_no_trace(device: str) -> None:
    before = interpreter_state()
    plate = None
    with pytest.raises((RuntimeError, AssertionError), match=".*"):
        plate = pyro.plate("rows", 3, device=device)
        with plate:
            raise AssertionError("it cannot be entered")
    assert interpreter_state() == before
