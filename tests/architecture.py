"""Reads a package's imports and sizes from its syntax trees and says which laws they break.

A *room* is a module that holds logic, a *door* one that only re-exports; every package
``__init__`` is a door. A :class:`House` says on which floor each room stands. The four laws:

1. A room imports only lower floors, or earlier rooms on its own floor.
2. No room imports a door, names a package, or does ``import pyro``.
3. No first-party import inside a function or under ``TYPE_CHECKING``.
4. A package ``__init__`` runs with any of its rooms: what it imports counts as imported too.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

MAX_ROOM_LINES = 400
MAX_FUNCTION_LINES = 50
STANDARD_LIBRARY = frozenset(sys.stdlib_module_names) | {"__future__"}


@dataclass(frozen=True)
class House:
    """The plan that the sources are held against.

    :param floors: name of each floor and its rooms, lowest first; ``*`` stands for part of one
        name, and the first row that fits a module counts. Rooms of one ``*`` row may import
        each other without a cycle.
    :param doors: modules besides the packages that only re-export.
    :param required: third-party packages that are always installed.
    :param exceptions: complaint (its text up to the first colon) to the reason why it stands.
    """

    floors: Mapping[str, Sequence[str]]
    doors: Sequence[str] = ()
    required: Sequence[str] = ()
    exceptions: Mapping[str, str] | None = None

    @cached_property
    def rows(self) -> list[str]:
        return [pattern for patterns in self.floors.values() for pattern in patterns]

    def rank(self, module: str) -> int | None:
        """Number of the row that a room stands in."""
        return next((i for i, row in enumerate(self.rows) if _fits(row, module)), None)

    def floor(self, module: str) -> str:
        return next(
            name
            for name, patterns in self.floors.items()
            if any(_fits(pattern, module) for pattern in patterns)
        )


def _fits(pattern: str, module: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^.]*"), module) is not None


@dataclass(frozen=True)
class Import:
    """One imported module, and why it is not imported at once."""

    target: str
    line: int
    deferred: str = ""


class Module:
    """One source file and what its syntax tree says."""

    def __init__(self, name: str, source: str, is_package: bool = False) -> None:
        self.name = name
        self.source = source
        self.is_package = is_package
        self.tree = ast.parse(source, name)
        self.inside = {child: node for node in ast.walk(self.tree) for child in _children(node)}

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.inside:
            node = self.inside[node]
            yield node

    def packages(self) -> list[str]:
        """The packages whose ``__init__`` runs before this module does."""
        parts = self.name.split(".")
        count = len(parts) + self.is_package
        return [".".join(parts[:i]) for i in range(1, count)]

    def imports(self, known: Mapping[str, Module]) -> Iterator[Import]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield self._import(alias.name, node)
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    yield self._import(inner if inner in known else base, node)

    def _import(self, target: str, node: ast.stmt) -> Import:
        return Import(target, node.lineno, self._deferred(node))

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        here = self.name.split(".") + (["__init__"] if self.is_package else [])
        return ".".join([*here[: -node.level], *filter(None, [node.module])])

    def _deferred(self, node: ast.AST) -> str:
        for ancestor in self.ancestors(node):
            if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                return "inside a function"
            if isinstance(ancestor, ast.If) and "TYPE_CHECKING" in ast.dump(ancestor.test):
                return "under TYPE_CHECKING"
        return ""


def _children(node: ast.AST) -> Iterator[ast.AST]:
    return ast.iter_child_nodes(node)


def read_package(root: Path) -> dict[str, Module]:
    """Parses every module of the package that lies at ``root``."""
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name, path.read_text(encoding="utf-8"), is_package)
    return modules


def complaints(modules: Mapping[str, Module], house: House) -> list[str]:
    """Says what breaks a law, one line each; empty when the house stands."""
    return _Inspection(modules, house).report()


class _Inspection:
    def __init__(self, modules: Mapping[str, Module], house: House) -> None:
        self.modules = modules
        self.house = house
        self.roots = {name.split(".")[0] for name in modules}
        self.doors = {
            name
            for name, module in modules.items()
            if module.is_package or any(_fits(door, name) for door in house.doors)
        }

    def report(self) -> list[str]:
        found = [*self._plan(), *self._cycles()]
        for module in self.modules.values():
            found += self._outside(module)
            found += self._class_names(module)
            found += self._sizes(module)
            found += self._deferred(module)
            found += self._door(module) if module.name in self.doors else self._room(module)
        return self._without_exceptions(found)

    def _without_exceptions(self, found: list[str]) -> list[str]:
        exceptions = self.house.exceptions or {}
        stale = set(exceptions) - {line.split(":")[0] for line in found}
        kept = [line for line in found if line.split(":")[0] not in exceptions]
        return kept + [f"{key}: this exception is no longer needed; remove it" for key in stale]

    def _plan(self) -> Iterator[str]:
        for name, module in self.modules.items():
            for package in set(module.packages()) - set(self.modules):
                yield f"{package}: has no __init__.py, so it would not be installed"
            if name not in self.doors and self.house.rank(name) is None:
                yield (
                    f"{name}: stands on no floor; add it to FLOORS in tests/test_architecture.py "
                    "(or to DOORS there, if it only re-exports)"
                )
        for row in [*self.house.rows, *self.house.doors]:
            if not any(_fits(row, name) for name in self.modules):
                yield f"{row}: no such module; remove the row from tests/test_architecture.py"

    def _first_party(self, module: Module) -> Iterator[Import]:
        for imported in module.imports(self.modules):
            if imported.target.split(".")[0] in self.roots:
                yield imported

    def _room(self, room: Module) -> Iterator[str]:
        for imported in self._first_party(room):
            where = f"{room.name} line {imported.line}"
            if imported.target not in self.modules:
                yield f"{where}: imports {imported.target}, which does not exist"
            elif imported.target in self.doors:
                yield (
                    f"{where}: law 2, a room names the rooms that it needs, not the door or "
                    f"package {imported.target}; write `from package.room import name`"
                )
            else:
                yield from self._upward(room.name, imported.target, f"{where}: law 1")
            for target in sorted(self._implied(room, imported)):
                law = f"{where}: law 4 (by way of the package of {imported.target})"
                yield from self._upward(room.name, target, law)

    def _upward(self, room: str, target: str, prefix: str) -> Iterator[str]:
        here, there = self.house.rank(room), self.house.rank(target)
        if here is None or there is None:
            return
        if there > here or room == target:
            yield (
                f"{prefix}, {room} (floor {self.house.floor(room)}) may not import {target} "
                f"(floor {self.house.floor(target)}, a later row); move one of them, or let a "
                "Protocol below say what is needed"
            )

    def _implied(self, room: Module, imported: Import) -> set[str]:
        """Rooms that run because a package that holds the imported one runs first."""
        target = self.modules.get(imported.target)
        if target is None:
            return set()
        entered = set(target.packages()) - set(room.packages()) - {room.name}
        return set().union(*(self._behind(package, set()) for package in entered))

    def _behind(self, door: str, seen: set[str]) -> set[str]:
        if door in seen or door not in self.modules:
            return set()
        seen.add(door)
        rooms = set()
        for imported in self._first_party(self.modules[door]):
            if imported.target in self.doors:
                rooms |= self._behind(imported.target, seen)
            elif imported.target in self.modules:
                rooms.add(imported.target)
        return rooms

    def _cycles(self) -> Iterator[str]:
        graph = {
            name: {
                target
                for imported in self._first_party(module)
                for target in {imported.target} | self._implied(module, imported)
                if target in self.modules and target not in self.doors and target != name
            }
            for name, module in self.modules.items()
            if name not in self.doors
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            yield f"{error.args[1][0]}: law 1, a cycle of imports: {' <- '.join(error.args[1])}"

    def _deferred(self, module: Module) -> Iterator[str]:
        for imported in self._first_party(module):
            if imported.deferred:
                yield (
                    f"{module.name} line {imported.line}: law 3, imports {imported.target} "
                    f"{imported.deferred}; import at the top, or ask for a Protocol"
                )

    def _door(self, door: Module) -> Iterator[str]:
        for node in door.tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield (
                    f"{door.name} line {node.lineno}: a door only re-exports; "
                    f"move {node.name} to a room"
                )

    def _outside(self, module: Module) -> Iterator[str]:
        for imported in module.imports(self.modules):
            top = imported.target.split(".")[0]
            if top not in self.roots | STANDARD_LIBRARY | set(self.house.required):
                yield (
                    f"{module.name} line {imported.line}: {top} is optional; "
                    "get it through pyro._foundation.optional.import_optional"
                )

    def _sizes(self, module: Module) -> Iterator[str]:
        lines = len(module.source.splitlines())
        if lines > MAX_ROOM_LINES:
            yield f"{module.name}: has {lines} lines, at most {MAX_ROOM_LINES}; split it"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = function_lines(node)
                if lines > MAX_FUNCTION_LINES:
                    yield (
                        f"{module.name}.{node.name}: has {lines} lines, "
                        f"at most {MAX_FUNCTION_LINES}; split it"
                    )

    def _class_names(self, module: Module) -> Iterator[str]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and _is_tested_class_name(node, module):
                yield (
                    f"{module.name} line {node.lineno}: a test on a class name; "
                    "ask pyro.poutine.sites, isinstance, or an attribute of the class"
                )


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end; what is documentation is not counted."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def _is_tested_class_name(node: ast.Attribute, module: Module) -> bool:
    return _is_class_name(node) and _is_tested(node, module)


def _is_class_name(node: ast.Attribute) -> bool:
    """Whether the expression is ``type(x).__name__`` or ``x.__class__.__name__``."""
    if node.attr not in ("__name__", "__qualname__"):
        return False
    owner = node.value
    if isinstance(owner, ast.Call):
        return isinstance(owner.func, ast.Name) and owner.func.id == "type"
    return isinstance(owner, ast.Attribute) and owner.attr == "__class__"


def _is_tested(node: ast.AST, module: Module) -> bool:
    """Whether the program's course depends on the expression; printing it is no test."""
    below = node
    for above in module.ancestors(node):
        if isinstance(above, ast.stmt):
            return isinstance(above, ast.Match) and below is above.subject
        if isinstance(above, ast.Compare):
            return True
        if isinstance(above, ast.Subscript) and below is above.slice:
            return True
        if isinstance(above, ast.Attribute):
            return True
        below = above
    return False
