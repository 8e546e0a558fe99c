"""Packaging of pyro-ppl; tool settings live in setup.cfg, pinned versions in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def read_version() -> str:
    """Reads the version as text, so that building needs no torch."""
    text = (ROOT / "pyro" / "_version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('pyro/_version.py has no line of the form: __version__ = "1.2.3"')
    return found.group(1)


EXAMPLES = ["matplotlib>=3.8", "graphviz>=0.20"]
TEST = ["pytest>=8.1", "pytest-cov", "pytest-xdist>=3.5", "hypothesis>=6.100", "scipy>=1.11"]
DOCS = ["sphinx>=7.3"]
DEV = [*EXAMPLES, *TEST, *DOCS, "mypy>=1.11", "ruff>=0.6", "types-tqdm"]

setup(
    name="pyro-ppl",
    version=read_version(),
    description="Probabilistic programming on PyTorch with equal-parameter modelling",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["pyro", "pyro.*"]),
    package_data={"pyro": ["py.typed"]},
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.13",
        "opt_einsum>=2.3.2",
        "pyro-api>=0.1.1",
        "tqdm>=4.36",
        "numpy>=1.22",
    ],
    extras_require={
        "test": TEST,
        "docs": DOCS,
        "examples": EXAMPLES,
        "dev": DEV,
        "funsor": ["funsor>=0.4.8"],
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3 :: Only",
        "Typing :: Typed",
    ],
)
