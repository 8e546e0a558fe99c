"""``collapse``: one exact factor in the place of all sites.

The handler's own doings are tested with a stand-in for funsor that knows finite sums; with funsor
itself where that is installed and finds all the laws that it wants.
"""

import copy
import importlib
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.distributions.distribution import COERCIONS
from pyro.poutine import collapse_messenger
from tests.helpers import assert_close, trace_of
from tests.poutine import fake_funsor
from tests.poutine.models import leaves_no_trace, refused

PROB, LOCS = 0.3, torch.tensor([0.0, 3.0])
LOG_PRIOR = torch.tensor([1 - PROB, PROB]).log()


@pytest.fixture
def funsor(monkeypatch: pytest.MonkeyPatch) -> Any:
    return fake_funsor.install(monkeypatch)


@pytest.fixture
def real_funsor() -> Any:
    try:
        package = importlib.import_module("funsor")
        package.set_backend("torch")
    except (ImportError, AttributeError) as error:
        pytest.skip(f"funsor is missing, or misses something: {error}")
    return package


def switch(data: Tensor, funsor: Any, name: str = "z") -> None:
    z = pyro.sample(name, dist.Bernoulli(PROB))
    pyro.sample(f"{name}_x", dist.Normal(funsor.Tensor(LOCS)[z], 2.0), obs=data)


def log_mixture(data: Tensor) -> Tensor:
    """Of each datum on its own, in closed form."""
    return (LOG_PRIOR + dist.Normal(LOCS, 2.0).log_prob(data[..., None])).logsumexp(-1)


def test_a_finite_sum(funsor: Any) -> None:
    datum = torch.tensor(0.5)
    record = trace_of(poutine.collapse(lambda: switch(datum, funsor)))
    assert list(record) == ["_INPUT", "z", "_RETURN"]
    site = record.nodes["z"]
    assert site["is_observed"] and site["infer"] == {"is_auxiliary": True}
    assert_close(record.log_prob_sum(), log_mixture(datum))


def test_a_chain_of_latents(funsor: Any) -> None:
    rates = torch.tensor([0.2, 0.9])

    def model() -> None:
        z: Any = pyro.sample("z0", dist.Bernoulli(PROB))
        for t in range(1, 4):
            z = pyro.sample(f"z{t}", dist.Bernoulli(funsor.Tensor(rates)[z]))
            pyro.sample(f"x{t}", dist.Normal(z, 1.0), obs=torch.tensor(1.0))

    transition = torch.stack([1 - rates, rates], -1)
    alpha, datum = LOG_PRIOR.exp(), torch.tensor(1.0)
    likelihood = dist.Normal(torch.arange(2.0), 1.0).log_prob(datum).exp()
    for _ in range(3):
        alpha = alpha @ transition * likelihood
    assert_close(trace_of(poutine.collapse(model)).log_prob_sum(), alpha.sum().log())


def test_a_plate_inside_is_multiplied_out(funsor: Any) -> None:
    """The latent outside of the plate is shared by its elements, the one inside is not."""
    data = torch.tensor([0.5, 1.0, -2.0])

    def shared() -> None:
        z = pyro.sample("z", dist.Bernoulli(PROB))
        with pyro.plate("data", 3):
            pyro.sample("x", dist.Normal(funsor.Tensor(LOCS)[z], 2.0), obs=data)

    def own() -> None:
        with pyro.plate("data", 3):
            switch(data, funsor)

    joint = dist.Normal(LOCS, 2.0).log_prob(data[:, None]).sum(0)
    for model, exact in (
        (shared, (LOG_PRIOR + joint).logsumexp(0)),
        (own, log_mixture(data).sum()),
    ):
        record = trace_of(poutine.collapse(model))
        assert_close(record.log_prob_sum(), exact)
        assert record.nodes["z"]["fn"].batch_shape == ()


def test_a_site_counts_once_for_each_element_of_its_plate(funsor: Any) -> None:
    """Though its law has no batch of its own."""

    def model() -> None:
        z = pyro.sample("z", dist.Bernoulli(PROB))
        with pyro.plate("data", 3):
            pyro.sample("x", dist.Normal(funsor.Tensor(LOCS)[z], 2.0), obs=torch.tensor(1.0))

    terms = LOG_PRIOR + 3 * dist.Normal(LOCS, 2.0).log_prob(torch.tensor(1.0))
    assert_close(trace_of(poutine.collapse(model)).log_prob_sum(), terms.logsumexp(0))


