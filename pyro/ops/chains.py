"""How well a sampler's chains have mixed: autocovariance, scale reduction, sample size."""

import torch
from torch import Tensor
from torch.fft import irfft, rfft


def autocovariance(input: Tensor, dim: int = 0) -> Tensor:
    r"""Return :math:`c_k = \frac{1}{N-k} \sum_{t=1}^{N-k} (x_t - \bar x)(x_{t+k} - \bar x)`.

    :param input: a series along one dimension, of ``N`` samples.
    :param dim: that dimension.
    :returns: a tensor of the shape of the input, with the lag ``k = 0, ..., N - 1`` along ``dim``.

    >>> autocovariance(torch.tensor([1.0, -1.0, 1.0, -1.0]))
    tensor([ 1., -1.,  1., -1.])

    Source: Priestley 1981, *Spectral Analysis and Time Series*, section 5.3.
    """
    series = input.movedim(dim, -1)
    count = series.size(-1)
    centred = series - series.mean(-1, keepdim=True)
    spectrum = rfft(centred, n=_padded(2 * count))
    products = irfft(spectrum.abs().square(), n=_padded(2 * count))[..., :count]
    terms = torch.arange(count, 0, -1, dtype=input.dtype, device=input.device)
    covariance: Tensor = products / terms
    return covariance.movedim(-1, dim)


def _padded(size: int) -> int:
    """Return the power of two from a size up, for which Fourier transforms are fastest."""
    return 1 << (size - 1).bit_length()


def autocorrelation(input: Tensor, dim: int = 0) -> Tensor:
    r"""Return the autocovariance at each lag, divided by that at lag 0.

    :param input: a series along one dimension.
    :param dim: that dimension.
    :returns: a tensor of the shape of the input, with the lag along ``dim``; NaN where the series
        is constant.

    >>> autocorrelation(torch.tensor([2.0, -2.0, 2.0, -2.0]))
    tensor([ 1., -1.,  1., -1.])
    """
    covariance = autocovariance(input, dim)
    return covariance / covariance.narrow(dim, 0, 1)


def _chains_first(input: Tensor, chain_dim: int, sample_dim: int, samples: int) -> Tensor:
    """Bring chains and samples to the front, where there are enough samples."""
    chains = input.movedim((chain_dim, sample_dim), (0, 1))
    if chains.size(1) < samples:
        raise ValueError(
            f"The input has shape {tuple(input.shape)}, so that a chain holds {chains.size(1)} "
            f"samples along sample_dim={sample_dim}, expected {samples} at least."
        )
    return chains


def _variances(chains: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean variance within chains, and an estimate from within and between them."""
    count = chains.size(1)
    within = chains.var(1).mean(0)
    pooled = within * (count - 1) / count
    if len(chains) > 1:
        pooled = pooled + chains.mean(1).var(0)
    return within, pooled


def gelman_rubin(input: Tensor, chain_dim: int = 0, sample_dim: int = 1) -> Tensor:
    r"""Return the potential scale reduction :math:`\hat R = \sqrt{\hat V / W}`.

    Of :math:`M` chains of :math:`N` samples, :math:`W` is the mean of their variances, :math:`B/N`
    the variance of their means, and :math:`\hat V = \frac{N-1}{N} W + \frac{B}{N}`. It is near 1
    where the chains have mixed.

    :param input: samples of several chains.
    :param chain_dim: the dimension of the chains.
    :param sample_dim: the dimension of a chain's samples.
    :returns: a tensor of the input's other dimensions.
    :raises ValueError: for fewer than two chains or samples.

    >>> gelman_rubin(torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    tensor(0.7071)

    Source: Gelman and Rubin 1992, Statistical Science 7(4), doi:10.1214/ss/1177011136.
    """
    chains = _chains_first(input, chain_dim, sample_dim, samples=2)
    if len(chains) < 2:
        raise ValueError(
            f"gelman_rubin compares chains, of which chain_dim={chain_dim} holds {len(chains)}. "
            "Run several, or use split_gelman_rubin()."
        )
    within, pooled = _variances(chains)
    return (pooled / within).sqrt()


def split_gelman_rubin(input: Tensor, chain_dim: int = 0, sample_dim: int = 1) -> Tensor:
    r"""Return the :math:`\hat R` of :func:`gelman_rubin` of half chains, which shows a drift too.

    :param input: samples of one or more chains; of an odd number of samples the middle one is left
        out.
    :param chain_dim: the dimension of the chains.
    :param sample_dim: the dimension of a chain's samples.
    :returns: a tensor of the input's other dimensions.
    :raises ValueError: for fewer than four samples.

    >>> split_gelman_rubin(torch.tensor([[0.0, 1.0, 0.0, 1.0]]))
    tensor(0.7071)

    Source: Gelman et al. 2013, *Bayesian Data Analysis*, section 11.4.
    """
    chains = _chains_first(input, chain_dim, sample_dim, samples=4)
    half = chains.size(1) // 2
    return gelman_rubin(torch.cat([chains[:, :half], chains[:, -half:]]))


def effective_sample_size(input: Tensor, chain_dim: int = 0, sample_dim: int = 1) -> Tensor:
    r"""Return how many independent samples estimate a mean as well: :math:`M N / \tau`.

    :math:`\tau = -1 + 2 \sum_t P_t`, where :math:`P_t = \rho_{2t} + \rho_{2t+1}`,
    :math:`\rho_k = 1 - (W - \bar c_k) / \hat V` with :math:`W` and :math:`\hat V` as in
    :func:`gelman_rubin` and :math:`\bar c_k` the autocovariance at lag :math:`k`, averaged over
    chains; of a single chain, :math:`\rho_k = c_k / c_0`. The sum ends before the first negative
    :math:`P_t`, and each :math:`P_t` is at most the one before.

    :param input: samples of one or more chains.
    :param chain_dim: the dimension of the chains.
    :param sample_dim: the dimension of a chain's samples.
    :returns: a tensor of the input's other dimensions; above the number of samples where they are
        negatively correlated.
    :raises ValueError: for fewer than two samples.

    >>> effective_sample_size(torch.tensor([[0.0, 0.0, 1.0, 1.0]])).round(decimals=3)
    tensor(2.4000)

    Source: Geyer 1992, Statistical Science 7(4), doi:10.1214/ss/1177011137; Vehtari et al. 2021,
    arXiv:1903.08008.
    """
    chains = _chains_first(input, chain_dim, sample_dim, samples=2)
    count = chains.size(1)
    within, pooled = _variances(chains)
    if len(chains) == 1:  # nothing lies between chains, and the correlation is plain
        within = pooled
    rho = 1 - (within - autocovariance(chains, 1).mean(0)) / pooled
    rho[0] = 1
    pairs = rho[: count - count % 2].unflatten(0, (-1, 2)).sum(1)
    is_kept = (pairs > 0).cumprod(0)
    tau: Tensor = 2 * (pairs * is_kept).cummin(0).values.sum(0) - 1
    return len(chains) * count / tau
