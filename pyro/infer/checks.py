"""What must hold between a model, its guide and their plates, and errors that say what does not.

The checks look at traces and at the handler stack; none of them runs a model.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from pyro._foundation.errors import site_error
from pyro._foundation.warnings import warn_once
from pyro.ops.masking import is_identically_zero
from pyro.ops.shapes import broadcast_shape
from pyro.poutine.equalize_messenger import EqualizeMessenger
from pyro.poutine.indep_messenger import CondIndepStackFrame
from pyro.poutine.log_density import check_density_shape
from pyro.poutine.runtime import _thread
from pyro.poutine.shape_table import TITLE, append_shapes
from pyro.poutine.sites import (
    site_is_auxiliary,
    site_is_latent,
    site_is_observed,
    site_is_sample,
    site_is_subsample,
)
from pyro.poutine.trace_struct import Trace

Site = Mapping[str, Any]
Names = dict[str, None]


def refuse_outer_ties() -> None:
    """Refuse to run inference inside a handler that ties sites.

    Around a whole inference run it would tie the guide's sites to the model's.

    :raises ValueError: with the remedy.
    """
    for handler in _thread.stack:
        if isinstance(handler, EqualizeMessenger):
            raise ValueError(
                "equalize() is active around a whole inference run, where it would tie the sites "
                "of the guide to those of the model. Wrap the model instead: "
                "model = poutine.equalize(model, sites), then pass that model on."
            )


def check_model_guide_match(
    model_trace: Trace, guide_trace: Trace, max_plate_nesting: float = math.inf
) -> None:
    """Check that a guide draws what its model needs, in the shapes and plates that the model has.

    :param model_trace: a run of the model, replayed against the guide.
    :param guide_trace: the run of the guide.
    :param max_plate_nesting: how many batch dimensions belong to plates; further left, where
        enumeration and particles live, shapes may differ.
    :raises ValueError: where the guide draws a site that the model lacks or observes, and where
        shapes or plate sizes differ.

    Warns once of a site that the model draws and the guide does not, and of a plate that only the
    guide has.
    """
    try:
        _check_sites(model_trace, guide_trace, max_plate_nesting)
        _check_plates(model_trace, guide_trace)
    except ValueError as error:
        show_shapes(error, model_trace, guide_trace)
        raise


def show_shapes(error: Exception, model_trace: Trace, guide_trace: Trace) -> None:
    """Add the shapes of a model's and a guide's sites to the text of an error, under validation.

    :param error: the error.
    :param model_trace: a run of the model.
    :param guide_trace: a run of the guide.
    """
    traces = {"guide": guide_trace, "model": model_trace}
    append_shapes(error, {f"{TITLE} of the {who}:": run.nodes for who, run in traces.items()})


def _check_sites(model_trace: Trace, guide_trace: Trace, max_plate_nesting: float) -> None:
    drawn_by_model = _names(model_trace, _is_wanted_of_guide)
    drawn_by_guide = _names(guide_trace, _is_wanted_of_model)
    for name in drawn_by_guide:
        site = model_trace.nodes.get(name)
        if site is None or not site_is_latent(site) or _holds_data(site):
            raise _surplus_guide_site(name, model_trace, drawn_by_model, drawn_by_guide)
        _check_same_shape(site, guide_trace.nodes[name], max_plate_nesting)
    missing = [name for name in drawn_by_model if name not in guide_trace.nodes]
    if missing:
        warn_once(
            ("missing in guide", *missing),
            f"The model draws {_listed(missing)}, but the guide does not, so that the objective "
            f"is no lower bound of the evidence. {_both(drawn_by_model, drawn_by_guide)} Draw the "
            "missing sites in the guide too, or observe them.",
            stacklevel=4,
        )


def _names(trace: Trace, predicate: Callable[[Site], bool]) -> Names:
    return {name: None for name, site in trace.nodes.items() if predicate(site)}


def _holds_data(site: Site) -> bool:
    """A site that the model observes, also where it was drawn anew in this run."""
    return site_is_observed(site) or bool((site["infer"] or {}).get("was_observed"))


def _is_wanted_of_guide(site: Site) -> bool:
    """A site that the model enumerates needs no guide."""
    if not site_is_latent(site) or _holds_data(site):
        return False
    infer = site["infer"] or {}
    return "_enumerate_dim" not in infer and infer.get("enumerate") != "parallel"


def _is_wanted_of_model(site: Site) -> bool:
    return site_is_latent(site) and not site_is_auxiliary(site)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"


def _both(drawn_by_model: Names, drawn_by_guide: Names) -> str:
    return (
        f"Drawn by the model: {_listed(drawn_by_model)}; by the guide: {_listed(drawn_by_guide)}."
    )


def _surplus_guide_site(
    name: str, model_trace: Trace, drawn_by_model: Names, drawn_by_guide: Names
) -> ValueError:
    sites = _both(drawn_by_model, drawn_by_guide)
    site = model_trace.nodes.get(name)
    if site is not None and _holds_data(site):
        return site_error(
            name,
            "the model observes this site, but the guide draws it",
            f"{sites} Leave observed sites out of the guide, e.g. poutine.block(model, "
            f"hide=[{name!r}]) where an autoguide is made.",
        )
    return site_error(
        name,
        "the guide draws this site, but the model does not",
        f"{sites} Name it as in the model, or mark a helper variable with "
        "infer={'is_auxiliary': True}.",
    )


def _check_same_shape(model_site: Site, guide_site: Site, max_plate_nesting: float) -> None:
    model_fn, guide_fn = model_site["fn"], guide_site["fn"]
    model_batch, guide_batch = (getattr(fn, "batch_shape", None) for fn in (model_fn, guide_fn))
    if model_batch is None or guide_batch is None:
        return
    if model_fn.event_shape != guide_fn.event_shape:
        raise site_error(
            model_site["name"],
            f"the guide's event shape {tuple(guide_fn.event_shape)} is not the model's "
            f"{tuple(model_fn.event_shape)}; their batch shapes are {tuple(guide_batch)} and "
            f"{tuple(model_batch)}",
            "Call .to_event(n) with the same n in both.",
        )
    if model_batch != guide_batch and not _same_within(model_batch, guide_batch, max_plate_nesting):
        raise site_error(
            model_site["name"],
            f"the guide's batch shape {tuple(guide_batch)} is not the model's {tuple(model_batch)}",
            "Give the guide's parameters the shape of the model's site, and put both in the same "
            "plates.",
        )


def _same_within(one: Iterable[int], other: Iterable[int], depth: float) -> bool:
    """Tell whether two batch shapes agree in their rightmost dimensions; 1 and no dim are one."""
    left, right = ([*shape][::-1] for shape in (one, other))
    count = int(min(depth, max(len(left), len(right))))
    padded = ((sizes + [1] * count)[:count] for sizes in (left, right))
    return next(padded) == next(padded)


def _check_plates(model_trace: Trace, guide_trace: Trace) -> None:
    in_model, in_guide = _plates_of(model_trace), _plates_of(guide_trace)
    for name, frame in in_guide.items():
        other = in_model.get(name)
        if other is None:
            warn_once(
                ("plate in guide only", name),
                f"The guide has a plate {name!r} and the model has not: score-function gradients "
                f"cannot make use of its independence. The model's plates: {_listed(in_model)}.",
                stacklevel=4,
            )
        elif (frame.size, frame.full_size) != (other.size, other.full_size):
            raise site_error(
                name,
                f"the plate runs {_extent(other)} in the model but {_extent(frame)} in the guide",
                "Give plates of one name the same size and subsample_size.",
            )


def _plates_of(trace: Trace) -> dict[str, CondIndepStackFrame]:
    return {
        frame.name: frame
        for site in trace.nodes.values()
        if site_is_sample(site)
        for frame in site["cond_indep_stack"]
        if frame.vectorized
    }


def _extent(frame: CondIndepStackFrame) -> str:
    return f"{frame.size} of {frame.full_size} elements"


def check_site_shape(site: Site, max_plate_nesting: float) -> None:
    """Check that a scored site's log density has the shape that its plates give it.

    :param site: a sample node of a trace that holds its ``log_prob``.
    :param max_plate_nesting: how many batch dimensions belong to plates; further left is free.
    :raises ValueError: that names the site, both shapes, its plates and the remedy.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.Normal(torch.zeros(3), 1.0))
    >>> trace = pyro.poutine.trace(model).get_trace()
    >>> trace.compute_log_prob()
    >>> check_site_shape(trace.nodes["x"], max_plate_nesting=1)
    Traceback (most recent call last):
        ...
    ValueError: At site 'x': log density has shape (3,), with 3 elements at dim -1, which belongs...
    """
    check_plates_of_site(site, max_plate_nesting)
    check_density_shape(dict(site), site["log_prob"])


def check_plates_of_site(site: Site, max_plate_nesting: float) -> None:
    """Check that a site's plates lie where plates may, and that no other dim there is a batch.

    :param site: a sample node of a trace that holds its ``log_prob``.
    :param max_plate_nesting: how many batch dimensions belong to plates; further left is free.
    :raises ValueError: that names the site, its plates and the remedy.
    """
    shape = site["log_prob"].shape
    frames = {frame.dim: frame for frame in site["cond_indep_stack"] if frame.vectorized}
    for dim, frame in frames.items():
        if -dim > max_plate_nesting:
            raise site_error(
                site["name"],
                f"plate {frame.name!r} has dim={dim}, but max_plate_nesting is {max_plate_nesting}",
                f"Pass max_plate_nesting={-dim} or more to the objective.",
            )
    for dim in range(-1, -int(min(len(shape), max_plate_nesting)) - 1, -1):
        if shape[dim] != 1 and dim not in frames:
            names = _listed(frame.name for frame in frames.values())
            around = f"the plates are {names}" if frames else "there is none around it"
            raise site_error(
                site["name"],
                f"log density has shape {tuple(shape)}, with {shape[dim]} elements at dim {dim}, "
                f"which belongs to no plate; {around}",
                f"Declare the batch by with pyro.plate(name, {shape[dim]}), or make it one event "
                "by .to_event(n).",
            )


def check_traces_match(trace1: Trace, trace2: Trace) -> None:
    """Check that two runs of one model have the same sites in the same shapes.

    :param trace1: a run.
    :param trace2: another run.
    :raises ValueError: that names the sites which only one run has, or the first whose shapes
        differ.
    """
    one, other = (_names(trace, _is_value_site) for trace in (trace1, trace2))
    for here, there, which in ((one, other, "first"), (other, one, "second")):
        only = [name for name in here if name not in there]
        if only:
            raise ValueError(
                f"The sites of two runs of one model differ: {_listed(only)} only in the {which}. "
                "Inference here needs the same sites in every run."
            )
    for name in one:
        shapes = [_value_shape(trace.nodes[name]) for trace in (trace1, trace2)]
        if shapes[0] != shapes[1]:
            raise site_error(
                name,
                f"shape {shapes[0]} in one run and {shapes[1]} in another",
                "Inference here needs the same shapes in every run.",
            )


def _is_value_site(site: Site) -> bool:
    return site_is_sample(site) and not site_is_subsample(site)


def _value_shape(site: Site) -> tuple[int, ...]:
    fn = site["fn"]
    return tuple(broadcast_shape(site["value"].shape, fn.batch_shape + fn.event_shape))


def check_fully_reparametrized(guide_site: Site) -> None:
    """Check that pathwise gradients flow through a guide site.

    :param guide_site: a sample node of a trace that holds its ``score_parts``.
    :raises NotImplementedError: where the site's law needs the score function.
    """
    parts = guide_site["score_parts"]
    if not is_identically_zero(parts.score_function):
        raise site_error(
            guide_site["name"],
            f"draws of {guide_site['fn']} cannot be differentiated",
            "Use a law that has rsample, or an objective with score-function gradients such as "
            "Trace_ELBO.",
            NotImplementedError,
        )


def check_nothing_hidden(site: Site) -> None:
    """Check that a draw does not hide from autograd what parameters it depends on.

    :param site: a drawn site; without gradients there is nothing to check.
    :raises NotImplementedError: where the law depends on parameters and its draws cannot be
        differentiated.
    """
    law = site["fn"]
    if getattr(law, "has_rsample", False) or not torch.is_grad_enabled():
        return
    if law.log_prob(site["value"].detach()).requires_grad:
        raise site_error(
            site["name"],
            f"draws of {law} depend on parameters and cannot be differentiated",
            "Use a law that has rsample, or an objective with score-function gradients such as "
            "Trace_ELBO.",
            NotImplementedError,
        )


def check_if_enumerated(guide_trace: Trace) -> None:
    """Warn once of guide sites that ask for enumeration, where the objective only samples.

    :param guide_trace: the run of the guide.
    """
    asking = [
        name
        for name, site in guide_trace.nodes.items()
        if site_is_sample(site) and (site["infer"] or {}).get("enumerate")
    ]
    if asking:
        warn_once(
            ("enumerate", *asking),
            f"Guide sites {_listed(asking)} ask to be enumerated, but this objective samples them. "
            "Use TraceEnum_ELBO to enumerate, or leave 'enumerate' out of infer.",
            stacklevel=3,
        )


def check_traceenum_requirements(model_trace: Trace, guide_trace: Trace) -> None:
    """Check that no plate of an enumerated guide site leaves out a variable summed out before it.

    Summing a variable ``g`` out of ``p(g) prod_i p(z_i | g)`` couples all ``z_i``, so that an
    expectation over the ``z_i`` no longer splits over the plate ``i``.

    :param model_trace: a run of the model.
    :param guide_trace: the run of the guide.
    :raises ValueError: that names both sites and the plate.
    """
    summed_out: list[Site] = []
    for name, site in model_trace.nodes.items():
        if not site_is_sample(site) or "_enumerate_dim" not in _infer_of(guide_trace, name, site):
            continue
        if name not in guide_trace.nodes:
            summed_out.append(site)
            continue
        for frame in guide_trace.nodes[name]["cond_indep_stack"]:
            for earlier in summed_out:
                if frame.vectorized and frame not in earlier["cond_indep_stack"]:
                    raise site_error(
                        name,
                        f"the guide enumerates it inside plate {frame.name!r}, downstream of "
                        f"{earlier['name']!r}, which the model enumerates outside that plate",
                        f"Enumerate {earlier['name']!r} in the guide as well.",
                    )


def _infer_of(guide_trace: Trace, name: str, site: Site) -> Mapping[str, Any]:
    return guide_trace.nodes.get(name, site)["infer"] or {}
