"""Tensor functions that torch lacks: a door to the rooms that hold them."""

from pyro.ops.matrices import (
    block_diag_embed,
    block_diagonal,
    cholesky_solve,
    matmul,
    matvecmul,
    precision_to_scale_tril,
    repeated_matmul,
    safe_cholesky,
    safe_normalize,
    triangular_solve,
)
from pyro.ops.shapes import broadcast_tensors_without_dim
from pyro.ops.signals import (
    as_complex,
    convolve,
    dct,
    haar_transform,
    idct,
    inverse_haar_transform,
    next_fast_len,
    periodic_cumsum,
    periodic_features,
    periodic_repeat,
)

__all__ = [
    "as_complex",
    "block_diag_embed",
    "block_diagonal",
    "broadcast_tensors_without_dim",
    "cholesky_solve",
    "convolve",
    "dct",
    "haar_transform",
    "idct",
    "inverse_haar_transform",
    "matmul",
    "matvecmul",
    "next_fast_len",
    "periodic_cumsum",
    "periodic_features",
    "periodic_repeat",
    "precision_to_scale_tril",
    "repeated_matmul",
    "safe_cholesky",
    "safe_normalize",
    "triangular_solve",
]
