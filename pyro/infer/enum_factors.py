"""From the runs of a model and its guide to factors over what they enumerate.

Each site of the model is a factor, a packed tensor in the site's plates. Those that depend on what
the model enumerates are to be summed over it. The others are costs as they stand.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.infer.dice import Ordinal, enumerated_symbol, ordinal_of, vectorized
from pyro.ops.contract import contract_tensor_tree
from pyro.ops.packed import dims_of, mul, pack
from pyro.ops.plated_elimination import IntractableError, components
from pyro.ops.rings import Ring
from pyro.poutine.sites import site_is_latent, site_is_sample, site_is_subsample
from pyro.poutine.trace_struct import Trace

Site = Mapping[str, Any]
Tree = dict[frozenset[str], list[Tensor]]


class Factor(NamedTuple):
    """What a site contributes to the density that is summed.

    :param site: the site.
    :param ordinal: the plates that it is in.
    :param log_prob: its log density, packed, before any scale.
    """

    site: Site
    ordinal: Ordinal
    log_prob: Tensor


class ModelFactors:
    """The factors of a model, and the variables that are to be summed out of them.

    :param model_trace: a scored run of the model, whose dims get letters here.
    :param guide_trace: the run of the guide that it follows, which has letters.
    :param sums_guide: whether the variables that the guide enumerates are to be summed too.
    :raises ValueError: that names both sites, where one depends on another that is enumerated in a
        plate which it is not in.

    After construction, ``costs`` has the packed log densities of the sites that do not depend on
    what the model enumerates, by their plates; ``factors`` has the others, and ``variables`` the
    enumerated sites by their letters.
    """

    def __init__(self, model_trace: Trace, guide_trace: Trace, sums_guide: bool = False) -> None:
        model_trace.symbolize_dims(guide_trace.plate_to_symbol)
        self.plate_to_symbol = model_trace.plate_to_symbol
        self.symbol_to_dim = model_trace.symbol_to_dim
        self.variables: dict[str, Site] = {}
        self.costs: dict[Ordinal, list[Tensor]] = {}
        self.factors: list[Factor] = []
        owners = enumerated_sites(guide_trace)
        if sums_guide:
            self.variables.update(owners)
        for name, site in model_trace.nodes.items():
            if not site_is_sample(site) or site_is_subsample(site):
                continue
            if site_is_latent(site) and name not in guide_trace.nodes:
                symbol = enumerated_symbol(site)
                if symbol is not None:
                    owners[symbol] = self.variables[symbol] = site
                elif (site["infer"] or {}).get("enumerate") == "sequential":
                    raise _model_side_sequential(name)
            self._add(site, owners)

    def _add(self, site: Site, owners: Mapping[str, Site]) -> None:
        ordinal = ordinal_of(site, self.plate_to_symbol)
        log_prob = packed_density(site, "log_prob")
        letters = check_context(site, dims_of(log_prob), owners)
        if letters.isdisjoint(self.variables):
            self.costs.setdefault(ordinal, []).append(log_prob)
            return
        if site["log_prob"] is not site["unscaled_log_prob"] or site["mask"] is not None:
            log_prob = unscaled_density(site)
        self.factors.append(Factor(site, ordinal, log_prob))

    def add(self, site: Site, log_prob: Tensor) -> None:
        """Take in what another site contributes.

        :param site: the site.
        :param log_prob: a packed logarithm, before any scale.
        """
        ordinal = ordinal_of(site, self.plate_to_symbol)
        if check_context(site, dims_of(log_prob), self.variables):
            self.factors.append(Factor(site, ordinal, log_prob))
        else:
            scaled = mul(log_prob, pack(site["scale"], site["infer"]["_dim_to_symbol"]))
            self.costs.setdefault(ordinal, []).append(scaled)

    def summed(self) -> dict[Ordinal, list[Tensor]]:
        """Return the costs, and what is left of the factors when the variables are summed out.

        What has one scale ``s`` in common counts as ``s * log(sum(exp(...)))``.

        :raises ValueError: that names the sites, where factors of one variable differ in scale, and
            the plates and variables, where they cannot be summed plate by plate.
        """
        costs = {ordinal: list(terms) for ordinal, terms in self.costs.items()}
        for factors, scale in self.by_scale():
            for plates, terms in self.contracted(factors).items():
                scaled = [self._scaled(term, scale, factors) for term in terms]
                costs.setdefault(plates, []).extend(scaled)
        return costs

    def contracted(self, factors: Sequence[Factor], ring: Ring | None = None) -> Tree:
        """Sum the variables out of some factors.

        :param factors: the factors, all that their variables have.
        :param ring: the semiring, logarithms of plain sums if left out.
        :raises ValueError: as :meth:`summed`.
        """
        try:
            return contract_tensor_tree(tree_of(factors), self.variables, ring=ring)
        except IntractableError as error:
            raise self.spelled_out(error) from None

    def by_scale(self) -> list[tuple[Sequence[Factor], Any]]:
        """Return groups of factors that share no variable with others, each with its scale."""
        if not self.factors:
            return []
        if all(isinstance(f.site["scale"], float) for f in self.factors):
            scales = {f.site["scale"] for f in self.factors}
            if len(scales) == 1:
                return [(self.factors, scales.pop())]
        dims = [dims_of(factor.log_prob) for factor in self.factors]
        parts = components(range(len(dims)), dims, set(self.variables))
        groups = [[self.factors[i] for i in part] for part in parts]
        return [(group, common_scale(group)) for group in groups]

    def _scaled(self, term: Tensor, scale: Any, factors: Sequence[Factor]) -> Tensor:
        if isinstance(scale, float) and scale == 1.0:
            return term
        if isinstance(scale, Tensor):
            scale = pack(scale, factors[0].site["infer"]["_dim_to_symbol"])
            if not set(dims_of(scale)) <= set(dims_of(term)):
                raise site_error(
                    factors[0].site["name"],
                    "its scale varies inside a plate that an enumerated site is not in",
                    "Scale by one number, or move the enumerated site into the plate.",
                )
        scaled: Tensor = mul(term, scale)
        return scaled

    def spelled_out(self, error: IntractableError) -> IntractableError:
        """The same error with the names of sites and plates in place of letters."""
        names = {symbol: name for name, symbol in self.plate_to_symbol.items()}
        ordinals = {
            self.variables[letter]["name"]: frozenset(names[plate] for plate in ordinal)
            for letter, ordinal in error.variables.items()
        }
        return IntractableError(frozenset(names[plate] for plate in error.plates), ordinals)


def tree_of(factors: Iterable[Factor]) -> Tree:
    """Gather factors by their vectorised plates.

    :param factors: the factors.
    """
    tree: Tree = {}
    for factor in factors:
        tree.setdefault(vectorized(factor.ordinal), []).append(factor.log_prob)
    return tree


def enumerated_sites(record: Trace) -> dict[str, Site]:
    """Return the sites of a run that were enumerated, by their letters.

    :param record: a run whose dims have letters.
    """
    found: dict[str, Site] = {}
    for site in record.nodes.values():
        if site_is_latent(site):
            symbol = enumerated_symbol(site)
            if symbol is not None:
                found[symbol] = site
    return found


def packed_density(site: Site, key: str) -> Tensor:
    """Return a log density of a site, packed.

    :param site: a scored site whose dims have letters.
    :param key: ``"log_prob"`` or ``"unscaled_log_prob"``.
    :raises ValueError: that names the site, where a dim belongs to no plate and no enumerated site.
    """
    try:
        packed: Tensor = pack(site[key], site["infer"]["_dim_to_symbol"])
    except ValueError as error:
        raise site_error(site["name"], str(error).rstrip(".")) from None
    return packed


def unscaled_density(site: Site) -> Tensor:
    """Return the factor of a site in a sum over enumerated values.

    A mask takes an observed site out of the sum. An enumerated one stays in it, so that its
    probabilities sum to one, masked or not.

    :param site: a scored site whose dims have letters.
    """
    if site["mask"] is None or site["mask"] is True or enumerated_symbol(site) is None:
        return packed_density(site, "unscaled_log_prob")
    log_prob = site["fn"].log_prob(site["value"])
    packed: Tensor = pack(log_prob, site["infer"]["_dim_to_symbol"])
    return packed


def check_context(site: Site, dims: str, owners: Mapping[str, Site]) -> frozenset[str]:
    """Check that a site is in the plates of all enumerated sites that it depends on.

    :param site: the site.
    :param dims: the letters of its density.
    :param owners: enumerated sites by letter.
    :returns: those of the letters that belong to enumerated sites.
    :raises ValueError: that names both sites and the plate.
    """
    letters = frozenset([letter for letter in dims if letter in owners])
    frames = site["cond_indep_stack"]
    for letter in letters:
        around = owners[letter]["cond_indep_stack"]
        for frame in () if around is frames else around:
            if frame.vectorized and frame not in frames:
                other = owners[letter]["name"]
                raise site_error(
                    site["name"],
                    f"it depends on {other!r}, which is enumerated inside plate {frame.name!r}, "
                    "but is outside of that plate, where there is no one value of it",
                    f"Move the site into the plate, or {other!r} out of it, or enumerate in a "
                    f"sequential plate, for i in pyro.plate({frame.name!r}, ...).",
                )
    return letters


def common_scale(factors: Sequence[Factor]) -> Any:
    """Return the scale of factors that are summed together.

    :param factors: the factors.
    :raises ValueError: that names two sites and their scales, where they differ.
    """
    first = factors[0].site
    for factor in factors:
        if not _equal(factor.site["scale"], first["scale"]):
            subsampled = [
                frame.name
                for frame in {*factor.site["cond_indep_stack"], *first["cond_indep_stack"]}
                if frame.full_size not in (None, frame.size)
            ]
            cause = f" (plate {subsampled[0]!r} is subsampled)" if subsampled else ""
            raise site_error(
                factor.site["name"],
                f"it is summed together with {first['name']!r}, but their scales are "
                f"{factor.site['scale']} and {first['scale']}{cause}; a sum over enumerated values "
                "can be scaled only as a whole",
                "Put an enumerated site and all that depends on it in the same subsampled plates "
                "and under the same poutine.scale, or enumerate it in the guide.",
            )
    return first["scale"]


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return isinstance(one, Tensor) == isinstance(other, Tensor) and bool(one == other)


def _model_side_sequential(name: str) -> NotImplementedError:
    return site_error(
        name,
        "it is enumerated sequentially in the model and is not in the guide",
        "Write infer={'enumerate': 'parallel'}, or enumerate it in the guide.",
        NotImplementedError,
    )
