"""Eight threads that run, trace and fit at once get exactly what each gets alone."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.distributions import constraints
from pyro.infer.autoguide.point import AutoDelta
from pyro.infer.initialization import init_to_mean
from pyro.infer.svi import SVI
from pyro.infer.trace_elbo import Trace_ELBO
from pyro.nn.declarations import PyroParam, PyroSample
from pyro.nn.module import PyroModule
from pyro.optim.pytorch_optimizers import Adam
from tests.helpers import trace_of

T = TypeVar("T")
THREADS = 8


@pytest.fixture(autouse=True)
def eager_switches() -> Iterator[None]:
    """Makes threads take turns as often as they can, so that a race is soon lost."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(work: Callable[[int], T], threads: int = THREADS) -> list[T]:
    """What ``work(k)`` gives for every k, all begun together."""
    gate = threading.Barrier(threads)

    def begin(k: int) -> T:
        gate.wait(timeout=60)
        return work(k)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def data_of(k: int) -> Tensor:
    return torch.linspace(-1.0, k + 1.0, 4 + k)


class Regression(PyroModule[torch.nn.Module]):  # type: ignore[misc]
    """A latent and a constrained parameter as attributes."""

    def __init__(self, k: int) -> None:
        super().__init__(f"regression{k}")
        self.spread = PyroParam(torch.tensor(1.0 + k), constraints.positive)
        self.loc = PyroSample(dist.Normal(0.0, 2.0 + k))

    def forward(self, data: Tensor) -> None:
        with pyro.plate("rows", len(data)):
            pyro.sample("x", dist.Normal(self.loc, self.spread), obs=data)


def plain(k: int) -> Callable[[Tensor], None]:
    def model(data: Tensor) -> None:
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0 + k))
        spread = pyro.param(f"spread{k}", lambda: torch.tensor(1.0 + k), constraints.positive)
        with pyro.plate("rows", len(data)), poutine.scale(scale=1.0 + k):
            pyro.sample("x", dist.Normal(loc, spread), obs=data)

    return model


def tied(k: int) -> Callable[[Tensor], None]:
    @poutine.equalize(sites=["a", "b"], keep_dist=True)
    def model(data: Tensor) -> None:
        a = pyro.sample("a", dist.Normal(0.0, 1.0))
        b = pyro.sample("b", dist.Normal(float(k), 2.0))
        for i in pyro.plate("steps", len(data)):
            pyro.sample(f"x{i}", dist.Normal(a + b, 1.0 + k), obs=data[i])

    return model


def fit(make: Callable[[int], Any], k: int, name: str | None = None) -> dict[str, Any]:
    """A fit without random numbers: what comes of it is exact to the bit."""
    model = make(k)
    guide = AutoDelta(model, init_loc_fn=init_to_mean)
    guide._pyro_name = f"guide{k}" if name is None else name
    svi = SVI(model, guide, Adam({"lr": 0.01 * (k + 1)}), Trace_ELBO())
    losses = [svi.step(data_of(k)) for _ in range(12)]
    guided = trace_of(guide, data_of(k))
    record = trace_of(poutine.replay(model, trace=guided), data_of(k))
    record.compute_log_prob()
    return {
        "losses": losses,
        "sites": [(name, *facts_of(site)) for name, site in record.nodes.items()],
        "params": [(name, *facts_of(site)) for name, site in guided.nodes.items()],
        "median": {name: value.tolist() for name, value in guide.median(data_of(k)).items()},
    }


def facts_of(site: Any) -> tuple[Any, ...]:
    if site["type"] not in ("sample", "param"):
        return ()
    density = site["log_prob"].tolist() if "log_prob" in site else None
    return site["value"].tolist(), density, site["cond_indep_stack"], site["infer"]


def contents(store: Any) -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in sorted(store.items())}


def torch_module(k: int) -> Callable[[Tensor], None]:
    net = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(net.weight, 0.5 + k)
    torch.nn.init.zeros_(net.bias)

    def model(data: Tensor) -> None:
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0 + k))
        mean = pyro.module(f"net{k}", net)(loc.reshape(1))
        with pyro.plate("rows", len(data)):
            pyro.sample("x", dist.Normal(mean, 1.0), obs=data)

    return model


MODELS = pytest.mark.parametrize("make", [Regression, plain, tied, torch_module])


@MODELS
def test_threads_fit_models_of_their_own_as_if_alone(make: Callable[[int], Any]) -> None:
    store = pyro.get_param_store()
    alone = [fit(make, k) for k in range(THREADS)]
    expected = contents(store)
    pyro.clear_param_store()
    assert at_once(lambda k: fit(make, k)) == alone
    assert contents(store) == expected
    assert len({str(each) for each in alone}) == THREADS


