"""The base of reparameterisations."""

from typing import Any, TypedDict

from pyro.poutine.reparam_messenger import CallArguments, wrapped_call


class ReparamMessage(TypedDict):
    """A site as a reparameterisation meets it.

    ``fn`` is its law, expanded to the plates around; ``value`` is its datum where ``is_observed``,
    and else None, or the value that it shall start from.
    """

    name: str
    fn: Any
    value: Any
    is_observed: bool | None


class ReparamResult(TypedDict):
    """What a reparameterisation makes of a site.

    ``fn`` is its new law; where ``is_observed`` the ``value`` is given by the auxiliary sites, so
    that the law is mostly a :class:`~pyro.distributions.Delta` at it. Where not, None is drawn from
    the law.
    """

    fn: Any
    value: Any
    is_observed: bool


class Reparam:
    r"""A way to write a site in terms of auxiliary sites.

    With auxiliary :math:`u \sim p_u` and new law :math:`p'` a reparameterisation of
    :math:`x \sim p` keeps what the site means:

    .. math::

        \int p_u(u) \, p'(x \mid u) \, du = p(x)

    A subclass defines :meth:`apply`. One that was written for an older interface defines
    ``__call__`` in its place.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> class Exponentiate(Reparam):
    ...     def apply(self, msg):
    ...         law = msg["fn"]
    ...         log_x = pyro.sample(msg["name"] + "_log", law.base_dist)
    ...         return {"fn": dist.Delta(log_x.exp()), "value": log_x.exp(), "is_observed": True}
    >>> def model():
    ...     return pyro.sample("x", dist.LogNormal(0.0, 1.0))
    >>> poutine.trace(poutine.reparam(model, {"x": Exponentiate()})).get_trace().stochastic_nodes
    ['x_log']
    """

    @property
    def args_kwargs(self) -> CallArguments | None:
        """While it applies: the arguments of the model's call, None in a bare ``with`` block."""
        return wrapped_call()

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw auxiliary sites by :func:`~pyro.primitives.sample`, and return what is left to do.

        :param msg: the site.
        :raises NotImplementedError: where a subclass defines neither this nor ``__call__``.
        """
        if type(self).__call__ is Reparam.__call__:
            raise NotImplementedError(f"{type(self).__name__} defines no apply().")
        obs = msg["value"] if msg["is_observed"] else None
        fn, value = self(msg["name"], msg["fn"], obs)
        return {"fn": fn, "value": value, "is_observed": value is not None}

    def __call__(self, name: str, fn: Any, obs: Any) -> tuple[Any, Any]:
        """Do what :meth:`apply` does, through the older interface.

        :param name: the site's name.
        :param fn: its law.
        :param obs: its datum, None where it is drawn.
        :returns: the new law, and the value where it is given.
        """
        new = self.apply({"name": name, "fn": fn, "value": obs, "is_observed": obs is not None})
        return new["fn"], new["value"] if new["is_observed"] else None
