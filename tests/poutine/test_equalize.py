"""Which sites ``equalize`` ties, and what it refuses at construction."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine.equalize_messenger import EqualizeMessenger
from pyro.poutine.messenger import Messenger
from tests.helpers import trace_of
from tests.poutine.models import leaves_no_trace, normals, refused, value_of

NAMES = ["a", "ab", "b", "a+b", "x[0]", "x[1]", "net$$$weight", "a.b", "B"]


def groups(sites: Any, names: list[str] = NAMES, **options: Any) -> dict[str, list[str]]:
    """The groups of a run over independent normals, with every value checked."""
    with pyro.validation_enabled(False):  # groups of one and terms without a match are meant here
        trace = trace_of(poutine.equalize(normals(names), sites, **options))
    found = poutine.equalized_sites(trace)
    owner_of = {member: owner for owner, members in found.items() for member in members}
    for name in names:
        owner = owner_of.get(name, name)
        assert value_of(trace, name) == value_of(trace, owner)
    assert len({value_of(trace, name).item() for name in names}) == len(names) - len(owner_of)
    return found


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        (["a", "b"], {"a": ["b"]}),
        (("b", "a"), {"a": ["b"]}),  # the first to run owns, whatever the order of the list
        ({"a", "b"}, {"a": ["b"]}),
        (dict.fromkeys("ab").keys(), {"a": ["b"]}),
        ((name for name in "ab"), {"a": ["b"]}),
        ("a|b", {"a": ["b"]}),
        (["ab?", "b"], {"a": ["ab", "b"]}),
        ("a", {}),  # a regular expression matches the whole name
        (["x[0]", "x[1]"], {"x[0]": ["x[1]"]}),
        (["a+b", "B"], {"ab": ["a+b", "B"]}),  # literally a+b, and a+ followed by b
        ([re.escape("a+b"), "B"], {"a+b": ["B"]}),
        (["net$$$weight", "B"], {"net$$$weight": ["B"]}),
        (["a.b", "b"], {"b": ["a+b", "a.b"]}),
        (re.compile("a|b"), {"a": ["b"]}),
        (re.compile("a|b", re.IGNORECASE), {"a": ["b", "B"]}),
        ([re.compile("x[0]"), "b"], {}),  # a compiled pattern is only a pattern
        (str.isalpha, {"a": ["ab", "b", "B"]}),
        ([str.isupper, "a", re.compile("x.+")], {"a": ["x[0]", "x[1]", "B"]}),
        ({"one": ["a", "b"], "two": r"x\[.\]"}, {"a": ["b"], "x[0]": ["x[1]"]}),
        ({1: "a|b", 2: str.isupper}, {"a": ["b"]}),
        (".+", {"a": [name for name in NAMES if name != "a"]}),
    ],
)
def test_which_names_form_a_group(sites: Any, expected: dict[str, list[str]]) -> None:
    for group, members in groups(sites).items():
        assert sorted(members) == sorted(expected[group])
        expected = {owner: names for owner, names in expected.items() if owner != group}
    assert expected == {}


def test_sites_are_read_once() -> None:
    listed = ["a", "b"]
    handler = poutine.equalize(sites=listed)
    listed.append("c")
    trace = trace_of(handler(normals("abc")))
    assert poutine.equalized_sites(trace) == {"a": ["b"]}


def test_a_predicate_is_asked_once_a_name() -> None:
    asked = []

    def predicate(name: str) -> bool:
        asked.append(name)
        return name in "ab"

    handled = poutine.equalize(normals("abc"), predicate)
    with pyro.validation_enabled(False):
        for _ in range(3):
            handled()
    assert asked == ["a", "b", "c"]


def test_a_name_in_two_groups_is_refused() -> None:
    handled = poutine.equalize(normals("abc"), {"one": ["a", "b"], "two": "b|c"})
    with refused(ValueError, r"At site 'b': it falls in the groups 'one' and 'two'.*Narrow"):
        handled()


def test_two_nested_handlers_cannot_give_a_site_two_owners() -> None:
    inner = poutine.equalize(normals("acb"), ["a", "b"])
    with refused(ValueError, "At site 'b': it is tied to 'a' by another.*equalized to 'c'"):
        poutine.equalize(inner, ["b", "c"])()


def test_nested_handlers_may_chain_and_agree() -> None:
    chained = poutine.equalize(poutine.equalize(normals("abc"), ["a", "b"]), ["b", "c"])
    trace = trace_of(chained)
    assert value_of(trace, "a") == value_of(trace, "b") == value_of(trace, "c")
    agreed = poutine.equalize(poutine.equalize(normals("abc"), ["a", "b"]), ["a", "b", "c"])
    assert poutine.equalized_sites(trace_of(agreed)) == {"a": ["b", "c"]}


def test_nested_patterns_leave_each_others_members_alone() -> None:
    inner = poutine.equalize(normals(["a1", "a2", "b1", "b2"]), "a.")
    trace = trace_of(poutine.equalize(inner, ".2|b."))
    assert poutine.equalized_sites(trace) == {"a1": ["a2"], "b1": ["b2"]}


# Types of sites.


def both_kinds() -> None:
    pyro.param("p1", torch.tensor(1.0))
    pyro.param("p2", torch.tensor(2.0))
    pyro.sample("s1", dist.Normal(0.0, 1.0))
    pyro.sample("s2", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("sample", {"s1": ["s2"]}),
        ("param", {"p1": ["p2"]}),
        (("sample", "param"), {"p1": ["p2"], "s1": ["s2"]}),
        (["param"], {"p1": ["p2"]}),
    ],
)
def test_type_chooses_the_sites(type: Any, expected: dict[str, list[str]]) -> None:
    sites = {"p": "p.", "s": "s."}
    with pyro.validation_enabled(False):
        trace = trace_of(poutine.equalize(both_kinds, sites, type))
    assert poutine.equalized_sites(trace) == expected


def test_only_sample_sites_are_tied_by_default() -> None:
    trace = trace_of(poutine.equalize(both_kinds, ".+"))
    assert poutine.equalized_sites(trace) == {"s1": ["s2"]}


def test_a_group_never_mixes_types() -> None:
    pyro.param("p1", torch.tensor(1.0))
    with refused(ValueError, "At site 's1', equalized to 'p1': one is a param and the other a sam"):
        poutine.equalize(both_kinds, ".+", ("sample", "param"))()


# What no pattern means.


def with_odd_sites() -> None:
    with pyro.plate("plate", 2):
        pyro.sample("a", dist.Normal(0.0, 1.0))
    pyro.factor("factor", torch.tensor(1.0))
    pyro.deterministic("fixed", torch.tensor([7.0, 8.0]), event_dim=0)
    with pyro.plate("other_plate", 2, subsample_size=2):
        pyro.sample("b", dist.Normal(0.0, 1.0))


def test_patterns_skip_plates_factors_and_deterministic_members() -> None:
    trace = trace_of(poutine.equalize(with_odd_sites, ".+"))
    assert poutine.equalized_sites(trace) == {"a": ["b"]}
    assert value_of(trace, "fixed").tolist() == [7.0, 8.0]
    assert sorted(value_of(trace, "other_plate").tolist()) == [0, 1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("plate", "At site 'plate': it holds the indices of a plate, so it cannot be equalized"),
        ("other_plate", "At site 'other_plate': it holds the indices .* equalized to 'a'"),
        ("factor", "At site 'factor': it is a factor and has no value.* Name the sites"),
        ("fixed", "At site 'fixed': its value is determined by other sites"),
    ],
)
def test_literal_names_of_such_sites_are_refused(name: str, reason: str) -> None:
    with refused(ValueError, reason):
        poutine.equalize(with_odd_sites, ["a", name])()


def test_a_deterministic_site_may_own_a_group() -> None:
    def model() -> None:
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.deterministic("twice", 2 * x)
        pyro.sample("y", dist.Normal(0.0, 1.0))

    trace = trace_of(poutine.equalize(model, ["twice", "y"], keep_dist=True))
    assert value_of(trace, "y") == 2 * value_of(trace, "x")
    assert poutine.equalized_sites(trace) == {"twice": ["y"]}


# Where matching happens.


class Rename(Messenger):
    """Puts a prefix before the names of sites, as a scope does."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def _pyro_sample(self, msg: Any) -> None:
        msg["name"] = self.prefix + msg["name"]


