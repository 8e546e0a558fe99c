"""How good predictions are: proper scores, an information criterion, and the weight of a tail."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, cdist


def crps_empirical(pred: Tensor, truth: Tensor) -> Tensor:
    r"""Return the ranked probability score :math:`E|X - y| - \frac{1}{2} E|X - X'|` of samples.

    Both expectations are over the samples: :math:`X` and :math:`X'` are any two of them, or the
    same one. The lower the score, the better; of a single sample it is the absolute error.

    :param pred: samples of a prediction along the first dimension, shape ``(N, *shape)``.
    :param truth: what came true, of shape ``shape``.
    :returns: the score of each number in ``truth``.
    :raises ValueError: where the shapes do not fit.

    >>> crps_empirical(torch.tensor([0.0, 2.0]), torch.tensor(0.0))
    tensor(0.5000)

    Source: Gneiting and Raftery 2007, JASA 102(477), doi:10.1198/016214506000001437, section 4.2.
    """
    if pred.shape[1:] != truth.shape or not pred.dim():
        raise ValueError(
            f"pred has shape {tuple(pred.shape)}, expected the samples along its first dimension "
            f"and then the shape of truth: (N, {', '.join(map(str, truth.shape))})."
        )
    count = len(pred)
    error = (pred - truth).abs().mean(0)
    if count == 1:
        return error
    gaps = pred.sort(0).values.diff(dim=0)
    below = torch.arange(1, count, dtype=pred.dtype, device=pred.device)
    pairs = (below * (count - below)).reshape((-1,) + (1,) * truth.dim())  # that a gap separates
    return error - (gaps * pairs).sum(0) / count**2


def energy_score_empirical(
    pred: Tensor,
    truth: Tensor,
    pred_batch_size: int | None = None,
    cdist: Callable[[Tensor, Tensor], Tensor] = cdist,
) -> Tensor:
    r"""Return the energy score :math:`E\|X - y\| - \frac{1}{2} E\|X - X'\|` of samples of vectors.

    It is :func:`crps_empirical` in several dimensions.

    :param pred: samples of a prediction, shape ``(*batch, N, D)``.
    :param truth: what came true, of shape ``(*batch, D)``, or ``(*batch, M, D)`` for many at once.
    :param pred_batch_size: how many samples to compare with all at a time, so that less memory is
        needed; by default all.
    :param cdist: gives the distances between the rows of two stacks of matrices.
    :returns: the score of each vector in ``truth``, shape ``(*batch,)`` or ``(*batch, M)``.
    :raises ValueError: where the shapes do not fit.

    >>> energy_score_empirical(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.zeros(2))
    tensor(1.2500)

    Source: Gneiting and Raftery 2007, JASA 102(477), doi:10.1198/016214506000001437, section 4.3.
    """
    is_single = truth.dim() == pred.dim() - 1
    targets = truth.unsqueeze(-2) if is_single else truth
    if targets.dim() != pred.dim() or pred.dim() < 2 or targets.size(-1) != pred.size(-1):
        raise ValueError(
            f"pred has shape {tuple(pred.shape)}, expected (*batch, N, D) for a truth of shape "
            f"(*batch, D) or (*batch, M, D), which is {tuple(truth.shape)}."
        )
    error = cdist(pred, targets).mean(-2)
    count = pred.size(-2)
    parts = pred.split(pred_batch_size or count, -2)
    spread = sum(cdist(part, pred).sum((-1, -2)) for part in parts) / count**2
    score = error - torch.as_tensor(spread).unsqueeze(-1) / 2
    return score.squeeze(-1) if is_single else score


def waic(
    input: Tensor, log_weights: Tensor | None = None, pointwise: bool = False, dim: int = 0
) -> tuple[Tensor, Tensor]:
    r"""Return :math:`-2 (\mathrm{lppd} - p)`, which estimates the deviance on new data, and p.

    .. math::

        \mathrm{lppd} = \sum_i \log E[p(x_i \mid z)], \quad
        p = \sum_i \operatorname{var}[\log p(x_i \mid z)]

    Expectations and variances are over posterior samples :math:`z`; the smaller the criterion, the
    better the model. The variances are unbiased for equal weights.

    :param input: the log likelihood of each observation under each sample.
    :param log_weights: logarithms of the samples' weights, up to a constant; equal by default.
    :param pointwise: whether to give the terms of each observation instead of their sum.
    :param dim: the dimension of the samples.
    :returns: the criterion, and :math:`p`, the effective number of parameters.

    >>> criterion, count = waic(torch.tensor([[-1.0, -2.0], [-1.0, -2.0]]))
    >>> criterion, count
    (tensor(6.), tensor(0.))

    Source: Watanabe 2010, JMLR 11; Gelman, Hwang and Vehtari 2014, arXiv:1307.5928.
    """
    scores = input.movedim(dim, 0)
    count = len(scores)
    if log_weights is None:
        log_weights = scores.new_zeros(count)
    log_shares = torch.log_softmax(log_weights, 0).reshape((-1,) + (1,) * (scores.dim() - 1))
    shares = log_shares.exp()
    lppd = torch.logsumexp(scores + log_shares, 0)
    spread = (scores - (shares * scores).sum(0)).square()
    complexity = (shares * spread).sum(0) * (count / (count - 1) if count > 1 else 1.0)
    criterion = -2 * (lppd - complexity)
    return (criterion, complexity) if pointwise else (criterion.sum(), complexity.sum())


def fit_generalized_pareto(X: Tensor) -> tuple[float, float]:
    r"""Fit :math:`p(x) = \frac{1}{\sigma} (1 + k x / \sigma)^{-1/k - 1}` to exceedances.

    The shape :math:`k` is a posterior mean over a grid of profile likelihoods, drawn towards 1/2
    with the weight of ten observations; above 0.7 the tail is too heavy for importance sampling.

    :param X: how much each observation lies above the threshold, shape ``(N,)``.
    :returns: :math:`k` and :math:`\sigma`.
    :raises ValueError: where ``X`` is no vector of positive numbers.

    >>> k, sigma = fit_generalized_pareto(torch.linspace(0.001, 0.999, 1000))  # uniform: k = -1
    >>> abs(k + 1) < 0.05, abs(sigma - 1) < 0.05
    (True, True)

    Source: Zhang and Stephens 2009, Technometrics 51(3), doi:10.1198/tech.2009.08017; Vehtari et
    al. 2024, *Pareto Smoothed Importance Sampling*, arXiv:1507.02646, appendix C.
    """
    if X.dim() != 1 or not len(X) or not bool((X > 0).all()):
        raise ValueError(f"X holds positive exceedances, of shape (N,); it is {X}.")
    x = X.detach().double().sort().values
    count = len(x)
    size = 30 + int(math.sqrt(count))
    steps = torch.arange(1, size + 1, dtype=x.dtype, device=x.device)
    quartile = x[max(int(count / 4 + 0.5) - 1, 0)]
    # theta = -k / sigma runs over a grid up to 1 / max(x), beyond which the density is 0
    theta = 1 / x[-1] + (1 - (size / (steps - 0.5)).sqrt()) / (3 * quartile)
    k = torch.log1p(-theta[:, None] * x).mean(1)
    profile = count * ((-theta / k).log() - k - 1)
    centre = (torch.softmax(profile, 0) * theta).sum()
    shape = torch.log1p(-centre * x).mean().item()
    return (count * shape + 5.0) / (count + 10.0), -shape / centre.item()
