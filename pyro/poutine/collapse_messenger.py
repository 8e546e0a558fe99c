"""``collapse``: sum and integrate sites out exactly, with funsor."""

from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import torch

from pyro._foundation.errors import site_error
from pyro._foundation.optional import import_optional
from pyro._foundation.threads import PerThread
from pyro.distributions.distribution import COERCIONS
from pyro.distributions.unit import Unit
from pyro.ops.masking import is_identically_one
from pyro.poutine.messenger import HandledCallable
from pyro.poutine.runtime import Message, emit, get_plates, new_message
from pyro.poutine.sites import site_is_deterministic, site_is_factor, site_is_subsample
from pyro.poutine.trace_messenger import TraceMessenger

Self = TypeVar("Self", bound="CollapseMessenger")

# Names that libraries import from here: funsor's own where it is installed.
_FUNSOR_NAMES = {
    "Contraction": "funsor.cnf",
    "Delta": "funsor.delta",
    "Funsor": "funsor.terms",
    "Variable": "funsor.terms",
}


def _funsor(module: str = "funsor") -> ModuleType:
    funsor = import_optional("funsor", "funsor")
    funsor.set_backend("torch")
    return import_optional(module, "funsor")


def __getattr__(name: str) -> Any:
    if name not in _FUNSOR_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(_funsor(_FUNSOR_NAMES[name]), name)
    except ImportError:
        return type(name, (_NeedsFunsor,), {"home": _FUNSOR_NAMES[name]})


class _NeedsFunsor:
    """Stands in for a class of funsor, where that is missing."""

    home = "funsor"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _funsor(self.home)


