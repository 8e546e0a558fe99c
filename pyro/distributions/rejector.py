"""Laws drawn by rejection, with gradients that know of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.distribution import Distribution
from pyro.distributions.score_parts import ScoreParts
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.readable import is_readable

_ROUNDING = 1e3  # how many of the smallest steps from 1 an acceptance probability may exceed it


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Let torch's global generator continue where another one stands, and move that one on.

    :param generator: the other one, on the CPU; with None nothing happens.

    >>> with drawing_from(torch.Generator().manual_seed(0)):
    ...     first = torch.rand(2)
    >>> bool((first == torch.rand(2, generator=torch.Generator().manual_seed(0))).all())
    True
    """
    if generator is None:
        yield
        return
    before = torch.get_rng_state()
    torch.set_rng_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(torch.get_rng_state())
        torch.set_rng_state(before)


class Rejector(TorchDistribution):
    r"""Law of a proposal that was accepted, :math:`p(x)=r(x)\,a(x)/Z`.

    A proposal is drawn from :math:`r` and accepted with probability :math:`a(x)`; else another one
    is drawn. :math:`Z=E_r\,a(x)` is the probability that one is accepted.

    Where proposals are a smooth function :math:`h(\varepsilon,\theta)` of noise, that which is
    accepted is so of noise that itself has a law :math:`\pi` with parameters, and

    .. math:: \nabla_\theta E_p f(x)
        = E_\pi\bigl[\nabla_\theta f(h(\varepsilon,\theta))
        + f(h(\varepsilon,\theta))\,\nabla_\theta\log\tfrac{a(h(\varepsilon,\theta))}Z\bigr] .

    The first term is the gradient of a draw, and :meth:`score_parts` gives the logarithm in the
    second. A gradient of draws alone is biased; objectives such as
    :class:`~pyro.infer.Trace_ELBO` use both.

    :param propose: the law of the proposals, of this law's batch and event shape; or a function
        that draws them, given a sample shape, for a subclass with a :meth:`log_prob` of its own.
    :param log_prob_accept: a function from values to :math:`\log a`, one number for each event.
    :param log_scale: :math:`\log Z`.
    :param batch_shape: the batch shape; that of ``propose`` where None.
    :param event_shape: the event shape, likewise.

    >>> from pyro.distributions.gamma import Exponential
    >>> law = Rejector(Exponential(1.0), lambda x: -x, torch.tensor(0.5).log())  # of rate 2
    >>> law.log_prob(torch.tensor(1.0))
    tensor(-1.3069)

    Source: Naesseth, Ruiz, Linderman and Blei 2017, *Reparameterization Gradients through
    Acceptance-Rejection Sampling Algorithms*, arXiv:1610.05683.
    """

    arg_constraints: dict[str, Any] = {}
    has_rsample = True
    propose: Any
    log_prob_accept: Callable[[Tensor], Tensor]
    log_scale: Tensor

    def __init__(
        self,
        propose: Any,
        log_prob_accept: Callable[[Tensor], Tensor],
        log_scale: Tensor,
        *,
        batch_shape: Shape | None = None,
        event_shape: Shape | None = None,
    ) -> None:
        if not isinstance(propose, Distribution) and None in (batch_shape, event_shape):
            raise ValueError(
                "Rejector: 'propose' is a function, whose shapes are not known. Pass batch_shape "
                "and event_shape, or a law in its place."
            )
        self.propose = propose
        self.log_prob_accept = log_prob_accept
        self.log_scale = torch.as_tensor(log_scale)
        super().__init__(
            propose.batch_shape if batch_shape is None else batch_shape,
            propose.event_shape if event_shape is None else event_shape,
        )

    @constraints.dependent_property
    def support(self) -> Any:
        """That of the proposals.

        :raises NotImplementedError: where these come from a function.
        """
        self._require_law()
        return self.propose.support

    def _require_law(self) -> None:
        if not isinstance(self.propose, Distribution):
            raise NotImplementedError(
                f"{type(self).__name__} has a function for its proposals. Define support and "
                f"log_prob in a subclass, or pass a law."
            )

    def __repr__(self) -> str:
        shapes = f"batch_shape={tuple(self.batch_shape)}, event_shape={tuple(self.event_shape)}"
        return f"{type(self).__name__}({shapes})"

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        propose = self.propose
        if not isinstance(propose, Distribution):
            return super().expand(batch_shape, _instance)
        new: Any = object.__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        new._batch_shape = torch.Size(batch_shape)
        new.propose = propose.expand(batch_shape)  # type: ignore[attr-defined]
        return new

    def rsample(
        self, sample_shape: Shape = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw, differentiably along the accepted proposals.

        :param sample_shape: the shape of independent draws.
        :param generator: a generator of random numbers on the CPU; None for torch's global one.
        :raises ValueError: where an acceptance probability is NaN or, under validation, above 1.
        """
        shape = torch.Size(sample_shape)
        with drawing_from(generator):
            value: Tensor = self.propose(shape)
            done = self._accepts(value, shape)
            while not done.all():
                again = self.propose(shape)
                value = torch.where(done[(...,) + (None,) * self.event_dim], value, again)
                done = done | self._accepts(value, shape)
        return value

    def _accepts(self, value: Tensor, shape: torch.Size) -> Tensor:
        """Tell which proposals are accepted, tossing anew for each."""
        with torch.no_grad():
            log_accept = self.log_prob_accept(value)
        if is_readable(log_accept):
            self._check_acceptance(log_accept)
        shape = shape + self.batch_shape
        noise = torch.empty(shape, dtype=log_accept.dtype, device=log_accept.device)
        return -noise.exponential_() < log_accept

    def _check_acceptance(self, log_accept: Tensor) -> None:
        highest = log_accept.max().item() if log_accept.numel() else 0.0
        name = type(self).__name__
        if highest != highest:
            raise ValueError(
                f"{name}: log_prob_accept is NaN for a proposal, which can be neither accepted nor "
                f"rejected. Return minus infinity for what lies outside the support."
            )
        if self._validate_args and highest > _ROUNDING * torch.finfo(log_accept.dtype).eps:
            raise ValueError(
                f"{name}: log_prob_accept is {highest:.3g} for a proposal, but the logarithm of a "
                f"probability is at most 0. Subtract its maximum, from log_scale too."
            )

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density.

        :param x: the value.
        :raises NotImplementedError: where the proposals come from a function.
        """
        self._require_law()
        if self._validate_args:
            self._validate_sample(x)
        proposed: Tensor = self.propose.log_prob(x)
        return proposed + self._log_acceptance(x)

    def score_parts(self, x: Tensor) -> ScoreParts:
        """Return the parts of the log density that an ELBO's gradient estimator needs.

        :param x: a value that this law drew, with the gradients of the draw.
        """
        return super().score_parts(x)

    def _log_acceptance(self, x: Tensor) -> Tensor:
        return self.log_prob_accept(x) - self.log_scale

    def _noise_score(self, value: Tensor) -> Tensor:
        return self._log_acceptance(value)
