"""Values of shape ``(N,)`` against parameters of shape ``(N, 1)`` must not make ``N * N`` terms.

The rule, as the tables below spell it out: where two dims have one size ``N``, and one of them
belongs to no plate and is not enumerated, no element may be counted more than once along them.
Inside a plate every law is stretched along it, so the value alone tells; elsewhere a law, mask or
scale that has both dims itself is a batch that somebody meant.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer import Predictive, Trace_ELBO
from tests.helpers import assert_close, trace_of
from tests.poutine.models import refused

N = 4
ROW, COLUMN, FLAT_ROW, SQUARE = (N,), (N, 1), (1, N), (N, N)
Shape = tuple[int, ...]


def observing(value: Shape, law: Shape, **plate: Any) -> Callable[[], None]:
    """A model of one observed site, inside a plate where one is given."""

    def model() -> None:
        fn = dist.Normal(torch.zeros(law), 1.0)
        if plate:
            with pyro.plate("rows", **plate):
                pyro.sample("y", fn, obs=torch.zeros(value))
        else:
            pyro.sample("y", fn, obs=torch.zeros(value))

    return model


# value, law, why; the law is stretched to the plate, so that a column becomes a square.
IN_A_PLATE_ACCEPTED = [
    (ROW, ROW, "one parameter for each value"),
    (ROW, FLAT_ROW, "the same, with a dim of size 1 more"),
    (FLAT_ROW, ROW, "the same, with a dim of size 1 more"),
    (FLAT_ROW, FLAT_ROW, "the same, with a dim of size 1 more"),
    (ROW, (), "one law for all values"),
    ((), ROW, "an observation that all elements share"),
    ((), (), "N times the same term, as the plate says"),
    (SQUARE, ROW, "a batch of values: each is counted once"),
    (SQUARE, COLUMN, "a batch of values: each is counted once"),
    (SQUARE, FLAT_ROW, "a batch of values: each is counted once"),
    (SQUARE, SQUARE, "a batch of values: each is counted once"),
    (ROW, (3, 1), "three laws, say draws from a posterior: nothing of size N is repeated"),
    (ROW, (3, N), "three laws for each value, likewise"),
    ((3, N), ROW, "three values for each law, say draws from a posterior"),
    ((3, 1), (), "three values, each shared by all elements"),
]
IN_A_PLATE_REFUSED = [
    (ROW, COLUMN, "law", "the output of a network against a vector of data"),
    (ROW, SQUARE, "law", "(N, 1) plus (N,) in a parameter"),
    (FLAT_ROW, COLUMN, "law", "the output of a network against a vector of data"),
    (FLAT_ROW, SQUARE, "law", "(N, 1) plus (N,) in a parameter"),
    (COLUMN, ROW, "value", "a column of a table as data"),
    (COLUMN, (), "value", "a column of a table as data"),
    (COLUMN, FLAT_ROW, "value", "a column of a table as data"),
    (COLUMN, COLUMN, "value and the law", "columns both, but the plate is at dim -1"),
    (COLUMN, SQUARE, "value and the law", "columns both, but the plate is at dim -1"),
    ((), COLUMN, "law", "one observation, counted N * N times"),
]
WITHOUT_A_PLATE_ACCEPTED = [
    *[(shape, shape, "a batch") for shape in (ROW, COLUMN, FLAT_ROW, SQUARE)],
    *[(shape, (), "a batch of values") for shape in (ROW, COLUMN, FLAT_ROW, SQUARE)],
    *[((), shape, "a batch of laws") for shape in (ROW, COLUMN, FLAT_ROW, SQUARE)],
    (ROW, FLAT_ROW, "the same but for a dim of size 1"),
    (FLAT_ROW, ROW, "the same but for a dim of size 1"),
    *[(SQUARE, shape, "the values are a batch in both dims") for shape in (ROW, COLUMN, FLAT_ROW)],
    *[(shape, SQUARE, "the laws are a batch in both dims") for shape in (ROW, COLUMN, FLAT_ROW)],
    (ROW, (3, 1), "three laws, say draws from a posterior"),
]
WITHOUT_A_PLATE_REFUSED = [
    (ROW, COLUMN, "law", "neither knows both dims"),
    (FLAT_ROW, COLUMN, "law", "neither knows both dims"),
    (COLUMN, ROW, "value", "neither knows both dims"),
    (COLUMN, FLAT_ROW, "value", "neither knows both dims"),
]


def terms_of(value: Shape, law: Shape, plate: bool) -> int:
    return torch.broadcast_shapes(value, law, ROW if plate else ()).numel()


@pytest.mark.parametrize(
    ("value", "law", "plate"),
    [
        *[(value, law, {"size": N}) for value, law, _ in IN_A_PLATE_ACCEPTED],
        *[(value, law, {}) for value, law, _ in WITHOUT_A_PLATE_ACCEPTED],
    ],
)
def test_accepted(value: Shape, law: Shape, plate: dict[str, Any]) -> None:
    one_term = dist.Normal(0.0, 1.0).log_prob(torch.tensor(0.0))
    for scored in (by_the_sum, by_scoring_each, by_score_parts):
        total = scored(observing(value, law, **plate))
        assert_close(total, terms_of(value, law, bool(plate)) * one_term)


def by_the_sum(model: Callable[[], Any]) -> Any:
    return trace_of(model).log_prob_sum()


def by_scoring_each(model: Callable[[], Any]) -> Any:
    record = trace_of(model)
    record.compute_log_prob()
    return record.nodes["y"]["log_prob"].sum()


def by_score_parts(model: Callable[[], Any]) -> Any:
    record = trace_of(model)
    record.compute_score_parts()
    return record.nodes["y"]["log_prob_sum"]


@pytest.mark.parametrize("scored", [by_the_sum, by_scoring_each, by_score_parts])
@pytest.mark.parametrize(
    ("value", "law", "culprit", "plate"),
    [
        *[(value, law, what, {"size": N}) for value, law, what, _ in IN_A_PLATE_REFUSED],
        *[(value, law, what, {}) for value, law, what, _ in WITHOUT_A_PLATE_REFUSED],
    ],
)
def test_refused(value: Shape, law: Shape, culprit: str, plate: Any, scored: Any) -> None:
    text = f"At site 'y': .* counted {N} times, along dim -2, .*Line up the {culprit} with"
    model = observing(value, law, **plate)
    with refused(ValueError, text):
        scored(model)
    with pyro.validation_enabled(False):
        scored(model)


def test_every_pair_of_shapes_has_a_row() -> None:
    four = (ROW, COLUMN, FLAT_ROW, SQUARE)
    wanted = {(value, law) for value in four for law in four}
    for accepted, rejected in (
        (IN_A_PLATE_ACCEPTED, IN_A_PLATE_REFUSED),
        (WITHOUT_A_PLATE_ACCEPTED, WITHOUT_A_PLATE_REFUSED),
    ):
        fine, wrong = {row[:2] for row in accepted}, {row[:2] for row in rejected}
        assert wanted <= fine | wrong and not fine & wrong


def test_the_error_teaches() -> None:
    record = trace_of(observing(ROW, COLUMN, size=N))
    with pytest.raises(ValueError) as caught:
        record.log_prob_sum()
    assert str(caught.value).partition("\nTrace Shapes:")[0] == (
        "At site 'y': value has shape (4,), its law (4, 4), its log density (4, 4): elements would "
        "be counted 4 times, along dim -2, which belongs to no plate around it; the plates are "
        "'rows' (dim=-1, size=4). Line up the law with plate 'rows' (dim=-1, size=4): a column "
        "(n, 1) becomes (n,) by .squeeze(-1). If dim -2 is meant, say what it is: .to_event(1) "
        "makes it part of one event, pyro.plate(name, 4, dim=-2) a batch."
    )
    assert "log_prob" not in record.nodes["y"]


# Each remedy of the error's text is one.


def test_a_plate_where_the_column_is_will_do() -> None:
    by_the_sum(observing(COLUMN, COLUMN, size=N, dim=-2))


def test_two_plates_of_one_size_will_do() -> None:
    def model() -> None:
        with pyro.plate("rows", N, dim=-2), pyro.plate("columns", N, dim=-1):
            pyro.sample("y", dist.Normal(torch.zeros(COLUMN), 1.0), obs=torch.zeros(ROW))

    one_term = dist.Normal(0.0, 1.0).log_prob(torch.tensor(0.0))
    assert_close(trace_of(model).log_prob_sum(), N * N * one_term)


def test_an_event_will_do() -> None:
    def model() -> None:
        with pyro.plate("rows", N):
            law = dist.Normal(torch.zeros(COLUMN), 1.0).expand(SQUARE).to_event(1)
            pyro.sample("y", law, obs=torch.zeros(SQUARE))

    trace_of(model).log_prob_sum()


# What else may square a density: masks, scales, factors, draws of a subsample.


@pytest.mark.parametrize("plate", [True, False])
@pytest.mark.parametrize("what", ["mask", "scale"])
def test_a_mask_or_scale_that_is_a_column(what: str, plate: bool) -> None:
    weights: Any = {"mask": torch.tensor([[True]] * N), "scale": torch.ones(COLUMN)}
    model = observing(ROW, ROW, **({"size": N} if plate else {}))
    handled = getattr(poutine, what)(model, weights[what])
    with refused(ValueError, rf"its {what} \(4, 1\), .*Line up the {what} with"):
        trace_of(handled).log_prob_sum()
    fitting = getattr(poutine, what)(model, weights[what].squeeze(-1))
    trace_of(fitting).log_prob_sum()


def test_a_factor_that_is_a_column() -> None:
    def model(log_factor: Tensor) -> None:
        with pyro.plate("rows", N):
            pyro.factor("y", log_factor)

    with refused(ValueError, "At site 'y': .*counted 4 times"):
        trace_of(model, torch.ones(COLUMN)).log_prob_sum()
    assert trace_of(model, torch.ones(ROW)).log_prob_sum() == N
    assert trace_of(model, torch.ones(())).log_prob_sum() == N


def test_events_are_not_mistaken_for_batches() -> None:
    def model(loc: Tensor) -> None:
        law = dist.Normal(loc, 1.0).to_event(1)
        with pyro.plate("rows", N):
            pyro.sample("y", law, obs=torch.zeros(N, N))

    trace_of(model, torch.zeros(N, N)).log_prob_sum()
    with refused(ValueError, "At site 'y': .*Line up the law with plate 'rows'"):
        trace_of(model, torch.zeros(N, 1, N)).log_prob_sum()


def test_a_subsample_counts_with_the_size_that_runs() -> None:
    def model(law: Shape) -> None:
        with pyro.plate("rows", 100, subsample_size=N):
            pyro.sample("y", dist.Normal(torch.zeros(law), 1.0), obs=torch.zeros(N))

    trace_of(model, ROW).log_prob_sum()
    with refused(ValueError, "counted 4 times"):
        trace_of(model, COLUMN).log_prob_sum()


def test_a_plate_without_a_size() -> None:
    """It stretches no law, so that a batch of laws can be told from a column."""
    for law, size in ((ROW, N), (SQUARE, N * N)):
        total = by_the_sum(observing(ROW, law, size=None))
        assert_close(total, size * dist.Normal(0.0, 1.0).log_prob(torch.tensor(0.0)))
    with refused(ValueError, "Line up the law with plate 'rows'"):
        by_the_sum(observing(ROW, COLUMN, size=None))


def test_a_deterministic_site_has_nothing_to_square() -> None:
    def model() -> None:
        with pyro.plate("rows", N):
            pyro.deterministic("y", torch.zeros(COLUMN), event_dim=0)

    assert trace_of(model).log_prob_sum() == 0


# What others do on purpose stays allowed.


def regression() -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", N):
        w = pyro.sample("w", dist.Normal(z, 1.0))
        pyro.sample("y", dist.Normal(z + w, 1.0), obs=torch.arange(float(N)))


@pytest.mark.parametrize("size", [3, N])
@pytest.mark.parametrize("given", ["z", "zw"])
@pytest.mark.parametrize("handler", ["condition", "replay"])
def test_batches_of_values_need_no_plate(handler: str, given: str, size: int) -> None:
    """Draws from a posterior in a dim of their own, as many as there are rows or not."""
    z, w = torch.randn(size, 1), torch.randn(size, N)
    values = {name: value for name, value in (("z", z), ("w", w)) if name in given}
    if handler == "replay":
        record = poutine.Trace()
        for name, value in values.items():
            record.add_node(name, **{**trace_of(regression).nodes[name], "value": value})
        handled = poutine.replay(regression, trace=record)
    else:
        handled = getattr(poutine, handler)(regression, data=values)
    run = trace_of(handled)
    run.compute_log_prob()
    w = run.nodes["w"]["value"]
    if given == "z":  # drawn given z, so in batches too
        assert w.shape == (size, N)
    expected = dist.Normal(z + w, 1.0).log_prob(torch.arange(float(N)))
    assert_close(run.nodes["y"]["log_prob"], expected)


def test_values_in_batches_do_not_excuse_a_column() -> None:
    """Two columns of data: the one is no evidence that the other is meant."""

    def model() -> None:
        with pyro.plate("rows", N):
            for name in ("x", "y"):
                pyro.sample(name, dist.Normal(0.0, 1.0), obs=torch.zeros(COLUMN))

    with refused(ValueError, "At site 'x': "):
        trace_of(model).log_prob_sum()


def test_enumerated_dims_are_free() -> None:
    def model(law: Shape, infer: Any) -> None:
        with pyro.plate("rows", N):
            fn = dist.Normal(torch.zeros(law), 1.0)
            pyro.sample("y", fn, obs=torch.zeros(N), infer=infer)

    for law in (COLUMN, SQUARE):
        trace_of(model, law, {"_dim_to_id": {-2: 0}}).log_prob_sum()
        with refused(ValueError, "counted 4 times"):
            trace_of(model, law, {"_dim_to_id": {-3: 0}}).log_prob_sum()


def test_particles_have_a_plate() -> None:
    def guide() -> None:
        pyro.sample("z", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", N):
            pyro.sample("w", dist.Normal(0.0, 1.0))

    elbo = Trace_ELBO(num_particles=N, vectorize_particles=True, max_plate_nesting=1)
    elbo.loss(regression, guide)
    draws = Predictive(regression, guide=guide, num_samples=N, parallel=True)()
    assert draws["w"].shape == (N, N)


def test_the_elbo_explains_it_too() -> None:
    with refused(ValueError, "At site 'y': .*counted 4 times.*Line up the law"):
        Trace_ELBO().loss(observing(ROW, COLUMN, size=N), lambda: None)