class CollapseMessenger(TraceMessenger):
    r"""Sum and integrate out the sites inside, and leave the log of the result as one factor.

    With latent sites :math:`z` and observed ones :math:`x` inside, handlers outside see

    .. math:: \log \sum_z \int p(z, x)\, dz

    as a single observed site that bears the name of the first latent one. The value of a latent
    site is a free variable, a ``funsor.Variable``; laws can be made of it and of what funsor
    computes from it, ``locs[z]`` with ``locs`` a ``funsor.Tensor`` for instance. Sums over finite
    supports, linear Gaussian models and conjugate pairs have an exact answer. Plates inside are
    multiplied out, plates outside stay. The record of the run stands in ``trace``.

    :param args: options of :class:`~pyro.poutine.trace_messenger.TraceMessenger`.
    :param kwargs: options of :class:`~pyro.poutine.trace_messenger.TraceMessenger`.
    :raises ImportError: on entering it, where funsor is missing.
    :raises ValueError: that names the first latent site, where funsor knows no exact answer.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():  # the variance of x is 1 + 2 ** 2
    ...     with poutine.collapse():
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 2.0), obs=torch.tensor(0.5))
    >>> trace = poutine.trace(model).get_trace()  # doctest: +SKIP
    >>> exact = dist.Normal(0.0, 5**0.5).log_prob(torch.tensor(0.5))
    >>> list(trace), torch.allclose(trace.log_prob_sum(), exact)  # doctest: +SKIP
    (['_INPUT', 'z', '_RETURN'], True)

    Source: Obermeyer et al. 2019, *Functional Tensors for Probabilistic Programming*,
    arXiv:1910.10775.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sites = _Sites()

    def __call__(self, fn: Callable[..., Any]) -> Any:
        return HandledCallable(self, fn)

    def __enter__(self: Self) -> Self:
        """Let laws be made of free variables.

        :raises ImportError: where funsor is missing.
        """
        coerce = _funsor("funsor.distribution").CoerceDistributionToFunsor("torch")
        plates = {frame.dim: frame.name for frame in get_plates() if frame.vectorized}
        entered = super().__enter__()
        self._sites.begin(coerce, plates)
        COERCIONS.append(coerce)
        return entered

    def __exit__(self, *args: Any) -> None:
        """Emit the factor, unless an exception ends the run."""
        super().__exit__(*args)
        sites = self._sites
        COERCIONS.remove(sites.coerce)
        if sites.factors and args[0] is None:
            name = next(iter([*sites.latents, *sites.factors]))
            law = Unit(self._contracted(name))
            hints = {"is_auxiliary": True}
            emit(new_message("sample", name, law, (), {}, law.sample(), hints, is_observed=True))

    def _reset(self) -> None:
        super()._reset()
        self._sites.begin(self._sites.coerce, self._sites.outside)

    def _pyro_sample(self, msg: Message) -> None:
        if site_is_subsample(msg) or site_is_factor(msg) or site_is_deterministic(msg):
            return  # constants, which may as well be seen outside
        _refuse_beyond_sums(msg)
        sites, funsor = self._sites, _funsor()
        frames = [frame for frame in msg["cond_indep_stack"] if frame.vectorized]
        plates = {**sites.outside, **{frame.dim: frame.name for frame in frames}}
        law = _as_funsor(funsor, msg["fn"], funsor.Real, plates)
        domain = law.inputs["value"]
        if msg["is_observed"] or msg["done"]:
            factor = law(value=_as_funsor(funsor, msg["value"], domain, plates))
        else:
            msg["value"] = funsor.Variable(msg["name"], domain)
            factor = law(value=msg["value"])
            sites.latents.append(msg["name"])
        if not is_identically_one(msg["scale"]):
            factor = factor * _as_funsor(funsor, msg["scale"], funsor.Real, plates)
        sizes = {frame.name: frame.size for frame in frames if frame.size != -1}
        sites.plates.update(sizes)
        sites.factors[msg["name"]] = factor + _zeros(funsor, sizes)
        msg["done"] = msg["stop"] = True

    def _contracted(self, name: str) -> torch.Tensor:
        sites, funsor = self._sites, _funsor()
        plates = frozenset(sites.plates)
        eliminated = frozenset(sites.latents) | plates
        add, multiply = funsor.ops.logaddexp, funsor.ops.add
        sum_product = _funsor("funsor.sum_product").sum_product
        result = sum_product(add, multiply, list(sites.factors.values()), eliminated, plates)
        if not isinstance(result, funsor.Tensor):
            raise site_error(
                name,
                f"funsor knows no exact answer for the sites {', '.join(sites.factors)}",
                "Leave out of collapse() what is neither finite, linear Gaussian nor conjugate.",
            )
        log_factor: torch.Tensor = funsor.to_data(
            result, name_to_dim={name: dim for dim, name in sites.outside.items()}
        )
        return log_factor


def _refuse_beyond_sums(msg: Message) -> None:
    """Refuse what other handlers inside made of a site, where a sum has no place for it."""
    if msg["mask"] is not None and msg["mask"] is not True:
        fact, remedy = "it is masked", "Leave it out of collapse()."
    elif msg["infer"] and msg["infer"].get("_enumerate_dim") is not None:
        fact, remedy = "it is enumerated", "Put enum() outside of collapse()."
    else:
        return
    raise site_error(msg["name"], f"{fact} and cannot be collapsed", remedy)


class _Sites(PerThread):
    """What a handler knows of the run that a thread is in the midst of."""

    def begin(self, coerce: Any, outside: dict[int, str]) -> None:
        self.coerce = coerce
        self.outside = outside  # names of the plates around the handler, by dim
        self.plates: dict[str, int] = {}  # sizes of those inside
        self.latents: list[str] = []
        self.factors: dict[str, Any] = {}


def _as_funsor(funsor: ModuleType, value: Any, output: Any, plates: dict[int, str]) -> Any:
    """Name the dimensions of a law or a value; what funsor made has its names already."""
    return value if isinstance(value, funsor.Funsor) else funsor.to_funsor(value, output, plates)


def _zeros(funsor: ModuleType, sizes: dict[str, int]) -> Any:
    """Nothing to add, but to each element of the plates: funsor counts constants once otherwise."""
    inputs = OrderedDict((name, funsor.Bint[size]) for name, size in sizes.items())
    return funsor.Tensor(torch.zeros(tuple(sizes.values())), inputs)
