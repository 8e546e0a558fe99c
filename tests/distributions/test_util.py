"""The door for those who write laws."""

import torch

from pyro.distributions import util
from tests.helpers import assert_close


def test_everything_that_libraries_take_from_it_is_there() -> None:
    assert all(callable(getattr(util, name)) for name in util.__all__)
    a, b = util.broadcast_all(torch.zeros(2, 1), 3.0)
    assert a.shape == b.shape == (2, 1)
    assert_close(util.logsumexp(torch.zeros(2), -1), torch.tensor(2.0).log())
    with util.validation_enabled(False):
        assert not util.is_validation_enabled()
