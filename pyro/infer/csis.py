"""Compiled importance sampling: a guide learns the posterior of any data a model may draw."""

from collections.abc import Sequence
from typing import Any

import torch

from pyro.infer.checks import refuse_outer_ties
from pyro.infer.dreams import check_takes_observations, dream, surprise
from pyro.infer.elbo import Program
from pyro.infer.importance import Importance
from pyro.infer.leaves import LeavesRead
from pyro.infer.numerics import torch_backward, zero_grads
from pyro.optim.optim import PyroOptim
from pyro.poutine.trace_struct import Trace


class CSIS(Importance):
    r"""Importance sampling by a guide that minimises :math:`E_{p(x)}\,\mathrm{KL}(p(z|x)\|q(z|x))`.

    Training needs no data: up to a constant the divergence is estimated without bias by

    .. math:: -\frac1N \sum_n \log q_\phi(z_n \mid x_n), \qquad z_n, x_n \sim p,

    draws of the model, and the guide fits every dataset at once. After :meth:`step` has been called
    often enough, :meth:`~pyro.infer.abstract_infer.TracePosterior.run` weighs draws of the guide
    for the data at hand.

    Guide and model take the data in a keyword argument ``observations``, a dict by site. In
    training the model is called with what :meth:`step` is given, and draws its observed sites all
    the same.

    :param model: the model; only its law matters, its parameters are not trained.
    :param guide: the guide.
    :param optim: the optimiser, a wrapper from :mod:`pyro.optim`.
    :param num_inference_samples: how many weighted runs to collect for data.
    :param training_batch_size: how many draws of the model make a training step.
    :param validation_batch_size: how many draws of the model the validation loss is taken over.
    :raises ValueError: where one of the sizes is not positive.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(observations):
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=observations["x"])
    >>> def guide(observations):
    ...     slope = pyro.param("slope", torch.tensor(0.0))
    ...     pyro.sample("z", dist.Normal(slope * observations["x"], 0.5**0.5))
    >>> csis = CSIS(model, guide, pyro.optim.Adam({"lr": 0.02}))
    >>> observations = {"x": torch.tensor(2.0)}
    >>> losses = [csis.step(observations=observations) for _ in range(60)]
    >>> bool((pyro.param("slope") - 0.5).abs() < 0.2)
    True
    >>> csis.run(observations=observations).get_ESS() > 5
    tensor(True)

    Source: Le, Baydin and Wood 2017, *Inference Compilation and Universal Probabilistic
    Programming*, arXiv:1610.09900.
    """

    def __init__(
        self,
        model: Program,
        guide: Program,
        optim: PyroOptim,
        num_inference_samples: int = 10,
        training_batch_size: int = 10,
        validation_batch_size: int = 20,
    ) -> None:
        super().__init__(model, guide, num_inference_samples)
        for size in (training_batch_size, validation_batch_size):
            if size < 1:
                raise ValueError(f"The size of a batch must be positive, got {size}.")
        self.optim = optim
        self.training_batch_size = training_batch_size
        self.validation_batch_size = validation_batch_size
        self.validation_batch: list[Trace] | None = None

    def set_validation_batch(self, *args: Any, **kwargs: Any) -> None:
        """Draw the batch anew that :meth:`validation_loss` is taken over.

        :param args: arguments of the model.
        :param kwargs: keyword arguments of the model.
        """
        self.validation_batch = self._draw(self.validation_batch_size, args, kwargs)

    def step(self, *args: Any, **kwargs: Any) -> float:
        """Take one gradient step on a fresh batch.

        :param args: arguments of model and guide.
        :param kwargs: keyword arguments of model and guide.
        :returns: the estimate of the loss before the step.
        """
        refuse_outer_ties()
        read = LeavesRead()
        try:
            batch = self._draw(self.training_batch_size, args, kwargs)
            with read:
                loss = self.loss_and_grads(True, batch, *args, **kwargs)
            self.optim(read.leaves.values())
        finally:
            zero_grads(read.leaves.values())
        return loss

    def loss_and_grads(
        self, grads: bool, batch: Sequence[Trace] | None, *args: Any, **kwargs: Any
    ) -> float:
        """Return an estimate of the loss, and add that of its gradient to the parameters' ``grad``.

        :param grads: whether to compute gradients.
        :param batch: draws of the model to take it over; a fresh batch if None.
        :param args: arguments of model and guide.
        :param kwargs: keyword arguments of model and guide.
        :raises TypeError: where the guide takes no ``observations``.
        """
        check_takes_observations(self.guide)
        if batch is None:
            batch = self._draw(self.training_batch_size, args, kwargs)
        total = 0.0
        with torch.set_grad_enabled(grads):
            for drawn in batch:
                loss = surprise(self.guide, drawn, args, kwargs) / len(batch)
                torch_backward(loss)
                total += loss.item()
        return total

    def validation_loss(self, *args: Any, **kwargs: Any) -> float:
        """Return the loss over one batch that stays the same; drawn when first needed.

        :param args: arguments of model and guide.
        :param kwargs: keyword arguments of model and guide.
        """
        if self.validation_batch is None:
            self.set_validation_batch(*args, **kwargs)
        return self.loss_and_grads(False, self.validation_batch, *args, **kwargs)

    def _draw(self, size: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Trace]:
        return [dream(self.model, args, kwargs) for _ in range(size)]
