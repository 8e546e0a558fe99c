"""All executions of a program: their probabilities sum to one, whatever its branches."""

import itertools
from collections.abc import Callable
from queue import LifoQueue, PriorityQueue, Queue
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine.util import all_escape, discrete_escape, enum_extend, mc_extend
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, leaves_no_trace, refused

pytestmark = pytest.mark.usefixtures("double_precision")


def flip(name: str, prob: Any) -> bool:
    return bool(pyro.sample(name, dist.Bernoulli(torch.as_tensor(prob))).item())


def executions(model: Callable[[], Any], runs: Any = None, **options: Any) -> list[poutine.Trace]:
    runs = LifoQueue() if runs is None else runs
    runs.put(poutine.Trace())
    handled = poutine.trace(poutine.queue(model, queue=runs, **options))
    found = []
    while not runs.empty():
        with leaves_no_trace():
            found.append(handled.get_trace())
    return found


def values_of(record: poutine.Trace) -> dict[str, float]:
    return {name: record.nodes[name]["value"].item() for name in latent_names(record)}


def fields() -> int:
    """Tosses coins until tails, at most four; the number of sites is random."""
    count = 0
    while count < 4 and flip(f"toss_{count}", 0.3 + 0.1 * count):
        count += 1
    return count


def tree(name: str = "x", depth: int = 2) -> int:
    """A random tree: each node has children with a probability of its own."""
    if depth and flip(name, 0.4):
        return 1 + tree(name + "l", depth - 1) + tree(name + "r", depth - 1)
    return 1


@pytest.mark.parametrize("kind", [Queue, LifoQueue])
@pytest.mark.parametrize("model", [fields, tree])
def test_probabilities_sum_to_one(model: Callable[[], Any], kind: Any) -> None:
    found = executions(model, kind())
    assert_close(sum(record.log_prob_sum().exp() for record in found), 1.0)
    described = [tuple(sorted(values_of(record).items())) for record in found]
    assert len(set(described)) == len(described)


def test_each_result_has_its_exact_probability() -> None:
    law: dict[int, Any] = {}
    for record in executions(fields):
        result = record.nodes["_RETURN"]["value"]
        law[result] = law.get(result, 0.0) + record.log_prob_sum().exp()
    heads = [0.3, 0.4, 0.5, 0.6]
    exact = [torch.tensor(heads[:n]).prod() * (1 - ([*heads, 0.0])[n]) for n in range(5)]
    assert_close([law[n] for n in range(5)], exact)


def test_the_order_is_the_queues() -> None:
    def model() -> None:
        flip("a", 0.5)
        flip("b", 0.5)

    found = {kind: executions(model, kind()) for kind in (Queue, LifoQueue)}
    first = {kind: values_of(runs[0]) for kind, runs in found.items()}
    assert first == {Queue: {"a": 0.0, "b": 0.0}, LifoQueue: {"a": 1.0, "b": 1.0}}


def test_a_law_with_a_batch_takes_every_combination() -> None:
    probs = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])

    def model() -> None:
        with pyro.plate("data", 2):
            pyro.sample("x", dist.Categorical(probs))

    found = executions(model)
    assert [tuple(r.nodes["x"]["value"].tolist()) for r in reversed(found)] == list(
        itertools.product(range(3), range(3))
    )
    assert_close(sum(record.log_prob_sum().exp() for record in found), 1.0)


def test_laws_over_vectors_keep_their_events() -> None:
    law = dist.OneHotCategorical(torch.tensor([[0.2, 0.8], [0.5, 0.5]]))
    found = executions(lambda: pyro.sample("x", law))
    assert [record.nodes["x"]["value"].shape for record in found] == [(2, 2)] * 4
    assert_close(sum(record.log_prob_sum().exp() for record in found), 1.0)


def test_observations_weigh_the_executions() -> None:
    def model() -> None:
        x = float(flip("x", 0.3))
        pyro.sample("y", dist.Normal(x, 1.0), obs=torch.tensor(1.0))

    posterior = {values_of(r)["x"]: r.log_prob_sum() for r in executions(model)}
    odds = (posterior[1.0] - posterior[0.0]).exp()
    assert_close(odds, 0.3 / 0.7 * torch.tensor(0.5).exp())


def test_the_rest_is_drawn() -> None:
    def model() -> None:
        pyro.sample("z", dist.Normal(0.0, 1.0))
        flip("x", 0.5)

    found = executions(model)
    assert len(found) == 2
    assert found[0].nodes["z"]["value"] == found[1].nodes["z"]["value"]  # one partial run


@pytest.mark.parametrize("inside", [False, True])
def test_evidence_and_data_that_are_drawn_hold_in_each_execution(inside: bool) -> None:
    """Around them are two discrete sites and the indices of a plate, which are replayed."""

    def model() -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 6, subsample_size=1):
            flip("a", 0.3)
        pyro.sample("y", dist.Normal(z, 1.0), obs=torch.tensor(100.0))
        flip("b", 0.9)

    given = poutine.condition(data={"z": torch.tensor(7.0)})
    for handler in (given, poutine.uncondition()):
        runs: Any = LifoQueue()
        runs.put(poutine.Trace())
        within = poutine.queue(handler(model) if inside else model, queue=runs)
        record = poutine.trace(within if inside else handler(within))
        found = []
        while not runs.empty():
            found.append(record.get_trace())
        assert {(float(r.nodes["a"]["value"]), float(r.nodes["b"]["value"])) for r in found} == {
            (a, b) for a in (0.0, 1.0) for b in (0.0, 1.0)
        }
        assert len(found) == 4
        for run in found:
            assert (run.nodes["z"]["value"] == 7) == (handler is given)
            assert (run.nodes["y"]["value"] == 100) == (handler is given)


