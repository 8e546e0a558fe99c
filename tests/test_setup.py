"""What other packages read off this one: its version, its types, its pinned requirements."""

import re
from pathlib import Path

import pyro

ROOT = Path(__file__).resolve().parent.parent


def test_the_version_starts_with_three_integers() -> None:
    level, patch = pyro.__version__.split("+")
    assert [int(part) for part in level.split(".")] == [1, 9, 2]
    assert patch == "equalize"


def test_the_version_can_be_read_as_text() -> None:
    text = (ROOT / "pyro" / "_version.py").read_text(encoding="utf-8")
    assert f'__version__ = "{pyro.__version__}"' in text.splitlines()


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(pyro.__file__).parent / "py.typed").exists()


def test_every_requirement_is_pinned() -> None:
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    quoted = re.findall(r'"([A-Za-z][\w-]*)(?:>=[\d.]+)"', setup) + ["pytest-cov", "types-tqdm"]
    wanted = {name.lower().replace("_", "-") for name in quoted} - {"python"}
    assert wanted <= {name.lower().replace("_", "-") for name in pinned}
    assert "torch" in wanted
