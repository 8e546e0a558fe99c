"""Plates that run some of their elements and weigh them for all."""

from typing import Any

import torch

from pyro._foundation.errors import site_error
from pyro._foundation.validation import is_validation_enabled
from pyro.distributions.distribution import Distribution
from pyro.poutine.indep_messenger import IndepMessenger, plate_size
from pyro.poutine.runtime import Message, _thread, emit, new_message
from pyro.poutine.sites import site_is_equalized


class _Subsample(Distribution):
    """Draws the indices of a plate: all of them in order, or some at random without replacement.

    :param size: the number of elements.
    :param subsample_size: how many to draw; all if None.
    :param use_cuda: an older way to say ``device``.
    :param device: where the indices live.
    """

    is_plate_index = True

    def __init__(
        self,
        size: int,
        subsample_size: int | None,
        use_cuda: bool | None = None,
        device: Any = None,
    ) -> None:
        if use_cuda is not None and device is None:
            device = "cuda" if use_cuda else "cpu"
        self.size = size
        self.subsample_size = subsample_size
        self.device = device

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draw the indices."""
        if sample_shape:
            raise NotImplementedError("Plate indices are drawn once a run, not in batches.")
        if self.subsample_size is None or self.subsample_size >= self.size:
            return torch.arange(self.size, device=self.device)
        return torch.randperm(self.size, device=self.device)[: self.subsample_size].clone()

    def log_prob(self, x: Any) -> torch.Tensor:
        """Return 0: the scale of the sites inside accounts for the draw."""
        return torch.zeros((), device=x.device if isinstance(x, torch.Tensor) else None)


class SubsampleMessenger(IndepMessenger):
    """Run some elements of a plate and scale their log densities up to all of them.

    With ``n`` of ``N`` elements drawn uniformly, ``N/n`` times their log density is an unbiased
    estimate of that of all.

    :param name: the plate's name; its indices are a sample site of that name.
    :param size: the number of elements; without it nothing is known of the plate but its name.
    :param subsample_size: how many elements to draw at random.
    :param subsample: the indices to use instead of drawing them, in a tensor, an array, a list, a
        range or a slice.
    :param dim: the batch dimension, a negative number; the rightmost free one if None.
    :param use_cuda: an older way to say ``device``.
    :param device: where the indices live.
    :raises ValueError: where the sizes are no positive integers or do not fit each other, or the
        indices are no integers.

    Source: Hoffman et al. 2013, *Stochastic Variational Inference*, JMLR 14(4).
    """

    def __init__(
        self,
        name: str,
        size: Any = None,
        subsample_size: Any = None,
        subsample: Any = None,
        dim: int | None = None,
        use_cuda: bool | None = None,
        device: Any = None,
    ) -> None:
        super().__init__(name, size, dim, device)
        self._in_order: bool | None = None  # found out by whoever needs it
        if size is None:
            if subsample_size is not None or subsample is not None:
                raise site_error(
                    name, "a plate without a size cannot be subsampled", "Give its full size."
                )
            self.subsample_size = -1
            return
        self._draw_indices(subsample_size, subsample, use_cuda)

    def _draw_indices(self, subsample_size: Any, subsample: Any, use_cuda: bool | None) -> None:
        wanted = (
            None
            if subsample_size is None
            else plate_size(self.name, subsample_size, "subsample_size")
        )
        if wanted is not None and wanted > self.size:
            raise site_error(
                self.name,
                f"subsample_size is {wanted}, more than the plate's size {self.size}",
                "Leave subsample_size out to use every element.",
            )
        if subsample is None and wanted is None and not _thread.stack:
            self.subsample_size = self.size
            return
        law = _Subsample(self.size, wanted, use_cuda, self.device)
        given = None if subsample is None else self._as_indices(subsample)
        msg = new_message("sample", self.name, law, value=given)
        self._indices = self._as_indices(emit(msg))
        self.subsample_size = self._indices.shape[0]
        if wanted is not None and wanted != self.subsample_size:
            raise site_error(
                self.name,
                f"subsample_size is {wanted}, but there are {self.subsample_size} indices",
                "Use the same subsample_size in the model and in the guide.",
            )
        is_drawn = given is None and not msg["is_observed"]
        if not is_drawn or wanted is None and self.subsample_size != self.size:
            self._check_indices()

    def _as_indices(self, given: Any) -> torch.Tensor:
        """Return what a user or a handler gave as indices as a vector of integers."""
        if isinstance(given, slice):
            given = range(*given.indices(self.size))
        indices: torch.Tensor = (
            given if isinstance(given, torch.Tensor) else torch.as_tensor(given, device=self.device)
        )
        if indices.dtype is torch.int64 and indices.dim() == 1 or indices.numel() == 0:
            return indices
        if indices.dtype is torch.bool:
            raise site_error(
                self.name,
                f"subsample must hold indices of elements, got {tuple(indices.shape)} bools",
                "Write mask.nonzero()[:, 0].",
            )
        if indices.dim() != 1 or indices.is_floating_point() or indices.is_complex():
            raise site_error(
                self.name,
                f"subsample must be a vector of integers, got shape {tuple(indices.shape)} "
                f"and {indices.dtype}",
                "Give indices in a tensor, list, range or slice.",
            )
        return indices

    def _check_indices(self) -> None:
        if not self.subsample_size:
            raise site_error(
                self.name, "there are no indices", "A plate needs at least one element."
            )
        if not is_validation_enabled():
            return
        for index in torch.aminmax(self._indices):
            if not 0 <= index < self.size:
                raise site_error(
                    self.name, f"index {int(index)} is outside of a plate of size {self.size}"
                )

    @property
    def _running_size(self) -> int:
        return self.subsample_size

    @property
    def _runs_all_in_order(self) -> bool:
        """Whether to select the elements that run would change nothing."""
        if self.subsample_size != self.size:
            return False
        if self._in_order is None:
            given = self._indices
            self._in_order = given is None or given.tolist() == list(range(self.size))
        return self._in_order

    def _process_message(self, msg: Message) -> None:
        self._surround(msg)

    def _surround(self, msg: Message) -> None:
        """Count this plate among those around a site, and weigh the site for all its elements."""
        msg["cond_indep_stack"] = (self.frame, *msg["cond_indep_stack"])
        if self.subsample_size != self.size:
            msg["scale"] = msg["scale"] * (self.size / self.subsample_size)

    def _pyro_post_param(self, msg: Message) -> None:
        self._select(msg)

    def _pyro_post_subsample(self, msg: Message) -> None:
        self._select(msg)

    def _select(self, msg: Message) -> None:
        """Keep the elements that run, where a value says which of its dimensions is the plate's."""
        event_dim = msg["kwargs"].get("event_dim")
        if event_dim is None or self.dim is None or self.size == -1:
            return
        value = msg["value"]
        if not isinstance(value, torch.Tensor):
            raise site_error(
                msg["name"],
                f"only a tensor can be subsampled, got a {type(value).__name__}",
                "Use torch.as_tensor(data).",
                TypeError,
            )
        if event_dim < 0:
            raise site_error(
                msg["name"],
                f"event_dim must not be negative, got {event_dim}",
                "It counts the dimensions of one element.",
            )
        dim = self.dim - event_dim
        if value.dim() < -dim or value.shape[dim] == 1:
            return
        if value.shape[dim] == self.subsample_size and site_is_equalized(msg):
            return  # it was selected as the value of its owner
        if is_validation_enabled() and value.shape[dim] != self.size:
            raise site_error(
                msg["name"],
                f"value has shape {tuple(value.shape)}, expected {self.size} elements at dim {dim} "
                f"inside plate {self.name!r} (dim={self.dim}, size={self.size})",
                "Pass the whole of the data, not a part that was already subsampled, and the "
                "event_dim that it has.",
            )
        indices = None
        if not self._runs_all_in_order:
            indices = self.indices.to(value.device)
            msg["value"] = value.index_select(dim, indices)
        if msg["type"] == "param" and hasattr(value, "unconstrained"):  # else a handler gave it
            msg["value"].unconstrained = value.unconstrained
            _note_subsample(value.unconstrained(), dim, indices)


def _note_subsample(leaf: Any, dim: int, indices: torch.Tensor | None) -> None:
    """Leave word of the elements that run, for optimisers that can step those alone."""
    others = {d: i for d, i in getattr(leaf, "_pyro_subsample", {}).items() if d != dim}
    leaf._pyro_subsample = others if indices is None else {**others, dim: indices}