def test_drawn_extensions() -> None:
    def model() -> Any:
        return pyro.sample("z", dist.Normal(0.0, 1.0))

    found = executions(model, extend_fn=mc_extend, escape_fn=all_escape, num_samples=5)
    assert len({values_of(record)["z"] for record in found}) == 5


def test_parameters_and_handlers_inside_run_again_in_each_execution() -> None:
    tied = poutine.equalize(sites=["a", "b"])

    @tied
    def model() -> float:
        pyro.param("p", torch.tensor(1.0))
        return float(flip("a", 0.3)) - float(flip("b", 0.9))

    model()  # creates the parameter
    found = executions(model)
    assert [record.nodes["_RETURN"]["value"] for record in found] == [0.0, 0.0]
    assert_close(sum(record.log_prob_sum().exp() for record in found), 1.0)


def test_a_trace_outside_forgets_what_was_abandoned() -> None:
    for record in executions(fields):
        tosses = int(record.nodes["_RETURN"]["value"])
        assert len(latent_names(record)) == min(tosses + 1, 4)
        assert list(record.nodes)[0] == "_INPUT"


def test_an_empty_queue_is_explained() -> None:
    with refused(ValueError, r"no partial run left. Put a poutine.Trace\(\) into"):
        poutine.queue(fields, queue=Queue())()


def test_giving_up_is_explained() -> None:
    runs: Any = Queue()
    runs.put(poutine.Trace())
    with refused(ValueError, "came to no end within max_tries=1"):
        poutine.queue(fields, queue=runs, max_tries=1, extend_fn=enum_extend)()


@pytest.mark.parametrize("runs", [None, [], 3])
def test_what_is_no_queue_is_refused(runs: Any) -> None:
    with pytest.raises(TypeError, match=r"needs a queue of partial runs, got .* runs.put"):
        poutine.queue(fields, queue=runs)


def test_a_priority_queue_searches_the_most_probable_first() -> None:
    class BestFirst(PriorityQueue):  # type: ignore[type-arg]
        count = 0

        def put(self, item: Any, *args: Any, **kwargs: Any) -> None:
            self.count += 1
            super().put((-float(item.log_prob_sum()), self.count, item), *args, **kwargs)

        def get(self, *args: Any, **kwargs: Any) -> Any:
            return super().get(*args, **kwargs)[-1]

    found = [record.log_prob_sum() for record in executions(fields, BestFirst())]
    assert_close(found, sorted(found, reverse=True))


def message(fn: Any, **keys: Any) -> dict[str, Any]:
    common = {"name": "x", "type": "sample", "is_observed": False, "args": (), "kwargs": {}}
    return {**common, "infer": {}, "cond_indep_stack": (), "fn": fn, **keys}


def test_where_runs_are_left() -> None:
    coin, normal = message(dist.Bernoulli(0.5)), message(dist.Normal(0.0, 1.0))
    (known, _) = enum_extend(poutine.Trace(), coin)
    empty = poutine.Trace()
    assert all_escape(empty, coin) and all_escape(empty, normal)
    assert discrete_escape(empty, coin) and not discrete_escape(empty, normal)
    for escape in (all_escape, discrete_escape):
        assert not escape(known, coin)
        assert not escape(empty, {**coin, "is_observed": True})
        assert not escape(empty, {**coin, "type": "param"})


def test_extending_leaves_the_partial_run_alone() -> None:
    partial_run = poutine.Trace()
    for extend in (enum_extend, mc_extend):
        extended = extend(partial_run, message(dist.Bernoulli(0.5)), num_samples=2)
        assert len(extended) == 2 and not len(partial_run)
        assert all(list(run) == ["x"] for run in extended)


def test_a_law_without_finite_support_cannot_be_extended() -> None:
    with refused(NotImplementedError, "At site 'x': its law, Normal, cannot .*escape_fn=discrete"):
        executions(lambda: pyro.sample("x", dist.Normal(0.0, 1.0)), escape_fn=all_escape)


def test_escaping_leaves_at_the_site_and_hides_it() -> None:
    with poutine.trace() as outer, pytest.raises(poutine.NonlocalExit) as left:
        poutine.escape(fields, escape_fn=lambda msg: msg["name"] == "toss_0")()
    assert left.value.site["name"] == "toss_0" and left.value.site["value"] is None
    assert not len(outer.trace)


def test_escaping_needs_a_function() -> None:
    with pytest.raises(TypeError, match="escape_fn must be a function of a message, got 'x'"):
        poutine.escape(fields, escape_fn="x")  # type: ignore[arg-type]


def test_plates_are_no_place_to_leave() -> None:
    def model() -> None:
        with pyro.plate("data", 2):
            pass

    record = trace_of(poutine.escape(model, escape_fn=lambda msg: True))
    assert "data" in record
