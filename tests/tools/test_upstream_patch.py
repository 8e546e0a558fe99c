"""The patch for a released Pyro: how it is written, and that ``equalize`` works there."""

import ast
import subprocess
from pathlib import Path

import pytest

from tools.upstream_patch import (
    ROOMS,
    ROOT,
    TESTS,
    IndexUnreachable,
    definitions,
    find_places,
    imported_names,
    main,
    patch_release,
    unified_diff,
    with_imports_from,
)

SOURCE = '''"""A room."""

from typing import Any

from pyro.here.there import (
    first,
    second,
    third,
)
from pyro.poutine.equalize_fit import Owner

value: Any = first(second)
'''


PLACES = {"first": "pyro.elsewhere", "second": None, "third": "pyro.elsewhere"}


def test_only_import_lines_differ() -> None:
    places = {("pyro.here.there", name): place for name, place in PLACES.items()}
    assert with_imports_from(SOURCE, places) == SOURCE.replace(
        "from pyro.here.there import (\n    first,\n    second,\n    third,\n)\n",
        "from pyro.elsewhere import first, third\nfrom pyro.poutine.equalize_sites import second\n",
    )


def test_names_of_the_rooms_that_go_along_are_not_looked_for() -> None:
    assert imported_names(SOURCE) == [
        ("pyro.here.there", name) for name in ("first", "second", "third")
    ]


def test_what_is_lacking_comes_with_all_that_it_uses() -> None:
    source = (
        "import a, b\nX = a.x\ndef f():\n    return X\ndef g():\n    return f(b)\ndef h(): ...\n"
    )
    carried = "".join(definitions(source, {"f"}))
    assert carried == "import a, b\nX = a.x\ndef f():\n    return X\n"


def release(folder: Path) -> Path:
    """A package that has what is asked for in another module."""
    package = folder / "release" / "pyro"
    (package / "poutine").mkdir(parents=True)
    for path in ("__init__.py", "poutine/__init__.py"):
        (package / path).write_text("")
    (package / "poutine" / "util.py").write_text("first = 1\n")
    (package / "near.py").write_text("second = 2\n")
    return package.parent


def test_a_release_is_asked_where_it_has_a_name(tmp_path: Path) -> None:
    wanted = [("pyro.gone", "first"), ("pyro.near", "second"), ("pyro.near", "third")]
    assert list(find_places(release(tmp_path), wanted).values()) == [
        "pyro.poutine.util",
        "pyro.near",
        None,
    ]


def test_the_patch_adds_and_changes_files(tmp_path: Path) -> None:
    pristine = release(tmp_path)
    texts = {"pyro/new.py": "a\nb\n", "pyro/near.py": "second = 2\nthird = 3\n"}
    patch = unified_diff(pristine, texts)
    subprocess.run(["patch", "-p1", "--quiet"], cwd=pristine, input=patch, text=True, check=True)
    assert {path: (pristine / path).read_text() for path in texts} == texts


def test_every_test_of_the_handler_goes_along() -> None:
    files = (ROOT / "tests" / "poutine").glob("test_equalize*.py")
    of_the_handler = {f"poutine/{file.name}" for file in files if not is_of_the_whole(file)}
    assert of_the_handler <= set(TESTS)


def is_of_the_whole(file: Path) -> bool:
    return "\npytestmark = pytest.mark.whole_package(" in file.read_text(encoding="utf-8")


def test_the_rooms_are_plain_enough_to_go_along() -> None:
    """Relative imports and imports of whole modules would not be rewritten."""
    for room in ROOMS:
        tree = ast.parse((ROOT / "pyro" / "poutine" / f"{room}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                assert not (node.module or "").startswith("pyro.") or node in tree.body
            if isinstance(node, ast.Import):
                assert not any(alias.name.split(".")[0] == "pyro" for alias in node.names)


def test_a_version_that_does_not_exist_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SystemExit) as raised:
        main(["0.0.0", "--build", str(tmp_path)])
    assert raised.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("pip cannot install pyro-ppl 0.0.0: ") and error.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.8.6", "1.9.2"])
def test_equalize_works_in_a_released_pyro(version: str) -> None:
    try:
        said = patch_release(version, ROOT / "build")
    except IndexUnreachable as error:
        pytest.skip(str(error))
    assert said.startswith(f"build/equalize-{version}.patch: ") and " passed" in said
