"""The one function that scores a site.

For a site with value ``x``, law ``p``, scale ``s`` and mask ``m`` its term of the log density is
``s * m * log p(x)``, one number for each element of the batch.
"""

from collections.abc import Mapping
from typing import Any

import torch

from pyro._foundation.errors import site_error
from pyro._foundation.validation import is_validation_enabled
from pyro.distributions.score_parts import ScoreParts
from pyro.ops.masking import scale_and_mask
from pyro.poutine.plate_shapes import NO_RECORD, check_density_shape, check_value_shape
from pyro.poutine.sites import Site

Node = dict[str, Any]


def score_site(
    site: Node, record: Mapping[str, Site] = NO_RECORD, with_total: bool = True
) -> torch.Tensor:
    """Return ``s * m * log p(x)`` of a sample site, element by element.

    The site keeps it as ``log_prob``, ``m * log p(x)`` as ``unscaled_log_prob`` and the total as
    ``log_prob_sum``; scoring a site again returns what it kept.

    :param site: a sample node of a trace, or a message on its way back.
    :param record: the nodes of the run that the site is part of, for the check of its shapes.
    :param with_total: whether to sum the batch too.
    :returns: a tensor of the site's batch shape.
    :raises ValueError: that names the site, where the law refuses the value or the density does
        not fit the plates around the site.
    """
    if "log_prob" not in site:
        unscaled = _call_law(site, _masked_law(site).log_prob)
        scaled = _scaled(unscaled, site["scale"], site["mask"])
        if is_validation_enabled():
            check_density_shape(site, scaled, record)
        site["unscaled_log_prob"] = unscaled
        site["log_prob"] = scaled
    if with_total and "log_prob_sum" not in site:
        _keep_total(site)
    log_prob: torch.Tensor = site["log_prob"]
    return log_prob


def score_total(site: Node, record: Mapping[str, Site] = NO_RECORD) -> torch.Tensor:
    """Return the sum of :func:`score_site` over the batch: the site's term of the log density."""
    if "log_prob_sum" not in site:
        score_site(site, record)
    total: torch.Tensor = site["log_prob_sum"]
    return total


def score_parts_of(site: Node, record: Mapping[str, Site] = NO_RECORD) -> ScoreParts:
    """Return what the site contributes to a score-function gradient estimate.

    :param site: a sample node of a trace; it is scored, and keeps the parts as ``score_parts``.
    :param record: the nodes of the run that the site is part of, for the check of its shapes.
    :raises ValueError: as :func:`score_site`.
    """
    if "score_parts" not in site:
        unscaled = parts = _call_law(site, site["fn"].score_parts)
        if not _is_plain(site["scale"], site["mask"]):
            parts = parts.scale_and_mask(site["scale"], site["mask"])
        if is_validation_enabled():
            check_density_shape(site, parts.log_prob, record)
        site["unscaled_log_prob"] = unscaled.log_prob
        site["score_parts"] = parts
        site["log_prob"] = parts.log_prob
        _keep_total(site)
    parts_kept: ScoreParts = site["score_parts"]
    return parts_kept


def _call_law(site: Node, scorer: Any) -> Any:
    try:
        return scorer(site["value"], *site["args"], **site["kwargs"])
    except (ValueError, RuntimeError) as error:
        check_value_shape(site)
        if isinstance(error, RuntimeError):
            raise
        fact = f"the value cannot be scored: {str(error).rstrip('.')}"
        raise site_error(site["name"], fact) from error


def _masked_law(site: Node) -> Any:
    # A masked law does not look at what is masked out, so that NaN there has no gradient either.
    fn, mask = site["fn"], site["mask"]
    return fn if mask is None or mask is True or not hasattr(fn, "mask") else fn.mask(mask)


def _scaled(log_prob: torch.Tensor, scale: Any, mask: Any) -> torch.Tensor:
    return log_prob if _is_plain(scale, mask) else scale_and_mask(log_prob, scale, mask)


def _is_plain(scale: Any, mask: Any) -> bool:
    # The common site has neither; an identity check spares it the tensor work.
    return mask is None and isinstance(scale, float) and scale == 1.0


def _keep_total(site: Node) -> None:
    log_prob = site["log_prob"]
    site["log_prob_sum"] = log_prob.sum() if log_prob.dim() else log_prob
