"""Running estimates of covariances."""

import torch
from torch import Tensor

from pyro.ops.arrowhead import SymmArrowhead

# Stan's prior: so many draws of independent variables with this small a variance.
_PRIOR_DRAWS = 5
_PRIOR_VARIANCE = 1e-3


class _RunningMean:
    """The mean of the vectors seen so far, and how the newest departs from it.

    Updates add nothing but products of departures, so that no large numbers cancel (Welford, 1962,
    "Note on a method for calculating corrected sums of squares and products", Technometrics 4).
    """

    def __init__(self) -> None:
        self.n_samples = 0
        self._mean: Tensor | None = None

    def reset(self) -> None:
        """Forget what was seen."""
        self.n_samples = 0
        self._mean = None

    def _departures(self, sample: Tensor) -> tuple[Tensor, Tensor]:
        """Take a vector in; return its distances from the mean without it and with it."""
        mean = torch.zeros_like(sample) if self._mean is None else self._mean
        if sample.shape != mean.shape or sample.dim() != 1:
            raise ValueError(
                f"The sample has shape {tuple(sample.shape)}, expected a vector"
                + (f" of size {len(mean)}, as before." if self._mean is not None else ".")
            )
        self.n_samples += 1
        before = sample - mean
        self._mean = mean + before / self.n_samples
        return before, sample - self._mean

    def _scales(self, regularize: bool) -> tuple[float, float]:
        """Return what to multiply sums of squares with, and what to add to variances."""
        if self.n_samples < 2:
            raise RuntimeError(
                f"A covariance needs two samples or more, and there are {self.n_samples}."
            )
        degrees = self.n_samples - 1
        if not regularize:
            return 1 / degrees, 0.0
        total = self.n_samples + _PRIOR_DRAWS
        return self.n_samples / total / degrees, _PRIOR_VARIANCE * _PRIOR_DRAWS / total


class WelfordCovariance(_RunningMean):
    r"""Running estimate of a covariance matrix or of its diagonal.

    :param diagonal: whether to estimate variances alone.

    >>> estimate = WelfordCovariance()
    >>> for x in (1.0, 2.0, 3.0):
    ...     estimate.update(torch.tensor([x]))
    >>> estimate.get_covariance(regularize=False)
    tensor([1.])
    """

    def __init__(self, diagonal: bool = True) -> None:
        super().__init__()
        self.diagonal = diagonal
        self._squares: Tensor | float = 0.0

    def reset(self) -> None:
        """Forget what was seen."""
        super().reset()
        self._squares = 0.0

    def update(self, sample: Tensor) -> None:
        """Take in one more vector.

        :param sample: of shape ``(size,)``.
        :raises ValueError: where its shape is another than before.
        """
        before, after = self._departures(sample)
        self._squares = self._squares + (
            before * after if self.diagonal else torch.outer(after, before)
        )

    def get_covariance(self, regularize: bool = True) -> Tensor:
        r"""Return the estimate.

        :param regularize: whether to return
            :math:`\frac{n}{n+5}\hat\Sigma+10^{-3}\frac{5}{n+5}I`, as Stan does, in place of the
            unbiased :math:`\hat\Sigma`.
        :return: of shape ``(size,)`` or ``(size, size)``.
        :raises RuntimeError: before the second sample.
        """
        factor, variance = self._scales(regularize)
        covariance = torch.as_tensor(self._squares * factor)
        if self.diagonal:
            return covariance + variance
        return covariance + variance * torch.eye(len(covariance)).to(covariance)


class WelfordArrowheadCovariance(_RunningMean):
    r"""Running estimate of a covariance's arrowhead: its first rows and its diagonal.

    :param head_size: how many rows to estimate in full.

    >>> estimate = WelfordArrowheadCovariance(head_size=1)
    >>> for x in (1.0, 2.0, 3.0):
    ...     estimate.update(torch.tensor([x, -x]))
    >>> estimate.get_covariance(regularize=False)
    SymmArrowhead(top=tensor([[ 1., -1.]]), bottom_diag=tensor([1.]))
    """

    def __init__(self, head_size: int = 0) -> None:
        super().__init__()
        self.head_size = head_size
        self._top: Tensor | float = 0.0
        self._bottom: Tensor | float = 0.0

    def reset(self) -> None:
        """Forget what was seen."""
        super().reset()
        self._top = 0.0
        self._bottom = 0.0

    def update(self, sample: Tensor) -> None:
        """Take in one more vector.

        :param sample: of shape ``(size,)``, no less than the head.
        :raises ValueError: where its shape is another than before, or it is smaller than the head.
        """
        size = self.head_size
        if sample.dim() == 1 and len(sample) < size:
            raise ValueError(
                f"The sample has size {len(sample)}, less than the head's, which is {size}."
            )
        before, after = self._departures(sample)
        self._top = self._top + torch.outer(after[:size], before)
        self._bottom = self._bottom + before[size:] * after[size:]

    def get_covariance(self, regularize: bool = True) -> SymmArrowhead:
        """Return the estimate.

        :param regularize: as for :meth:`WelfordCovariance.get_covariance`.
        :raises RuntimeError: before the second sample.
        """
        factor, variance = self._scales(regularize)
        top, bottom = torch.as_tensor(self._top), torch.as_tensor(self._bottom)
        ridge = variance * torch.eye(*top.shape).to(top)
        return SymmArrowhead(top * factor + ridge, bottom * factor + variance)
