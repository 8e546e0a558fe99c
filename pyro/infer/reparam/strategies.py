"""Strategies: a reparameterisation for each site, chosen by its law."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyro.distributions.affine_beta import AffineBeta
from pyro.distributions.categorical import RelaxedOneHotCategorical
from pyro.distributions.compound import TransformedDistribution
from pyro.distributions.projected_normal import ProjectedNormal
from pyro.distributions.stable import Stable
from pyro.infer.reparam.layers import core_of
from pyro.infer.reparam.loc_scale import LocScaleReparam, is_location_scale
from pyro.infer.reparam.projected_normal import ProjectedNormalReparam
from pyro.infer.reparam.reparam import Reparam
from pyro.infer.reparam.softmax import GumbelSoftmaxReparam
from pyro.infer.reparam.stable import LatentStableReparam, StableReparam, SymmetricStableReparam
from pyro.infer.reparam.transform import TransformReparam
from pyro.poutine.handlers import reparam
from pyro.poutine.runtime import Message


class Strategy:
    """Base of strategies, which choose a reparameterisation for each site of a model.

    A subclass defines :meth:`configure`. A strategy wraps a model or decorates one; ``config`` then
    holds what was chosen by the names of sites, and can itself serve as configuration.

    >>> import pyro, pyro.distributions as dist
    >>> class DecentreAll(Strategy):
    ...     def configure(self, msg):
    ...         is_new = not msg["name"].endswith("_decentered")
    ...         return LocScaleReparam(0.0) if is_new and not msg["is_observed"] else None
    >>> @DecentreAll()
    ... def model():
    ...     return pyro.sample("x", dist.Normal(5.0, 1.0))
    >>> pyro.poutine.trace(model).get_trace().stochastic_nodes
    ['x_decentered']

    Source: Gorinova, Moore and Hoffman 2020, *Automatic Reparameterisation of Probabilistic
    Programs*, ICML, arXiv:1906.03028.
    """

    def __init__(self) -> None:
        self.config: dict[str, Reparam | None] = {}

    def configure(self, msg: Message) -> Reparam | None:
        """Return the reparameterisation of a site, None to leave it alone.

        :param msg: the site; auxiliary sites are asked for too.
        :raises NotImplementedError: where a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no configure().")

    def __call__(self, msg_or_fn: Any) -> Any:
        """Reparameterise a model; or, for a site, return what to do with it.

        :param msg_or_fn: the model, or the message of a site.
        """
        if isinstance(msg_or_fn, Mapping):
            chosen = self.configure(msg_or_fn)  # type: ignore[arg-type]
            self.config[msg_or_fn["name"]] = chosen
            return chosen
        return reparam(msg_or_fn, config=self._chosen)

    def _chosen(self, msg: Message) -> Reparam | None:
        chosen: Reparam | None = self(msg)
        return chosen


def _of_stable(core: Stable, is_observed: bool) -> Reparam:
    if not is_observed:
        return LatentStableReparam()
    skew = core._given_as("skew")
    if isinstance(skew, Tensor):  # a parameter or a latent variable may leave 0 in the next run
        fixed_at_zero = not skew.requires_grad and bool((skew == 0).all())
    else:
        fixed_at_zero = skew == 0
    return SymmetricStableReparam() if fixed_at_zero else StableReparam()


class MinimalReparam(Strategy):
    """Reparameterise what inference could do nothing with else, and leave all other sites alone.

    Stable laws, which have no density, become others that do: latent ones by
    :class:`~pyro.infer.reparam.LatentStableReparam`, observed ones by
    :class:`~pyro.infer.reparam.SymmetricStableReparam` or
    :class:`~pyro.infer.reparam.StableReparam`. Latent directions, whose support no unconstrained
    numbers lead to one by one, become normal vectors by
    :class:`~pyro.infer.reparam.ProjectedNormalReparam`.

    >>> import torch, pyro, pyro.distributions as dist
    >>> @MinimalReparam()
    ... def model():
    ...     x = pyro.sample("x", dist.ProjectedNormal(torch.zeros(2)))
    ...     pyro.sample("y", dist.Stable(torch.tensor(1.5), 0.0, 1.0, x[0]), obs=torch.tensor(0.3))
    >>> pyro.poutine.trace(model).get_trace().stochastic_nodes
    ['x_normal', 'y_uniform', 'y_exponential']
    """

    def configure(self, msg: Message) -> Reparam | None:
        """Return the reparameterisation of a site, None to leave it alone.

        :param msg: the site.
        """
        core, is_observed = core_of(msg["fn"]), bool(msg["is_observed"])
        if isinstance(core, Stable):
            return _of_stable(core, is_observed)
        if isinstance(core, ProjectedNormal) and not is_observed:
            return ProjectedNormalReparam()
        return None


class AutoReparam(Strategy):
    """Reparameterise all latent sites for which there is something, and stable ones in any case.

    - Stable laws and directions: as :class:`MinimalReparam` does;
    - laws with a location and a scale: :class:`~pyro.infer.reparam.LocScaleReparam`, latent stable
      ones among them before they are computed from noise;
    - transformed laws: :class:`~pyro.infer.reparam.TransformReparam`, where the transform has an
      inverse and the base is not merely a standard law behind a law with a name of its own, as that
      of Weibull; :class:`~pyro.distributions.AffineBeta` too, whose ends may move with other sites;
    - relaxed categorical laws: :class:`~pyro.infer.reparam.GumbelSoftmaxReparam`.

    Auxiliary sites are reparameterised in turn.

    :param centered: for :class:`~pyro.infer.reparam.LocScaleReparam`: the degree to which sites are
        left centred, between 0 and 1; None makes one parameter for each site.

    >>> import pyro, pyro.distributions as dist
    >>> @AutoReparam(centered=0.0)
    ... def model():
    ...     scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(0.0, scale))
    >>> pyro.poutine.trace(model).get_trace().stochastic_nodes
    ['scale_base_decentered', 'x_decentered']

    Source: Gorinova, Moore and Hoffman 2020, arXiv:1906.03028.
    """

    def __init__(self, *, centered: float | None = None) -> None:
        super().__init__()
        self.centered = centered
        LocScaleReparam(centered)  # which checks it

    def configure(self, msg: Message) -> Reparam | None:
        """Return the reparameterisation of a site, None to leave it alone.

        :param msg: the site.
        """
        law = msg["fn"]
        core, is_observed = core_of(law), bool(msg["is_observed"])
        if is_observed:
            return _of_stable(core, True) if isinstance(core, Stable) else None
        if isinstance(core, ProjectedNormal):
            return ProjectedNormalReparam()
        is_new = not msg["name"].endswith("_decentered")
        if is_new and self.centered != 1 and is_location_scale(law):
            return LocScaleReparam(self.centered)
        if isinstance(core, Stable):
            return LatentStableReparam()
        if isinstance(core, RelaxedOneHotCategorical):
            return GumbelSoftmaxReparam()
        return TransformReparam() if _has_useful_base(core) else None


def _has_useful_base(core: Any) -> bool:
    if not isinstance(core, torch.distributions.TransformedDistribution):
        return False
    if not all(transform.bijective for transform in core.transforms) or is_location_scale(core):
        return False
    if type(core) is TransformedDistribution or isinstance(core, AffineBeta):
        return True
    return is_location_scale(core.base_dist)
