"""Posteriors of the sites that a model enumerates: exact joint draws, best values, marginals."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.distributions.bernoulli import Bernoulli
from pyro.distributions.categorical import Categorical, OneHotCategorical
from pyro.infer.enum_factors import ModelFactors, tree_of
from pyro.infer.tracked_run import undressed
from pyro.ops.contract import contract_to_tensor
from pyro.ops.einsum.adjoint import require_backward
from pyro.ops.einsum.torch_log import logsumexp
from pyro.ops.packed import aligned, dims_of, named, unpack
from pyro.ops.plated_elimination import IntractableError
from pyro.ops.rings import MarginalRing, Ring
from pyro.poutine.trace_struct import Trace

Site = Mapping[str, Any]


def posterior_values(
    model_trace: Trace, guide_trace: Trace, ring: Callable[[], Ring]
) -> dict[str, Tensor]:
    """Choose joint values of all sites that a model enumerates, given all others.

    :param model_trace: a scored run of the model.
    :param guide_trace: the run of the guide that it follows, which enumerates nothing.
    :param ring: :class:`~pyro.ops.rings.SampleRing` for an exact draw from the posterior,
        :class:`~pyro.ops.rings.MapRing` for its mode.
    :returns: the values by site name, in the batch shapes that the plates give them.
    :raises ValueError: as :class:`~pyro.infer.enum_factors.ModelFactors`.
    """
    factors = ModelFactors(model_trace, guide_trace)
    messages = _passed_back(factors, ring())
    values = {}
    for symbol, site in factors.variables.items():
        message = messages.get(symbol)
        positions = {} if message is None else _positions(message, factors)
        values[site["name"]] = _looked_up(site, positions)
    return values


def posterior_marginals(model_trace: Trace, guide_trace: Trace) -> dict[str, Any]:
    """Return the posterior law of each site that a model enumerates, given all that is not.

    :param model_trace: a scored run of the model.
    :param guide_trace: the run of the guide that it follows, which enumerates nothing.
    :returns: laws by site name, of the kind of the site, or
        :class:`~pyro.distributions.Categorical` for one over ``0, 1, ...``.
    :raises ValueError: as :class:`~pyro.infer.enum_factors.ModelFactors`.
    """
    factors = ModelFactors(model_trace, guide_trace)
    messages = _passed_back(factors, MarginalRing())
    marginals = {}
    for symbol, site in factors.variables.items():
        message = messages.get(symbol)
        if message is None:  # its support is one value
            logits = site["fn"].log_prob(site["value"]).new_zeros(1)
        else:
            logits = _own_marginal(message, symbol, factors)
        logits = logits.expand([*_plate_shape(site), logits.shape[-1]])
        marginals[site["name"]] = _law_like(site, logits)
    return marginals


def _passed_back(factors: ModelFactors, ring: Ring) -> dict[str, Any]:
    """Sum everything, and return by letter what the pass back says about each variable's factor."""
    asked: dict[str, Tensor] = {}
    for factor in factors.factors:
        for symbol in dims_of(factor.log_prob):
            if factors.variables.get(symbol) is factor.site:
                asked[symbol] = factor.log_prob
                require_backward(factor.log_prob)
    factors.by_scale()  # refuses what has none in common
    if asked:
        try:
            total: Any = contract_to_tensor(tree_of(factors.factors), factors.variables, ring=ring)
        except IntractableError as error:
            raise factors.spelled_out(error) from None
        total._pyro_backward()
    return {symbol: vars(tensor)["_pyro_backward_result"] for symbol, tensor in asked.items()}


def _positions(message: Any, factors: ModelFactors) -> dict[int, Tensor]:
    """The positions along each enumerated dim, in the shape of the plates."""
    batch = dims_of(message)[1:]
    return {
        factors.symbol_to_dim[symbol]: unpack(named(row, batch), factors.symbol_to_dim)
        for symbol, row in zip(message._pyro_sample_dims, message, strict=True)
    }


def _looked_up(site: Site, positions: Mapping[int, Tensor]) -> Tensor:
    """The entries of an enumerated value at some positions along its enumerated dims."""
    value: Tensor = site["value"]
    event_dim = site["fn"].event_dim
    for dim, position in positions.items():
        axis = dim - event_dim
        if -axis > value.dim() or value.shape[axis] == 1:
            continue
        rank = max(value.dim(), position.dim() + event_dim)
        value = value.reshape((1,) * (rank - value.dim()) + value.shape)
        shape = (1,) * (rank - event_dim - position.dim()) + position.shape + (1,) * event_dim
        value = value.take_along_dim(position.reshape(shape), axis)
    plates = _plate_shape(site)
    for _ in range(value.dim() - event_dim - len(plates)):
        value = value.squeeze(0)
    return value.expand([*plates, *value.shape[value.dim() - event_dim :]])


def _plate_shape(site: Site) -> list[int]:
    frames = [frame for frame in site["cond_indep_stack"] if frame.vectorized]
    shape = [1] * max((-frame.dim for frame in frames), default=0)
    for frame in frames:
        shape[frame.dim] = frame.size
    return shape


def _own_marginal(message: Tensor, symbol: str, factors: ModelFactors) -> Tensor:
    """Log probabilities of a site along the rightmost dim, in the batch shape of its plates."""
    dims = dims_of(message)
    others = [i for i, x in enumerate(dims) if x in factors.variables and x != symbol]
    if others:
        message = logsumexp(message, others)
        dims = "".join(x for i, x in enumerate(dims) if i not in others)
    plates = dims.replace(symbol, "")
    rows = aligned(named(message[...], dims), symbol + plates)
    unpacked = [unpack(named(row, plates), factors.symbol_to_dim) for row in rows]
    return torch.stack(unpacked, -1)


def _law_like(site: Site, logits: Tensor) -> Any:
    """A law over the support of a site, with these log probabilities up to a constant."""
    law = undressed(site["fn"])
    if isinstance(law, OneHotCategorical):
        return OneHotCategorical(logits=logits)
    support = law.enumerate_support(expand=False).flatten()
    if len(support) == logits.shape[-1]:
        if isinstance(law, Bernoulli):
            return Bernoulli(logits=logits[..., 1] - logits[..., 0])
        if not law.event_dim and torch.equal(support, torch.arange(len(support)).to(support)):
            return Categorical(logits=logits)
    raise site_error(
        site["name"],
        f"there is no law for the marginal of a site with the law {type(law).__name__}",
        "Draw from the posterior with sample_posterior() or infer_discrete().",
        NotImplementedError,
    )
