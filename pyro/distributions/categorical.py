"""Laws of a choice among several, and their continuous relatives."""

from typing import Any

import torch
from torch.distributions import ExpTransform
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical as TorchExpRelaxed

from pyro.distributions.law import TorchLaw
from pyro.distributions.parameters import one_of
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin
from pyro.ops.enumerated_support import mark_support, support_dim
from pyro.ops.shapes import broadcast_shape


class Categorical(TorchLaw, torch.distributions.Categorical, TorchDistributionMixin):
    r"""Law of a choice among ``0, ..., n - 1``.

    Choice :math:`i` has probability :math:`w_i/\sum_jw_j`.

    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where both or neither are given, or one without a dimension.

    >>> Categorical(torch.tensor([1.0, 3.0])).log_prob(torch.tensor(1))
    tensor(-0.2877)
    """

    def __init__(
        self,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._normalise(type(self), probs, logits)
        self._check_parameters(validate_args)

    def _normalise(
        self, owner: type, probs: torch.Tensor | None, logits: torch.Tensor | None
    ) -> None:
        held = self.__dict__
        if (probs is None) == (logits is None):
            one_of(owner, probs=probs, logits=logits)
        if probs is not None:
            if not isinstance(probs, torch.Tensor) or not probs.dim():
                raise _no_choices(owner, "probs", probs)
            param = held["probs"] = probs / probs.sum(-1, True)
        else:
            if not isinstance(logits, torch.Tensor) or not logits.dim():
                raise _no_choices(owner, "logits", logits)
            if not logits.is_floating_point():
                logits = logits.to(torch.get_default_dtype())
            param = held["logits"] = logits.log_softmax(-1)
        held["_param"] = param
        held["_num_events"] = param.shape[-1]
        held["_batch_shape"] = param.shape[:-1]
        held["_event_shape"] = NO_SHAPE

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        probs = self.probs.detach()
        shape = self._extended_shape(sample_shape)
        if not sample_shape or torch.Size(sample_shape).numel() == 1:
            # the race that torch.multinomial runs for one draw, without its checks
            noise = torch.empty_like(probs, memory_format=torch.contiguous_format).exponential_()
            return (probs / noise).argmax(-1).reshape(shape)
        count = torch.Size(sample_shape).numel()
        if not self._batch_shape:
            return torch.multinomial(probs, count, True).reshape(shape)
        return torch.multinomial(probs.reshape(-1, self._num_events), count, True).T.reshape(shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability.

        :param value: the value, of an integer dtype or whole.
        """
        dim = support_dim(value)
        if dim is not None and value.shape[dim] == self._num_events:
            table = self._table_along(dim)
            if table is not None:
                return table
        if self._validate_args:
            self._validate_sample(value)
        return self._log_weight(value)

    def _table_along(self, dim: int) -> torch.Tensor | None:
        """All log probabilities along a batch dim that the law has not, or None where it has it."""
        logits, batch_shape = self.logits, self._batch_shape
        rank = len(batch_shape)
        if rank >= -dim:
            if batch_shape[dim] != 1:
                return None
            return logits.transpose(dim - 1, -1).squeeze(-1)
        if rank:
            logits = logits.movedim(-1, 0)
        return logits.reshape(-1, *(1,) * (-1 - dim - rank), *batch_shape)

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """List the values that the law can take, along a new dimension on the left.

        :param expand: whether to repeat the list for each entry of the batch.
        """
        values: torch.Tensor = super().enumerate_support(expand=expand)
        return values if expand else mark_support(values, -values.dim())

    def _log_weight(self, value: torch.Tensor) -> torch.Tensor:
        if value.dtype is not torch.int64:
            value = value.long()
        logits, batch_shape = self.logits, self._batch_shape
        if not batch_shape and value.dim() < 2:
            return logits.gather(0, value)
        if value.shape != batch_shape:
            shape = broadcast_shape(value.shape, batch_shape)
            value = value.expand(shape)
            logits = logits.expand(*shape, -1)
        return logits.gather(-1, value.unsqueeze(-1)).squeeze(-1)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = self._pass_on(self._get_checked_instance(Categorical, _instance))
        held, state = self.__dict__, new.__dict__
        state["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        for name in ("_num_events", "_event_shape"):
            state[name] = held[name]
        for name in ("probs", "logits"):
            if name in held:
                param = held[name].expand(*batch_shape, -1)
                if held[name] is held["_param"]:
                    state["_param"] = param
                state[name] = param
        return new


def _no_choices(owner: type, name: str, value: Any) -> ValueError:
    return ValueError(
        f"{owner.__name__}: parameter {name!r} must be a tensor with a dimension for the choices, "
        f"not {value!r}."
    )


class VectorOfChoices(TorchLaw):
    """A law over vectors with an entry for each choice, which holds the choice's law."""

    _categorical: Categorical

    def _hold_choice(
        self, owner: type, probs: torch.Tensor | None, logits: torch.Tensor | None
    ) -> None:
        choice = object.__new__(Categorical)
        choice._normalise(owner, probs, logits)
        held = self.__dict__
        held["_categorical"] = choice
        held["_batch_shape"] = choice._batch_shape
        held["_event_shape"] = torch.Size((choice._num_events,))

    def _parameter_values(self) -> dict[str, Any]:
        choice = vars(self._categorical)
        return {name: choice.get(name) for name in ("probs", "logits") if name in choice}

    @staticmethod
    def infer_shapes(
        probs: Shape | None = None, logits: Shape | None = None
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from that of the parameter given.

        :param probs: the shape of the weights.
        :param logits: the shape of their logarithms.
        :raises ValueError: where both or neither are given.
        """
        shape = torch.Size(next(iter(one_of(VectorOfChoices, probs=probs, logits=logits).values())))
        return shape[:-1], shape[-1:]


class OneHotCategorical(  # type: ignore[misc]
    VectorOfChoices, torch.distributions.OneHotCategorical, TorchDistributionMixin
):
    r"""Law of a choice among several, as a vector that is 1 at the choice and 0 elsewhere.

    The vector :math:`x` has probability :math:`\prod_i(w_i/\sum_jw_j)^{x_i}`.

    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.

    >>> OneHotCategorical(torch.tensor([1.0, 3.0])).log_prob(torch.tensor([0.0, 1.0]))
    tensor(-0.2877)
    """

    def __init__(
        self,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._hold_choice(type(self), probs, logits)
        self._check_parameters(validate_args)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical._log_weight(value.argmax(-1))


class OneHotCategoricalStraightThrough(  # type: ignore[misc]
    OneHotCategorical, torch.distributions.OneHotCategoricalStraightThrough
):
    r"""One-hot law whose draws let the gradient of the probabilities pass, with bias.

    A draw has the value of :math:`x` and the gradient of the probabilities :math:`p`, as
    :math:`x+p-\operatorname{stop}(p)`; the law is that of :class:`OneHotCategorical`.

    Bengio, Leonard and Courville (2013), arXiv:1308.3432.

    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.

    >>> OneHotCategoricalStraightThrough(torch.ones(2)).log_prob(torch.tensor([0.0, 1.0]))
    tensor(-0.6931)
    """


class ExpRelaxedCategorical(VectorOfChoices, TorchExpRelaxed, TorchDistributionMixin):  # type: ignore[misc]
    """Law of the logarithms of a :class:`RelaxedOneHotCategorical` value.

    :param temperature: the temperature, a positive tensor.
    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.

    >>> ExpRelaxedCategorical(torch.tensor(1.0), torch.ones(3))().shape
    torch.Size([3])
    """

    def __init__(
        self,
        temperature: torch.Tensor | float,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._hold_choice(ExpRelaxedCategorical, probs, logits)
        self.temperature = torch.as_tensor(temperature)
        self._check_parameters(validate_args)


class RelaxedOneHotCategorical(
    TorchLaw, torch.distributions.RelaxedOneHotCategorical, TorchDistributionMixin
):
    r"""Relaxed one-hot law on the simplex, which tends to the one-hot law as it cools.

    It is that of :math:`x_i\propto(w_ie^{g_i})^{1/\tau}` with independent Gumbel noise :math:`g`.
    The density is proportional to :math:`\prod_iw_ix_i^{-\tau-1}/(\sum_iw_ix_i^{-\tau})^n`.

    Maddison, Mnih and Teh (2017), arXiv:1611.00712.

    :param temperature: the temperature, positive.
    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.

    >>> RelaxedOneHotCategorical(torch.tensor(1.0), torch.ones(3))().shape
    torch.Size([3])
    """

    def __init__(
        self,
        temperature: torch.Tensor | float,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=False)
        self.base_dist = base
        self.transforms = [ExpTransform()]
        self._batch_shape = base._batch_shape
        self._event_shape = base._event_shape
        self._check_parameters(validate_args)

    def _parameter_values(self) -> dict[str, Any]:
        base: Any = self.base_dist
        values: dict[str, Any] = base._parameter_values()
        return values

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        temperature: Shape = (),
        probs: Shape | None = None,
        logits: Shape | None = None,
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from that of the weights.

        :param temperature: the shape of the temperature, which does not matter.
        :param probs: the shape of the weights.
        :param logits: the shape of their logarithms.
        :raises ValueError: where both or neither are given.
        """
        return OneHotCategorical.infer_shapes(probs, logits)