@MODELS
def test_threads_in_scopes_may_use_the_same_names(make: Callable[[int], Any]) -> None:
    store = pyro.get_param_store()

    def in_scope(k: int) -> tuple[Any, Any]:
        with store.scope() as state:
            found = fit(make, k, name="guide")
            with store.scope():
                pyro.param("inner", torch.tensor(float(k)))
        values = {name: leaf.tolist() for name, leaf in sorted(state["params"].items())}
        return found, values

    alone = [in_scope(k) for k in range(THREADS)]
    outside = pyro.param("outside", torch.tensor(7.0))
    assert at_once(in_scope) == alone
    assert list(store) == ["outside"] and store["outside"] is outside
    assert not any("inner" in values for _, values in alone)


def test_a_scope_is_the_business_of_its_thread() -> None:
    store = pyro.get_param_store()
    store["x"] = torch.tensor(1.0)
    with store.scope(), ThreadPoolExecutor(1) as pool:
        store["x"] = torch.tensor(2.0)
        assert pool.submit(lambda: store["x"].item()).result() == 1.0
        pool.submit(store.__setitem__, "y", torch.tensor(3.0)).result()
        assert list(store) == ["x"] and store["x"].item() == 2.0
    assert contents(store) == {"x": 1.0, "y": 3.0}


def test_scopes_may_end_in_another_order_than_they_began() -> None:
    store = pyro.get_param_store()

    def steps(name: str) -> Iterator[list[str]]:
        with store.scope():
            pyro.param(name, torch.tensor(0.0))
            yield list(store)
        yield list(store)

    first, second = steps("first"), steps("second")
    assert next(first) == ["first"] and next(second) == ["second"]
    assert next(first) == ["second"]  # the scope that is still open
    assert next(second) == list(store) == []


@MODELS
def test_clearing_in_one_thread_leaves_the_others_whole(make: Callable[[int], Any]) -> None:
    """Those in the common store begin anew, those in scopes notice nothing."""
    store = pyro.get_param_store()
    alone = {k: fit(make, k) for k in range(0, THREADS, 2)}
    done = threading.Event()

    def work(k: int) -> Any:
        if k % 2:
            return fit(make, k)
        with store.scope():
            return fit(make, k)

    def clear() -> None:
        while not done.wait(timeout=1e-4):
            pyro.clear_param_store()

    clearing = threading.Thread(target=clear)
    clearing.start()
    try:
        found = at_once(work)
    finally:
        done.set()
        clearing.join()
    for k, expected in alone.items():
        assert found[k] == expected
    for k in range(1, THREADS, 2):
        assert torch.tensor(found[k]["losses"]).isfinite().all()
    for name, leaf in store.named_parameters():
        assert store.param_name(leaf) == name


def test_one_name_that_all_create_is_created_once() -> None:
    store = pyro.get_param_store()
    calls: list[int] = []

    def first() -> Tensor:
        calls.append(1)
        return torch.ones(2)

    def work(k: int) -> list[int]:
        if k % 3 == 0:
            return [id(store.setdefault(f"x{i}", first).unconstrained()) for i in range(100)]
        if k % 3 == 1:
            return [id(store.get_param(f"x{i}", first).unconstrained()) for i in range(100)]
        with poutine.trace():
            return [id(pyro.param(f"x{i}", first).unconstrained()) for i in range(100)]

    found = at_once(work)
    expected = [id(store.unconstrained(f"x{i}")) for i in range(100)]
    assert found == [expected] * THREADS
    assert len(calls) == 100


def test_a_cause_is_warned_about_once_by_all_threads_together() -> None:
    from pyro._foundation.warnings import warn_once

    with pytest.warns(UserWarning, match="look") as caught:
        at_once(lambda k: [warn_once(("threads", i), f"look {i}") for i in range(50)])
    assert sorted(str(each.message) for each in caught) == sorted(f"look {i}" for i in range(50))


def test_threads_make_dense_records_of_random_runs() -> None:
    """The draws are the process's and differ; each record must be whole and its own."""

    def work(k: int) -> None:
        for _ in range(5):
            record = poutine.trace(plain(k), graph_type="dense").get_trace(data_of(k))
            assert list(record) == ["_INPUT", "loc", f"spread{k}", "rows", "x", "_RETURN"]
            assert record.edges == [("loc", "x")]
            loc, spread = record.nodes["loc"]["value"], record.nodes[f"spread{k}"]["value"]
            law = dist.Normal(0.0, 1.0 + k)
            x = dist.Normal(loc, spread).log_prob(data_of(k)) * (1.0 + k)
            assert torch.equal(record.log_prob_sum(), law.log_prob(loc) + x.sum())

    at_once(work)
