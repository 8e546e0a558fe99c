r"""Expectations over a guide's choices, exact where it enumerates and by DiCE where it draws.

Let the guide enumerate :math:`z` and draw :math:`w`. The expectation of a sum of costs is

.. math::

    E_q\Big[\sum_j c_j\Big] = E_w\Big[\sum_j \sum_{z_j} q(z_j \mid w)\, c_j(z_j, w)\Big],

where :math:`z_j` are the enumerated variables that cost :math:`j` depends on: each cost is weighed
by a marginal of few variables, whatever the number of all. For the gradient to be that of the
expectation, each cost is also multiplied by
:math:`\exp(\log q(w) - \mathrm{stop\_gradient}(\log q(w)))`, whose value is 1, for each draw that
is no differentiable function of the parameters.

**References**

- F. Obermeyer et al. (2019), *Tensor variable elimination for plated factor graphs*,
  arXiv:1902.03210.
- J. Foerster et al. (2018), *DiCE: the infinitely differentiable Monte Carlo estimator*,
  arXiv:1802.05098.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.ops.einsum import torch_linear, torch_log
from pyro.ops.einsum.layout import common_order
from pyro.ops.masking import is_identically_zero
from pyro.ops.packed import aligned, dims_of, named
from pyro.poutine.sites import site_is_latent
from pyro.poutine.trace_struct import Trace

Site = Mapping[str, Any]
# The plates that a site is in: letters of vectorised ones, name and iteration of others.
Ordinal = frozenset[str | tuple[str, int]]
NO_PLATES: Ordinal = frozenset()
Costs = Mapping[Ordinal, Sequence[Tensor]]


def ordinal_of(site: Site, plate_to_symbol: Mapping[str, str]) -> Ordinal:
    """Return the plates that a site is in, as letters; of sequential ones, name and iteration.

    :param site: a node of a trace.
    :param plate_to_symbol: the letters of vectorised plates by name.
    """
    stack = site["cond_indep_stack"]
    if not stack:
        return NO_PLATES
    return frozenset(
        [
            (frame.name, frame.counter) if frame.dim is None else plate_to_symbol[frame.name]
            for frame in stack
        ]
    )


def vectorized(ordinal: Ordinal) -> frozenset[str]:
    """Return the letters of the vectorised plates alone.

    :param ordinal: plates, as :func:`ordinal_of` gives them.

    >>> vectorized(frozenset({"a", ("steps", 3)}))
    frozenset({'a'})
    """
    return frozenset([plate for plate in ordinal if isinstance(plate, str)])


def enumerated_symbol(site: Site) -> str | None:
    """Return the letter that a site was enumerated along, or None where it was not.

    :param site: a sample site whose dimensions have letters.
    """
    infer = site["infer"]
    dim = infer.get("_enumerate_dim")
    return None if dim is None else infer["_dim_to_symbol"][dim]


def weighs(site: Site) -> bool:
    """Tell whether a guide site gives weights to what depends on it.

    :param site: a site of a guide; one that is not enumerated holds its ``score_parts``.
    """
    if not site_is_latent(site):
        return False
    infer = site["infer"] or {}
    if "_enumerate_dim" in infer or "_enum_total" in infer:
        return True
    return not is_identically_zero(site["score_parts"].score_function)


def compute_site_dice_factor(site: Site) -> tuple[Tensor | float, float]:
    """Return the logarithm of the weight that a guide site gives to what depends on it.

    It is ``log q`` of an enumerated site; 0, with the gradient of ``log q``, of a drawn one whose
    draws cannot be differentiated, less the logarithm of their number where there are several.

    :param site: a site of a guide that was scored (``compute_score_parts``) and packed.
    :returns: the weight, a packed tensor or 0.0; and the logarithm of the number of runs in which a
        site that is enumerated sequentially takes part, by which costs that do not depend on it
        are to be divided.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def guide():
    ...     pyro.sample("z", dist.Bernoulli(0.25), infer={"enumerate": "parallel"})
    >>> record = poutine.trace(poutine.enum(guide, first_available_dim=-1)).get_trace()
    >>> record.compute_score_parts()
    >>> record.pack_tensors()
    >>> compute_site_dice_factor(record.nodes["z"])[0].exp()
    tensor([0.7500, 0.2500])
    """
    infer, packed = site["infer"], site["packed"]
    log_prob = packed["unscaled_log_prob"]
    if infer.get("_enum_total"):
        return log_prob, math.log(infer["_enum_total"])
    symbol = enumerated_symbol(site)
    if symbol is None:
        return _score(packed["score_parts"].score_function), 0.0
    count = infer.get("num_samples")
    if count is None:
        return log_prob, 0.0
    return named(_sampled_weight(site, log_prob, symbol, count), dims_of(log_prob)), 0.0


def _score(score_function: Any) -> Tensor | float:
    if is_identically_zero(score_function):
        return 0.0
    return named(score_function - score_function.detach(), dims_of(score_function))


def _sampled_weight(site: Site, log_prob: Tensor, symbol: str, count: int) -> Tensor:
    """The weight of each of several draws: ``q / r / count`` for draws from a density ``r``."""
    proposal = aligned(proposal_log_prob(site, log_prob, symbol), dims_of(log_prob))
    weight = log_prob - proposal - math.log(count)
    if is_identically_zero(site["packed"]["score_parts"].score_function):
        return weight
    return weight + (proposal - proposal.detach())


def proposal_log_prob(site: Site, log_prob: Tensor, symbol: str) -> Tensor:
    """Return the log density of the law that the draws of an enumerated site come from.

    Where each value of the enumerated sites that it depends on has draws of its own, it is the
    site's own law; where all share their draws, it is the mixture of the laws given each value.

    :param site: a packed guide site with ``infer["num_samples"]``.
    :param log_prob: its packed log density.
    :param symbol: the letter that it is enumerated along.
    """
    infer = site["infer"]
    letters = {infer["_dim_to_symbol"][dim] for dim in infer["_dim_to_id"]} - {symbol}
    dims = dims_of(log_prob)
    shared = [i for i, letter in enumerate(dims) if letter in letters]
    if infer.get("expand", False) or not shared:
        return log_prob
    number = math.prod([log_prob.shape[i] for i in shared])
    mixture = torch_log.logsumexp(log_prob, shared) - math.log(number)
    return named(mixture, "".join([letter for letter in dims if letter not in letters]))


class _Conditional(NamedTuple):
    """The weight of a site that was enumerated in parallel, given others."""

    name: str
    ordinal: Ordinal
    rank: int
    probs: Tensor
    letters: frozenset[str]


class Dice:
    """Takes expectations of costs over the choices of a guide.

    :param guide_trace: a run of the guide, scored (``compute_score_parts``) and packed.
    :param ordering: the plates that each site of the guide is in, by name, as :func:`ordinal_of`
        gives them. A cost in another iteration of a sequential plate does not depend on a site; in
        vectorised plates, each element depends on its own and on what is outside.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def guide():
    ...     pyro.sample("z", dist.Bernoulli(0.25), infer={"enumerate": "parallel"})
    >>> record = poutine.trace(poutine.enum(guide, first_available_dim=-1)).get_trace()
    >>> record.compute_score_parts()
    >>> record.pack_tensors()
    >>> cost = named(torch.tensor([0.0, 100.0]), record.nodes["z"]["packed"]["log_prob"]._pyro_dims)
    >>> Dice(record, {"z": frozenset()}).compute_expectation({frozenset(): [cost]})
    tensor(25.)
    """

    def __init__(self, guide_trace: Trace, ordering: Mapping[str, Ordinal]) -> None:
        self._conditionals: dict[str, _Conditional] = {}
        self._sequential: list[tuple[Ordinal, Tensor, float]] = []
        self._scores: list[tuple[Ordinal, Tensor]] = []
        self._marginals: dict[frozenset[str], Tensor] = {}
        sites = [(name, site) for name, site in guide_trace.nodes.items() if weighs(site)]
        letters = {symbol for _, site in sites if (symbol := enumerated_symbol(site))}
        for rank, (name, site) in enumerate(sites):
            weight, log_total = compute_site_dice_factor(site)
            ordinal, symbol = ordering[name], enumerated_symbol(site)
            if not isinstance(weight, Tensor):
                continue
            if symbol is not None:
                own = frozenset(letters.intersection(dims_of(weight)) | {symbol})
                probs = named(weight.exp(), dims_of(weight))
                self._conditionals[symbol] = _Conditional(name, ordinal, rank, probs, own)
            elif log_total:
                self._sequential.append((ordinal, weight, log_total))
            else:
                self._scores.append((ordinal, weight))

    def compute_expectation(self, costs: Costs) -> Tensor:
        """Return the expectation of the sum of all costs.

        :param costs: packed costs by the plates that they are in.
        :returns: a scalar, exact over what the guide enumerates, whose gradients have the gradient
            of the expectation as their mean.
        :raises ValueError: where a cost depends on a site that is enumerated in a plate which the
            cost is not in.
        """
        total = torch.zeros(())
        for ordinal, terms in costs.items():
            groups: dict[frozenset[str], list[Tensor]] = {}
            for term in terms:
                letters = frozenset(x for x in dims_of(term) if x in self._conditionals)
                groups.setdefault(letters, []).append(term)
            for letters, group in groups.items():
                self._check(ordinal, letters)
                total = total + self._expected(ordinal, letters, added(group))
        return total

    def _check(self, ordinal: Ordinal, letters: Iterable[str]) -> None:
        for letter in letters:
            owner = self._conditionals[letter]
            if not vectorized(owner.ordinal) <= ordinal:
                raise site_error(
                    owner.name,
                    "the guide enumerates it inside a plate, but what depends on it, when the "
                    "sites that the model enumerates are summed out, is outside of that plate",
                    "Enumerate in the guide what the model enumerates outside of the plate, or "
                    "sample one of them.",
                )

    def _expected(self, ordinal: Ordinal, letters: frozenset[str], cost: Tensor) -> Tensor:
        weights, divisor = self._sequential_weights(ordinal)
        involved = letters.union(*(self._letters_of(weight) for weight in weights))
        if involved:
            weights.append(self.marginal(involved))
        score = self._score(ordinal, involved)
        if score is not None:
            weights.append(score)
        if not weights:
            return cost.sum() * math.exp(-divisor) if divisor else cost.sum()
        weight = multiplied(weights) if len(weights) > 1 else weights[0]
        dims = common_order((dims_of(cost), dims_of(weight)))
        cost, weight = aligned(cost, dims), aligned(weight, dims)
        cost = torch.where(weight == 0, 0.0, cost)  # a cost may be infinite where it cannot be
        return (cost * weight).sum() * math.exp(-divisor)

    def _letters_of(self, tensor: Tensor) -> frozenset[str]:
        return frozenset(x for x in dims_of(tensor) if x in self._conditionals)

    def _sequential_weights(self, ordinal: Ordinal) -> tuple[list[Tensor], float]:
        """Weights of the sites that were enumerated run by run; what remains to divide by."""
        weights, divisor = [], 0.0
        for own, log_prob, log_total in self._sequential:
            if vectorized(own) <= ordinal:
                weights.append(named(log_prob.exp(), dims_of(log_prob)))
            else:
                divisor += log_total
        return weights, divisor

    def _score(self, ordinal: Ordinal, letters: frozenset[str]) -> Tensor | None:
        """The factor of the draws that a cost over these variables may depend on."""
        scores = [pair for pair in self._scores if self._letters_of(pair[1]) <= letters]
        return draws_factor(scores, ordinal, self._conditionals)

    def marginal(self, letters: frozenset[str]) -> Tensor:
        """Return the joint probabilities of a few enumerated variables, in each of their plates.

        The last of them is conditioned on those that it was drawn from; what is left is the same
        for variables that came earlier. Results are kept, so a chain costs one step a site.

        :param letters: the letters of the variables.
        """
        pending = [letters]
        while pending:
            target = pending[-1]
            if target in self._marginals:
                pending.pop()
                continue
            last = max((self._conditionals[letter] for letter in target), key=lambda c: c.rank)
            symbol = next(x for x in target if self._conditionals[x] is last)
            rest = (target | last.letters) - {symbol}
            if rest and rest not in self._marginals:
                pending.append(rest)
                continue
            factors = [last.probs, self._marginals[rest]] if rest else [last.probs]
            self._marginals[target] = multiplied(factors, (rest | last.letters) - target)
        return self._marginals[letters]


def draws_factor(
    scores: Iterable[tuple[Ordinal, Tensor]], ordinal: Ordinal, kept: Collection[str] = ()
) -> Tensor | None:
    """Return a factor of value 1 that has the gradient of the draws that a cost answers for.

    A draw in one element of a plate has no part in the costs of another, nor one in an iteration of
    a sequential plate in those of another.

    :param scores: the plates of each draw, and ``log q`` less its value, packed.
    :param ordinal: the plates of the cost.
    :param kept: letters to keep, as those of the cost's plates are.
    :returns: a packed tensor; None where there are no such draws.
    """
    found = [
        _summed(score, lambda letter: letter in ordinal or letter in kept)
        for own, score in scores
        if _meet(own, ordinal)
    ]
    if not found:
        return None
    total = added(found)
    return named(total.exp(), dims_of(total))


def _meet(one: Ordinal, other: Ordinal) -> bool:
    """Tell whether no sequential plate has the one in another iteration than the other."""
    steps = dict(at for at in other if isinstance(at, tuple))
    return all(steps.get(at[0], at[1]) == at[1] for at in one if isinstance(at, tuple))


def added(terms: Sequence[Tensor]) -> Tensor:
    """Add packed tensors, each broadcast over the dims that it lacks.

    :param terms: packed tensors, at least one.

    >>> added([named(torch.ones(2), "a"), named(torch.ones(3), "b")]).shape
    torch.Size([2, 3])
    """
    if len(terms) == 1:
        return terms[0]
    by_dims: dict[str, Tensor] = {}
    for term in terms:
        dims = dims_of(term)
        by_dims[dims] = by_dims[dims] + term if dims in by_dims else term
    order = common_order(by_dims)
    total: Any = sum(aligned(named(term, dims), order) for dims, term in by_dims.items())
    return named(total, order)


def multiplied(factors: Sequence[Tensor], summed: Collection[str] = ()) -> Tensor:
    """Multiply packed tensors, and sum some dims out.

    :param factors: packed tensors, at least one.
    :param summed: the letters to sum out.

    >>> multiplied([named(torch.ones(2), "a"), named(torch.ones(2, 3), "ab")], "a")
    tensor([2., 2., 2.])
    """
    inputs = [dims_of(factor) for factor in factors]
    output = "".join([letter for letter in common_order(inputs) if letter not in summed])
    if len(factors) == 1 and output == inputs[0]:
        return factors[0]
    return named(torch_linear.einsum(f"{','.join(inputs)}->{output}", *factors), output)


def _summed(term: Tensor, keeps: Callable[[str], bool]) -> Tensor:
    dims = dims_of(term)
    axes = [i for i, letter in enumerate(dims) if not keeps(letter)]
    return named(term.sum(axes), "".join(filter(keeps, dims))) if axes else term
