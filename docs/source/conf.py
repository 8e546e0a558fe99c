"""How Sphinx builds these pages; warnings are errors, and nothing is fetched."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from pyro._version import __version__  # noqa: E402

project = "Pyro"
author = "the authors of this package"
release = __version__
version = release.split("+")[0]

extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "handler_list", "law_list"]
html_theme = "alabaster"
html_theme_options = {"description": "Probabilistic programming on PyTorch", "page_width": "64em"}
html_show_sourcelink = False

autodoc_default_options = {"show-inheritance": True}
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
add_module_names = False
default_role = "py:obj"
