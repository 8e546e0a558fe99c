"""Letters for the batch dimensions of a run: one for each plate and each enumerated site."""

from collections.abc import Mapping
from typing import Any

import opt_einsum

from pyro._foundation.errors import site_error
from pyro.distributions.score_parts import ScoreParts
from pyro.ops.packed import pack
from pyro.poutine.sites import site_is_sample, site_is_subsample

Node = dict[str, Any]
_SCORES = ("log_prob", "unscaled_log_prob")


def symbolize_sites(
    nodes: Mapping[str, Node], plate_to_symbol: dict[str, str]
) -> tuple[dict[str, str], dict[str, int]]:
    """Name the batch dimensions of every sample site, in its ``infer["_dim_to_symbol"]``.

    An enumerated site has the letter of its id, in whichever trace; a plate has one by the order in
    which plates come up, unless it is given. So a dimension that is used again has several letters.

    :param nodes: the sites of a trace, changed in place.
    :param plate_to_symbol: letters of plates, such as those of another trace.
    :returns: the letters of all plates; the dimensions by letter.
    """
    plates = dict(plate_to_symbol)
    symbol_to_dim: dict[str, int] = {}
    for site in nodes.values():
        if not site_is_sample(site):
            continue
        infer = site["infer"] or {}
        symbols: dict[int, str] = {}
        for frame in site["cond_indep_stack"]:
            if frame.dim is not None:
                if frame.name not in plates:
                    plates[frame.name] = opt_einsum.get_symbol(2 * len(plates))
                symbols[frame.dim] = plates[frame.name]
        for dim, id_ in infer.get("_dim_to_id", {}).items():
            symbols[dim] = opt_einsum.get_symbol(2 * id_ + 1)
        site["infer"] = {**infer, "_dim_to_symbol": symbols}
        for dim, symbol in symbols.items():
            symbol_to_dim[symbol] = dim
    return plates, symbol_to_dim


def pack_site(site: Node) -> None:
    """Pack what a site was scored with, as ``site["packed"]``.

    :param site: a sample site whose dimensions have letters.
    :raises ValueError: that names the site, where a dimension belongs to no plate and no enumerated
        site.
    """
    symbols = site["infer"]["_dim_to_symbol"]
    try:
        packed: dict[str, Any] = {key: pack(site[key], symbols) for key in ("scale", "mask")}
        packed |= {key: pack(site[key], symbols) for key in _SCORES if key in site}
        if "score_parts" in site:
            packed["score_parts"] = ScoreParts(*(pack(p, symbols) for p in site["score_parts"]))
    except ValueError as error:
        raise site_error(site["name"], str(error).rstrip(".")) from None
    site["packed"] = packed


def is_packable(site: Node) -> bool:
    """Tell whether a site has a factor to pack: it is no parameter and no plate."""
    return site_is_sample(site) and not site_is_subsample(site)
