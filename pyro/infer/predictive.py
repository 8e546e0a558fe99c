"""Draws of a model's sites: from the prior, at posterior samples, or through a guide."""

import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch

from pyro._foundation.errors import site_error
from pyro._foundation.rng import get_rng_state, set_rng_state
from pyro._foundation.warnings import warn_once
from pyro.infer.checks import refuse_outer_ties
from pyro.infer.draws import Draws, is_recorded, skipped_site
from pyro.infer.elbo import Args, Kwargs, Program
from pyro.infer.log_weights import log_weight_terms, particle_log_weights
from pyro.infer.plates import guess_max_plate_nesting, inside_plate, plate_depth
from pyro.infer.weighed_draws import MHResampler, WeighedPredictiveResults
from pyro.ops.shapes import broadcast_shape
from pyro.poutine.handlers import condition, replay, trace
from pyro.poutine.sites import site_is_latent
from pyro.poutine.trace_struct import Trace

__all__ = ["MHResampler", "Predictive", "WeighedPredictive", "WeighedPredictiveResults"]

SAMPLE_PLATE = "_num_predictive_samples"
RETURN = "_RETURN"
Samples = dict[str, torch.Tensor]


class Predictive(torch.nn.Module):
    r"""Draws from :math:`p(x) = \int p(x \mid z) \, q(z) \, dz`, site by site.

    The latent ``z`` comes from ``posterior_samples``, from the ``guide``, or, without either, from
    the prior. Calling the object with the model's arguments returns a dict of tensors by site
    name, of shape ``(num_samples,)``, then the site's batch shape filled up with 1 on the left to
    the depth of the model's plates, then its event shape. The draws carry no gradient.

    :param model: the model; leave its data out to predict them.
    :param posterior_samples: draws of sites along the first dimension, by site name; names that
        the model lacks are passed over.
    :param guide: a guide to draw the latent sites from instead.
    :param num_samples: how many draws; needed without ``posterior_samples``.
    :param return_sites: names of the sites to return, and ``"_RETURN"`` for what the model returns.
        By default all sites except those in ``posterior_samples``; None means all.
    :param parallel: run the model once with all draws as one more plate on the left, for which it
        must be vectorised, instead of once a draw.
    :raises ValueError: where there is no or more than one source of draws, or samples of different
        numbers.
    :raises TypeError: for samples that are no tensors and ``return_sites`` that are no collection.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("data", 3):
    ...         return pyro.sample("x", dist.Normal(z, 1.0))
    >>> Predictive(model, {"z": torch.zeros(5)})()["x"].shape
    torch.Size([5, 3])
    >>> {name: tuple(x.shape) for name, x in Predictive(model, num_samples=7)().items()}
    {'z': (7, 1), 'x': (7, 3)}

    Source: Gelman et al. 2013, *Bayesian Data Analysis*, section 1.3.
    """

    def __init__(
        self,
        model: Program,
        posterior_samples: Mapping[str, torch.Tensor] | None = None,
        guide: Program | None = None,
        num_samples: int | None = None,
        return_sites: Collection[str] | None = (),
        parallel: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(return_sites, str) or not isinstance(return_sites, Collection | None):
            raise TypeError(
                f"return_sites must be a list, tuple or set of site names, got {return_sites!r}."
            )
        if posterior_samples is not None and guide is not None:
            raise ValueError("Predictive takes posterior_samples or a guide, not both.")
        samples = {} if posterior_samples is None else dict(posterior_samples)
        self.num_samples = _resolve_num_samples(samples, posterior_samples is None, num_samples)
        self.posterior_samples = samples
        self.model = model
        self.guide = guide
        self.return_sites = return_sites
        self.parallel = parallel

    def forward(self, *args: Any, **kwargs: Any) -> Samples:
        """Return draws of the sites.

        :param args: the model's, and the guide's, arguments.
        :param kwargs: their keyword arguments.
        :raises ValueError: that names the site, where samples do not fit their sites, and where a
            site does not run in every draw.
        """
        if self.guide is not None:
            refuse_outer_ties()
        with torch.no_grad():
            found = dict(
                (self._draw_at_once if self.parallel else self._draw_in_turn)(args, kwargs)
            )
        absent = [name for name in self.return_sites or () if name not in found]
        if absent:
            warn_once(
                ("absent return_sites", *absent),
                f"return_sites names {absent}, which the model does not run; its sites here are "
                f"{list(found)}.",
            )
        return found

    def call(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return the draws of :meth:`forward` as a tuple, sorted by site name.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        return tuple(draws for _, draws in sorted(self.forward(*args, **kwargs).items()))

    def get_samples(self, *args: Any, **kwargs: Any) -> Samples:
        """Return what :meth:`forward` returns, under its older name.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        warnings.warn(
            "Predictive.get_samples() is deprecated: call the object itself.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.forward(*args, **kwargs)

    def get_vectorized_trace(self, *args: Any, **kwargs: Any) -> Trace:
        """Return the trace of one run of the model that holds all draws as one more plate.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        with torch.no_grad():
            return self._run_at_once(args, kwargs)[0]

    def _is_wanted(self, site: Mapping[str, Any]) -> bool:
        if self.return_sites:
            return site["name"] in self.return_sites and is_recorded(site)
        hidden = self.return_sites is not None and site["name"] in self.posterior_samples
        return not hidden and is_recorded(site)

    @property
    def _wants_results(self) -> bool:
        return bool(self.return_sites) and RETURN in self.return_sites  # type: ignore[operator]

    def _run_in_turn(self, count: int, args: Args, kwargs: Kwargs) -> tuple[Draws, int]:
        """Run the model so many times; return the draws and the depth of all plates."""
        feed: Mapping[str, Any] = self.posterior_samples
        depth = 0
        if self.guide is not None:
            drawn = Draws({}, site_is_latent).run(self.guide, count, args, kwargs)
            feed, depth = drawn.columns, drawn.depth
        draws = Draws(feed, self._is_wanted, self._wants_results)
        draws.run(self.model, count, args, kwargs)
        return draws, max(depth, draws.depth)

    def _draw_in_turn(self, args: Args, kwargs: Kwargs) -> Iterator[tuple[str, Any]]:
        draws, _ = self._run_in_turn(self.num_samples, args, kwargs)
        for name, column in draws.columns.items():
            stacked = _stack(name, column)
            yield name, pad_batch(stacked, draws.event_dims[name], draws.depth)
        if self._wants_results:
            yield RETURN, _stack_results(draws.results)

    def _run_at_once(self, args: Args, kwargs: Kwargs) -> tuple[Trace, int]:
        """Run the model once for all draws; return the trace and the depth of the draws' plate."""
        generators = get_rng_state()
        trial, depth = self._run_in_turn(1, args, kwargs)
        set_rng_state(generators)
        plate = SAMPLE_PLATE, self.num_samples, -1 - depth
        if self.guide is not None:
            record = trace(inside_plate(self.guide, *plate)).get_trace(*args, **kwargs)
            values = {
                name: site["value"] for name, site in record.nodes.items() if site_is_latent(site)
            }
        else:
            values = {
                name: pad_batch(value, trial.event_dims[name], depth)
                for name, value in trial.fed.items()
            }
        model = inside_plate(condition(self.model, data=values), *plate)
        return trace(model).get_trace(*args, **kwargs), depth

    def _draw_at_once(self, args: Args, kwargs: Kwargs) -> Iterator[tuple[str, Any]]:
        return self._read_off(*self._run_at_once(args, kwargs))

    def _read_off(self, record: Trace, depth: int) -> Iterator[tuple[str, Any]]:
        """Read the draws off a run that holds all of them."""
        for name, site in record.nodes.items():
            if self._is_wanted(site):
                value = torch.as_tensor(site["value"])
                split = value.dim() - getattr(site["fn"], "event_dim", 0)
                batch = broadcast_shape(value.shape[:split], (self.num_samples,) + (1,) * depth)
                yield name, value.expand(batch + tuple(value.shape[split:]))
        if self._wants_results:
            yield RETURN, record.nodes[RETURN]["value"]


class WeighedPredictive(Predictive):
    r"""Draws as of :class:`Predictive` at :math:`z \sim q`, with weights :math:`p(x, z) / q(z)`.

    Calling the object with the model's arguments returns
    :class:`~pyro.infer.weighed_draws.WeighedPredictiveResults`. The keyword argument
    ``model_guide`` names another model to weigh the guide's draws by, one that has the data, for
    example, where ``model`` predicts new ones.

    :param model: the model.
    :param posterior_samples: not used: samples without a guide have no density to weigh by.
    :param guide: the guide that draws the latent sites; what it does not draw is drawn by the
        model, and does not weigh.
    :param num_samples: how many draws.
    :param return_sites: names of the sites to return, as of :class:`Predictive`.
    :param parallel: run guide and model once, with all draws as one more plate on the left.
    :raises ValueError: without a guide; otherwise as :class:`Predictive`.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(data=None):
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=data)
    >>> def exact(data=None):
    ...     pyro.sample("z", dist.Normal(1.0, 0.5**0.5))
    >>> predict = WeighedPredictive(model, guide=exact, num_samples=4, parallel=True)
    >>> predict(torch.tensor(2.0)).get_ESS()
    tensor(4.)

    Source: Robert and Casella 2004, *Monte Carlo Statistical Methods*, section 3.3.
    """

    def __init__(
        self,
        model: Program,
        posterior_samples: Mapping[str, torch.Tensor] | None = None,
        guide: Program | None = None,
        num_samples: int | None = None,
        return_sites: Collection[str] | None = (),
        parallel: bool = False,
    ) -> None:
        super().__init__(model, posterior_samples, guide, num_samples, return_sites, parallel)
        if guide is None:
            raise ValueError(
                "WeighedPredictive weighs the draws of a guide: pass guide=. Predictive takes "
                "posterior_samples, and draws from the prior."
            )

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> WeighedPredictiveResults:  # type: ignore[override]
        """Return draws of the sites with their weights.

        :param args: arguments of model and guide.
        :param kwargs: their keyword arguments, and ``model_guide``, the model to weigh by.
        :raises ValueError: that names the site, where a site does not run in every draw.
        """
        refuse_outer_ties()
        weighing = kwargs.pop("model_guide", self.model)
        draw = self._weigh_at_once if self.parallel else self._weigh_in_turn
        samples, gain, charge = draw(weighing, args, kwargs)
        return WeighedPredictiveResults(
            samples=samples,
            log_weights=gain - charge,
            guide_log_prob=charge,
            model_log_prob=gain,
        )

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Return what :meth:`forward` returns.

        :param args: arguments of model and guide.
        :param kwargs: their keyword arguments.
        """
        return self.forward(*args, **kwargs)

    def _run(self, weighing: Program, args: Args, kwargs: Kwargs, *plate: Any) -> list[Trace]:
        """Run guide, the model that weighs, and the one that predicts; return their traces."""

        def run(fn: Any) -> Trace:
            fn = inside_plate(fn, *plate) if plate else fn
            record: Trace = trace(fn).get_trace(*args, **kwargs)
            return record

        drawn = run(self.guide)
        weighed = run(replay(weighing, trace=drawn))
        if weighing is self.model:
            return [drawn, weighed, weighed]
        return [drawn, weighed, run(replay(self.model, trace=drawn))]

    def _weigh_in_turn(
        self, weighing: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Samples, torch.Tensor, torch.Tensor]:
        runs = [self._run(weighing, args, kwargs) for _ in range(self.num_samples)]
        terms = [log_weight_terms(weighed, drawn) for drawn, weighed, _ in runs]
        gain, charge = map(torch.stack, zip(*terms, strict=True))
        depth = max(plate_depth(record) for run in runs for record in run)
        return dict(self._stack_runs([run[-1] for run in runs], depth)), gain, charge

    def _stack_runs(self, records: list[Trace], depth: int) -> Iterator[tuple[str, Any]]:
        for name, site in records[0].nodes.items():
            if self._is_wanted(site):
                if any(name not in record.nodes for record in records):
                    raise skipped_site(name)
                stacked = _stack(name, [record.nodes[name]["value"] for record in records])
                yield name, pad_batch(stacked, getattr(site["fn"], "event_dim", 0), depth)
        if self._wants_results:
            yield RETURN, _stack_results([record.nodes[RETURN]["value"] for record in records])

    def _weigh_at_once(
        self, weighing: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Samples, torch.Tensor, torch.Tensor]:
        guide: Any = self.guide
        models = [weighing] if weighing is self.model else [weighing, self.model]
        depth = max(guess_max_plate_nesting(model, guide, args, kwargs) for model in models)
        count = self.num_samples
        drawn, weighed, predicted = self._run(
            weighing, args, kwargs, SAMPLE_PLATE, count, -1 - depth
        )
        terms = particle_log_weights(weighed, drawn, count, depth)
        return dict(self._read_off(predicted, depth)), *terms


def _resolve_num_samples(samples: Samples, is_drawn: bool, num_samples: int | None) -> int:
    """Return the number of draws that samples and the caller agree on."""
    sizes = {}
    for name, sample in samples.items():
        if not isinstance(sample, torch.Tensor):
            raise TypeError(
                f"posterior_samples[{name!r}] must be a tensor, got {type(sample).__name__}. "
                "Use torch.as_tensor(...)."
            )
        if not sample.dim():
            raise ValueError(
                f"posterior_samples[{name!r}] has shape (), expected the draws along a first "
                "dimension. Use sample.unsqueeze(0) for a single draw."
            )
        sizes[name] = len(sample)
    if len(set(sizes.values())) > 1:
        raise ValueError(f"posterior_samples differ in their number of draws: {sizes}.")
    if sizes:
        count = next(iter(sizes.values()))
        if num_samples not in (None, count):
            warn_once(
                ("num_samples", num_samples, count),
                f"num_samples={num_samples}, but posterior_samples hold {count} draws; "
                f"all {count} are used.",
                stacklevel=4,
            )
        return count
    if num_samples is None or num_samples < 1:
        missing = "num_samples" if is_drawn else "a sample in posterior_samples, or num_samples"
        raise ValueError(
            f"Predictive needs {missing} to know how many draws to make, got {num_samples}. "
            "Pass num_samples=1000, say."
        )
    return num_samples


def pad_batch(values: torch.Tensor, event_dim: int, depth: int) -> torch.Tensor:
    """Fill the batch dimensions of each value up with 1 on the left.

    :param values: values along the first dimension.
    :param event_dim: how many of a value's rightmost dimensions are the event's.
    :param depth: how many batch dimensions to have at least.

    >>> pad_batch(torch.zeros(5, 3, 2), event_dim=1, depth=3).shape
    torch.Size([5, 1, 1, 3, 2])
    """
    missing = depth - (values.dim() - 1 - event_dim)
    return values.reshape(values.shape[:1] + (1,) * missing + values.shape[1:])


def _stack(name: str, column: list[Any]) -> torch.Tensor:
    tensors = [torch.as_tensor(value) for value in column]
    try:
        return torch.stack(tensors)
    except RuntimeError as error:
        shapes = sorted({tuple(tensor.shape) for tensor in tensors})
        raise site_error(
            name,
            f"the shape differs between draws: {shapes}",
            "Leave the site out of return_sites, or give it one shape.",
        ) from error


def _stack_results(results: list[Any]) -> Any:
    """Stack what a model returned: tensors and numbers, also inside tuples, lists and dicts."""
    first = results[0]
    if first is None:
        return None
    if isinstance(first, Mapping):
        return {key: _stack_results([result[key] for result in results]) for key in first}
    if isinstance(first, tuple | list):
        return type(first)(_stack_results(list(part)) for part in zip(*results, strict=True))
    return _stack(RETURN, results)
