"""The directive ``handlers``: documents the effect handlers by what is registered.

With names, it documents these; without, every other one, so that a newly registered handler
appears by itself.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.nodes import nested_parse_with_titles

from pyro.poutine import handlers


class HandlerList(Directive):
    """``.. handlers:: [NAME ...]``."""

    optional_arguments = 1
    final_argument_whitespace = True
    shown: set[str] = set()

    def run(self) -> list[nodes.Node]:
        names = self.arguments[0].split() if self.arguments else self._others()
        self.shown.update(names)
        lines = [line for name in names for line in self._entry(name)]
        container = nodes.section()
        container.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, "handlers"), container)
        return container.children

    def _others(self) -> list[str]:
        return [name for name in handlers.__all__ if name not in self.shown]

    def _entry(self, name: str) -> list[str]:
        if name not in handlers.__all__:
            raise self.error(f"{name!r} is no registered handler: {', '.join(handlers.__all__)}")
        return [f".. autofunction:: pyro.poutine.handlers.{name}", ""]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("handlers", HandlerList)
    return {"parallel_read_safe": False}
