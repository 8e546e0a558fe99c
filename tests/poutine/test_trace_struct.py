"""Traces, and the handler that records them."""

import copy
import pickle
from itertools import combinations
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro._foundation.errors import DuplicateSiteError
from pyro.poutine import Trace
from pyro.poutine.indep_messenger import IndepMessenger
from pyro.poutine.messenger import Messenger
from pyro.poutine.sites import site_is_latent
from tests.helpers import assert_close, trace_of
from tests.poutine.models import normals, refused, value_of


def model(shift: float = 0.0) -> Any:
    scale = pyro.param("scale", torch.tensor(2.0))
    x = pyro.sample("x", dist.Normal(shift, 1.0))
    with pyro.plate("rows", 3):
        k = pyro.sample("k", dist.Bernoulli(0.5))
        pyro.sample("y", dist.Normal(x + k, scale), obs=torch.arange(3.0))
    pyro.factor("f", torch.tensor(-1.5))
    return pyro.deterministic("twice", 2 * x)


def test_a_trace_holds_the_run_in_order() -> None:
    record = trace_of(model, shift=1.0)
    assert list(record) == ["_INPUT", "scale", "x", "rows", "k", "y", "f", "twice", "_RETURN"]
    assert record.nodes["_INPUT"]["kwargs"] == {"shift": 1.0}
    assert record.nodes["_RETURN"]["value"] == 2 * value_of(record, "x")
    assert len(record) == 9 and "x" in record and "z" not in record
    assert "9 sites" in repr(record)


def test_the_kinds_of_nodes() -> None:
    record = trace_of(model)
    assert record.param_nodes == ["scale"]
    assert record.observation_nodes == ["y", "f", "twice"]
    assert record.stochastic_nodes == ["x", "rows", "k"]
    assert record.reparameterized_nodes == ["x"]
    assert record.nonreparam_stochastic_nodes == ["rows", "k"]
    assert [name for name, _ in record.iter_stochastic_nodes()] == record.stochastic_nodes


def test_the_density_is_the_sum_of_the_sites() -> None:
    record = trace_of(model)
    x, k = value_of(record, "x"), value_of(record, "k")
    terms = {
        "x": dist.Normal(0.0, 1.0).log_prob(x),
        "k": dist.Bernoulli(0.5).log_prob(k).sum(),
        "y": dist.Normal(x + k, 2.0).log_prob(torch.arange(3.0)).sum(),
        "f": torch.tensor(-1.5),
    }
    assert_close(record.log_prob_sum(), torch.stack(list(terms.values())).sum())
    for wanted, expected in terms.items():

        def only(name: str, site: Any, wanted: str = wanted) -> bool:
            return name == wanted

        assert_close(record.log_prob_sum(only), expected)
        assert_close(record.nodes[wanted]["log_prob_sum"], expected)
    assert record.log_prob_sum(lambda name, site: False) == 0.0


def test_densities_are_computed_once() -> None:
    record = trace_of(model)
    record.compute_log_prob()
    kept = {name: site.get("log_prob") for name, site in record.nodes.items()}
    record.nodes["x"]["value"] = torch.tensor(99.0)
    record.compute_log_prob()
    record.log_prob_sum()
    assert all(site.get("log_prob") is kept[name] for name, site in record.nodes.items())


def test_a_filter_leaves_sites_unscored() -> None:
    record = trace_of(model)
    record.compute_log_prob(lambda name, site: name == "x")
    assert [name for name, site in record.nodes.items() if "log_prob" in site] == ["x"]


def test_score_parts() -> None:
    record = trace_of(model)
    record.compute_score_parts()
    pathwise, discrete = record.nodes["x"]["score_parts"], record.nodes["k"]["score_parts"]
    assert_close(pathwise.entropy_term, record.nodes["x"]["log_prob"])
    assert pathwise.score_function == 0
    assert_close(discrete.score_function, record.nodes["k"]["log_prob"])
    assert discrete.entropy_term == 0


def test_detaching_cuts_every_sample_site() -> None:
    """Given values too: a tied site's would carry the gradient of its owner's."""
    loc = torch.tensor(0.0, requires_grad=True)

    def differentiable() -> None:
        x = pyro.sample("x", dist.Normal(loc, 1.0))
        pyro.deterministic("y", 2 * x)
        pyro.sample("z", dist.Normal(0.0, 1.0), obs=loc)
        pyro.sample("w", dist.Normal(0.0, 1.0), obs=1.5)
        pyro.param("p", torch.tensor(1.0))

    record = trace_of(differentiable)
    record.detach_()
    assert [n for n in "xyzp" if value_of(record, n).requires_grad] == ["p"]
    assert value_of(record, "w") == 1.5


def test_a_copy_is_independent() -> None:
    record = trace_of(model)
    twin = record.copy()
    twin.remove_node("x")
    twin.add_node("new", name="new", type="sample")
    assert "x" in record and "new" not in record
    assert twin.nodes["y"] is record.nodes["y"]


def test_traces_pickle_and_copy() -> None:
    record = trace_of(normals("ab"))
    for twin in (pickle.loads(pickle.dumps(record)), copy.deepcopy(record)):
        assert list(twin) == list(record)
        assert_close(twin.log_prob_sum(), record.log_prob_sum())


