"""Spanning trees of complete graphs whose edges have weights: sums, draws and maxima.

An edge is a pair of vertices ``(u, v)`` with ``u < v``; the ``V * (V - 1) / 2`` edges of a complete
graph are ordered by ``v``, then ``u``. A tree is a tensor ``(..., V - 1, 2)`` of edges in this
order. Its log weight is the sum of those of its edges, ``logits``, which come in that order too.

The exact sums and draws come from taking a vertex ``k`` out of a graph, the star-mesh transform:
with ``s`` the total weight of its edges, the trees of the graph weigh ``s`` times those of the
graph without it whose other edges are raised to ``w[i, j] + w[i, k] * w[k, j] / s``. Only positive
numbers are added, so no digits are lost, however far apart the weights are.
"""

import torch
from torch import Tensor

from pyro.ops.readable import is_readable


def num_vertices_of(num_edges: int) -> int:
    """Return the number of vertices of a complete graph.

    :param num_edges: how many edges it has.
    :raises ValueError: where there is no such graph.

    >>> num_vertices_of(6)
    4
    """
    vertices = int(round((0.25 + 2 * num_edges) ** 0.5 + 0.5))
    if vertices * (vertices - 1) // 2 != num_edges:
        raise ValueError(
            f"A complete graph has 1, 3, 6, 10, ... edges, V * (V - 1) / 2, but not {num_edges}."
        )
    return vertices


def complete_graph(vertices: int, device: torch.device | None = None) -> Tensor:
    """Return all edges of a complete graph, of shape ``(2, V * (V - 1) / 2)``.

    :param vertices: how many vertices it has.
    :param device: where to put them.

    >>> complete_graph(3)
    tensor([[0, 0, 1],
            [1, 2, 2]])
    """
    return torch.tril_indices(vertices, vertices, -1, device=device).flip(0)


def position(edges: Tensor) -> Tensor:
    """Return where edges stand among those of a complete graph.

    :param edges: pairs ``u < v``, along the rightmost dimension.

    >>> position(torch.tensor([[0, 1], [1, 2]]))
    tensor([0, 2])
    """
    u, v = edges.unbind(-1)
    return u + v * (v - 1) // 2


def in_order(edges: Tensor) -> Tensor:
    """Return trees with the ends of each edge, and then the edges, in order.

    :param edges: trees.

    >>> in_order(torch.tensor([[2, 1], [0, 1]]))
    tensor([[0, 1],
            [1, 2]])
    """
    edges = edges.sort(-1).values
    order = position(edges).argsort(-1)[..., None].expand_as(edges)
    return edges.gather(-2, order)


def as_matrix(logits: Tensor) -> Tensor:
    """Return the symmetric matrix of the log weights of edges.

    The diagonal, and edges that are missing, have a number that is finite, for the sake of
    gradients, but so low that it never matters.

    :param logits: log weights of all edges.

    >>> as_matrix(torch.tensor([2.0]))[0]
    tensor([-2.1268e+37,  2.0000e+00])
    """
    vertices = num_vertices_of(logits.size(-1))
    u, v = complete_graph(vertices, logits.device)
    lowest = torch.finfo(logits.dtype).min / (8 * vertices)
    logits = logits.clamp(min=lowest)
    matrix = logits.new_full(logits.shape[:-1] + (vertices, vertices), lowest)
    matrix[..., u, v] = logits
    matrix[..., v, u] = logits
    return matrix


def _flat(logits: Tensor) -> Tensor:
    return logits.reshape(logits.shape[:-1].numel(), logits.size(-1))


def components(edges: Tensor, kept: Tensor, vertices: int) -> Tensor:
    """Name the components of forests after their smallest vertices.

    :param edges: edges, of shape ``(count, edges, 2)``.
    :param kept: which of them there are, of shape ``(count, edges)``.
    :param vertices: how many vertices there are.

    >>> components(torch.tensor([[[0, 1], [1, 2]]]), torch.tensor([[False, True]]), 3)
    tensor([[0, 1, 1]])
    """
    names = torch.arange(vertices, device=edges.device).repeat(len(edges), 1)
    u, v = edges.unbind(-1)
    while True:
        ends = names.gather(1, u), names.gather(1, v)
        differ = kept & (ends[0] != ends[1])
        if not differ.any():
            return names
        least = torch.minimum(*ends)
        for vertex, old in zip((u, v), ends, strict=True):
            new = torch.where(kept, least, old)
            names = names.scatter_reduce(1, old, new, "amin").scatter_reduce(1, vertex, new, "amin")
        names = names.gather(1, names)


