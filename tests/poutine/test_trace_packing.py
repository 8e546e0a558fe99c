"""Letters for plates and enumerated sites, and the packed factors of a trace."""

from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from tests.helpers import assert_close, trace_of
from tests.poutine.enumeration import PARALLEL


def coins(name: str, **options: Any) -> Any:
    return pyro.sample(name, dist.Bernoulli(0.3), infer=PARALLEL, **options)


def model() -> None:
    x = coins("x")
    with pyro.plate("rows", 2, dim=-2):
        coins("y")
        with pyro.plate("columns", 3, dim=-1):
            pyro.sample("z", dist.Normal(x, 1.0), obs=torch.zeros(2, 3))


def run(first: int | None = -3, fn: Any = model) -> poutine.Trace:
    return trace_of(poutine.enum(fn, first_available_dim=first))


def test_each_factor_names_what_it_depends_on() -> None:
    record = run()
    record.compute_log_prob()
    record.pack_tensors()
    plates, ids = record.plate_to_symbol, {"x": "b", "y": "d"}
    assert set(plates) == {"rows", "columns"} and len({*plates.values(), *ids.values()}) == 4
    factors: Any = {name: record.nodes[name]["packed"]["log_prob"] for name in "xyz"}
    assert set(factors["x"]._pyro_dims) == {ids["x"]}
    assert set(factors["y"]._pyro_dims) == {ids["y"], plates["rows"]}
    assert set(factors["z"]._pyro_dims) == {ids["x"], plates["rows"], plates["columns"]}
    assert record.symbol_to_dim[plates["rows"]] == -2
    assert "packed" not in record.nodes["rows"]


def test_packing_is_squeezing() -> None:
    mask = torch.tensor([True, False, True])

    def masked() -> None:
        x = coins("x")
        with pyro.plate("columns", 3), poutine.scale(scale=2.0), poutine.mask(mask=mask):
            pyro.sample("z", dist.Normal(x, 1.0), obs=torch.zeros(3))

    record = run(-2, masked)
    record.compute_score_parts()
    record.pack_tensors()
    site = record.nodes["z"]
    for key in ("log_prob", "unscaled_log_prob", "mask"):
        assert_close(site["packed"][key], site[key].squeeze())
    assert site["packed"]["scale"] == 2.0
    for ours, theirs in zip(site["packed"]["score_parts"], site["score_parts"], strict=True):
        assert_close(ours, torch.as_tensor(theirs).squeeze())
    assert not hasattr(site["log_prob"], "_pyro_dims")


def test_a_model_shares_the_letters_of_its_guide() -> None:
    def guide() -> None:
        with pyro.plate("columns", 3, dim=-1):
            coins("w")

    guide_trace = run(fn=guide)
    guide_trace.symbolize_dims()
    model_trace = run(first=None)
    model_trace.symbolize_dims(guide_trace.plate_to_symbol)
    assert model_trace.plate_to_symbol["columns"] == guide_trace.plate_to_symbol["columns"]
    assert guide_trace.plate_to_symbol == {"columns": "a"}  # it is left alone
    letters = [set(t.symbol_to_dim) - {"a"} for t in (guide_trace, model_trace)]
    assert not letters[0] & letters[1]


def test_letters_last_through_a_copy_and_a_second_time() -> None:
    record = run()
    record.compute_log_prob()
    record.pack_tensors()
    twin = record.copy()
    assert twin.plate_to_symbol == record.plate_to_symbol
    assert twin.symbol_to_dim == record.symbol_to_dim
    before = dict(twin.plate_to_symbol)
    twin.pack_tensors()
    assert twin.plate_to_symbol == before


def test_a_dimension_that_is_used_again_has_letters_of_its_own() -> None:
    def chain() -> None:
        for t in pyro.markov(range(4)):
            coins(f"x{t}")

    record = run(-1, chain)
    record.symbolize_dims()
    own = [site["infer"] for _, site in record.iter_stochastic_nodes()]
    letters = [infer["_dim_to_symbol"][infer["_enumerate_dim"]] for infer in own]
    assert len(set(letters)) == 4 and {record.symbol_to_dim[s] for s in letters} == {-1, -2}


def test_more_letters_than_the_alphabet_has() -> None:
    def many() -> None:
        for t in pyro.markov(range(100)):
            coins(f"x{t}")

    record = run(-1, many)
    record.compute_log_prob()
    record.pack_tensors()
    factors: list[Any] = [s["packed"]["log_prob"] for _, s in record.iter_stochastic_nodes()]
    assert len({factor._pyro_dims for factor in factors}) == 100


def test_hints_that_a_site_had_are_kept_and_those_of_others_left_alone() -> None:
    hints = {"note": 1}
    record = trace_of(lambda: pyro.sample("x", dist.Normal(0.0, 1.0), infer=hints))
    record.symbolize_dims()
    assert record.nodes["x"]["infer"] == {"note": 1, "_dim_to_symbol": {}}
    assert hints == {"note": 1}


def test_a_dimension_that_belongs_to_nothing_is_refused() -> None:
    record = trace_of(lambda: pyro.sample("x", dist.Normal(torch.zeros(3), 1.0)))
    record.compute_log_prob()
    with pytest.raises(ValueError, match=r"At site 'x': a tensor of shape \(3,\) .*wrap the sites"):
        record.pack_tensors()
