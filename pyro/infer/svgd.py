"""Stein variational gradient descent: particles that move towards a posterior, and apart."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import biject_to
from torch.distributions.transforms import Transform

from pyro._foundation.errors import site_error
from pyro.infer.autoguide.supports import helpful_support_errors
from pyro.infer.checks import refuse_outer_ties
from pyro.infer.elbo import PARTICLE_PLATE, Program
from pyro.infer.initialization import InitMessenger, init_to_sample
from pyro.infer.nonfinite import warn_of_nan_loss
from pyro.infer.numerics import zero_grads
from pyro.infer.plates import inside_plate
from pyro.optim.optim import PyroOptim
from pyro.poutine.handlers import block, condition, trace
from pyro.poutine.sites import site_is_equalized, site_is_latent, site_is_param
from pyro.primitives import param

PARTICLES = "svgd_particles"


def vectorize(fn: Program, num_particles: int, max_plate_nesting: int) -> Callable[..., Any]:
    """Return a model as it runs for many particles at once, in one more plate on the left.

    :param fn: the model.
    :param num_particles: how many particles there are.
    :param max_plate_nesting: how many batch dimensions the model's own plates take up.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     return pyro.sample("z", dist.Normal(0.0, 1.0))
    >>> vectorize(model, num_particles=5, max_plate_nesting=1)().shape
    torch.Size([5, 1])
    """
    return inside_plate(fn, PARTICLE_PLATE, num_particles, -1 - max_plate_nesting)


class SteinKernel(ABC):
    """Base of the kernels by which particles know of each other."""

    @abstractmethod
    def log_kernel_and_grad(self, particles: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return :math:`\log k_d(x_i, x_j)` and its gradient with respect to :math:`x_i`.

        There is a kernel for each coordinate :math:`d`; the kernel of whole particles is their
        product.

        :param particles: the particles :math:`x`, shape ``(N, D)``.
        :returns: two tensors of shape ``(N, N, D)``.
        """


