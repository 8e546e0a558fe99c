from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Makes float64 the default, for exact numbers and finite differences."""
    torch.set_default_dtype(torch.double)
    yield
    torch.set_default_dtype(torch.float)
