"""Guides that run the model with posteriors in place of priors."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.distributions import constraints
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.optim import ClippedAdam
from pyro.poutine.guide import GuideMessenger
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, refused, value_of


def model(data: Tensor | None = None) -> Tensor:
    """A normal mean about which each datum varies."""
    scale = pyro.param("scale", torch.tensor(1.0), constraint=constraints.positive)
    z = pyro.sample("z", dist.Normal(0.0, 1.0), infer={"hint": 1})
    twice = pyro.deterministic("twice", 2 * z)
    with pyro.plate("data", 3):
        w = pyro.sample("w", dist.Normal(twice, scale))
        pyro.sample("x", dist.Normal(w, 1.0), obs=data)
    assert isinstance(w, Tensor)
    return w


DATA = torch.tensor([1.0, 2.0, 3.0])


class Sure(GuideMessenger):
    """Is sure of each site, at a parameter or at what came before."""

    def get_posterior(self, name: str, prior: Any) -> Any:
        if name == "z":
            return pyro.param("at", torch.tensor(0.5))
        return dist.Normal(self.upstream_value("twice"), 0.25)


class MeanField(GuideMessenger):
    def get_posterior(self, name: str, prior: Any) -> Any:
        loc = pyro.param(f"{name}_loc", torch.zeros(prior.batch_shape))
        scale = pyro.param(f"{name}_scale", torch.ones(prior.batch_shape), constraints.positive)
        return dist.Normal(loc, scale)


def test_sites_are_drawn_from_posteriors_and_the_model_goes_by_them() -> None:
    guide = Sure(model)
    values = guide(DATA)
    assert list(values) == ["z", "twice", "w", "x"]
    assert values["z"] == 0.5 and values["twice"] == 1 and values["w"].shape == (3,)
    assert values["x"] is DATA and guide.model is model


def test_outside_only_the_draws_show() -> None:
    record = trace_of(Sure(model), DATA)
    assert latent_names(record) == ["z", "w"] and not record.observation_nodes
    assert record.param_nodes == ["scale", "at"] and "data" in record
    assert record.nodes["w"]["fn"].scale.tolist() == [0.25] * 3
    assert record.nodes["w"]["infer"]["prior"].scale.tolist() == [1.0] * 3
    assert record.nodes["z"]["infer"]["hint"] == 1


def test_a_run_is_recorded_as_one_of_the_model_and_one_of_the_guide(double_precision: None) -> None:
    guide = Sure(model)
    data = DATA.double()
    drawn = trace_of(guide, data)
    model_trace, guide_trace = guide.get_traces()
    assert list(model_trace) == ["scale", "z", "twice", "w", "x"]
    assert list(guide_trace) == ["at", "z", "w"]
    replayed = trace_of(poutine.replay(model, trace=drawn), data)
    assert_close(model_trace.log_prob_sum(), replayed.log_prob_sum())
    assert_close(guide_trace.log_prob_sum(), drawn.log_prob_sum())
    assert model_trace.observation_nodes == ["twice", "x"]


def test_what_stands_outside_reaches_the_recorded_model() -> None:
    """Plates, scales and masks of handlers around the guide count for the model's record too."""
    guide = Sure(model)
    with poutine.scale(scale=3.0), pyro.plate("particles", 5, dim=-2):
        guide(DATA)
    model_trace, guide_trace = guide.get_traces()
    for name in ("z", "w", "x"):
        site = model_trace.nodes[name]
        assert site["scale"] == 3 and [f.name for f in site["cond_indep_stack"]][0] == "particles"
        assert site["fn"].batch_shape[0] == 5
    model_trace.log_prob_sum(), guide_trace.log_prob_sum()
    assert model_trace.nodes["w"]["log_prob"].shape == (5, 3)


def test_without_data_everything_is_asked_for() -> None:
    record = trace_of(MeanField(model))
    assert latent_names(record) == ["z", "w", "x"]


def test_a_posterior_is_expanded_to_its_prior() -> None:
    class Flat(GuideMessenger):
        def get_posterior(self, name: str, prior: Any) -> Any:
            return dist.Normal(0.0, 1.0)

    assert trace_of(Flat(model), DATA).nodes["w"]["fn"].batch_shape == (3,)


class Gives(GuideMessenger):
    def __init__(self, posterior: Any) -> None:
        super().__init__(model)
        self.posterior = posterior

    def get_posterior(self, name: str, prior: Any) -> Any:
        return self.posterior


@pytest.mark.parametrize(
    ("posterior", "kind", "text"),
    [
        (None, TypeError, r"At site 'z': Gives.get_posterior\(\) returned None. Return a law"),
        (dist.Normal(torch.zeros(2), 1.0), ValueError, r"At site 'z': .*shape \(2,\).*to_event"),
        (torch.zeros(2), ValueError, r"At site 'z': its posterior has batch shape \(2,\)"),
        (dist.Normal(torch.zeros(2), 1.0).to_event(1), ValueError, r"event shape \(2,\), expected"),
    ],
)
def test_posteriors_that_do_not_fit_are_refused(
    posterior: Any, kind: type[Exception], text: str
) -> None:
    model(DATA)
    with refused(kind, text):
        Gives(posterior)(DATA)


def test_a_site_that_did_not_run_has_no_value() -> None:
    guide = Sure(model)
    guide(DATA)
    assert guide.upstream_value("z") == 0.5
    with refused(KeyError, "At site 'nowhere': no such site ran before. Ask for one of"):
        guide.upstream_value("nowhere")