def _without(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Take the last vertex out: return the log total of its edges, and the graph without it."""
    last = weights[..., -1, :-1]
    total = last.logsumexp(-1)
    through = last[..., :, None] + last[..., None, :] - total[..., None, None]
    # torch.logaddexp has no second derivative where one term is far below the other
    return total, torch.stack([weights[..., :-1, :-1], through]).logsumexp(0)


def _are_comparable(logits: Tensor) -> bool:
    """Tell whether weights are so alike that a determinant has ten digits in double precision."""
    if not logits.numel() or not is_readable(logits):
        return False
    low, high = logits.detach().aminmax(dim=-1)
    return bool((high - low).max() < 8.0)


def _log_determinant(logits: Tensor) -> Tensor:
    """Return the log determinant of the Laplacian without one vertex (Kirchhoff's theorem)."""
    top = logits.detach().amax(-1, True)
    weights = (as_matrix((logits - top).double()).exp())[..., 1:, :]
    laplacian = weights.sum(-1).diag_embed() - weights[..., 1:]
    factor: Tensor = torch.linalg.cholesky(laplacian)
    half = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return (2 * half + weights.size(-2) * top[..., 0]).to(logits.dtype)


def log_sum(logits: Tensor) -> Tensor:
    """Return the log of the sum of the weights of all spanning trees.

    :param logits: log weights of all edges.

    >>> log_sum(torch.zeros(6)).exp()  # 4 ** 2 trees of 4 vertices
    tensor(16.)

    Source: Kirchhoff's matrix-tree theorem, with Gauss's elimination written as the star-mesh
    transform where weights are far apart.
    """
    if _are_comparable(logits):
        return _log_determinant(logits)
    weights = as_matrix(logits)
    result = logits.new_zeros(logits.shape[:-1])
    while weights.size(-1) > 1:
        total, weights = _without(weights)
        result = result + total
    return result


def edge_probabilities(logits: Tensor) -> Tensor:
    """Return the probability of each edge to be in a tree: the gradient of :func:`log_sum`.

    :param logits: log weights of all edges.

    >>> edge_probabilities(torch.zeros(3))
    tensor([0.6667, 0.6667, 0.6667])
    """
    if not logits.numel():
        return logits
    with torch.enable_grad():
        differentiable = logits.requires_grad
        leaf = logits if differentiable else logits.detach().requires_grad_()
        total = log_sum(leaf).sum()
        result: Tensor = torch.autograd.grad(total, leaf, create_graph=differentiable)[0]
    return result


def draw(logits: Tensor, sample_shape: torch.Size = torch.Size()) -> Tensor:
    """Draw trees with probability proportional to their weights, exactly.

    Vertices are put back one by one. An edge ``(i, j)`` of the tree without vertex ``k`` leads
    through ``k`` with the probability of that part of its weight, else it stays. What stays falls
    into components, each of which is then joined to ``k`` at one of its vertices, drawn by the
    weights of their edges to ``k``. Both steps are independent for all edges and components.

    :param logits: log weights of all edges.
    :param sample_shape: the shape of independent draws.

    >>> draw(torch.zeros(6), torch.Size([5])).shape
    torch.Size([5, 3, 2])

    Source: Durfee, Kyng, Peebles, Rao and Sachdeva 2017, *Sampling Random Spanning Trees Faster
    than Matrix Multiplication*, arXiv:1611.07451.
    """
    logits = logits.detach()
    shape = torch.Size(sample_shape) + logits.shape[:-1]
    graphs = [as_matrix(_flat(logits))]
    vertices = graphs[0].size(-1)
    while graphs[-1].size(-1) > 1:
        graphs.append(_without(graphs[-1])[1])
    which = torch.arange(shape.numel(), device=logits.device) % max(1, len(graphs[0]))
    edges = which.new_empty(len(which), 0, 2)
    for k, without in enumerate(reversed(graphs[1:]), 1):
        edges = _put_back(edges, k, graphs[vertices - 1 - k][which], without[which])
    return in_order(edges).reshape(shape + (vertices - 1, 2))


def _put_back(edges: Tensor, k: int, weights: Tensor, without: Tensor) -> Tensor:
    """Draw trees on ``k + 1`` vertices, given what they are with the last vertex taken out."""
    rows = torch.arange(len(edges), device=edges.device)[:, None]
    u, v = edges.unbind(-1)
    log_chance = weights[rows, u, v] - without[rows, u, v]
    stays = -torch.empty_like(log_chance).exponential_() < log_chance
    names = components(edges, stays, k)
    scores = weights[:, k, :k]
    scores = scores - torch.empty_like(scores).exponential_().log()
    best = torch.full_like(scores, -torch.inf).scatter_reduce(1, names, scores, "amax")
    joined = scores == best.gather(1, names)
    # there is one more component than edges that went, in each row
    edges = torch.cat([edges, edges.new_full((len(edges), 1, 2), k)], 1)
    free = torch.cat([~stays, stays.new_ones(len(edges), 1)], 1)
    ends = joined.nonzero()[:, 1]
    edges[free] = torch.stack([ends, torch.full_like(ends, k)], -1)
    return edges


def resample_edges(logits: Tensor, edges: Tensor) -> Tensor:
    """Take each edge out of a tree in turn and draw, given the others, which joins the halves.

    It leaves the law of :func:`draw` as it is (Gibbs sampling), since the turns do not depend on
    the edges: they are shuffled for each tree.

    :param logits: log weights of all edges.
    :param edges: trees; batch shapes broadcast.

    >>> resample_edges(torch.zeros(1), torch.tensor([[0, 1]]))
    tensor([[0, 1]])
    """
    shape = torch.broadcast_shapes(logits.shape[:-1], edges.shape[:-2])
    vertices = edges.size(-2) + 1
    logits = _flat(logits.detach().expand(shape + logits.shape[-1:]))
    trees = edges.expand(shape + edges.shape[-2:]).reshape(len(logits), vertices - 1, 2)
    turns = torch.rand(trees.shape[:-1], device=edges.device).argsort(-1)
    trees = trees.gather(1, turns[..., None].expand_as(trees))
    graph = complete_graph(vertices, edges.device)
    kept = torch.ones(trees.shape[:-1], dtype=torch.bool, device=edges.device)
    for i in range(vertices - 1):
        kept[:, i] = False
        names = components(trees, kept, vertices)
        joins = names[:, graph[0]] != names[:, graph[1]]
        noise = torch.empty_like(logits).exponential_().log()
        chosen = (logits - noise).where(joins, -torch.inf).argmax(-1)
        trees[:, i] = graph[:, chosen].mT
        kept[:, i] = True
    return in_order(trees).reshape(shape + (vertices - 1, 2))


def best(logits: Tensor) -> Tensor:
    """Return trees of largest weight, found by Prim's algorithm.

    :param logits: log weights of all edges.

    >>> best(torch.tensor([1.0, 3.0, 2.0]))
    tensor([[0, 2],
            [1, 2]])
    """
    weights = as_matrix(_flat(logits.detach()))
    count, vertices = weights.shape[:2]
    rows = torch.arange(count, device=logits.device)
    outside = torch.ones(count, vertices, dtype=torch.bool, device=logits.device)
    outside[:, 0] = False
    nearest = torch.zeros(count, vertices, dtype=torch.long, device=logits.device)
    reach = weights[:, 0]
    edges = []
    for _ in range(vertices - 1):
        new = reach.where(outside, -torch.inf).argmax(-1)
        edges.append(torch.stack([nearest[rows, new], new], -1))
        outside[rows, new] = False
        closer = weights[rows, new] > reach
        reach = reach.where(~closer, weights[rows, new])
        nearest = nearest.where(~closer, new[:, None])
    tree = torch.stack(edges, 1) if edges else nearest.new_empty(count, 0, 2)
    return in_order(tree).reshape(logits.shape[:-1] + (vertices - 1, 2))


def enumerate_all(vertices: int) -> Tensor:
    """List all trees on some vertices, of shape ``(V ** (V - 2), V - 1, 2)``.

    Each sequence of ``V - 2`` vertices is the code of one tree: it names the neighbours of leaves
    that are pruned, smallest first, until two vertices are left.

    :param vertices: how many there are.

    >>> enumerate_all(3).tolist()
    [[[0, 1], [0, 2]], [[0, 1], [1, 2]], [[0, 2], [1, 2]]]

    Source: Prüfer 1918, *Neuer Beweis eines Satzes über Permutationen*.
    """
    if vertices < 3:
        return complete_graph(vertices).mT[None]
    length = vertices - 2
    codes = torch.cartesian_prod(*[torch.arange(vertices)] * length).reshape(-1, length)
    degrees = torch.ones(len(codes), vertices, dtype=torch.long)
    degrees.scatter_add_(1, codes, torch.ones_like(codes))
    edges = []
    for neighbour in codes.mT[..., None]:
        leaf = (degrees == 1).int().argmax(-1, True)
        edges.append(torch.cat([leaf, neighbour], -1))
        degrees.scatter_(1, leaf, 0)
        degrees.scatter_add_(1, neighbour, torch.full_like(neighbour, -1))
    edges.append((degrees == 1).nonzero()[:, 1].reshape(-1, 2))
    return in_order(torch.stack(edges, 1))
