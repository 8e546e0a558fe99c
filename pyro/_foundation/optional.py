"""Third-party packages that only some features need, imported when they are first used."""

import importlib
from types import ModuleType


def import_optional(module: str, extra: str) -> ModuleType:
    """Import a package that pyro can live without.

    :param module: the module's dotted name.
    :param extra: the extra of ``pyro-ppl`` that installs it.
    :raises ImportError: with the command that installs it, where it is missing.

    >>> import_optional("json", "examples").dumps(1)
    '1'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"This feature needs {module!r}, which could not be imported ({error}). "
            f"Install it with: pip install 'pyro-ppl[{extra}]'"
        ) from error
