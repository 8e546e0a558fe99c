"""``substitute``: give parameters other values."""

from collections.abc import Mapping
from typing import Any

from pyro._foundation.threads import PerThread
from pyro._foundation.warnings import warn_of_absent
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
        if completed:
            warn_of_absent("substitute", "a value", self.data, self._seen.names)

    def _pyro_param(self, msg: Message) -> None:
        name = user_param_name(msg["name"])
        self._seen.names.add(name)
        if name in self.data:
            msg["value"] = self.data[name]
            msg["done"] = True
