"""Posteriors in the coordinates of a structured guide."""

from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer.autoguide import AutoNormal, AutoStructured
from pyro.infer.reparam import StructuredReparam
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, refused, value_of

pytestmark = pytest.mark.usefixtures("double_precision")

SITES = ("z", "top", "part")


def model() -> None:
    with pyro.plate("rows", 3):
        z = pyro.sample("z", dist.Gamma(2.0, 1.5))
    top = pyro.sample("top", dist.Normal(0.0, 1.0))
    part = pyro.sample("part", dist.Dirichlet(torch.full((3,), 2.0)))
    with pyro.plate("data", 3):
        pyro.sample("y", dist.Normal(top * z, part[..., 0]), obs=torch.ones(3))


def structured_of(conditionals: Any = "mvn", **kwargs: Any) -> StructuredReparam:
    guide = AutoStructured(kwargs.pop("model", model), conditionals=conditionals, **kwargs)
    guide()
    for parameter in guide.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    return StructuredReparam(guide)


def aux_of(record: Any) -> dict[str, Tensor]:
    return {name: value_of(record, name).detach() for name in latent_names(record)}


MIXED = {"z": "mvn", "top": "normal", "part": "mvn"}
KINDS = pytest.mark.parametrize("conditionals", ["mvn", "normal", MIXED], ids=str)


@KINDS
def test_the_density_is_that_of_a_change_of_variables(conditionals: Any) -> None:
    """log p(u) = log p(x, y) + log |det dx/du|, the last by automatic differentiation."""
    structured = structured_of(conditionals)
    record = trace_of(structured.reparam(model))
    aux = aux_of(record)
    assert {name: x.shape for name, x in aux.items()} == {
        "z_aux": (3,),
        "top_aux": (1,),
        "part_aux": (2,),
    }

    def coordinates(flat: Tensor) -> Tensor:
        data = dict(zip(aux, flat.split([len(x) for x in aux.values()]), strict=True))
        found = structured.transform_samples(data)
        return torch.cat([found["z"], found["top"][None], found["part"][:2]])

    same = {name: value_of(record, name) for name in SITES}
    direct = trace_of(poutine.condition(model, data=same)).log_prob_sum()
    jacobian = torch.autograd.functional.jacobian(coordinates, torch.cat([*aux.values()]))
    assert_close(record.log_prob_sum(), direct + torch.linalg.slogdet(jacobian).logabsdet)
    again = structured.transform_samples(aux)
    for name, value in same.items():
        assert_close(again[name], value)


def test_draws_are_those_of_the_guide() -> None:
    structured = structured_of()
    torch.manual_seed(0)
    record = trace_of(structured.reparam(model))
    torch.manual_seed(0)
    values = structured.guide()
    for name in SITES:
        assert_close(value_of(record, name), values[name])


def test_points_are_not_drawn() -> None:
    structured = structured_of({"z": "delta", "top": "normal", "part": "delta"})
    record = trace_of(structured.reparam(model))
    assert latent_names(record) == ["top_aux"]
    same = {name: value_of(record, name) for name in SITES}
    direct = trace_of(poutine.condition(model, data=same)).log_prob_sum()
    scale = structured.guide.scales.top
    assert_close(record.log_prob_sum(), direct + scale.log().sum())
    found = structured.transform_samples({"top_aux": torch.randn(4, 1)})
    assert {name: x.shape for name, x in found.items()} == {
        "z": (4, 3),
        "top": (4,),
        "part": (4, 3),
    }
    certain = structured_of("delta")
    assert latent_names(trace_of(certain.reparam(model))) == []
    assert certain.transform_samples({})["part"].shape == (3,)


def test_a_conditional_of_ones_own() -> None:
    def spread() -> Tensor:
        law = dist.StudentT(4.0, torch.zeros(3), 0.2).to_event(1)
        drawn: Tensor = pyro.sample("noise", law, infer={"is_auxiliary": True})
        return drawn

    structured = structured_of({"z": spread, "top": "normal", "part": "normal"})
    record = trace_of(structured.reparam(model))
    record.compute_log_prob()
    assert record.nodes["noise"]["log_prob_sum"] == 0
    found = structured.transform_samples(aux_of(record))
    assert_close(found["z"], value_of(record, "z"))
    rows = {name: x.expand(5, 2, *x.shape) for name, x in aux_of(record).items()}
    assert_close(structured.transform_samples(rows)["z"][4, 1], found["z"])


