"""The law of spanning trees of a complete graph."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions.utils import lazy_property

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops import trees
from pyro.ops.shapes import broadcast_shape


class SpanningTreeConstraint(constraints.Constraint):
    """Trees as tensors ``(..., V - 1, 2)`` of edges ``u < v``, ordered by ``v``, then ``u``.

    :param num_vertices: the number ``V`` of vertices that a tree connects.

    >>> edges = torch.tensor([[[0, 1], [1, 2]], [[1, 2], [0, 1]], [[0, 1], [0, 1]]])
    >>> SpanningTreeConstraint(3).check(edges)
    tensor([ True, False, False])
    """

    is_discrete = True
    event_dim = 2

    def __init__(self, num_vertices: int) -> None:
        self.num_vertices = num_vertices
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Tell which tensors are trees.

        :param value: edges.
        """
        if value.shape[-2:] != (self.num_vertices - 1, 2):
            return value.new_zeros(value.shape[:-2], dtype=torch.bool)
        return self.is_in_order(value) & self.is_connected(value)

    def is_in_order(self, value: Tensor) -> Tensor:
        """Tell where all edges are pairs ``u < v`` of vertices, in order.

        :param value: edges.
        """
        u, v = value.unbind(-1)
        pairs = ((u >= 0) & (u < v) & (v < self.num_vertices)).all(-1)
        place = trees.position(value)
        return pairs & (place[..., 1:] > place[..., :-1]).all(-1)

    def is_connected(self, value: Tensor) -> Tensor:
        """Tell where edges connect all vertices; where they are none, the answer is undefined.

        :param value: edges.
        """
        edges = value.long().clamp(0, self.num_vertices - 1).reshape(-1, *value.shape[-2:])
        kept = torch.ones_like(edges[..., 0], dtype=torch.bool)
        names = trees.components(edges, kept, self.num_vertices)
        return (names == 0).all(-1).reshape(value.shape[:-2])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_vertices})"


