"""The page on sharing values: what it says is refused is refused, in those words."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.reparam.reparam import Reparam
from pyro.optim import Adam
from tests.poutine.models import normals

SOURCE = Path(__file__).parents[2] / "docs" / "source"
PAGE = (SOURCE / "equalize.rst").read_text(encoding="utf-8")
ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)
NORMAL = dist.Normal(0.0, 1.0)


def rows() -> dict[str, str]:
    """The table's first two columns: what is refused, and what the error says."""
    table = PAGE.split(":name: refusals")[1].split("\nWhat differs")[0]
    cells = re.findall(r"^   \* - (.+)\n     - (.+)\n     - .+$", table, re.MULTILINE)
    return {what: says.strip("`") for what, says in cells[1:]}


def pair(first: Any, second: Any, **options: Any) -> Callable[[], Any]:
    """Two laws, tied."""

    def model() -> None:
        pyro.sample("a", first)
        pyro.sample("b", second)

    return poutine.equalize(model, ["a", "b"], **options)


def params(*second: Any) -> Callable[[], Any]:
    def model() -> None:
        pyro.param("a", -ONE)
        pyro.param("b", *second)

    return poutine.equalize(model, ["a", "b"], "param")


def tied(model: Callable[[], Any], *sites: str, **options: Any) -> Callable[[], Any]:
    return poutine.equalize(model, list(sites), **options)


def in_plates(first: Any, second: Any) -> Callable[[], Any]:
    def model() -> None:
        for name, options in (("a", first), ("b", second)):
            if options is None:
                pyro.sample(name, NORMAL)
            else:
                with pyro.plate(f"{name}_plate", 4, **options):
                    pyro.sample(name, NORMAL)

    return tied(model, "a", "b")


def odd_sites() -> None:
    pyro.sample("a", NORMAL)
    with pyro.plate("rows", 2):
        pass
    pyro.factor("term", ONE)
    pyro.deterministic("twice", ONE)


def partly_observed() -> None:
    with pyro.plate("rows", 2):
        pyro.sample("a", NORMAL)
        pyro.sample("b", NORMAL, obs=torch.zeros(2), obs_mask=torch.tensor([True, False]))


def observed() -> None:
    pyro.sample("a", NORMAL)
    pyro.sample("b", NORMAL, obs=TWO)


def both_types() -> None:
    pyro.param("a", ONE)
    pyro.sample("b", NORMAL)


def inference_run() -> None:
    svi = SVI(normals("a"), normals("a"), Adam({"lr": 0.1}), Trace_ELBO())
    with poutine.equalize(sites="a"):
        svi.step()


def nested_owners() -> None:
    poutine.equalize(tied(normals("abc"), "a", "c"), ["b", "c"])()


class Decentre(Reparam):
    def apply(self, msg: Any) -> Any:
        value = pyro.sample(f"{msg['name']}_unit", NORMAL)
        return {"fn": dist.Delta(value), "value": value, "is_observed": True}


def reparam_inside() -> None:
    inside = poutine.reparam(normals("ab"), config={"b": Decentre()})
    tied(inside, "a", "b", keep_dist=True)()


COIN = dist.Bernoulli(0.5)


def enumerated_in_plates() -> None:
    def model() -> None:
        for name in "ab":
            with pyro.plate(f"{name}_plate", 4):
                pyro.sample(name, COIN, infer={"enumerate": "parallel"})

    poutine.enum(tied(model, "a", "b"), first_available_dim=-2)()


def enumerated_in_a_chain() -> None:
    def model() -> None:
        for t in pyro.markov(range(4)):
            pyro.sample(f"x{t}", COIN, infer={"enumerate": "parallel"})

    poutine.enum(tied(model, "x0", "x3"), first_available_dim=-1)()


def construct(*arguments: Any, **options: Any) -> Callable[[], Any]:
    return lambda: poutine.equalize(normals("ab"), *arguments, **options)


SUBSAMPLED = {"subsample_size": 2}
POSITIVE = dist.constraints.positive
CASES: dict[str, Callable[[], Any]] = {
    "no sites": construct([]),
    "an empty mapping": construct({}),
    "an invalid expression": construct("a("),
    "an unknown type": construct("a", "b"),
    "no type": construct("a", ()),
    "a ``keep_dist`` that is no bool": construct("a", "sample", "b"),
    "what is no site": construct(3),
    "a name in two groups of a mapping": construct({"one": "a", "two": "a|b"}),
    "a site with two owners, by nested handlers": nested_owners,
    "a group of both types": poutine.equalize(both_types, "a|b", ("sample", "param")),
    "a plate, by its name": tied(odd_sites, "a", "rows"),
    "a factor, by its name": tied(odd_sites, "a", "term"),
    "a deterministic member, by its name": tied(odd_sites, "a", "twice"),
    "a member with ``obs_mask``": tied(partly_observed, "a", "b"),
    "a member that lacks a plate of its owner": in_plates({}, None),
    "two subsampled plates": in_plates(SUBSAMPLED, SUBSAMPLED),
    "an owner enumerated in another plate": enumerated_in_plates,
    "an enumerated owner that a ``markov`` has forgotten": enumerated_in_a_chain,
    "event shapes that differ": pair(NORMAL, NORMAL.expand([2]).to_event(1)),
    "an owner of greater batch shape": pair(NORMAL.expand([2]), NORMAL),
    "an owner's value that does not expand": poutine.condition(
        pair(NORMAL.expand([1]), NORMAL.expand([3])), {"a": torch.zeros(2)}
    ),
    "parameters of other shapes": params(torch.zeros(2)),
    "a support that excludes the value": pair(dist.Delta(-ONE), dist.LogNormal(0.0, 1.0)),
    "a constraint that excludes the value": params(ONE, POSITIVE),
    "a member observed at another value": tied(observed, "a", "b"),
    "a member conditioned to another value": poutine.condition(pair(NORMAL, NORMAL), {"b": TWO}),
    "a member replayed at another value": poutine.replay(
        pair(NORMAL, NORMAL), poutine.trace(normals("ab")).get_trace()
    ),
    "a member's parameter substituted": poutine.substitute(params(ONE), {"b": TWO}),
    "``reparam`` inside, with ``keep_dist``": reparam_inside,
    "``equalize`` around an inference run": inference_run,
}


def test_every_row_is_tested() -> None:
    assert list(rows()) == list(CASES)


@pytest.mark.parametrize("what", CASES)
def test_what_the_page_says_is_refused_in_these_words(what: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(rows()[what])):
        run = CASES[what]()
        if callable(run):
            run()


def test_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"image:: (\S+)", PAGE)
    assert len(pictures) == 3
    assert all(0 < (SOURCE / picture).stat().st_size < 60_000 for picture in pictures)


def test_the_pictures_show_the_tie() -> None:
    before, after = (
        (SOURCE / "pictures" / f"equalize_{when}.svg").read_text(encoding="utf-8")
        for when in ("before", "after")
    )
    edge = "dogs_std&#45;&gt;cats_std"
    assert edge in after and edge not in before
