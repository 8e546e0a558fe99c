from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from pyro.ops import graph_compilers
from pyro.ops.graph_compilers import check_options, compile_graph, has_inductor, has_tracer
from tests.helpers import assert_close

X = torch.tensor([1.0, 2.0, 4.0])
INDUCTOR = pytest.param(
    "inductor",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(not has_inductor(), reason="no C++ compiler"),
    ],
)
EVERY_BACKEND = pytest.mark.parametrize("backend", ["auto", "trace", "graph", INDUCTOR])


def module_of(fn: Any, *inputs: Tensor) -> GraphModule:
    module: GraphModule = make_fx(fn)(*inputs)
    return module


def noisy(x: Tensor, scale: Tensor) -> list[Tensor]:
    return [x.log().sum() * scale, x + torch.randn(3), torch.rand(2)]


@EVERY_BACKEND
def test_a_compiled_graph_computes_what_the_graph_does(backend: str) -> None:
    scale = torch.tensor(2.0)
    run = compile_graph(module_of(noisy, X, scale), [X, scale], {"backend": backend})
    for x in (X, X + 1.0):
        torch.manual_seed(3)
        with torch.no_grad():
            found = list(run(x, scale)), torch.rand(())
        torch.manual_seed(3)
        assert_close(found, (noisy(x, scale), torch.rand(())))


@EVERY_BACKEND
def test_each_call_draws_anew_from_torchs_generator(backend: str) -> None:
    run = compile_graph(module_of(lambda x: [torch.randn_like(x)], X), [X], {"backend": backend})
    torch.manual_seed(0)
    first, second = run(X)[0], run(X)[0]
    assert not first.equal(second)
    torch.manual_seed(0)
    assert first.equal(run(X)[0])


@EVERY_BACKEND
def test_inputs_may_be_parameters(backend: str) -> None:
    x = X.clone().requires_grad_()
    run = compile_graph(module_of(lambda x: [x * 2], X), [x], {"backend": backend})
    with torch.no_grad():
        found = run(x)[0]
    assert not found.requires_grad
    assert_close(found, 2 * X)


def test_a_graph_without_inputs_is_compiled() -> None:
    run = compile_graph(module_of(lambda: [torch.ones(2)]), [], {"backend": "graph"})
    assert_close(run()[0], torch.ones(2))


def test_an_unknown_backend_is_refused_with_those_that_there_are() -> None:
    text = "'backend'.* is 'fast', expected one of 'auto', 'inductor', 'trace', 'graph'"
    with pytest.raises(ValueError, match=text):
        check_options({"backend": "fast"})
    check_options({})


def test_options_of_the_tracer_reach_it() -> None:
    module = module_of(lambda x: [x * 2], X)
    options = {"check_trace": True, "time_compilation": True}
    assert_close(compile_graph(module, [X], options)(X)[0], 2 * X)
    with pytest.raises((TypeError, RuntimeError), match="no_such_option"):
        compile_graph(module, [X], {"no_such_option": 1})
    assert options == {"check_trace": True, "time_compilation": True}


@pytest.mark.skipif(not has_tracer(), reason="torch's tracer does not work in this Python")
def test_auto_takes_the_tracer_where_there_is_one(monkeypatch: Any) -> None:
    module = module_of(lambda x: [x * 2], X)
    assert isinstance(compile_graph(module, [X], {}), torch.jit.ScriptFunction)
    monkeypatch.setattr(graph_compilers, "has_tracer", lambda: False)
    run = compile_graph(module, [X], {})
    assert not isinstance(run, torch.jit.ScriptFunction)
    assert_close(run(X)[0], 2 * X)


@pytest.mark.parametrize(("compilers", "expected"), [((), False), (("clang++",), True)])
def test_inductor_is_there_where_a_compiler_is(
    compilers: Any, expected: bool, monkeypatch: Any
) -> None:
    has_inductor.cache_clear()
    monkeypatch.setattr("shutil.which", lambda name: name if name in compilers else None)
    assert has_inductor() is expected
    has_inductor.cache_clear()