class SpanningTree(TorchDistribution):
    r"""Law of spanning trees :math:`T` with density :math:`\exp(\sum_{e\in T}\ell_e)/Z`.

    A value is a tensor of :math:`V-1` edges :math:`(u,v)` between :math:`V` vertices, with
    :math:`u<v`, ordered by :math:`v` and then :math:`u`. The normaliser :math:`Z` is exact by
    Kirchhoff's matrix-tree theorem, and draws are exact, for a batch at once.

    :param edge_logits: the scores :math:`\ell` of edges, of shape ``(..., V * (V - 1) / 2)``,
        ordered like those of :func:`make_complete_graph`; minus infinity for an edge that there is
        not.
    :param sampler_options: arguments of :func:`sample_tree` by name.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where there is no complete graph of so many edges.
    :raises TypeError: for an option that :func:`sample_tree` does not take.

    >>> law = SpanningTree(torch.zeros(3))
    >>> law.log_prob(torch.tensor([[0, 1], [1, 2]])).exp()
    tensor(0.3333)

    Sources: :mod:`pyro.ops.trees`; Meilă and Jaakkola 2006, *Tractable Bayesian Learning of Tree
    Belief Networks*, Statistics and Computing 16.
    """

    arg_constraints = {"edge_logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(
        self,
        edge_logits: Tensor,
        sampler_options: Mapping[str, Any] | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if edge_logits.dim() < 1:
            raise ValueError("SpanningTree: 'edge_logits' is a vector, it has no dimension.")
        batch_shape, event_shape = self.infer_shapes(edge_logits.shape)
        self.num_vertices = event_shape[0] + 1
        self.edge_logits = edge_logits
        self.sampler_options = dict(sampler_options or {})
        for unknown in self.sampler_options.keys() - {"init_edges", "mcmc_steps", "backend"}:
            raise TypeError(f"SpanningTree: sample_tree takes no option {unknown!r}.")
        super().__init__(batch_shape, event_shape, validate_args)

    @staticmethod
    def infer_shapes(edge_logits: Shape) -> tuple[torch.Size, torch.Size]:  # type: ignore[override]
        """Return the batch and event shape from that of the parameter.

        :param edge_logits: its shape.
        """
        edges = trees.num_vertices_of(edge_logits[-1]) - 1
        return torch.Size(edge_logits[:-1]), torch.Size((edges, 2))

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "SpanningTree":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held.pop("log_partition_function", None)
        held["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        held["edge_logits"] = self.edge_logits.expand(batch_shape + self.edge_logits.shape[-1:])
        return new

    @property
    def support(self) -> constraints.Constraint:
        """All spanning trees."""
        return SpanningTreeConstraint(self.num_vertices)

    def validate_edges(self, edges: Tensor) -> None:
        """Raise where edges do not make a tree in the form that this law scores.

        :param edges: trees, of shape ``(..., V - 1, 2)``.
        :raises ValueError: saying what is wrong with them.
        """
        name, support = type(self).__name__, SpanningTreeConstraint(self.num_vertices)
        if edges.shape[-2:] != self._event_shape:
            raise ValueError(
                f"{name}: a tree on {self.num_vertices} vertices has shape (..., "
                f"{self.num_vertices - 1}, 2), but this has shape {tuple(edges.shape)}."
            )
        if not support.is_in_order(edges).all():
            raise ValueError(
                f"{name}: edges must be pairs u < v of different vertices below "
                f"{self.num_vertices}, each once, ordered by v and then u. Sort them with "
                f"pyro.ops.trees.in_order(edges)."
            )
        if not support.is_connected(edges).all():
            raise ValueError(f"{name}: the edges have a cycle, so they do not reach all vertices.")

    @lazy_property
    def log_partition_function(self) -> Tensor:
        r"""The normaliser :math:`\log Z`."""
        return trees.log_sum(self.edge_logits)

    def log_prob(self, edges: Tensor) -> Tensor:
        """Return the log probability.

        :param edges: trees, of shape ``(..., V - 1, 2)``.
        """
        if self._validate_args:
            self._validate_sample(edges)
        shape = torch.Size(broadcast_shape(edges.shape[:-2], self._batch_shape))
        place = trees.position(edges.long())
        scores = self.edge_logits.expand(shape + self.edge_logits.shape[-1:])
        chosen = scores.gather(-1, place.expand(shape + place.shape[-1:]))
        return chosen.sum(-1) - self.log_partition_function

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw trees, exactly unless ``sampler_options`` hold where a chain shall start.

        :param sample_shape: the shape of independent draws.
        """
        if self.sampler_options.get("init_edges") is None:
            _check_backend(self.sampler_options.get("backend", "python"))
            return trees.draw(self.edge_logits, torch.Size(sample_shape))
        shape = torch.Size(sample_shape) + self._batch_shape
        logits = self.edge_logits.expand(shape + self.edge_logits.shape[-1:])
        return sample_tree(logits, **self.sampler_options)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """List all trees, along a new dimension on the left.

        :param expand: whether to repeat the list for each entry of the batch.
        """
        values = trees.enumerate_all(self.num_vertices).to(self.edge_logits.device)
        ones = torch.Size((1,) * len(self._batch_shape))
        values = values.reshape(values.shape[:1] + ones + self._event_shape)
        return values.expand((-1,) + self._batch_shape + self._event_shape) if expand else values

    @property
    def mode(self) -> Tensor:
        """A tree of largest probability."""
        return trees.best(self.edge_logits)

    @property
    def edge_mean(self) -> Tensor:
        """The symmetric matrix of the probabilities of edges to be in the tree."""
        u, v = trees.complete_graph(self.num_vertices, self.edge_logits.device)
        probabilities = trees.edge_probabilities(self.edge_logits)
        square = (self.num_vertices,) * 2
        result = probabilities.new_zeros(self._batch_shape + square)
        result[..., u, v] = probabilities
        return result + result.mT


def _check_backend(backend: str) -> None:
    """Refuse a backend that there is not; those that there are compute alike."""
    if backend not in ("python", "cpp"):
        raise ValueError(f"There is no backend {backend!r}: pass 'python', or leave it out.")


def make_complete_graph(num_vertices: int, backend: str = "python") -> Tensor:
    """Return all edges of a complete graph, of shape ``(2, V * (V - 1) / 2)``.

    :param num_vertices: the number ``V`` of vertices.
    :param backend: accepted for compatibility: "python" or "cpp", which makes no difference.

    >>> make_complete_graph(3)
    tensor([[0, 0, 1],
            [1, 2, 2]])
    """
    _check_backend(backend)
    return trees.complete_graph(num_vertices)


def sample_tree(
    edge_logits: Tensor,
    init_edges: Tensor | None = None,
    mcmc_steps: int = 1,
    backend: str = "python",
) -> Tensor:
    """Draw a spanning tree for each entry of a batch.

    :param edge_logits: the scores of edges, of shape ``(..., V * (V - 1) / 2)``.
    :param init_edges: trees at which a Markov chain shall start. None draws exactly, without one.
    :param mcmc_steps: how many steps of :func:`sample_tree_mcmc` the chain takes.
    :param backend: accepted for compatibility: "python" or "cpp", which makes no difference.

    >>> sample_tree(torch.zeros(5, 6)).shape
    torch.Size([5, 3, 2])
    """
    _check_backend(backend)
    if init_edges is None:
        return trees.draw(edge_logits)
    shape = torch.broadcast_shapes(edge_logits.shape[:-1], init_edges.shape[:-2])
    edges = init_edges.expand(shape + init_edges.shape[-2:])
    for _ in range(mcmc_steps):
        edges = trees.resample_edges(edge_logits, edges)
    return edges


def sample_tree_approx(edge_logits: Tensor, backend: str = "python") -> Tensor:
    """Draw a spanning tree, as :func:`sample_tree` does; exactly, in spite of the name.

    :param edge_logits: the scores of edges, of shape ``(..., V * (V - 1) / 2)``.
    :param backend: accepted for compatibility: "python" or "cpp", which makes no difference.

    >>> sample_tree_approx(torch.zeros(6)).shape
    torch.Size([3, 2])
    """
    _check_backend(backend)
    return trees.draw(edge_logits)


def sample_tree_mcmc(edge_logits: Tensor, edges: Tensor, backend: str = "python") -> Tensor:
    """Take a step of a Markov chain that leaves the law of spanning trees as it is.

    Each edge in turn, in random order, is taken out and drawn again, given the others.

    :param edge_logits: the scores of edges, of shape ``(..., V * (V - 1) / 2)``.
    :param edges: trees, of shape ``(..., V - 1, 2)``.
    :param backend: accepted for compatibility: "python" or "cpp", which makes no difference.

    >>> sample_tree_mcmc(torch.zeros(3), torch.tensor([[0, 1], [1, 2]])).shape
    torch.Size([2, 2])
    """
    _check_backend(backend)
    return trees.resample_edges(edge_logits, edges)


def find_best_tree(edge_logits: Tensor, backend: str = "python") -> Tensor:
    """Return a spanning tree of largest weight.

    :param edge_logits: the scores of edges, of shape ``(..., V * (V - 1) / 2)``.
    :param backend: accepted for compatibility: "python" or "cpp", which makes no difference.

    >>> find_best_tree(torch.tensor([1.0, 3.0, 2.0]))
    tensor([[0, 2],
            [1, 2]])
    """
    _check_backend(backend)
    return trees.best(edge_logits)


def enumerate_spanning_trees(V: int) -> list[tuple[tuple[int, int], ...]]:
    """List all trees on some vertices, each a tuple of its edges.

    :param V: how many vertices there are.

    >>> enumerate_spanning_trees(3)
    [((0, 1), (0, 2)), ((0, 1), (1, 2)), ((0, 2), (1, 2))]
    """
    return [tuple((u, v) for u, v in tree) for tree in trees.enumerate_all(V).tolist()]
