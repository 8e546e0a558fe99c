"""A guide that enumerates discrete sites, each independent of the others."""

from typing import Any

from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.distributions.bernoulli import Bernoulli
from pyro.distributions.categorical import Categorical, OneHotCategorical
from pyro.distributions.constraints import simplex, unit_interval
from pyro.infer.autoguide.attributes import deep_setattr, holder_of, read_attribute
from pyro.infer.autoguide.base import AutoGuide, full_sized
from pyro.infer.tracked_run import undressed
from pyro.nn.module import PyroParam
from pyro.primitives import sample

# Kind of law -> the support of its probabilities, and how many dims of them are no batch.
_LAWS: dict[Any, tuple[Any, int]] = {
    Bernoulli: (unit_interval, 0),
    Categorical: (simplex, 1),
    OneHotCategorical: (simplex, 1),
}


class AutoDiscreteParallel(AutoGuide):
    """A mean-field guide of discrete sites, which it enumerates in parallel.

    Each latent site has a table of probabilities as a parameter, an attribute of the guide named
    ``{site}_probs``, which starts as the prior's. To be used with
    :class:`~pyro.infer.traceenum_elbo.TraceEnum_ELBO`.

    :param model: the model. Its latent sites follow Bernoulli, Categorical or OneHotCategorical
        laws and ask for enumeration, by :func:`~pyro.infer.enum.config_enumerate`.
    :param create_plates: makes the plates to use, see
        :class:`~pyro.infer.autoguide.base.AutoGuide`.
    :raises NotImplementedError: in the first run, naming the site, where one is of another kind.

    >>> import torch, pyro, pyro.distributions as dist
    >>> from pyro.infer.enum import config_enumerate
    >>> @config_enumerate
    ... def model():
    ...     pyro.sample("z", dist.Categorical(torch.tensor([0.2, 0.8])))
    >>> guide = AutoDiscreteParallel(model)
    >>> _ = guide()
    >>> guide.z_probs
    tensor([0.2000, 0.8000], grad_fn=<...>)
    """

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        self._kinds: dict[str, Any] = {}
        for name, site in self._prototype().iter_stochastic_nodes():
            law = undressed(site["fn"])
            if (site["infer"] or {}).get("enumerate") != "parallel":
                raise _other_kind(name, "does not ask to be enumerated in parallel")
            if type(law) not in _LAWS or site["fn"].event_dim != law.event_dim:
                raise _other_kind(name, f"has a law of the kind {type(law).__name__}")
            support, event_dim = _LAWS[type(law)]
            shape = site["fn"].batch_shape + law.probs.shape[law.probs.dim() - event_dim :]
            frames = self._cond_indep_stacks[name]
            start = full_sized(law.probs.detach().expand(shape), event_dim, frames).clone()
            self._kinds[name] = type(law)
            deep_setattr(self, f"{name}_probs", PyroParam(start, support, event_dim))

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample every latent site.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the values by site name.
        """
        self._prototype(*args, **kwargs)
        return self._sample_sites(self._sample_site, self._create_plates(*args, **kwargs))

    def _sample_site(self, name: str) -> Tensor:
        probs = read_attribute(*holder_of(self, f"{name}_probs"))
        drawn: Tensor = sample(name, self._kinds[name](probs), infer={"enumerate": "parallel"})
        return drawn


def _other_kind(name: str, fact: str) -> NotImplementedError:
    return site_error(
        name,
        f"AutoDiscreteParallel is for discrete sites that are enumerated, but this one {fact}",
        "Decorate the model with config_enumerate, leave the site to another guide by "
        f"poutine.block(model, hide=[{name!r}]), and join the two in an AutoGuideList.",
        NotImplementedError,
    )