def test_auxiliary_sites_belong_to_the_guide() -> None:
    class Mixture(GuideMessenger):
        def get_posterior(self, name: str, prior: Any) -> Any:
            hints = {"is_auxiliary": True}
            centre = pyro.sample(f"{name}_centre", dist.Normal(0.0, 1.0), infer=hints)
            return dist.Normal(centre, 0.1)

    guide = Mixture(model)
    guide(DATA)
    model_trace, guide_trace = guide.get_traces()
    assert latent_names(model_trace) == ["z", "w"]
    assert latent_names(guide_trace) == ["z_centre", "z", "w_centre", "w"]
    assert value_of(guide_trace, "w_centre").shape == (3,)
    Trace_ELBO().loss(model, guide, DATA)


def test_it_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        GuideMessenger(model)  # type: ignore[abstract]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_a_guide_pickles_and_copies(duplicate: Any) -> None:
    guide = Sure(model)
    guide(DATA)
    twin = duplicate(guide)
    assert twin.model is model and not twin.get_traces()[0]
    for one in (guide, twin):
        with poutine.seed(rng_seed=0):
            one(DATA)
    for ours, theirs in zip(guide.get_traces(), twin.get_traces(), strict=True):
        assert_close(ours.log_prob_sum(), theirs.log_prob_sum())


def test_an_exception_leaves_nothing_behind() -> None:
    def failing() -> None:
        pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("w", dist.Normal(0.0, 1.0), obs=torch.tensor(1.0))
        raise ZeroDivisionError("on purpose")

    class FailsAtW(Sure):
        def get_posterior(self, name: str, prior: Any) -> Any:
            if name == "w":
                raise ZeroDivisionError("on purpose")
            return dist.Normal(0.0, 1.0)

    for guide, data in ((Sure(failing), ()), (FailsAtW(model), (DATA,))):
        pyro.param("at", torch.tensor(0.5))
        model(DATA)
        for _ in range(2):
            with refused(ZeroDivisionError, "on purpose"):
                guide(*data)
            assert not guide._guide_run.in_guide


def test_threads_run_one_guide_at_once() -> None:
    class Echo(GuideMessenger):
        def get_posterior(self, name: str, prior: Any) -> Any:
            return prior.loc + (self.upstream_value("a") if name == "b" else 0)

    def chain(start: float) -> None:
        a = pyro.sample("a", dist.Normal(start, 1.0))
        pyro.sample("b", dist.Normal(2 * a, 1.0))

    guide = Echo(chain)

    def run(start: float) -> list[float]:
        values = guide(start)
        assert list(guide.get_traces()[1]) == ["a", "b"]
        return [values["a"].item(), values["b"].item()]

    starts = [float(k) for k in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, starts)) == [[start, 3 * start] for start in starts]


def conjugate(data: Tensor) -> None:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(data)):
        pyro.sample("x", dist.Normal(z, 1.0), obs=data)


def test_the_elbo_of_the_exact_posterior_is_the_evidence(double_precision: None) -> None:
    """z | x ~ N(sum x / (n + 1), 1 / (n + 1)); x ~ N(0, I + 11')."""

    class Exact(GuideMessenger):
        def get_posterior(self, name: str, prior: Any) -> Any:
            return dist.Normal(data.sum() / 4, 0.5)

    data = DATA.double()
    covariance = torch.eye(3) + torch.ones(3, 3)
    evidence = dist.MultivariateNormal(torch.zeros(3), covariance).log_prob(data)
    for elbo in (
        Trace_ELBO(num_particles=2),
        Trace_ELBO(num_particles=4, vectorize_particles=True),
    ):
        assert_close(torch.tensor(-elbo.loss(conjugate, Exact(conjugate), data)), evidence)


def test_svi_finds_the_posterior(double_precision: None) -> None:
    """KL(found, exact) in closed form: less than a hundredth of a nat is left of 3.3."""
    data = DATA.double()
    exact = dist.Normal(data.sum() / 4, 0.5)
    guide = MeanField(conjugate)
    elbo = Trace_ELBO(num_particles=16, vectorize_particles=True)
    svi = SVI(conjugate, guide, ClippedAdam({"lr": 0.15, "lrd": 0.98}), elbo)

    def distance() -> float:
        found = dist.Normal(pyro.param("z_loc"), pyro.param("z_scale"))
        return torch.distributions.kl_divergence(found, exact).item()

    svi.step(data)
    assert distance() > 1
    for _ in range(150):
        svi.step(data)
    assert distance() < 0.01


def test_predictive_draws_through_it() -> None:
    guide = MeanField(model)
    drawn = Predictive(model, guide=guide, num_samples=7)()
    assert drawn["x"].shape == (7, 3) and drawn["z"].shape == (7, 1)


def pair() -> None:
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    b = pyro.sample("b", dist.Normal(1.0, 2.0))
    pyro.sample("x", dist.Normal(a + b, 1.0), obs=torch.tensor(3.0))


def tied_by_hand(keep_dist: bool) -> Any:
    def twin() -> None:
        a = pyro.sample("a", dist.Normal(0.0, 1.0))
        if keep_dist:
            pyro.sample("b", dist.Normal(1.0, 2.0), obs=a)
        pyro.sample("x", dist.Normal(2 * a, 1.0), obs=torch.tensor(3.0))

    return twin


@pytest.mark.parametrize("keep_dist", [False, True])
def test_an_equalized_model_is_like_its_hand_tied_twin(
    keep_dist: bool, double_precision: None
) -> None:
    tied = poutine.equalize(pair, ["a", "b"], keep_dist=keep_dist)
    losses = []
    for program in (tied, tied_by_hand(keep_dist)):
        guide = MeanField(program)
        with poutine.seed(rng_seed=0):
            losses.append(Trace_ELBO(num_particles=3).loss(program, guide))
        assert latent_names(guide.get_traces()[1]) == ["a"]
    assert_close(torch.tensor(losses[0]), losses[1])