def test_samples_come_in_batches() -> None:
    structured = structured_of()
    aux = {n: torch.randn(4, 2, s) for n, s in (("z_aux", 3), ("top_aux", 1), ("part_aux", 2))}
    found = structured.transform_samples(aux)
    assert {name: value.shape for name, value in found.items()} == {
        "z": (4, 2, 3),
        "top": (4, 2),
        "part": (4, 2, 3),
    }
    one = structured.transform_samples({name: x[1, 1] for name, x in aux.items()})
    for name, value in one.items():
        assert_close(value, found[name][1, 1])
    only = structured.transform_samples(aux, save_params=["top"])
    assert list(only) == ["top"]
    assert_close(only["top"], found["top"])
    with pytest.raises(ValueError, match="At site 'z': there are no samples of 'z_aux' among"):
        structured.transform_samples({"top_aux": aux["top_aux"]})


def some_rows() -> None:
    top = pyro.sample("top", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", 6, subsample=torch.tensor([4, 1])):
        z = pyro.sample("z", dist.LogNormal(top, 1.0))
        pyro.sample("y", dist.Normal(z, 1.0), obs=torch.ones(2))


def test_elements_of_subsampled_plates() -> None:
    structured = structured_of("normal", model=some_rows)
    record = trace_of(structured.reparam(some_rows))
    aux = aux_of(record)
    assert aux["z_aux"].shape == (6,)
    values = structured.transform_samples(aux)
    assert values["z"].shape == (6,)
    assert_close(value_of(record, "z"), values["z"][[4, 1]])
    record.compute_log_prob()
    scale, z = structured.guide.scales.z, value_of(record, "z")
    prior = dist.LogNormal(values["top"], 1.0).log_prob(z)
    expected = 3 * (prior + z.log() + scale[[4, 1]].log())  # three times as many rows as run
    assert_close(record.nodes["z"]["log_prob"], expected)


def test_runs_in_parallel() -> None:
    structured = structured_of()
    with pyro.plate("worlds", 4, dim=-2):
        record = trace_of(structured.reparam(model))
    assert value_of(record, "z").shape == (4, 3) and value_of(record, "top").shape == (4, 1)
    record.compute_log_prob()
    aux = {name: x.reshape(4, -1) for name, x in aux_of(record).items()}
    assert_close(structured.transform_samples(aux)["part"], value_of(record, "part")[:, 0])


def test_outside_of_equalize_it_leaves_members_alone() -> None:
    def pair() -> None:
        for name in ("x", "y"):
            pyro.sample(name, dist.Normal(torch.zeros(2), 1.0).to_event(1))

    tied = poutine.equalize(pair, ["x", "y"])
    structured = structured_of(model=tied)
    record = trace_of(structured.reparam(tied))
    assert latent_names(record) == ["x_aux"]
    assert_close(value_of(record, "y"), value_of(record, "x"))


def test_it_is_a_handler_too() -> None:
    structured = structured_of("normal")
    with poutine.trace() as record, structured.reparam():
        model()
    assert latent_names(record.trace) == ["z_aux", "top_aux", "part_aux"]


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="takes an AutoStructured, not AutoNormal. For guides"):
        StructuredReparam(AutoNormal(model))  # type: ignore[arg-type]
    with refused(ValueError, "StructuredReparam: the guide has not run yet"):
        StructuredReparam(AutoStructured(model)).reparam(model)()
    structured = structured_of()
    data = {"top": torch.tensor(1.0)}
    with refused(NotImplementedError, "At site 'top': it is observed, and StructuredReparam"):
        structured.reparam(poutine.condition(model, data=data))()

    def other() -> None:
        pyro.sample("new", dist.Normal(0.0, 1.0))

    with refused(ValueError, "At site 'new': it is no latent site of the guide's model"):
        poutine.reparam(other, config={"new": structured})()
