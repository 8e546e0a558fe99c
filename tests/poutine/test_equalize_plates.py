"""Shapes and plates of equalized sites."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, refused, value_of

BOTH = pytest.mark.parametrize("keep_dist", [False, True])
Model = Callable[[], Any]


def tied(model: Model, *names: str, **options: Any) -> Model:
    handled: Model = poutine.equalize(model, list(names) or ["x", "y"], **options)
    return handled


def shapes(trace: Any, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of a site's value and of its log density."""
    trace.compute_log_prob()
    site = trace.nodes[name]
    return tuple(site["value"].shape), tuple(site["log_prob"].shape)


@BOTH
def test_an_owner_outside_of_a_plate_and_a_member_inside(keep_dist: bool) -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 5):
            pyro.sample("y", dist.Normal(0.0, 1.0))

    trace = trace_of(tied(model, keep_dist=keep_dist))
    assert shapes(trace, "x") == ((), ())
    assert shapes(trace, "y") == ((5,), (5,))
    assert_close(value_of(trace, "y"), value_of(trace, "x").expand(5))


@BOTH
def test_a_member_in_nested_plates(keep_dist: bool) -> None:
    def model() -> None:
        with pyro.plate("columns", 3):
            pyro.sample("x", dist.Normal(0.0, 1.0))
            with pyro.plate("rows", 2):
                pyro.sample("y", dist.Normal(0.0, 1.0))

    trace = trace_of(tied(model, keep_dist=keep_dist))
    assert shapes(trace, "y") == ((2, 3), (2, 3))
    assert_close(value_of(trace, "y"), value_of(trace, "x").expand(2, 3))


@BOTH
def test_events_are_expanded_whole(keep_dist: bool) -> None:
    def model() -> None:
        pyro.sample("x", dist.Dirichlet(torch.ones(4)))
        with pyro.plate("rows", 2):
            pyro.sample("y", dist.Dirichlet(torch.ones(4)))

    trace = trace_of(tied(model, keep_dist=keep_dist))
    assert shapes(trace, "y") == ((2, 4), (2,))
    assert_close(value_of(trace, "y"), value_of(trace, "x").expand(2, 4))


@BOTH
def test_a_batch_without_a_plate_broadcasts(keep_dist: bool) -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(torch.zeros(3), 1.0))
        pyro.sample("y", dist.Normal(torch.zeros(2, 3), 1.0))

    trace = trace_of(tied(model, keep_dist=keep_dist))
    assert shapes(trace, "y") == ((2, 3), (2, 3))


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (dist.Dirichlet(torch.ones(3)), dist.Dirichlet(torch.ones(4))),
        (dist.Normal(0.0, 1.0), dist.Normal(torch.zeros(3), 1.0).to_event(1)),
        (dist.Normal(torch.zeros(3), 1.0), dist.Normal(torch.zeros(3), 1.0).to_event(1)),
        (dist.Normal(0.0, 1.0), dist.Normal(torch.zeros(3), 1.0)),
        (dist.Normal(torch.zeros(2), 1.0), dist.Normal(torch.zeros(3), 1.0)),
        (dist.Normal(torch.zeros(3), 1.0), dist.Normal(torch.zeros(2, 3), 1.0)),
    ],
)
@BOTH
def test_shapes_that_do_not_agree_are_refused(mine: Any, theirs: Any, keep_dist: bool) -> None:
    def model() -> None:
        pyro.sample("x", theirs)
        pyro.sample("y", mine)

    batch, event = tuple(mine.batch_shape), tuple(mine.event_shape)
    fact = rf"batch shape \{str(batch)[:-1]}\) and event shape \{str(event)[:-1]}\)"
    with refused(ValueError, f"At site 'y', equalized to 'x': its law has {fact}.*same, and the"):
        tied(model, keep_dist=keep_dist)()


@BOTH
def test_a_value_that_does_not_expand_to_the_member_is_refused(keep_dist: bool) -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 3):
            pyro.sample("y", dist.Normal(0.0, 1.0))

    fixed = poutine.condition(tied(model, keep_dist=keep_dist), {"x": torch.zeros(4)})
    text = (
        r"At site 'y', equalized to 'x': the shared value has shape \(4,\), which does not expand"
    )
    with refused(ValueError, text):
        fixed()


@BOTH
def test_a_member_that_lacks_a_plate_of_its_owner_is_refused(keep_dist: bool) -> None:
    def model() -> None:
        with pyro.plate("rows", 5):
            pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(0.0, 1.0))

    with refused(ValueError, r"'y', equalized to 'x'.*plate 'rows' \(dim=-1, size=5\), which the "):
        tied(model, keep_dist=keep_dist)()


def two_plates(first: Any, second: Any) -> Model:
    def model() -> None:
        with first():
            pyro.sample("x", dist.Normal(0.0, 1.0))
        with second():
            pyro.sample("y", dist.Normal(0.0, 1.0))

    return model