def test_a_plate_outside_stays(funsor: Any) -> None:
    data = torch.tensor([0.5, 1.0])

    def model() -> None:
        with pyro.plate("data", 2), poutine.collapse():
            switch(data, funsor)

    record = trace_of(poutine.scale(model, scale=3.0))
    record.compute_log_prob()
    assert_close(record.nodes["z"]["log_prob"], 3 * log_mixture(data))


def test_a_scale_inside_weighs_a_site(funsor: Any) -> None:
    def model() -> None:
        z = pyro.sample("z", dist.Bernoulli(PROB))
        with poutine.scale(scale=2.0):
            pyro.sample("x", dist.Normal(funsor.Tensor(LOCS)[z], 2.0), obs=torch.tensor(1.0))

    terms = LOG_PRIOR + 2 * dist.Normal(LOCS, 2.0).log_prob(torch.tensor(1.0))
    assert_close(trace_of(poutine.collapse(model)).log_prob_sum(), terms.logsumexp(0))


def test_the_record_and_the_sites_that_stay_outside(funsor: Any) -> None:
    def model() -> None:
        with pyro.plate("data", 2):
            switch(torch.zeros(2), funsor)
        pyro.factor("f", torch.tensor(-1.0))
        pyro.deterministic("d", torch.tensor(2.0))

    with poutine.trace() as outer, poutine.collapse() as inner:
        model()
    assert list(outer.trace) == ["data", "f", "d", "z"]
    assert list(inner.trace) == ["data", "z", "z_x", "f", "d"]


def test_nothing_to_collapse_adds_nothing(funsor: Any) -> None:
    assert list(trace_of(poutine.collapse(lambda: pyro.param("p", torch.ones(()))))) == [
        "_INPUT",
        "p",
        "_RETURN",
    ]


def test_without_latents_the_factor_bears_the_name_of_a_datum(funsor: Any) -> None:
    record = trace_of(
        poutine.collapse(lambda: pyro.sample("x", dist.Bernoulli(PROB), obs=torch.tensor(1.0)))
    )
    assert_close(record.log_prob_sum(), LOG_PRIOR[1])
    assert list(record) == ["_INPUT", "x", "_RETURN"]


def test_its_gradient_is_that_of_the_closed_form(funsor: Any) -> None:
    loc = LOCS.clone().requires_grad_()

    def model() -> None:
        z = pyro.sample("z", dist.Bernoulli(PROB))
        pyro.sample("x", dist.Normal(funsor.Tensor(loc)[z], 2.0), obs=torch.tensor(0.5))

    (ours,) = torch.autograd.grad(trace_of(poutine.collapse(model)).log_prob_sum(), loc)  # type: ignore[arg-type]
    exact = (LOG_PRIOR + dist.Normal(loc, 2.0).log_prob(torch.tensor(0.5))).logsumexp(0)
    assert_close(ours, torch.autograd.grad(exact, loc)[0])


def test_a_masked_site_is_refused(funsor: Any) -> None:
    masked = poutine.mask(lambda: switch(torch.zeros(()), funsor), mask=torch.tensor(False))
    with refused(ValueError, "At site 'z': it is masked and cannot be collapsed"):
        poutine.collapse(masked)()
    assert COERCIONS == []


def test_what_has_no_exact_answer_is_refused(funsor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys.modules["funsor.sum_product"], "sum_product", lambda *args: funsor.Funsor()
    )
    with refused(ValueError, "At site 'z': funsor knows no exact answer for the sites z, z_x"):
        poutine.collapse(lambda: switch(torch.zeros(()), funsor))()


def forms(model: Callable[..., Any]) -> list[Callable[..., Any]]:
    @poutine.collapse()
    def decorated(*args: Any) -> Any:
        return model(*args)

    def in_context(*args: Any) -> Any:
        with poutine.collapse():
            return model(*args)

    return [poutine.collapse(model), decorated, in_context]


