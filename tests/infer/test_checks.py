import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer.checks import (
    check_fully_reparametrized,
    check_if_enumerated,
    check_model_guide_match,
    check_site_shape,
    check_traceenum_requirements,
    check_traces_match,
    refuse_outer_ties,
)
from tests.helpers import trace_of


def normal(name: Any, shape: Any = (), **kwargs: Any) -> Any:
    return pyro.sample(name, dist.Normal(torch.zeros(shape), 1.0), **kwargs)


def match(model: Any, guide: Any, depth: Any = math.inf) -> None:
    guide_trace = trace_of(guide)
    check_model_guide_match(trace_of(poutine.replay(model, guide_trace)), guide_trace, depth)


def one_latent() -> None:
    z = normal("z")
    pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.0))


def test_a_guide_that_fits_passes() -> None:
    def model() -> None:
        one_latent()
        with pyro.plate("data", 10, subsample_size=4):
            pyro.sample("local", dist.Bernoulli(0.5))
        pyro.deterministic("d", torch.zeros(3))
        pyro.factor("f", torch.tensor(0.0))
        pyro.sample("sum", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})

    def guide() -> None:
        with pyro.plate("data", 10, subsample_size=4):
            pyro.sample("local", dist.Bernoulli(0.5))
        normal("helper", infer={"is_auxiliary": True})
        pyro.deterministic("other", torch.zeros(3))
        normal("z")

    match(model, guide)


def test_a_guide_site_that_the_model_lacks_is_refused() -> None:
    def guide() -> None:
        normal("z")
        normal("zz")

    text = (
        "At site 'zz': the guide draws this site, but the model does not. Drawn by the model: 'z'; "
        "by the guide: 'z', 'zz'. Name it as in the model, or mark a helper variable with "
        "infer={'is_auxiliary': True}."
    )
    with pytest.raises(ValueError) as error:
        match(one_latent, guide)
    assert str(error.value).splitlines()[0] == text


def test_a_guide_site_that_the_model_observes_is_refused() -> None:
    def guide() -> None:
        normal("z")
        normal("x")

    with pytest.raises(ValueError, match="'x': the model observes this site, but the guide draws"):
        match(one_latent, guide)


def test_a_latent_site_without_a_guide_is_warned_of_once() -> None:
    def guide() -> None:
        pass

    with pytest.warns(UserWarning, match="The model draws 'z', but the guide does not.*nothing"):
        match(one_latent, guide)
    match(one_latent, guide)


@pytest.mark.parametrize(
    "model_law, guide_law, text",
    [
        (
            dist.Normal(torch.zeros(3), 1.0),
            dist.Normal(torch.zeros(4), 1.0),
            r"guide's batch shape \(4,\) is not the model's \(3,\)",
        ),
        (
            dist.Normal(torch.zeros(3), 1.0),
            dist.Normal(0.0, 1.0),
            r"guide's batch shape \(\) is not the model's \(3,\)",
        ),
        (
            dist.Normal(torch.zeros(3), 1.0).to_event(1),
            dist.Normal(torch.zeros(3), 1.0),
            r"guide's event shape \(\) is not the model's \(3,\).*\.to_event\(n\)",
        ),
        (
            dist.Normal(torch.zeros(3), 1.0).to_event(1),
            dist.Normal(torch.zeros(2), 1.0).to_event(1),
            r"guide's event shape \(2,\) is not the model's \(3,\)",
        ),
    ],
)
def test_differing_shapes_are_refused(model_law: Any, guide_law: Any, text: Any) -> None:
    model_trace = trace_of(lambda: pyro.sample("z", model_law))
    guide_trace = trace_of(lambda: pyro.sample("z", guide_law))
    with pytest.raises(ValueError, match="At site 'z': the " + text):
        check_model_guide_match(model_trace, guide_trace)


def test_left_of_the_plates_shapes_may_differ_and_ones_are_no_dimensions() -> None:
    def trace_with(*shape: Any) -> Any:
        return trace_of(lambda: normal("z", shape))

    check_model_guide_match(trace_with(7, 1, 3), trace_with(3), max_plate_nesting=2)
    check_model_guide_match(trace_with(1, 3), trace_with(3))
    with pytest.raises(ValueError, match="batch shape"):
        check_model_guide_match(trace_with(7, 1, 3), trace_with(3), max_plate_nesting=3)


def in_plate(name: Any, *args: Any, **kwargs: Any) -> Any:
    def fn() -> None:
        with pyro.plate(name, *args, **kwargs):
            normal("z")

    return fn


def test_plates_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="plate runs 3 of 4 elements in the model but 3 of 3"):
        match(in_plate("p", 4), in_plate("p", 3))