# Names used twice.


def test_a_name_used_twice_is_refused() -> None:
    def twice() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0))
        pyro.sample("a", dist.Normal(0.0, 1.0))

    text = r"At site 'a': the name is used twice in one run, by a sample.*f'a_\{i\}' in a loop"
    with refused(DuplicateSiteError, text):
        trace_of(twice)
    for kind in (ValueError, RuntimeError):
        assert issubclass(DuplicateSiteError, kind)
    twice()  # harmless where nobody records


def test_a_param_and_a_sample_cannot_share_a_name() -> None:
    pyro.param("a", torch.tensor(1.0))

    def both() -> None:
        pyro.param("a", torch.tensor(1.0))
        pyro.sample("a", dist.Normal(0.0, 1.0))

    with refused(ValueError, "At site 'a': .* by a param site and then by a sample site"):
        trace_of(both)


@pytest.mark.parametrize("name", ["_INPUT", "_RETURN"])
def test_the_names_of_input_and_result_are_taken(name: str) -> None:
    with refused(ValueError, f"At site '{name}': the name is used twice in one run"):
        trace_of(normals([name]))


def test_a_param_may_be_read_twice() -> None:
    def twice() -> None:
        for _ in range(2):
            pyro.param("a", torch.tensor(1.0))

    assert trace_of(twice).param_nodes == ["a"]


# Edges.


def test_the_edges_of_a_dense_trace() -> None:
    def plated() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0))
        for i in pyro.plate("steps", 2):
            pyro.sample(f"b{i}", dist.Normal(0.0, 1.0))
            pyro.sample(f"c{i}", dist.Normal(0.0, 1.0))
        pyro.sample("d", dist.Normal(0.0, 1.0))

    record = poutine.trace(plated, graph_type="dense").get_trace()
    assert record.edges == [
        *(("a", later) for later in ("b0", "c0", "b1", "c1", "d")),
        *(("b0", later) for later in ("c0", "d")),
        ("c0", "d"),
        *(("b1", later) for later in ("c1", "d")),
        ("c1", "d"),
    ]
    assert record.predecessors("d") == ["a", "b0", "c0", "b1", "c1"]
    assert record.successors("c0") == ["d"]
    assert trace_of(plated).edges == []


def test_edges_cross_vectorised_plates_but_not_iterations() -> None:
    """The same pairs as those of the released Pyro; index sites have none."""

    def crossing() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0))
        for i in pyro.plate("s", 2):
            with pyro.plate(f"v{i}", 3):
                pyro.sample(f"b{i}", dist.Normal(0.0, 1.0))
                pyro.factor(f"f{i}", torch.tensor(0.0))
            for j in pyro.plate(f"t{i}", 2):
                pyro.deterministic(f"c{i}{j}", torch.tensor(1.0))

    record = poutine.trace(crossing, graph_type="dense").get_trace()
    inside = [(f"b{i}", f"f{i}") for i in "01"]
    inside += [(f"{x}{i}", f"c{i}{j}") for x in "bf" for i in "01" for j in "01"]
    outside = [("a", f"{x}{i}") for x in "bf" for i in "01"]
    outside += [("a", f"c{i}{j}") for i in "01" for j in "01"]
    assert set(record.edges) == {*inside, *outside} and len(record.edges) == len(set(record.edges))
    order = record.topological_sort()
    assert all(order.index(one) < order.index(other) for one, other in record.edges)
    assert sorted(order) == sorted(record.nodes)


def test_dense_edges_join_all_but_other_iterations_of_a_shared_plate() -> None:
    """By the definition, for every pair of sites of plates that nest and recur."""

    def nested() -> None:
        pyro.sample("top", dist.Normal(0.0, 1.0))
        for i in pyro.plate("outer", 3):
            pyro.sample(f"o{i}", dist.Normal(0.0, 1.0))
            for j in pyro.plate(f"inner{i}", 2):
                with pyro.plate(f"data{i}{j}", 2):
                    pyro.sample(f"i{i}{j}", dist.Normal(0.0, 1.0))
        for i in IndepMessenger("outer", 3):
            pyro.sample(f"again{i}", dist.Normal(0.0, 1.0))

    record = poutine.trace(nested, graph_type="dense").get_trace()
    iterations = {
        name: {f.name: f.counter for f in site["cond_indep_stack"] if not f.vectorized}
        for name, site in record.nodes.items()
        if site_is_latent(site)
    }
    expected = {
        (earlier, later)
        for earlier, later in combinations(iterations, 2)
        if all(iterations[later].get(p, at) == at for p, at in iterations[earlier].items())
    }
    assert len(iterations) == 13 and len(expected) < 13 * 12 / 2
    assert set(record.edges) == expected
    assert {(one, two) for two in record for one in record.predecessors(two)} == expected


def test_removing_a_node_removes_its_edges() -> None:
    record = poutine.trace(normals("abc"), graph_type="dense").get_trace()
    record.remove_node("b")
    assert record.edges == [("a", "c")]
    for ask in (record.successors, record.predecessors, lambda b: record.add_edge("a", b)):
        with pytest.raises(KeyError, match="The trace has no site 'b'"):
            ask("b")