class _ScaledKernel(SteinKernel):
    """A kernel of squared distances in units of a bandwidth, which follows the particles."""

    def __init__(self, bandwidth_factor: float | None = None) -> None:
        self.bandwidth_factor = bandwidth_factor

    @property
    def bandwidth_factor(self) -> float | None:
        """What the median bandwidth is multiplied by; None stands for 1."""
        return self._bandwidth_factor

    @bandwidth_factor.setter
    def bandwidth_factor(self, bandwidth_factor: float | None) -> None:
        if bandwidth_factor is not None and not bandwidth_factor > 0:
            raise ValueError(f"bandwidth_factor must be positive, got {bandwidth_factor}.")
        self._bandwidth_factor = bandwidth_factor

    def _scaled(self, particles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Return :math:`x_i - x_j`, its square in units of the bandwidth, and the bandwidth.

        That is the median of the squared distances of two particles over :math:`\log(N + 1)`, so
        that a particle feels its neighbours as much as itself.
        """
        count = len(particles)
        apart = particles.unsqueeze(1) - particles
        squares = apart.square()
        if count > 1:
            rows, columns = torch.tril_indices(count, count, -1, device=particles.device)
            median = squares[rows, columns].median(0).values
        else:
            median = squares.new_ones(particles.size(-1))
        width = median * ((self._bandwidth_factor or 1.0) / math.log(count + 1))
        width = width.clamp(min=torch.finfo(width.dtype).tiny)
        return apart, squares / width, width


class RBFSteinKernel(_ScaledKernel):
    r"""The kernel :math:`\exp(-(x - y)^2 / h)` of each coordinate.

    :math:`h` is the median of :math:`(x_i - x_j)^2` over all pairs, divided by
    :math:`\log(N + 1)` and multiplied by a factor.

    :param bandwidth_factor: the factor, 1 by default.
    :raises ValueError: where it is not positive.

    >>> log_kernel, _ = RBFSteinKernel().log_kernel_and_grad(torch.tensor([[0.0], [2.0]]))
    >>> log_kernel.squeeze(-1).exp()
    tensor([[1.0000, 0.3333],
            [0.3333, 1.0000]])

    Source: Liu and Wang 2016, *Stein Variational Gradient Descent*, arXiv:1608.04471.
    """

    def log_kernel_and_grad(self, particles: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithm of the kernel and its gradient, see :class:`SteinKernel`.

        :param particles: the particles, shape ``(N, D)``.
        """
        apart, squares, width = self._scaled(particles)
        return -squares, apart * (-2 / width)


class IMQSteinKernel(_ScaledKernel):
    r"""The kernel :math:`(\alpha + (x - y)^2 / h)^\beta` of each coordinate.

    Its tails are heavier than those of :class:`RBFSteinKernel`, whose bandwidth :math:`h` it has.

    :param alpha: :math:`\alpha`, positive.
    :param beta: :math:`\beta`, negative.
    :param bandwidth_factor: what the bandwidth is multiplied by, 1 by default.
    :raises ValueError: where one of them is out of range.

    >>> log_kernel, _ = IMQSteinKernel(alpha=1.0).log_kernel_and_grad(torch.zeros(1, 1))
    >>> log_kernel.exp()
    tensor([[[1.]]])

    Source: Gorham and Mackey 2017, *Measuring Sample Quality with Kernels*, arXiv:1703.01717.
    """

    def __init__(
        self, alpha: float = 0.5, beta: float = -0.5, bandwidth_factor: float | None = None
    ) -> None:
        if not alpha > 0:
            raise ValueError(f"alpha must be positive, got {alpha}.")
        if not beta < 0:
            raise ValueError(f"beta must be negative, got {beta}.")
        super().__init__(bandwidth_factor)
        self.alpha = alpha
        self.beta = beta

    def log_kernel_and_grad(self, particles: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithm of the kernel and its gradient, see :class:`SteinKernel`.

        :param particles: the particles, shape ``(N, D)``.
        """
        apart, squares, width = self._scaled(particles)
        base = self.alpha + squares
        return self.beta * base.log(), apart * (2 * self.beta / width) / base


class _Coordinates(NamedTuple):
    """Where a site's values lie among a particle's coordinates, and how to get there."""

    columns: slice
    shape: torch.Size  # of the unconstrained values of all particles
    transform: Transform


class SVGD:
    r"""Moves particles :math:`x_i` along

    .. math::

        \phi(x_j) = \frac{1}{N} \sum_i k(x_i, x_j) \nabla \log p(x_i) + \nabla_{x_i} k(x_i, x_j),

    towards the posterior and away from each other. The coordinates are unconstrained, with
    :math:`p` the density there. The particles are the parameter ``svgd_particles``, shape
    ``(N, D)``; parameters of the model are fitted along with them.

    :param model: the model, vectorised; all its latent sites are continuous.
    :param kernel: the kernel :math:`k`, a :class:`SteinKernel`.
    :param optim: the optimiser, a wrapper from :mod:`pyro.optim`.
    :param num_particles: how many particles there are. They start at draws of the prior.
    :param max_plate_nesting: how many batch dimensions the model's plates take up.
    :param mode: ``"univariate"``, where each coordinate has a kernel of its own, which suits many
        dimensions, or ``"multivariate"``, where the kernel of all is their product.
    :raises ValueError: for another mode, and for fewer than one particle.
    :raises TypeError: where kernel or optimiser is of another kind.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))
    >>> svgd = SVGD(model, RBFSteinKernel(), pyro.optim.Adam({"lr": 0.1}), 20, 0)
    >>> for _ in range(100):
    ...     squared_gradients = svgd.step()
    >>> bool((svgd.get_named_particles()["z"].mean() - 1.0).abs() < 0.05)
    True

    Source: Liu and Wang 2016, arXiv:1608.04471; Zhuo et al. 2018, *Message Passing Stein
    Variational Gradient Descent*, arXiv:1711.04425, for kernels of single coordinates.
    """

    def __init__(
        self,
        model: Program,
        kernel: SteinKernel,
        optim: PyroOptim,
        num_particles: int,
        max_plate_nesting: int,
        mode: str = "univariate",
    ) -> None:
        if not isinstance(kernel, SteinKernel):
            raise TypeError(f"kernel must be a SteinKernel such as RBFSteinKernel(), got {kernel}.")
        if not isinstance(optim, PyroOptim):
            raise TypeError(
                f"SVGD needs an optimiser from pyro.optim, got {optim}: pyro.optim.Adam({{'lr': "
                "0.01}), say."
            )
        if mode not in ("univariate", "multivariate"):
            raise ValueError(f"mode must be 'univariate' or 'multivariate', got {mode!r}.")
        if num_particles < 1:
            raise ValueError(f"num_particles must be a positive integer, got {num_particles}.")
        self.model = vectorize(model, num_particles, max_plate_nesting)
        self.kernel = kernel
        self.optim = optim
        self.num_particles = num_particles
        self.max_plate_nesting = max_plate_nesting
        self.mode = mode
        self._coordinates: dict[str, _Coordinates] = {}

    def get_named_particles(self) -> dict[str, Tensor]:
        """Return the particles' values, by site name, with the particles along the first dimension.

        :raises RuntimeError: before the first :meth:`step`.
        """
        if not self._coordinates:
            raise RuntimeError("SVGD has no particles yet: call step() first.")
        values: dict[str, Tensor] = self._constrain(param(PARTICLES))[0]
        return values

    def step(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Move the particles once.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the mean of the squared gradients of each site's coordinates, by site name.
        :raises ValueError: that names the site, where it is discrete, and where it lies in a
            sub-sampled plate.
        """
        refuse_outer_ties()
        if not self._coordinates:
            self._lay_out(args, kwargs)
        with trace(param_only=True) as read:
            particles = param(PARTICLES)
            values, log_volume = self._constrain(particles)
            with block(hide_fn=lambda msg: not site_is_param(msg)):
                record = trace(condition(self.model, data=values)).get_trace(*args, **kwargs)
            loss = -(record.log_prob_sum() + log_volume)
        warn_of_nan_loss(loss.item(), (record,))
        params = read.trace.nodes.values()
        leaves = {
            site["name"]: site["value"].unconstrained()
            for site in params
            if site_is_param(site) and not site_is_equalized(site)
        }
        try:
            loss.backward()
            leaf = leaves[PARTICLES]
            leaf.grad = -self._direction(leaf, -leaf.grad)
            squares = leaf.grad.square()
            self.optim(leaves.values())
        finally:
            zero_grads(leaves.values())
        return {
            name: squares[:, place.columns].mean().item()
            for name, place in self._coordinates.items()
        }

    @torch.no_grad()
    def _direction(self, particles: Tensor, score: Tensor) -> Tensor:
        """Return where the particles are to go, by the gradient of the log density at each."""
        log_kernel, log_slope = self.kernel.log_kernel_and_grad(particles)
        if self.mode == "multivariate":
            log_kernel = log_kernel.sum(-1, keepdim=True)
        return (log_kernel.exp() * (score.unsqueeze(1) + log_slope)).mean(0)

    def _constrain(self, particles: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the sites' values, and the log of how much the maps to them stretch volumes."""
        values, log_volume = {}, torch.zeros((), device=particles.device)
        for name, (columns, shape, transform) in self._coordinates.items():
            coordinates = particles[:, columns].reshape(shape)
            values[name] = transform(coordinates)
            stretch = transform.log_abs_det_jacobian(coordinates, values[name])
            log_volume = log_volume + stretch.sum()
        return values, log_volume

    def _lay_out(self, args: Any, kwargs: Any) -> None:
        """Draw the particles from the prior, unless the store has some, and see what they hold."""
        with block(), torch.no_grad():
            start = InitMessenger(init_to_sample)(self.model)
            prototype = trace(start).get_trace(*args, **kwargs)
        columns, end = [], 0
        for name, site in prototype.nodes.items():
            if not site_is_latent(site):
                continue
            if any(frame.full_size not in (None, frame.size) for frame in site["cond_indep_stack"]):
                raise site_error(
                    name,
                    "it is latent in a sub-sampled plate, where each step has other elements",
                    "Let the plate run whole, or move the site out of it.",
                )
            with helpful_support_errors(site):
                transform = biject_to(site["fn"].support)
            start_at: Tensor = transform.inv(site["value"])
            column = start_at.reshape(self.num_particles, -1)
            begin, end = end, end + column.size(-1)
            self._coordinates[name] = _Coordinates(slice(begin, end), start_at.shape, transform)
            columns.append(column)
        if not columns:
            raise ValueError("The model draws no latent site, so that there is nothing to find.")
        param(PARTICLES, torch.cat(columns, -1).detach().clone())
