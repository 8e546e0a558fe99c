"""What ``equalize`` warns about: under validation only, and once."""

import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from tests.poutine.models import normals

ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)


def two_laws(first: Any, second: Any) -> Callable[[], None]:
    def model() -> None:
        pyro.sample("a", first)
        pyro.sample("b", second)

    return model


def two_params(first: Any, second: Any, *constraints: Any) -> Callable[[], None]:
    def model() -> None:
        for name, value, constraint in zip("ab", (first, second), constraints, strict=True):
            pyro.param(name, value, constraint)

    return model


def stored_member() -> None:
    with poutine.block():
        pyro.param("b", TWO)
    pyro.param("a", ONE)
    pyro.param("b", TWO)


def subsampled_steps() -> None:
    """The plate runs two of nine steps; they bear names of their own whichever they are."""
    for i, _ in enumerate(pyro.plate("steps", 9, subsample_size=2)):
        pyro.sample(f"x{i}", dist.Normal(0.0, 1.0))


def masked_owner() -> None:
    with poutine.mask(mask=False):
        pyro.sample("a", dist.Normal(0.0, 1.0))
    pyro.sample("b", dist.Normal(0.0, 1.0))


def partly_masked_owner() -> None:
    with pyro.plate("rows", 2):
        with poutine.mask(mask=torch.tensor([True, False])):
            pyro.sample("a", dist.Normal(0.0, 1.0))
        pyro.sample("b", dist.Normal(0.0, 1.0))


class Alternates:
    """A model whose sites swap places from run to run."""

    def __init__(self) -> None:
        self.names = ["a", "b"]

    def __call__(self) -> None:
        for name in self.names:
            pyro.sample(name, dist.Normal(0.0, 1.0))
        self.names.reverse()


real, positive = dist.constraints.real, dist.constraints.positive


class Cause(NamedTuple):
    make_model: Callable[[], Callable[[], Any]]
    options: dict[str, Any]
    text: str


CAUSES = {
    "a name that matched nothing": Cause(
        lambda: normals(["dogs_std", "cats_std"]),
        {"sites": ["dogs_std", "cat_std"]},
        r"'cat_std' matched no site; did you mean 'cats_std'",
    ),
    "a pattern that matched nothing": Cause(
        lambda: normals("ab"), {"sites": ["a", "b", "z+"]}, r"'z\+' matched no site\."
    ),
    "a pattern for sites of another type": Cause(
        lambda: two_params(ONE, TWO, real, real),
        {"sites": "a|b"},
        r"'a\|b' matched no site of this type, but the param 'a'; pass type='param'",
    ),
    "a group of one": Cause(
        lambda: normals(["dogs_std", "cats_std"]),
        {"sites": "dogs_.*"},
        r"only 'dogs_std' matched \['dogs_\.\*'\], so nothing is tied; did you mean 'cats_std'",
    ),
    "supports": Cause(
        lambda: two_laws(dist.LogNormal(0.0, 1.0), dist.Normal(0.0, 1.0)),
        {"sites": ["a", "b"]},
        r"the support of 'a' is GreaterThan\(.*, that of 'b' is Real\(\); .* lies in both",
    ),
    "dtypes of laws": Cause(
        lambda: two_laws(dist.Normal(0.0, ONE), dist.Normal(0.0, ONE.double())),
        {"sites": ["a", "b"]},
        "the dtype of 'a' is torch.float32, that of 'b' is torch.float64",
    ),
    "dtypes of params": Cause(
        lambda: two_params(ONE, TWO.double(), real, real),
        {"sites": ["a", "b"], "type": "param"},
        "the dtype of 'a' is torch.float32, that of 'b' is torch.float64",
    ),
    "constraints": Cause(
        lambda: two_params(ONE, TWO, positive, real),
        {"sites": ["a", "b"], "type": "param"},
        r"the constraint of 'a' is GreaterThan\(.*, that of 'b' is Real\(\)",
    ),
    "a member in the store": Cause(
        lambda: stored_member,
        {"sites": ["a", "b"], "type": "param"},
        "'b' has a value of its own in the param store, .* tied to 'a'; delete it",
    ),
    "a name that is a pattern too": Cause(
        lambda: normals(["a.b", "axb"]),
        {"sites": ["a.b"]},
        r"'a\.b' is a site's name .* also matches 'axb'; write 'a\\\\\.b' to mean",
    ),
    "iterations of a subsampled plate": Cause(
        lambda: subsampled_steps,
        {"sites": "x."},
        "'x0' and 'x1' are tied across iterations of the subsampled plate 'steps'",
    ),
    "a masked owner": Cause(
        lambda: masked_owner,
        {"sites": ["a", "b"]},
        "'a' is masked, so that no prior is left for the value that it shares with 'b'",
    ),
    "a partly masked owner": Cause(
        lambda: partly_masked_owner,
        {"sites": ["a", "b"]},
        "'a' is masked, so that no prior is left for the value that it shares with 'b'",
    ),
    "an owner that changed": Cause(
        Alternates,
        {"sites": ["a", "b"]},
        "the owner of the group was 'a' in an earlier run and is now 'b'",
    ),
}


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES.keys())
def test_each_cause_is_warned_about_once(cause: Cause) -> None:
    handled = poutine.equalize(cause.make_model(), **cause.options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            handled()
    (warning,) = caught
    assert re.search(r"^In equalize\(\): .*" + cause.text, str(warning.message))


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES.keys())
def test_nothing_is_said_without_validation(cause: Cause) -> None:
    handled = poutine.equalize(cause.make_model(), **cause.options)
    with pyro.validation_enabled(False):
        for _ in range(3):
            handled()  # a warning would be an error


def test_near_misses_do_not_make_a_second_warning() -> None:
    """New names may turn up run by run; a term without a match is still one cause."""
    names = ["a", "b"]

    def model() -> None:
        for name in names:
            pyro.sample(name, dist.Normal(0.0, 1.0))

    handled = poutine.equalize(model, ["a", "b", "missing"])
    with pytest.warns(UserWarning, match="'missing' matched no site") as caught:
        for i in range(4):
            names.append(f"missing_{i}")
            handled()
    assert len(caught) == 1


def test_what_matches_later_is_not_warned_about() -> None:
    with pyro.validation_enabled(False):
        handled = poutine.equalize(normals("abc"), ["a", "b", "c"])
        handled()
    handled()


@pytest.mark.parametrize("keep_dist", [False, True])
def test_a_masked_owner_is_fine_where_a_density_is_left(keep_dist: bool) -> None:
    whole = torch.tensor([True, True])

    def model() -> None:
        with pyro.plate("rows", 2):
            with poutine.mask(mask=whole):
                pyro.sample("a", dist.Normal(0.0, 1.0))
            pyro.sample("b", dist.Normal(0.0, 1.0))

    poutine.equalize(model, ["a", "b"], keep_dist=keep_dist)()
    whole = ~whole
    if keep_dist:
        poutine.equalize(model, ["a", "b"], keep_dist=True)()


def test_an_exception_keeps_its_own_story() -> None:
    """A run that failed says nothing of the sites that it never reached."""

    def model() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0))
        raise KeyError("on purpose")

    with pytest.raises(KeyError, match="on purpose"):
        poutine.equalize(model, ["a", "b"])()


def test_two_handlers_warn_each_for_themselves() -> None:
    for _ in range(2):
        with pytest.warns(UserWarning, match="'z' matched no site"):
            poutine.equalize(normals("ab"), ["a", "b", "z"])()
