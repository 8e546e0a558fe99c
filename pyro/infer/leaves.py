"""The leaves that a run depends on: parameters by name, and whatever autograd leads to."""

from collections.abc import Iterable

from torch import Tensor

from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_equalized


class LeavesRead(Messenger):
    """Collects the unconstrained leaf of every parameter that is read inside.

    >>> import torch, pyro
    >>> with LeavesRead() as read:
    ...     _ = pyro.param("w", torch.ones(2))
    >>> read.leaves
    {'w': tensor([1., 1.], requires_grad=True)}
    """

    def __init__(self) -> None:
        super().__init__()
        self.leaves: dict[str, Tensor] = {}

    def take(self, leaves: Iterable[tuple[str, Tensor]]) -> None:
        """Note leaves that were read without a message.

        :param leaves: pairs of a parameter's name and its leaf.
        """
        self.leaves.update(leaves)

    def _pyro_post_param(self, msg: Message) -> None:
        name = msg["name"]
        # A tied value has its owner's leaf; one that a handler substituted is given, not learnt.
        is_own = not site_is_equalized(msg) and hasattr(msg["value"], "unconstrained")
        if name not in self.leaves and is_own:
            self.leaves[name] = msg["value"].unconstrained()


def leaves_of_graph(outputs: Iterable[Tensor]) -> list[Tensor]:
    """Find the leaves that tensors can be differentiated by.

    :param outputs: tensors.

    >>> import torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> [leaf is w for leaf in leaves_of_graph([(w * w).sum()])]
    [True]
    """
    found: dict[int, Tensor] = {}
    seen: set[object] = set()
    ahead = [x.grad_fn for x in outputs if x.grad_fn is not None]
    while ahead:
        node = ahead.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found[id(leaf)] = leaf
        ahead += [each for each, _ in node.next_functions if each is not None]
    return list(found.values())