def test_topological_order_honours_edges_against_the_run() -> None:
    record = Trace("dense")
    for name in "abc":
        record.add_node(name, name=name, type="sample")
    assert record.topological_sort() == ["a", "b", "c"]
    record.add_edge("c", "a")
    order = record.topological_sort()
    assert order.index("c") < order.index("a")
    assert record.topological_sort(reverse=True) == order[::-1]
    record.add_edge("a", "c")
    with pytest.raises(ValueError, match="edges form a cycle"):
        record.topological_sort()


def test_graph_types() -> None:
    with pytest.raises(ValueError, match="graph_type must be 'flat' or 'dense', got 'round'"):
        Trace("round")
    with pytest.raises(ValueError, match="graph_type must be"):
        poutine.trace(model, graph_type="round")


# The handler.


def test_params_alone() -> None:
    record = poutine.trace(model, param_only=True).get_trace()
    assert list(record) == ["scale"]


def test_sites_may_ask_not_to_be_traced() -> None:
    def shy() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0), infer={"_do_not_trace": True})

    assert list(trace_of(shy)) == ["_INPUT", "_RETURN"]


def test_a_record_does_not_change_after_the_run() -> None:
    handled = poutine.trace(normals("ab"))
    first = handled.get_trace()
    value = value_of(first, "a")
    second = handled.get_trace()
    assert value_of(first, "a") is value and value_of(second, "a") is not value
    assert list(handled.trace) == list(second)


def test_a_context_records_what_runs_in_it() -> None:
    with poutine.trace() as record:
        normals("a")()
        normals("b")()
    assert list(record.trace) == ["a", "b"]
    assert list(record.get_trace()) == ["a", "b"]
    with record:
        normals("c")()
    assert list(record.trace) == ["c"]


def test_a_record_keeps_the_message_as_it_was() -> None:
    """What handlers further in do to a message afterwards is their own affair."""

    class Doubles(Messenger):
        def _pyro_post_sample(self, msg: Any) -> None:
            msg["value"] = 2 * msg["value"]

    with poutine.trace() as outer, Doubles():
        doubled = pyro.sample("x", dist.Normal(0.0, 1.0))
    assert doubled == 2 * value_of(outer.trace, "x")


# Shapes for whoever debugs.


def test_errors_show_the_shapes_so_far() -> None:
    def wrong() -> None:
        pyro.sample("x", dist.Normal(torch.zeros(3, 2), 1.0).to_event(1))
        with pyro.plate("rows", 4):
            pyro.sample("y", dist.Normal(torch.zeros(5), 1.0))

    table = r"Trace Shapes:\n Param Sites:\nSample Sites:\n +x dist 3 \| 2\n +value 3 \| 2\n +rows"
    with refused(ValueError, r"(?s)At site 'y'.*" + table):
        trace_of(wrong)
    with pyro.validation_enabled(False), pytest.raises(ValueError, match="At site 'y'") as plain:
        trace_of(wrong)
    assert "Trace Shapes" not in str(plain.value)


def test_the_table_of_shapes() -> None:
    def shaped() -> None:
        pyro.param("p", torch.zeros(2, 3))
        with pyro.plate("rows", 4):
            pyro.sample("x", dist.Dirichlet(torch.ones(5)))
        pyro.sample("y", dist.Normal(0.0, 1.0))

    record = trace_of(shaped)
    assert record.format_shapes(last_site="rows").splitlines() == [
        "Trace Shapes:",
        " Param Sites:",
        "            p 2 3",
        "Sample Sites:",
        "    rows dist   |",
        "        value 4 |",
    ]
    record.compute_log_prob()
    assert record.format_shapes("Title").splitlines()[-6:] == [
        "       x dist 4 | 5",
        "        value 4 | 5",
        "     log_prob 4 |",
        "       y dist   |",
        "        value   |",
        "     log_prob   |",
    ]


def test_columns_of_the_table_are_as_wide_as_they_must() -> None:
    """The same lines as those of the released Pyro."""

    def shaped() -> None:
        pyro.param("p", torch.zeros(2, 3))
        with pyro.plate("a", 3, subsample_size=2), pyro.plate("b", 12):
            pyro.sample("x", dist.Dirichlet(torch.ones(5)).expand([3, 1, 2]))
        pyro.factor("f", torch.tensor(1.0))
        pyro.deterministic("d", torch.zeros(4, 100))

    assert trace_of(shaped).format_shapes().splitlines() == [
        "Trace Shapes:",
        " Param Sites:",
        "            p       2 3",
        "Sample Sites:",
        "       a dist         |",
        "        value       2 |",
        "       b dist         |",
        "        value      12 |",
        "       x dist 3 12  2 | 5",
        "        value 3 12  2 | 5",
        "       f dist         | 0",
        "        value         | 0",
        "       d dist         | 4 100",
        "        value         | 4 100",
    ]


def test_an_empty_trace_has_a_table() -> None:
    assert Trace().format_shapes().splitlines()[0].strip() == "Trace Shapes:"