@BOTH
def test_two_full_plates_of_one_size_pair_up_by_position(keep_dist: bool) -> None:
    model = two_plates(lambda: pyro.plate("one", 4), lambda: pyro.plate("two", 4))
    trace = trace_of(tied(model, keep_dist=keep_dist))
    assert_close(value_of(trace, "y"), value_of(trace, "x"))
    assert latent_names(trace) == ["x"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: pyro.plate("one", 4), lambda: pyro.plate("two", 5)),
        (lambda: pyro.plate("one", 4), lambda: pyro.plate("two", 4, dim=-2)),
        (lambda: pyro.plate("one", 4), lambda: pyro.plate("two", 1)),
    ],
)
def test_plates_of_other_sizes_or_dims_are_refused(first: Any, second: Any) -> None:
    with refused(ValueError, r"the owner has a value for each element of plate 'one'.*Put both"):
        tied(two_plates(first, second))()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: pyro.plate("one", 9, subsample_size=4), lambda: pyro.plate("two", 4)),
        (lambda: pyro.plate("one", 4), lambda: pyro.plate("two", 9, subsample_size=4)),
        (
            lambda: pyro.plate("one", 9, subsample_size=4),
            lambda: pyro.plate("two", 9, subsample_size=4),
        ),
        (
            lambda: pyro.plate("one", 9, subsample=torch.arange(4)),
            lambda: pyro.plate("two", 9, subsample=torch.arange(4)),
        ),
    ],
)
@BOTH
def test_subsampled_plates_do_not_pair_up(first: Any, second: Any, keep_dist: bool) -> None:
    with refused(ValueError, "'y', equalized to 'x': the plates 'one' and 'two' are subsampled"):
        tied(two_plates(first, second), keep_dist=keep_dist)()


@BOTH
def test_one_subsampled_plate_around_both_is_fine(keep_dist: bool) -> None:
    def model() -> None:
        rows = pyro.plate("rows", 9, subsample_size=4)
        with rows:
            pyro.sample("x", dist.Normal(0.0, 1.0))
        with rows:
            pyro.sample("y", dist.Normal(1.0, 1.0))

    trace = trace_of(tied(model, keep_dist=keep_dist))
    x = value_of(trace, "x")
    assert_close(value_of(trace, "y"), x)
    expected = dist.Normal(0.0, 1.0).log_prob(x).sum()
    if keep_dist:
        expected = expected + dist.Normal(1.0, 1.0).log_prob(x).sum()
    assert_close(trace.log_prob_sum(), expected * 9 / 4)


@BOTH
def test_an_owner_outside_of_a_subsampled_plate(keep_dist: bool) -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 9, subsample_size=3):
            pyro.sample("y", dist.Normal(0.0, 1.0))

    trace = trace_of(tied(model, keep_dist=keep_dist))
    assert shapes(trace, "y") == ((3,), (3,))
    assert trace.nodes["y"]["scale"] == 3


@BOTH
def test_a_plate_around_the_handler(keep_dist: bool) -> None:
    """Sites whose batch comes from a plate outside of the handler share it element by element."""

    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(2.0, 1.0))

    def plated() -> None:
        with pyro.plate("rows", 3):
            tied(model, keep_dist=keep_dist)()

    trace = trace_of(plated)
    x = value_of(trace, "x")
    assert shapes(trace, "x") == shapes(trace, "y") == ((3,), (3,))
    assert len(set(x.tolist())) == 3
    assert_close(value_of(trace, "y"), x)
    expected = dist.Normal(0.0, 1.0).log_prob(x).sum()
    if keep_dist:
        expected = expected + dist.Normal(2.0, 1.0).log_prob(x).sum()
    assert_close(trace.log_prob_sum(), expected)


@BOTH
def test_vectorised_particles_outside(keep_dist: bool) -> None:
    """A plate far on the left, as many particles at once use one, keeps them apart."""

    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 3, dim=-1):
            pyro.sample("y", dist.Normal(0.0, 1.0))

    def many() -> None:
        with pyro.plate("particles", 7, dim=-2):
            tied(model, keep_dist=keep_dist)()

    trace = trace_of(many)
    assert shapes(trace, "x") == ((7, 1), (7, 1))
    assert shapes(trace, "y") == ((7, 3), (7, 3))
    assert_close(value_of(trace, "y"), value_of(trace, "x").expand(7, 3))


def test_a_sequential_plate_ties_its_iterations() -> None:
    def model() -> None:
        for i in pyro.plate("steps", 4):
            pyro.sample(f"x{i}", dist.Normal(0.0, 1.0))

    trace = trace_of(poutine.equalize(model, "x."))
    assert latent_names(trace) == ["x0"]
    assert len({value_of(trace, f"x{i}").item() for i in range(4)}) == 1


def test_a_member_outside_of_the_owners_sequential_plate() -> None:
    def model() -> None:
        for i in pyro.plate("steps", 2):
            pyro.sample(f"x{i}", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(0.0, 1.0))

    trace = trace_of(tied(model, "x1", "y"))
    assert value_of(trace, "y") == value_of(trace, "x1") != value_of(trace, "x0")


def test_a_sequential_plate_of_vectorised_ones() -> None:
    def model() -> None:
        for i in pyro.plate("steps", 2):
            with pyro.plate(f"rows{i}", 3):
                pyro.sample(f"x{i}", dist.Normal(0.0, 1.0))

    trace = trace_of(tied(model, "x0", "x1"))
    assert_close(value_of(trace, "x1"), value_of(trace, "x0"))


@BOTH
def test_samples_of_the_owner_are_filled_out_to_the_members_shape(keep_dist: bool) -> None:
    def model() -> None:
        with pyro.plate("columns", 3):
            pyro.sample("x", dist.Dirichlet(torch.ones(4)))
            with pyro.plate("rows", 2):
                pyro.sample("y", dist.Dirichlet(torch.ones(4)))
        pyro.sample("z", dist.Normal(0.0, 1.0))

    trace = trace_of(tied(model, keep_dist=keep_dist))
    draws = torch.randn(10, 5, 3, 4)
    filled = poutine.fill_equalized({"x": draws, "z": torch.zeros(10, 5)}, trace)
    assert sorted(filled) == ["x", "y", "z"]
    assert_close(filled["y"], draws.unsqueeze(2).expand(10, 5, 2, 3, 4))
    assert poutine.fill_equalized({"z": torch.zeros(10)}, trace).keys() == {"z"}
