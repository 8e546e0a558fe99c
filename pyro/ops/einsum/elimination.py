"""In which order the variables of a sum-product are eliminated.

Eliminating a variable multiplies all factors that mention it, its *bucket*, and sums it out of the
product, whose dimensions are its *clique*. The next variable is always the one with the smallest
clique, which for chains and trees is the order of the forward algorithm: the ends first. Cliques
are kept up to date by counting, so a plan costs ``n log n`` in the number of factors, and it is
made once for each structure.

**References**

- R. Dechter (1999), *Bucket elimination: a unifying framework for reasoning*,
  doi:10.1016/S0004-3702(99)00059-4.
"""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from heapq import heapify, heappop, heappush
from math import prod
from typing import NamedTuple

from pyro.ops.einsum.layout import common_order


class Step(NamedTuple):
    """One bucket.

    :param operands: the positions of its factors; results are numbered on from the inputs.
    :param inputs: the letters of each.
    :param output: the letters of the result.
    :param equation: both, as an einsum equation.
    """

    operands: tuple[int, ...]
    inputs: tuple[str, ...]
    output: str
    equation: str


@lru_cache(maxsize=2**11)
def plan(
    inputs: tuple[str, ...], output: str, sizes: tuple[tuple[str, int], ...]
) -> tuple[Step, ...]:
    """Plan a sum-product.

    :param inputs: the letters of each factor.
    :param output: the letters to keep, in order.
    :param sizes: the length of each dimension, as pairs.
    :return: the steps, of which the last gives the result; none where the only factor is it.

    >>> [step.equation for step in plan(("a", "ab", "bc"), "c", (("a", 2), ("b", 3), ("c", 4)))]
    ['a,ab->b', 'b,bc->c']
    """
    graph = _Graph(inputs, output, dict(sizes))
    steps = []
    while (bucket := graph.smallest_bucket()) is not None:
        steps.append(graph.eliminate(bucket))
    left = list(graph.factors)
    if len(left) > 1 or graph.factors[left[0]] != output:
        steps.append(graph.step(left, output))
    return tuple(steps)


class _Graph:
    """The factors that are left, and the clique of each variable that is to be summed out."""

    def __init__(self, inputs: Iterable[str], output: str, sizes: dict[str, int]) -> None:
        self.sizes = sizes
        self.factors: dict[int, str] = {}
        self.next = 0
        summed = dict.fromkeys(x for dims in inputs for x in dims if x not in output)
        self.rank = {letter: rank for rank, letter in enumerate(summed)}
        self.buckets: dict[str, set[int]] = {letter: set() for letter in summed}
        self.cliques: dict[str, Counter[str]] = {letter: Counter() for letter in summed}
        self.costs = dict.fromkeys(summed, 1)
        for dims in inputs:
            self.add(dims)
        self.heap = [(cost, self.rank[letter], letter) for letter, cost in self.costs.items()]
        heapify(self.heap)

    def add(self, dims: str) -> None:
        for letter in dims:
            if letter in self.buckets:
                self.buckets[letter].add(self.next)
                clique = self.cliques[letter]
                for other in dims:
                    clique[other] += 1
                    if clique[other] == 1:
                        self.costs[letter] *= self.sizes[other]
        self.factors[self.next] = dims
        self.next += 1

    def remove(self, factor: int) -> None:
        dims = self.factors.pop(factor)
        for letter in dims:
            if letter in self.buckets:
                self.buckets[letter].discard(factor)
                clique = self.cliques[letter]
                for other in dims:
                    clique[other] -= 1
                    if clique[other] == 0:
                        self.costs[letter] //= self.sizes[other]

    def smallest_bucket(self) -> set[int] | None:
        while self.heap:
            cost, _, letter = heappop(self.heap)
            if letter in self.buckets and self.costs[letter] == cost:
                return self.buckets[letter]
        return None

    def eliminate(self, bucket: set[int]) -> Step:
        factors = sorted(bucket)
        letters = set().union(*(self.factors[factor] for factor in factors))
        gone = {x for x in letters if x in self.buckets and self.buckets[x] <= bucket}
        step = self.step(factors, None, gone)
        for factor in factors:
            self.remove(factor)
        for letter in gone:
            del self.buckets[letter], self.cliques[letter], self.costs[letter]
        self.add(step.output)
        for letter in step.output:
            if letter in self.buckets:
                heappush(self.heap, (self.costs[letter], self.rank[letter], letter))
        return step

    def step(self, factors: list[int], output: str | None, gone: Iterable[str] = ()) -> Step:
        """Multiply small factors first, in an order that depends on letters and sizes alone."""
        factors = sorted(factors, key=lambda factor: (self.numel(factor), self.factors[factor]))
        inputs = tuple(self.factors[factor] for factor in factors)
        if output is None:
            output = "".join(letter for letter in common_order(inputs) if letter not in gone)
        return Step(tuple(factors), inputs, output, f"{','.join(inputs)}->{output}")

    def numel(self, factor: int) -> int:
        return prod(self.sizes[letter] for letter in self.factors[factor])
