"""Variational inference with the maximum mean discrepancy between posterior and prior draws."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

from pyro._foundation.errors import site_error
from pyro.infer.checks import check_fully_reparametrized, check_nothing_hidden
from pyro.infer.elbo import Args, Kwargs, ParticleLoss, Program
from pyro.infer.joint_elbo import JointELBO, Run
from pyro.poutine.handlers import trace
from pyro.poutine.sites import site_is_latent, site_is_observed
from pyro.poutine.trace_struct import Trace

T = TypeVar("T")
Kernel = Callable[..., torch.Tensor]


class Trace_MMD(JointELBO):
    r"""Estimates :math:`-E_q[\log p(x \mid z)] + \sum_i \lambda_i\,\mathrm{MMD}^2(q(z_i), p(z_i))`.

    For each latent site :math:`i` of model and guide, with :math:`K` draws :math:`z` of the guide
    and :math:`K` draws :math:`\zeta` of the model, where its parents come from the model too, the
    squared discrepancy in the space of the kernel :math:`k` is estimated without bias by

    .. math:: \frac{1}{K (K - 1)} \sum_{a \ne b} \big(k(z_a, z_b) + k(\zeta_a, \zeta_b)\big)
        - \frac{2}{K^2} \sum_{a, b} k(z_a, \zeta_b).

    A draw of a site, with all the elements of the plates around it, is one vector to the kernel.
    Every draw of the guide must be differentiable, as must draws of the prior that depend on
    parameters.

    :param kernel: a function of two matrices of shapes ``(m, d)`` and ``(n, d)`` that returns the
        matrix ``(m, n)`` of the kernel between their rows, and of one matrix, for the kernel
        between its own rows; or a dict of such functions by site. The kernels of Pyro's Gaussian
        processes are such functions.
    :param mmd_scale: the factor :math:`\lambda`, or a dict of factors by site.
    :param num_particles: how many draws, at least two.
    :param max_plate_nesting: as of :class:`~pyro.infer.elbo.ELBO`.
    :param max_iarange_nesting: an older name of ``max_plate_nesting``.
    :param vectorize_particles: draw all particles at once, in one more plate on the left.
    :param strict_enumeration_warning: as of :class:`~pyro.infer.elbo.ELBO`.
    :param ignore_jit_warnings: as of :class:`~pyro.infer.elbo.ELBO`.
    :param retain_graph: keep the graph after the backward pass; by default it is freed.
    :raises TypeError: where a kernel cannot be called.
    :raises ValueError: for fewer than two particles.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))
    >>> def guide():
    ...     pyro.sample("z", dist.Normal(pyro.param("loc", torch.tensor(0.0)), 1.0))
    >>> def kernel(x, y=None):
    ...     return torch.exp(-torch.cdist(x, x if y is None else y) ** 2 / 2)
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_MMD(kernel))
    >>> losses = [svi.step() for _ in range(100)]
    >>> bool(pyro.param("loc") > 0.5)
    True

    Source: Zhao, Song and Ermon 2017, *InfoVAE*, arXiv:1706.02262; Gretton et al. 2012, *A Kernel
    Two-Sample Test*, JMLR 13.
    """

    def __init__(
        self,
        kernel: Kernel | Mapping[str, Kernel],
        mmd_scale: float | Mapping[str, float] = 1,
        num_particles: int = 10,
        max_plate_nesting: float = math.inf,
        max_iarange_nesting: float | None = None,
        vectorize_particles: bool = True,
        strict_enumeration_warning: bool = True,
        ignore_jit_warnings: bool = False,
        retain_graph: bool | None = None,
    ) -> None:
        if num_particles < 2:
            raise ValueError(f"A discrepancy needs two particles or more, got {num_particles}.")
        super().__init__(
            num_particles=num_particles,
            max_plate_nesting=max_plate_nesting,
            max_iarange_nesting=max_iarange_nesting,
            vectorize_particles=vectorize_particles,
            strict_enumeration_warning=strict_enumeration_warning,
            ignore_jit_warnings=ignore_jit_warnings,
            retain_graph=retain_graph,
        )
        self.kernel = kernel
        self.mmd_scale = mmd_scale

    @property
    def kernel(self) -> Mapping[str, Kernel]:
        """The kernel of every site; one function may be set for all of them."""
        return self._kernel

    @kernel.setter
    def kernel(self, kernel: Kernel | Mapping[str, Kernel]) -> None:
        for each in kernel.values() if isinstance(kernel, Mapping) else [kernel]:
            if not callable(each):
                raise TypeError(f"A kernel must be a function of two matrices, got {each!r}.")
        self._kernel = _by_site(kernel)

    @property
    def mmd_scale(self) -> Mapping[str, float]:
        """The factor of every site's discrepancy; one number may be set for all of them."""
        return self._mmd_scale

    @mmd_scale.setter
    def mmd_scale(self, mmd_scale: float | Mapping[str, float]) -> None:
        self._mmd_scale = _by_site(mmd_scale)

    def _get_trace(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Trace, Trace]:
        model_trace, guide_trace = super()._get_trace(model, guide, args, kwargs)
        prior = trace(model).get_trace(*args, **kwargs)
        for name, site in guide_trace.nodes.items():
            if name in model_trace and site_is_latent(site):
                check_fully_reparametrized(site)
                check_nothing_hidden(prior.nodes[name])
                site["prior_value"] = prior.nodes[name]["value"]
        return model_trace, guide_trace

    def _joint_loss(self, runs: Sequence[Run]) -> ParticleLoss:
        models, guides = zip(*runs, strict=True)
        evidence = self._by_particle(
            [
                [site["log_prob"] for site in model.nodes.values() if site_is_observed(site)]
                for model in models
            ]
        )
        loss = -evidence.mean()
        for name, site in guides[0].nodes.items():
            if "prior_value" in site:
                posterior, prior = (
                    self._rows([guide.nodes[name][key] for guide in guides])
                    for key in ("value", "prior_value")
                )
                kernel, scale = _of_site(self.kernel, name), _of_site(self.mmd_scale, name)
                loss = loss + scale * squared_discrepancy(kernel, posterior, prior)
        return ParticleLoss(loss, loss)

    def _rows(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the draws of a site as a matrix, a particle a row."""
        draws = values[0] if self._batches_particles else torch.stack([*values])
        return draws.reshape(self.num_particles, -1)


def squared_discrepancy(kernel: Kernel, xs: torch.Tensor, ys: torch.Tensor) -> torch.Tensor:
    """Return an unbiased estimate of the squared maximum mean discrepancy of two laws.

    :param kernel: a function as for :class:`Trace_MMD`.
    :param xs: draws of one law, a row each.
    :param ys: draws of the other law, a row each.

    >>> def kernel(x, y=None):
    ...     return x @ (x if y is None else y).T
    >>> x, y = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [2.0]])
    >>> squared_discrepancy(kernel, x, y)  # 1 * 3 + 0 * 2 - 2 * mean(x) * mean(y)
    tensor(-1.)
    """
    within = mean_off_diagonal(kernel(xs)) + mean_off_diagonal(kernel(ys))
    return within - 2 * kernel(xs, ys).mean()


def mean_off_diagonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return the mean of a square matrix without its diagonal.

    :param matrix: the matrix, of two rows or more.

    >>> mean_off_diagonal(torch.tensor([[9.0, 1.0], [3.0, 9.0]]))
    tensor(2.)
    """
    size = len(matrix)
    return (matrix.sum() - matrix.diagonal().sum()) / (size * (size - 1))


class _Everywhere(dict[str, T]):
    """Gives every site the same."""

    def __init__(self, value: T) -> None:
        super().__init__()
        self.value = value

    def __missing__(self, name: str) -> T:
        return self.value

    def __reduce__(self) -> Any:
        return type(self), (self.value,)


def _by_site(x: T | Mapping[str, T]) -> Mapping[str, T]:
    return x if isinstance(x, Mapping) else _Everywhere(x)


def _of_site(by_site: Mapping[str, T], name: str) -> T:
    try:
        return by_site[name]
    except KeyError:
        raise site_error(
            name,
            f"kernels or scales are given for {', '.join(map(repr, by_site)) or 'no site'} only",
            "Give one for this site too, or a single one for all.",
        ) from None