def test_plates_of_different_subsample_size_are_refused() -> None:
    with pytest.raises(ValueError, match="At site 'p': .*[Uu]se the same subsample_size"):
        match(in_plate("p", 10, subsample_size=5), in_plate("p", 10, subsample_size=4))


def test_a_plate_in_the_guide_only_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="guide has a plate 'q' and the model has not.*'p'"):
        match(in_plate("p", 3), in_plate("q", 3))


def scored(fn: Any) -> Any:
    trace = trace_of(fn)
    with pyro.validation_enabled(False):
        trace.compute_log_prob()
    return trace.nodes


def test_site_shape_within_its_plates_passes() -> None:
    def model() -> None:
        with pyro.plate("p", 3):
            normal("a")
            pyro.sample("b", dist.Normal(torch.zeros(5), 1.0).to_event(1))

    nodes = scored(model)
    check_site_shape(nodes["a"], 1)
    check_site_shape(nodes["b"], math.inf)


def test_an_undeclared_batch_is_refused_within_the_plates_and_free_left_of_them() -> None:
    site = scored(lambda: normal("x", (2, 3)))["x"]
    with pytest.raises(ValueError, match=r"'x': log density has shape \(2, 3\), with 3 elements"):
        check_site_shape(site, math.inf)
    site = scored(lambda: normal("x", (2, 1)))["x"]
    with pytest.raises(ValueError, match=r"2 elements at dim -2.*pyro.plate\(name, 2\)"):
        check_site_shape(site, 2)
    check_site_shape(site, 1)


def test_a_density_that_does_not_fit_its_plate_is_refused() -> None:
    site = scored(in_plate("p", 3))["z"]
    site["log_prob"] = torch.zeros(4)
    with pytest.raises(ValueError, match="expected 3 elements at dim -1 inside plate 'p'"):
        check_site_shape(site, 1)


def test_a_plate_beyond_max_plate_nesting_is_refused() -> None:
    site = scored(in_plate("p", 3))["z"]
    with pytest.raises(ValueError, match="plate 'p' has dim=-1, but max_plate_nesting is 0.*=1 or"):
        check_site_shape(site, 0)


def test_traces_with_other_sites_or_shapes_do_not_match() -> None:
    one, other = trace_of(one_latent), trace_of(lambda: normal("z", (3,)))
    check_traces_match(one, trace_of(one_latent))
    for pair, which in (((one, other), "first"), ((other, one), "second")):
        with pytest.raises(ValueError, match=f"'x' only in the {which}"):
            check_traces_match(*pair)
    with pytest.raises(ValueError, match=r"At site 'z': shape \(3,\) in one run and \(\) in"):
        check_traces_match(other, trace_of(lambda: normal("z")))


def test_guide_sites_that_ask_for_enumeration_are_warned_of() -> None:
    def guide() -> None:
        pyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})

    check_if_enumerated(trace_of(one_latent))
    with pytest.warns(UserWarning, match="'z' ask to be enumerated.*TraceEnum_ELBO"):
        check_if_enumerated(trace_of(guide))


def test_a_law_without_pathwise_gradients_is_not_fully_reparametrised() -> None:
    trace = trace_of(lambda: (normal("a"), pyro.sample("b", dist.Bernoulli(0.5))))
    trace.compute_score_parts()
    check_fully_reparametrized(trace.nodes["a"])
    with pytest.raises(NotImplementedError, match="At site 'b': draws of Bernoulli.*Trace_ELBO"):
        check_fully_reparametrized(trace.nodes["b"])


def enumerated(name: Any, dim: Any) -> Any:
    return pyro.sample(name, dist.Bernoulli(0.5), infer={"_enumerate_dim": dim})


def test_a_model_sum_upstream_of_a_plate_of_guide_sums_is_refused() -> None:
    def model() -> None:
        enumerated("g", -3)
        with pyro.plate("p", 3):
            enumerated("z", -2)

    def guide() -> None:
        with pyro.plate("p", 3):
            enumerated("z", -2)

    with pytest.raises(ValueError, match="'z': the guide enumerates it inside plate 'p'.*'g'"):
        check_traceenum_requirements(trace_of(model), trace_of(guide))


def test_a_model_sum_inside_the_plate_or_downstream_is_fine() -> None:
    def model() -> None:
        with pyro.plate("p", 3):
            enumerated("local", -2)
            enumerated("z", -3)
        enumerated("g", -4)

    def guide() -> None:
        with pyro.plate("p", 3):
            enumerated("z", -3)

    check_traceenum_requirements(trace_of(model), trace_of(guide))
    check_traceenum_requirements(trace_of(model), trace_of(model))


def test_inference_inside_equalize_is_refused_with_the_remedy() -> None:
    refuse_outer_ties()
    with poutine.trace(), pytest.raises(ValueError, match="Wrap the model instead"):
        with poutine.equalize(sites=["a", "b"]):
            refuse_outer_ties()
