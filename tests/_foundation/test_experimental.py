import warnings

import pytest

from pyro._foundation.experimental import ExperimentalWarning, ignore_experimental_warning


def test_only_experimental_warnings_are_silenced() -> None:
    with pytest.warns(UserWarning) as caught, ignore_experimental_warning():
        warnings.warn("new", ExperimentalWarning, stacklevel=1)
        warnings.warn("other", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["other"]
