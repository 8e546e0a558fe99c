"""The house stands: four laws of imports, small rooms, short functions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture import House, Module, complaints, read_package

ROOT = Path(__file__).resolve().parent.parent

# Lowest first; a room imports only rows above its own. A row with a star holds rooms that may
# import each other, without a cycle. A new room is added here, on the lowest floor that it can
# stand on.
FLOORS = {
    "0 foundation": [
        "pyro._version",
        "pyro._foundation.*",
        "pyro.logger",
        "pyro.settings",
    ],
    "1 tensors, params, optimisers": [
        "pyro.ops.masking",
        "pyro.ops.packed",
        "pyro.ops.readable",
        "pyro.ops.einsum.*",
        "pyro.ops.*",
        "pyro.params.*",
        "pyro.optim.*",
    ],
    "2a distribution contract": [
        "pyro.distributions.constraints",
        "pyro.distributions.score_parts",
        "pyro.distributions.distribution",
        "pyro.distributions.checking",
        "pyro.distributions.feasible",
        "pyro.distributions.remembered",
        "pyro.distributions.torch_mixin",
        "pyro.distributions.torch_distribution",
    ],
    "2b laws": [
        "pyro.distributions.torch_transform",
        "pyro.distributions.conditional_transforms",
        "pyro.distributions.transforms.*",
        "pyro.distributions.*",
        "pyro.distributions.testing.*",
    ],
    "3a runtime": [
        "pyro.poutine.itinerary",
        "pyro.poutine.runtime",
        "pyro.poutine.sites",
        "pyro.poutine.enum_dims",
    ],
    "3b record": [
        "pyro.poutine.messenger",
        "pyro.poutine.plate_shapes",
        "pyro.poutine.log_density",
        "pyro.poutine.shape_table",
        "pyro.poutine.trace_packing",
        "pyro.poutine.trace_struct",
        "pyro.poutine.equalized",
    ],
    "3c effects": [
        "pyro.poutine.equalize_groups",
        "pyro.poutine.equalize_fit",
        "pyro.poutine.enumerated",
        "pyro.poutine.executions",
        "pyro.poutine.*_messenger",
        "pyro.poutine.guide",
        "pyro.poutine.queued",
    ],
    "3d registration": [
        "pyro.poutine.handlers",
    ],
    "4 primitives": [
        "pyro._primitives.*",
        "pyro.primitives",
    ],
    "5 modules": [
        "pyro.nn.*",
    ],
    "6a shared tools": [
        "pyro.infer.log_weights",
        "pyro.infer.weighed_draws",
        "pyro.infer.marginals",
        "pyro.infer.abstract_infer",
        "pyro.infer.numerics",
        "pyro.infer.nonfinite",
        "pyro.infer.plates",
        "pyro.infer.checks",
        "pyro.infer.draws",
        "pyro.infer.dice",
        "pyro.infer.enum",
        "pyro.infer.enum_factors",
        "pyro.infer.leaves",
        "pyro.infer.compile",
        "pyro.infer.initialization",
        "pyro.infer.rao_blackwell",
        "pyro.infer.tracked_run",
        "pyro.infer.enum_posterior",
        "pyro.infer.baselines",
        "pyro.infer.dreams",
    ],
    "6b objectives": [
        "pyro.infer.elbo",
        "pyro.infer.*_elbo",
        "pyro.infer.trace_mmd",
        "pyro.infer.energy_distance",
        "pyro.infer.rws",
    ],
    "6c drivers": [
        "pyro.infer.svi",
        "pyro.infer.importance",
        "pyro.infer.resampler",
        "pyro.infer.smcfilter",
        "pyro.infer.csis",
        "pyro.infer.discrete",
        "pyro.infer.predictive",
        "pyro.infer.dependencies",
        "pyro.infer.relations",
        "pyro.infer.model_graph",
        "pyro.infer.rendering",
        "pyro.infer.trace_picture",
    ],
    "6d guides": [
        "pyro.infer.autoguide.*",
    ],
    "6e reparameterisations": [
        "pyro.infer.svgd",
        "pyro.infer.reparam.*",
    ],
}

# Every package `__init__` is a door too.
DOORS = [
    "pyro.generic",
    "pyro.util",
    "pyro.ops.gamma_gaussian",
    "pyro.ops.ssm_gp",
    "pyro.ops.tensor_utils",
    "pyro.poutine.util",
    "pyro.distributions.inverse_gamma",
    "pyro.distributions.hmm",
    "pyro.distributions.torch",
    "pyro.distributions.torch",
    "pyro.distributions.util",
    "pyro.distributions.transforms.utils",
    "pyro.ops.stats",
    "pyro.infer.inspect",
    "pyro.infer.util",
    "pyro.infer.autoguide.guides",
    "pyro.infer.autoguide.initialization",
    "pyro.infer.autoguide.utils",
    "pyro.nn.auto_reg_nn",
    "pyro.nn.dense_nn",
    "pyro.ops.jit",
]

REQUIRED = ["torch", "numpy", "opt_einsum", "pyroapi", "tqdm"]

# Complaint up to its first colon -> why it stands all the same.
EXCEPTIONS: dict[str, str] = {}


def test_the_house_stands() -> None:
    house = House(FLOORS, DOORS, REQUIRED, EXCEPTIONS)
    found = complaints(read_package(ROOT / "pyro"), house)
    assert not found, "\n" + "\n".join(found)


# The inspector must be able to complain: a small house, sound at first, then one flaw at a time.

SMALL_FLOORS = {"0": ["pyro.low", "pyro.later"], "1": ["pyro.a.*"], "2": ["pyro.b.top"]}
SMALL = {
    "pyro": "from pyro.b.top import run\n",
    "pyro.low": "import math\n",
    "pyro.later": "from pyro.low import x\n",
    "pyro.a": "from pyro.a.one import f\nfrom pyro.a.two import g\n",
    "pyro.a.one": "from pyro.later import y\n",
    "pyro.a.two": "from pyro.a.one import f\nimport torch\n",
    "pyro.b": "from pyro.b.top import run\n",
    "pyro.b.top": "from pyro.a.two import g\nfrom pyro.low import x\n",
    "pyro.util": "from pyro.low import x\n\n__all__ = ['x']\n",
}
SMALL_HOUSE = House(SMALL_FLOORS, ["pyro.util"], ["torch"])
PACKAGES = {"pyro", "pyro.a", "pyro.b"}


def inspect(house: House, **changed: str) -> list[str]:
    """Inspects the small house with some sources changed; ``__`` in a key stands for a dot."""
    sources = SMALL | {name.replace("__", "."): text for name, text in changed.items()}
    modules = {name: Module(name, text, name in PACKAGES) for name, text in sources.items()}
    return complaints(modules, house)


def function_of(lines: int, docstring_lines: int = 0) -> str:
    body = ['    """' + "\n" * (docstring_lines - 1) + '"""'] if docstring_lines else []
    return "\n".join(["def f():", *body, *["    x = 1"] * (lines - 1)]) + "\n"


def test_a_sound_house_draws_no_complaint() -> None:
    assert inspect(SMALL_HOUSE) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("pyro__low", "from pyro.a.one import f", "law 1, pyro.low .floor 0. may not import"),
        ("pyro__low", "import pyro.a.one", "law 1"),
        ("pyro__low", "from pyro.later import y", "pyro.later .floor 0, a later row"),
        ("pyro__a__one", "from .two import g", "law 1, a cycle of imports"),
        ("pyro__a__one", "from pyro.nowhere import x", "pyro.nowhere, which does not exist"),
        ("pyro__low", "import pyro", "law 2"),
        ("pyro__b__top", "from pyro.a import f", "law 2"),
        ("pyro__b__top", "from . import run", "law 2"),
        ("pyro__low", "from pyro.a import one", "law 1"),
        ("pyro__b__top", "from pyro.util import x", "law 2"),
        ("pyro__b__top", "import pyro.util", "law 2"),
        ("pyro__b__top", "def f():\n    from pyro.low import x", "law 3.*inside a function"),
        (
            "pyro__b__top",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pyro.low import x",
            "law 3.*under TYPE_CHECKING",
        ),
        ("pyro__util", "def f():\n    from pyro.low import x", "law 3"),
        ("pyro__a", "from pyro.b.top import run", "law 4"),
        ("pyro__util", "def f(): pass", "a door only re-exports; move f"),
        ("pyro__a", "class C: pass", "a door only re-exports; move C"),
        ("pyro__c", "x = 1", "stands on no floor; add it to FLOORS"),
        ("pyro__d__low", "x = 1", "pyro.d: has no __init__.py"),
        ("pyro__low", "import scipy.stats", "scipy is optional"),
        ("pyro__low", "def f():\n    from matplotlib import pyplot", "matplotlib is optional"),
        ("pyro__low", "x = 1\n" * 401, "has 401 lines, at most 400"),
        ("pyro__low", function_of(51), "pyro.low.f: has 51 lines, at most 50"),
        ("pyro__low", "type(x).__name__ == 'Normal'", "a test on a class name"),
        ("pyro__low", "x.__class__.__name__ in ('A', 'B')", "a test on a class name"),
        ("pyro__low", "type(x).__name__.startswith('A')", "a test on a class name"),
        ("pyro__low", "table[type(x).__qualname__]", "a test on a class name"),
        (
            "pyro__low",
            "match type(x).__name__:\n    case 'A':\n        pass",
            "a test on a class name",
        ),
    ],
)
def test_each_flaw_is_found(module: str, source: str, complaint: str) -> None:
    found = inspect(SMALL_HOUSE, **{module: source})
    assert any(re.search(complaint, line) for line in found), found


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n" * 400,
        function_of(50),
        function_of(50, docstring_lines=30),
        "f'{type(x).__name__}: {x}'\n",
        "raise TypeError('got ' + type(x).__name__)\n",
        "def f():\n    import json\n",
        "type(x) == type(y)\n",
    ],
)
def test_what_is_allowed_draws_no_complaint(source: str) -> None:
    assert inspect(SMALL_HOUSE, pyro__low=source) == []


def test_a_room_may_be_imported_whole() -> None:
    assert inspect(SMALL_HOUSE, pyro__b__top="from pyro.a import one\nfrom pyro import low\n") == []


def test_a_package_runs_with_its_rooms() -> None:
    floors = {"0": ["pyro.a.one"], "1": ["pyro.c"], "2": ["pyro.a.two"]}
    sources = {
        "pyro": "",
        "pyro.a": "from pyro.a.one import x\nfrom pyro.a.two import y\n",
        "pyro.a.one": "",
        "pyro.c": "from pyro.a.one import x\n",
        "pyro.a.two": "",
    }
    modules = {name: Module(name, text, name in PACKAGES) for name, text in sources.items()}
    (found,) = complaints(modules, House(floors))
    assert "pyro.c line 1: law 4" in found
    assert "may not import pyro.a.two" in found


def test_a_row_without_a_module_is_stale() -> None:
    house = House({**SMALL_FLOORS, "3": ["pyro.gone"]}, ["pyro.util"], ["torch"])
    assert inspect(house) == [
        "pyro.gone: no such module; remove the row from tests/test_architecture.py"
    ]


def test_an_exception_silences_one_complaint_and_must_be_needed() -> None:
    house = House(SMALL_FLOORS, ["pyro.util"], ["torch"], {"pyro.low.f": "one long table"})
    assert inspect(house, pyro__low=function_of(60)) == []
    assert inspect(house) == ["pyro.low.f: this exception is no longer needed; remove it"]
