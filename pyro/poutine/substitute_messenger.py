"""``substitute``: give parameters other values."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pyro._foundation.threads import PerThread
from pyro._foundation.warnings import warn_once
from pyro.params.param_store import user_param_name
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message


class SubstituteMessenger(Messenger):
    """Use given values for parameters in place of those in the param store.

    :param data: values by parameter name. Under validation a name that no parameter bears is
        warned about, with the nearest names that there were.

    >>> import torch, pyro, pyro.poutine as poutine
    >>> def model():
    ...     return pyro.param("a", torch.tensor(0.5))
    >>> poutine.substitute(model, data={"a": torch.tensor(0.1)})()
    tensor(0.1000)
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__()
        self.data = data
        self._seen = PerThread()

    def __enter__(self) -> "SubstituteMessenger":
        entered = super().__enter__()
        self._seen.names = set()
        return entered

    def __exit__(self, *args: Any, **kwargs: Any) -> None:
        super().__exit__(*args, **kwargs)
        completed = not args or args[0] is None
        for name in self.data if completed else ():
            if name not in self._seen.names:
                near = get_close_matches(name, self._seen.names)
                hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
                message = f"substitute() has a value for {name!r}, but no such parameter ran.{hint}"
                warn_once(("substitute", name), message)

    def _pyro_param(self, msg: Message) -> None:
        name = user_param_name(msg["name"])
        self._seen.names.add(name)
        if name in self.data:
            msg["value"] = self.data[name]
            msg["done"] = True
