"""Draws near the posterior, by a conjugate law that stands for the likelihood."""

from collections.abc import Callable
from typing import Any

from pyro._foundation.errors import site_error
from pyro.distributions.distribution import Distribution
from pyro.infer.reparam.computed import computed
from pyro.infer.reparam.layers import refuse_datum
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult
from pyro.primitives import sample


class ConjugateReparam(Reparam):
    r"""Draw a site from its law multiplied by another, and weight it by what that changes.

    With the law :math:`p` of the site and a conjugate law :math:`g` of the same kind, which stands
    for the likelihood of what depends on the site,

    .. math::

        x \sim q, \quad q(x) = p(x)\,g(x) / Z, \quad Z = \int p(x)\,g(x)\,dx .

    The draw is no site of its own in traces; the site's log density is :math:`\log p(x)-\log q(x)`,
    which is :math:`\log Z-\log g(x)`. So a trace has the weight of its draws in importance sampling
    and in variational inference, where the site needs no guide. The model's joint density is *not*
    what a trace's densities add up to: for Hamiltonian Monte Carlo there is nothing to draw.

    :param guide: the law :math:`g`, or a function of the model's arguments that returns it.
    :raises TypeError: where it is neither.
    :raises NotImplementedError: that names the site, where it is observed.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(total):
    ...     rate = pyro.sample("rate", dist.HalfCauchy(10.0))
    ...     loc = pyro.sample("loc", dist.Gamma(2.0, 3.0))
    ...     return pyro.sample("total", dist.Poisson(loc), obs=total)
    >>> likelihood = lambda total: dist.Gamma(total + 1, 1.0)
    >>> model = pyro.poutine.reparam(model, config={"loc": ConjugateReparam(likelihood)})
    >>> record = pyro.poutine.trace(model).get_trace(torch.tensor(4.0))
    >>> loc = record.nodes["loc"]["value"]

    In a model that is conjugate, all draws have the same weight, the evidence:

    >>> record.log_prob_sum(lambda name, site: name != "rate").exp()
    tensor(0.0110)
    """

    def __init__(self, guide: Any) -> None:
        if not isinstance(guide, Distribution) and not callable(guide):
            raise TypeError(
                f"ConjugateReparam takes a law, or a function that returns one, not {guide!r}."
            )
        self.guide: Distribution | Callable[..., Any] = guide

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw the site, and give it the weight for its density.

        :param msg: the site.
        """
        refuse_datum(msg, self, "Leave it out of the configuration; there is nothing to draw.")
        name, law, guide = msg["name"], msg["fn"], self.guide
        if not isinstance(guide, Distribution):
            args, kwargs = self.args_kwargs or ((), {})
            guide = guide(*args, **kwargs)
        try:
            updated, log_normalizer = law.conjugate_update(guide)
        except (NotImplementedError, TypeError) as error:
            raise site_error(
                name,
                f"its law {law} and the guide's {guide} cannot be multiplied",
                "ConjugateReparam() takes laws of one kind that have a conjugate_update(), such "
                "as Gamma, Beta and Dirichlet.",
                type(error),
            ) from error
        value = msg["value"]
        if value is None:
            hints = {"is_auxiliary": True, "_do_not_trace": True}
            value = sample(f"{name}_updated", updated, infer=hints)
        return computed(law, value, log_normalizer - guide.log_prob(value))
