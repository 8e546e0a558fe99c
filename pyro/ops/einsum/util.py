"""What a backend needs beyond its ``einsum``, for :func:`opt_einsum.contract` to use it."""

from collections.abc import Callable, Sequence

from torch import Tensor

from pyro.ops.packed import dims_of, named


class Tensordot:
    """The ``tensordot`` of a semiring, made from its ``einsum``.

    Operands that are packed keep their letters where these say the same as the axes do: the axes to
    sum over are those that share a letter. Otherwise letters are made up.

    :param einsum: a function of an equation and its operands.

    >>> import torch
    >>> from pyro.ops.einsum.torch_log import einsum
    >>> Tensordot(einsum)(torch.zeros(2, 3), torch.zeros(3, 4), 1).exp()[0, 0]
    tensor(3.)
    """

    def __init__(self, einsum: Callable[..., Tensor]) -> None:
        self.einsum = einsum

    def __call__(
        self, x: Tensor, y: Tensor, axes: int | tuple[Sequence[int], Sequence[int]] = 2
    ) -> Tensor:
        """Sum products over pairs of axes.

        :param x: the left operand.
        :param y: the right operand.
        :param axes: how many of the last dims of ``x`` are paired with the first ones of ``y``; or
            the positions in ``x``, and those in ``y``.
        """
        if isinstance(axes, int):
            axes = range(x.dim() - axes, x.dim()), range(axes)
        pairs = [(i % x.dim(), j % y.dim()) for i, j in zip(*axes, strict=True)]
        left, right = _own_letters(x, y, pairs) or _new_letters(x.dim(), y.dim(), pairs)
        output = "".join(letter for letter in left + right if (letter in left) != (letter in right))
        return named(self.einsum(f"{left},{right}->{output}", x, y), output)


def _own_letters(x: Tensor, y: Tensor, pairs: list[tuple[int, int]]) -> tuple[str, str] | None:
    if not hasattr(x, "_pyro_dims") or not hasattr(y, "_pyro_dims"):
        return None
    left, right = dims_of(x), dims_of(y)
    shared = {(left.index(letter), right.index(letter)) for letter in left if letter in right}
    return (left, right) if shared == set(pairs) else None


def _new_letters(x_rank: int, y_rank: int, pairs: list[tuple[int, int]]) -> tuple[str, str]:
    left = [chr(ord("a") + i) for i in range(x_rank)]
    right = [chr(ord("a") + x_rank + j) for j in range(y_rank)]
    for i, j in pairs:
        right[j] = left[i]
    return "".join(left), "".join(right)
