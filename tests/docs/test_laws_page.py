"""The page of distributions shows every law, and every law says what it is."""

import re
import sys
from pathlib import Path

import pytest

import pyro.distributions as dist
from tests.distributions.table import ABSTRACT, MADE_OF_OTHERS
from tests.distributions.test_contract import laws_offered

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "source" / "distributions.rst").read_text()
LISTED = re.findall(r"\.\. laws::\n((?:   .+\n)+)", PAGE)
NAMES = [name for block in LISTED for name in block.split()]
LAWS = sorted(set(laws_offered()) - {"Distribution", "TorchDistributionMixin"})


def test_every_law_is_on_the_page_once() -> None:
    assert set(LAWS) - set(NAMES) == set()
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("name", sorted(set(LAWS) - ABSTRACT))
def test_a_law_says_what_it_is(name: str) -> None:
    words = getattr(dist, name).__doc__
    assert re.search(r":math:|\.\. math::", words) or name in MADE_OF_OTHERS | {"Unit"}
    assert ":param" in words and ">>>" in words


@pytest.mark.parametrize("name", LAWS)
def test_the_page_says_where_values_lie(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS))
    import law_list

    assert law_list.support_of(name), f"describe the support of {name} in docs/law_list.py"
    del sys.modules["law_list"]