def test_names_count_as_they_are_at_the_handlers_level() -> None:
    outside = trace_of(Rename("far/")(poutine.equalize(normals("ab"), ["a", "b"])))
    assert value_of(outside, "far/a") == value_of(outside, "far/b")
    inside = trace_of(poutine.equalize(Rename("near/")(normals("ab")), ["near/a", "near/b"]))
    assert poutine.equalized_sites(inside) == {"near/a": ["near/b"]}


@pytest.mark.parametrize("hidden", [["a"], ["b"], ["a", "b"]])
def test_a_block_outside_unties_nothing(hidden: list[str]) -> None:
    blocked = poutine.block(poutine.equalize(normals("ab"), ["a", "b"]), hide=hidden)
    values = blocked()
    assert values["a"] == values["b"]


def test_a_block_inside_hides_a_site_from_the_group() -> None:
    with pyro.validation_enabled(False):
        values = poutine.equalize(poutine.block(normals("abc"), hide=["b"]), "[abc]")()
    assert values["a"] == values["c"] != values["b"]


# Refused at construction.


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (([],), ValueError, "was given no sites. Name at least two"),
        (((),), ValueError, "was given no sites"),
        ((iter(()),), ValueError, "was given no sites"),
        (({},), ValueError, "was given no groups"),
        (({"one": []},), ValueError, "was given no sites"),
        ((["x("],), ValueError, r"cannot read 'x\(' as a regular expression.*write 'x\\\\\('"),
        (("*",), ValueError, r"cannot read '\*' as a regular expression: nothing to repeat"),
        ((None,), TypeError, r"got None where it takes a site's name.*Write \['a', 'b'\]"),
        ((3,), TypeError, "got 3 where it takes a site's name"),
        ((["a", 3],), TypeError, "got 3 where"),
        ((["a", None],), TypeError, "got None where"),
        (([["a", "b"], "c"],), TypeError, r"got \['a', 'b'\] where"),
        ((b"ab",), TypeError, "got b'ab' where"),
        ((re.compile(b"ab"),), TypeError, r"got re.compile\(b'ab'\) where"),
        (({"one": {"two": "a"}},), TypeError, "got {'two': 'a'} where"),
        ((["a", torch.ones(2)],), TypeError, "where it takes a site's name"),
        (("a", "b"), ValueError, r"ties sites of the types .*, not 'b'\. If it is a site, list"),
        (("a", ("sample", "x")), ValueError, "not 'x'"),
        (("a", ()), ValueError, "was given no type. Choose from"),
        (("a", None), ValueError, "ties sites of the types .*, not None"),
        (("a", 3), ValueError, "not 3"),
        (("a", "sample", "b"), TypeError, r"keep_dist must be a bool, got 'b'. If it is a site"),
        (("a", "sample", 1), TypeError, "keep_dist must be a bool, got 1"),
    ],
)
def test_what_is_refused_at_construction(
    arguments: tuple[Any, ...], kind: type[Exception], text: str
) -> None:
    makers: list[Callable[..., Any]] = [
        EqualizeMessenger,
        lambda *args: poutine.equalize(normals("ab"), *args),
    ]
    for make in makers:
        with refused(kind, text):
            make(*arguments)


def test_a_forgotten_model_is_pointed_out() -> None:
    with refused(ValueError, r"equalize\(\) wraps a callable, got \['a', 'b'\]. Pass the model"):
        poutine.equalize(["a", "b"])  # type: ignore[call-overload]


def test_an_invalid_expression_still_works_as_an_escaped_name() -> None:
    with leaves_no_trace():
        assert groups([re.escape("x("), "b"], ["x(", "b"]) == {"x(": ["b"]}
