"""The classical test of equal standard deviations, to set beside the odds."""

import torch
from torch import Tensor


def bartlett(groups: list[Tensor]) -> float:
    """The p-value of Bartlett's test that groups of normal values have one standard deviation.

    Bartlett 1937, doi:10.1098/rspa.1937.0109.

    :param groups: the values of each group.
    """
    freedom = torch.tensor([len(values) - 1 for values in groups]).double()
    variances = torch.stack([values.double().var() for values in groups])
    total, others = freedom.sum(), len(groups) - 1
    pooled = (freedom * variances).sum() / total
    excess = total * pooled.log() - (freedom * variances.log()).sum()
    correction = 1 + ((1 / freedom).sum() - 1 / total) / (3 * others)
    chi_square = (excess / correction).clamp(min=0.0)
    shape = torch.tensor(others / 2).double()
    return float(torch.special.gammaincc(shape, chi_square / 2))
