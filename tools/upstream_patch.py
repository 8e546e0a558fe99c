"""Writes a patch that puts ``poutine.equalize`` into a released pyro-ppl, and tries it out.

    python tools/upstream_patch.py 1.8.6 [--build build]

``build/upstream/VERSION/pristine`` holds the release as pip installs it, ``patched`` a copy with
``build/equalize-VERSION.patch`` applied, and ``check`` the tests that concern the handler alone,
which are run on the patched copy. Our rooms go in as they stand but for their import lines. Where
the release has the names that these ask for is found by importing it, and the registration is
appended to its modules, so that nothing depends on the text of either.
"""

import argparse
import ast
import difflib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("equalize_groups", "equalize_fit", "equalize_messenger", "equalized")
CARRIED = "equalize_sites"  # what the rooms take from other rooms of ours and the release lacks
ELSEWHERE = (
    "pyro.poutine.util",
    "pyro.poutine.runtime",
    "pyro.distributions.util",
    "pyro.distributions",
)
PROBE = """
import importlib, json, sys

def has(module, name):
    try:
        return hasattr(importlib.import_module(module), name)
    except ImportError:
        return False

wanted, elsewhere = json.load(sys.stdin)
places = [next((m for m in (module, *elsewhere) if has(m, name)), None) for module, name in wanted]
json.dump(places, sys.stdout)
"""
REGISTRATION = '''

from pyro.poutine.equalize_messenger import EqualizeMessenger  # noqa: E402


def equalize(fn=None, *args, **kwargs):
    """Make several sites of a model share one value: see EqualizeMessenger."""
    if fn is not None and not callable(fn):
        raise ValueError(f"equalize() wraps a callable, got {fn!r}. Pass the model first.")
    messenger = EqualizeMessenger(*args, **kwargs)
    return messenger if fn is None else messenger(fn)
'''
EXPORT = """

from pyro.poutine.equalized import equalized_sites, fill_equalized  # noqa: E402
from pyro.poutine.handlers import equalize  # noqa: E402

__all__ = list(dict.fromkeys([*__all__, "equalize", "equalized_sites", "fill_equalized"]))
"""
APPENDED = {"pyro/poutine/handlers.py": REGISTRATION, "pyro/poutine/__init__.py": EXPORT}
TESTS = (
    "conftest.py",
    "helpers.py",
    "rooms.py",
    "poutine/conftest.py",
    "poutine/models.py",
    "poutine/test_dogs_and_cats.py",
    "poutine/test_equalize.py",
    "poutine/test_equalize_density.py",
    "poutine/test_equalize_lifetime.py",
    "poutine/test_equalize_members.py",
    "poutine/test_equalize_params.py",
    "poutine/test_equalize_plates.py",
    "poutine/test_equalize_property.py",
    "poutine/test_equalize_warnings.py",
)

Place = tuple[str, str]  # a module and a name in it
Run = subprocess.CompletedProcess[str]


class Failure(Exception):
    """A step that did not succeed, in one line."""


class IndexUnreachable(Failure):
    """The release could not be fetched."""


class Folders(NamedTuple):
    """Where the release, its patched copy, the tests and the patch lie."""

    pristine: Path
    patched: Path
    check: Path
    patch: Path


def folders(build: Path, version: str) -> Folders:
    """Name the folders of a release under the build folder."""
    home = build.resolve() / "upstream" / version
    patch = build.resolve() / f"equalize-{version}.patch"
    return Folders(home / "pristine", home / "patched", home / "check", patch)


