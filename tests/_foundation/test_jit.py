import warnings
from typing import Any

import pytest
import torch

from pyro._foundation.jit import ignore_jit_warnings, jit_iter, torch_float


def complain(*entries: Any) -> None:
    for message, category in entries:
        warnings.warn(message, category, stacklevel=2)


def traced(fn: Any) -> None:
    def run(x: Any) -> Any:
        fn()
        return x

    torch.jit.trace(run, torch.zeros(1), check_trace=False)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_tracer_warnings_are_silent_while_tracing() -> None:
    def run() -> None:
        with ignore_jit_warnings():
            complain(("anything", torch.jit.TracerWarning))
        with pytest.warns(UserWarning, match="other"), ignore_jit_warnings():
            complain(("other", UserWarning))

    traced(run)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_filter_names_what_is_silent() -> None:
    def run() -> None:
        with pytest.warns(torch.jit.TracerWarning, match="loud"):
            with ignore_jit_warnings(["quiet", ("also", UserWarning)]):
                complain(
                    ("quiet", torch.jit.TracerWarning),
                    ("also this", UserWarning),
                    ("loud", torch.jit.TracerWarning),
                )

    traced(run)


def test_outside_the_tracer_nothing_is_silenced() -> None:
    with pytest.warns(torch.jit.TracerWarning), ignore_jit_warnings():
        complain(("anything", torch.jit.TracerWarning))


def test_jit_iter_gives_the_entries() -> None:
    assert [x.tolist() for x in jit_iter(torch.arange(4).reshape(2, 2))] == [[0, 1], [2, 3]]


def test_torch_float_of_numbers_and_tensors() -> None:
    assert torch_float(2) == 2.0 and isinstance(torch_float(2), float)
    assert torch_float(torch.tensor(2)).dtype == torch.float