def test_the_three_forms_agree_and_an_exception_leaves_nothing_behind(funsor: Any) -> None:
    def failing(datum: Tensor) -> None:
        switch(datum, funsor)
        raise ZeroDivisionError("on purpose")

    datum = torch.tensor(0.5)
    for good, bad in zip(forms(lambda d: switch(d, funsor)), forms(failing), strict=True):
        with refused(ZeroDivisionError, "on purpose"):
            bad(datum)
        with leaves_no_trace():
            assert_close(trace_of(good, datum).log_prob_sum(), log_mixture(datum))
    assert COERCIONS == []


def test_two_nest(funsor: Any) -> None:
    datum = torch.tensor(0.5)
    twice = poutine.collapse(poutine.collapse(lambda: switch(datum, funsor)))
    assert_close(trace_of(twice).log_prob_sum(), log_mixture(datum))


def test_it_pickles_copies_and_serves_threads(funsor: Any) -> None:
    messenger = poutine.collapse()
    data = [torch.tensor(float(k)) for k in range(8)]
    for twin in (messenger, copy.deepcopy(messenger), pickle.loads(pickle.dumps(messenger))):
        handled = twin(lambda datum: switch(datum, funsor))
        with ThreadPoolExecutor(4) as pool:
            totals = [run.log_prob_sum() for run in pool.map(partial(trace_of, handled), data)]
        assert_close(totals, [log_mixture(datum) for datum in data])


def test_names_of_funsor_stand_in_the_module(funsor: Any) -> None:
    for name in ("Contraction", "Delta", "Funsor", "Variable"):
        assert getattr(collapse_messenger, name) is getattr(sys.modules["funsor.terms"], name)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        collapse_messenger.Nothing  # noqa: B018


def test_without_funsor_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "funsor", None)
    remedy = r"This feature needs 'funsor'.*pip install 'pyro-ppl\[funsor\]'"
    with refused(ImportError, remedy):
        poutine.collapse(lambda: None)()
    with pytest.raises(ImportError, match=remedy):
        collapse_messenger.Variable("x", 2)


# With funsor itself.


def test_a_linear_gaussian_chain(real_funsor: Any) -> None:
    def model() -> None:
        x: Any = pyro.sample("x", dist.Normal(0.0, 1.0))
        for t in range(3):
            x = pyro.sample(f"x{t}", dist.Normal(0.5 * x + 1.0, 1.0))
            pyro.sample(f"y{t}", dist.Normal(x, 0.5), obs=torch.tensor(1.0 * t))

    mean, loading = torch.zeros(()), torch.eye(4)
    means, rows = [], [loading[0]]
    for t in range(3):
        mean = 0.5 * mean + 1.0
        means.append(mean)
        rows.append(0.5 * rows[-1] + loading[t + 1])
    states = torch.stack(rows[1:])
    exact = dist.MultivariateNormal(torch.stack(means), states @ states.T + 0.25 * torch.eye(3))
    assert_close(
        trace_of(poutine.collapse(model)).log_prob_sum(), exact.log_prob(torch.arange(3.0))
    )


def test_a_gaussian_with_plates(real_funsor: Any) -> None:
    """Inside, the elements share the mean; outside, each has its own."""
    data = torch.arange(3.0)

    def inside() -> None:
        with poutine.collapse():
            x = pyro.sample("x", dist.Normal(0.0, 1.0))
            with pyro.plate("data", 3):
                pyro.sample("y", dist.Normal(x, 2.0), obs=data)

    def outside() -> None:
        with pyro.plate("data", 3), poutine.collapse():
            pyro.sample("y", dist.Normal(pyro.sample("x", dist.Normal(0.0, 1.0)), 2.0), obs=data)

    shared = dist.MultivariateNormal(torch.zeros(3), 4 * torch.eye(3) + 1)
    assert_close(trace_of(inside).log_prob_sum(), shared.log_prob(data))
    assert_close(trace_of(outside).log_prob_sum(), dist.Normal(0.0, 5**0.5).log_prob(data).sum())


def test_a_mixture(real_funsor: Any) -> None:
    data = torch.tensor([0.5, 1.0])

    def model() -> None:
        with pyro.plate("data", 2):
            z = pyro.sample("z", dist.Categorical(LOG_PRIOR.exp()))
            pyro.sample("x", dist.Normal(real_funsor.Tensor(LOCS)[z], 2.0), obs=data)

    assert_close(trace_of(poutine.collapse(model)).log_prob_sum(), log_mixture(data).sum())