def install(version: str, target: Path) -> None:
    """Install a release into a folder of its own, unless it is there.

    :raises IndexUnreachable: where pip cannot fetch it.
    """
    if (target / "pyro").is_dir():
        return
    shutil.rmtree(target, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target)]
    done = subprocess.run([*command, f"pyro-ppl=={version}"], capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(target, ignore_errors=True)
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise IndexUnreachable(f"pip cannot install pyro-ppl {version}: {last}")


def first_party_imports(source: str) -> Iterator[ast.ImportFrom]:
    """Yield the imports of a room from other rooms, all of which stand at its top."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyro."):
            yield node


def imported_names(source: str) -> list[Place]:
    """List what a room imports from rooms that do not go with it."""
    with_it = {f"pyro.poutine.{room}" for room in ROOMS}
    return [
        (str(node.module), alias.name)
        for node in first_party_imports(source)
        if node.module not in with_it
        for alias in node.names
    ]


def find_places(pristine: Path, wanted: list[Place]) -> dict[Place, str | None]:
    """Ask a release in which of its modules it has each name, None where it lacks it."""
    question = json.dumps([wanted, ELSEWHERE])
    done = run_with(pristine, ["-W", "ignore", "-c", PROBE], pristine, question)
    if done.returncode:
        raise Failure(f"the release cannot be imported:\n{done.stderr}")
    return dict(zip(wanted, json.loads(done.stdout), strict=True))


def run_with(package: Path, arguments: list[str], cwd: Path, input: str = "") -> Run:
    """Run Python with the ``pyro`` of a folder and the libraries of this environment.

    Without ``site``: an editable install of ours would serve its rooms inside the other package.
    """
    path = os.pathsep.join([str(package), sysconfig.get_path("purelib")])
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=cwd,
        input=input,
        capture_output=True,
        text=True,
    )


def with_imports_from(source: str, places: dict[Place, str | None]) -> str:
    """Rewrite the import lines of a room to where a release has the names."""
    lines = source.splitlines(keepends=True)
    for node in reversed(list(first_party_imports(source))):
        by_module: dict[str, list[str]] = {}
        for alias in node.names:
            module = places.get((str(node.module), alias.name), node.module)
            by_module.setdefault(module or f"pyro.poutine.{CARRIED}", []).append(alias.name)
        new = [f"from {module} import {', '.join(by_module[module])}\n" for module in by_module]
        lines[node.lineno - 1 : node.end_lineno] = new
    return "".join(lines)


def carried_room(lacking: Iterable[Place]) -> str:
    """Write a room of what the release lacks: our definitions, and what they are made of."""
    parts = ['"""What the rooms of ``equalize`` ask of a site and a release lacks."""\n']
    by_module: dict[str, set[str]] = {}
    for module, name in lacking:
        by_module.setdefault(module, set()).add(name)
    for module, names in by_module.items():
        source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        parts += definitions(source, names)
    return "\n".join(parts)


def definitions(source: str, names: set[str]) -> Iterator[str]:
    """Yield the definitions of names at a module's top, in its order, with all that they use."""
    nodes = ast.parse(source).body
    needed = set(names)
    while more := {n for node in nodes if defined(node) & needed for n in used(node)} - needed:
        needed |= more
    for node in nodes:
        if defined(node) & needed:
            yield (ast.get_source_segment(source, node) or "") + "\n"


def defined(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a module binds."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name for alias in node.names}
    return set()


def used(node: ast.stmt) -> set[str]:
    """The names that a statement reads."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def new_texts(pristine: Path) -> dict[str, str]:
    """Return the files that the patch adds or changes, by their path in the release."""
    rooms = {
        room: (ROOT / "pyro" / "poutine" / f"{room}.py").read_text(encoding="utf-8")
        for room in ROOMS
    }
    wanted = list(dict.fromkeys(p for text in rooms.values() for p in imported_names(text)))
    places = find_places(pristine, wanted)
    rooms = {room: with_imports_from(text, places) for room, text in rooms.items()}
    if lacking := [place for place in wanted if places[place] is None]:
        rooms[CARRIED] = carried_room(lacking)
    texts = {f"pyro/poutine/{room}.py": text for room, text in rooms.items()}
    for path, text in APPENDED.items():
        texts[path] = (pristine / path).read_text(encoding="utf-8") + text
    return texts


def unified_diff(pristine: Path, texts: dict[str, str]) -> str:
    """Write the patch that turns a release into one with these files."""
    hunks: list[str] = []
    for path in sorted(texts):
        is_there = (pristine / path).exists()
        old = (pristine / path).read_text(encoding="utf-8") if is_there else ""
        before, after = (text.splitlines(keepends=True) for text in (old, texts[path]))
        source = f"a/{path}" if is_there else "/dev/null"
        hunks += difflib.unified_diff(before, after, source, f"b/{path}")
    return "".join(hunks)


def apply_patch(where: Folders) -> None:
    """Copy the release and apply the patch to the copy.

    :raises Failure: where it does not apply.
    """
    shutil.rmtree(where.patched, ignore_errors=True)
    shutil.copytree(where.pristine, where.patched)
    command = ["patch", "-p1", "--quiet", "--batch", "-i", str(where.patch)]
    done = subprocess.run(command, cwd=where.patched, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"the patch does not apply:\n{done.stdout}{done.stderr}")


def run_tests(where: Folders) -> str:
    """Run the tests that concern the handler alone on the patched copy.

    :returns: the last line of what pytest says.
    :raises Failure: where one fails.
    """
    shutil.rmtree(where.check, ignore_errors=True)
    for path in TESTS:
        target = where.check / "tests" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tests" / path, target)
    shutil.copy(ROOT / "setup.cfg", where.check)
    marks = "not slow and not whole_package"
    options = ["-q", "--tb=line", "-m", marks, "-p", "no:cacheprovider"]
    done = run_with(where.patched, ["-m", "pytest", *options, "tests"], where.check)
    if done.returncode:
        raise Failure(f"the tests fail on the patched release:\n{done.stdout}{done.stderr}")
    return done.stdout.strip().splitlines()[-1]


def patch_release(version: str, build: Path) -> str:
    """Install a release, write the patch, apply it and run the tests.

    :param version: of pyro-ppl.
    :param build: the folder to work in.
    :returns: one line that says what was run.
    :raises Failure: where a step does not succeed.
    """
    where = folders(build, version)
    install(version, where.pristine)
    patch = unified_diff(where.pristine, new_texts(where.pristine))
    where.patch.write_text(patch, encoding="utf-8")
    apply_patch(where)
    return f"{where.patch.relative_to(build.resolve().parent)}: {run_tests(where)}"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Puts poutine.equalize into a released pyro-ppl.")
    parser.add_argument("version", help="of pyro-ppl, such as 1.8.6")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="(default: build)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the steps; one that does not succeed ends it with status 1."""
    options = parse(arguments)
    try:
        print(patch_release(options.version, options.build))
    except Failure as failure:
        fail(str(failure))


def fail(message: str) -> NoReturn:
    """Say what went wrong and leave."""
    print(message, file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
