"""Linear models of time whose noise is a mixture of normal laws."""

from collections.abc import Callable
from typing import Any

from pyro._foundation.errors import site_error
from pyro.distributions.gaussian_chain import is_normal
from pyro.distributions.gaussian_hmm import GaussianHMM
from pyro.distributions.independent_hmm import IndependentHMM
from pyro.distributions.linear_hmm import LinearHMM, seen_through
from pyro.infer.reparam.layers import around, core_of
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult


class LinearHMMReparam(Reparam):
    r"""Write the noise of a linear model of time as normal, given auxiliary sites.

    Each of the three kinds of noise of a :class:`~pyro.distributions.LinearHMM` is reparameterised
    on its own, so that it becomes normal: that of Student's law by
    :class:`~pyro.infer.reparam.StudentTReparam`, stable noise by
    :class:`~pyro.infer.reparam.StableReparam` or
    :class:`~pyro.infer.reparam.SymmetricStableReparam`. The site's law is then a
    :class:`~pyro.distributions.GaussianHMM`, or that transformed, which is integrated exactly over
    hidden states. The auxiliary sites are those of sites ``{name}_init``, ``{name}_trans`` and
    ``{name}_obs``, which hold the noise of all steps: so with ``trans=StudentTReparam()`` there is
    ``{name}_trans_gamma``. The site itself stays one that is drawn or observed.

    An :class:`~pyro.distributions.IndependentHMM` of such models is treated alike.

    :param init: the reparameterisation of the state before the first step; None leaves it alone, as
        where it is normal.
    :param trans: that of the noise of transitions.
    :param obs: that of the noise of observations.
    :raises ValueError: that names the site, where its law is of another kind or has no duration, or
        where noise is not normal after all.

    >>> import torch, pyro, pyro.distributions as dist
    >>> from pyro.infer.reparam import StudentTReparam
    >>> def model(data):
    ...     normal = dist.Normal(torch.zeros(1), 1.0).to_event(1)
    ...     heavy, eye = dist.StudentT(3.0, torch.zeros(1), 1.0).to_event(1), torch.eye(1)
    ...     walk = dist.LinearHMM(normal, eye, heavy, eye, normal, duration=4)
    ...     pyro.sample("x", walk, obs=data)
    >>> config = {"x": LinearHMMReparam(trans=StudentTReparam())}
    >>> as_normal = pyro.poutine.reparam(model, config=config)
    >>> pyro.poutine.trace(as_normal).get_trace(torch.zeros(4, 1)).stochastic_nodes
    ['x_trans_gamma']
    """

    def __init__(
        self,
        init: Reparam | None = None,
        trans: Reparam | None = None,
        obs: Reparam | None = None,
    ) -> None:
        for name, part in {"init": init, "trans": trans, "obs": obs}.items():
            if part is not None and not isinstance(part, Reparam):
                raise TypeError(f"LinearHMMReparam: {name} is a Reparam or None, not {part!r}.")
        self.init = init
        self.trans = trans
        self.obs = obs

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw what the noise depends on, and make the site's law normal.

        :param msg: the site.
        """
        law, hmm = msg["fn"], _model_of(msg)
        each = hmm.batch_shape + (hmm._steps(),)
        initial = self._noise(
            msg, "init", self.init, hmm.initial_dist, lambda part: part.expand(hmm.batch_shape)
        )
        shock, seen = (
            self._noise(msg, kind, reparam, part, lambda part: part.expand(each).to_event(1))
            for kind, reparam, part in (
                ("trans", self.trans, hmm.transition_dist),
                ("obs", self.obs, hmm.observation_dist),
            )
        )
        normal = GaussianHMM(
            initial,
            hmm.transition_matrix,
            shock,
            hmm.observation_matrix,
            seen,
            duration=hmm.duration,
        )
        new = seen_through(normal, hmm.transforms)

        def around_model(core: Any) -> Any:
            return IndependentHMM(new) if isinstance(core, IndependentHMM) else new

        value, is_observed = msg["value"], bool(msg["is_observed"])
        return {"fn": around(law, around_model), "value": value, "is_observed": is_observed}

    def _noise(
        self,
        msg: ReparamMessage,
        kind: str,
        reparam: Reparam | None,
        part: Any,
        of_all_steps: Callable[[Any], Any],
    ) -> Any:
        """Return a normal law for noise of the model."""
        if reparam is None:
            new = part
        else:
            law = msg["fn"]

            def noise(core: Any) -> Any:
                whole = of_all_steps(part)
                return whole.to_event(1) if isinstance(core, IndependentHMM) else whole

            whole = around(law, noise, masks=False)
            name = f"{msg['name']}_{kind}"
            given: ReparamMessage = {"name": name, "fn": whole, "value": None, "is_observed": False}
            result = reparam.apply(given)
            new = result["fn"]
            if not result["is_observed"]:  # else it is computed, and no noise any more
                new = new.to_event(1 - whole.event_dim)
        if not is_normal(new):
            raise site_error(
                msg["name"],
                f"LinearHMMReparam needs normal noise, but that of {kind!r} is {new}",
                f"Give {kind}= a reparameterisation that makes it normal, such as "
                "StudentTReparam() or StableReparam().",
            )
        return new


def _model_of(msg: ReparamMessage) -> LinearHMM:
    core = core_of(msg["fn"])
    hmm = core.base_dist if isinstance(core, IndependentHMM) else core
    if not isinstance(hmm, LinearHMM):
        raise site_error(
            msg["name"],
            f"LinearHMMReparam is for LinearHMM, and IndependentHMM of one, but the law is {core}",
            "Leave the site out of the configuration, or choose another reparameterisation.",
        )
    if hmm.duration is None:
        raise site_error(
            msg["name"],
            f"LinearHMMReparam draws the noise of all steps, and {hmm} does not tell how many",
            "Construct the law with duration=.",
        )
    return hmm
