"""The record of a run: its sites in order, the edges between them, and their densities."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch

from pyro._foundation.errors import DuplicateSiteError, site_error
from pyro.poutine.log_density import score_parts_of, score_site, score_total
from pyro.poutine.runtime import Message
from pyro.poutine.shape_table import TITLE, append_shapes, format_shape_table
from pyro.poutine.sites import site_is_sample, site_is_subsample
from pyro.poutine.trace_packing import is_packable, pack_site, symbolize_sites

Node = dict[str, Any]
SiteFilter = Callable[[str, Node], bool]


def allow_all_sites(name: str, site: Node) -> bool:
    """Admit every site; the filter of a :class:`Trace` method that was given none."""
    return True


class Trace:
    """Everything that happened in one run of a model, site by site.

    ``nodes`` maps each name to the message of its site, in the order of the run; ``_INPUT`` and
    ``_RETURN`` hold the run's arguments and result. Every edge of a dense trace says which earlier
    sites a site may depend on.

    :param graph_type: ``"flat"`` (no edges) or ``"dense"`` (the edges that plates permit).
    :raises ValueError: for another graph type.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     return pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> trace = pyro.poutine.trace(model).get_trace()
    >>> list(trace)
    ['_INPUT', 'x', '_RETURN']

    Source: van de Meent et al. 2018, *An Introduction to Probabilistic Programming*,
    arXiv:1809.10756, chapter 4.
    """

    def __init__(self, graph_type: str = "flat") -> None:
        if graph_type not in ("flat", "dense"):
            raise ValueError(f"graph_type must be 'flat' or 'dense', got {graph_type!r}.")
        self.graph_type = graph_type
        self.nodes: dict[str, Node] = {}
        self._succ: dict[str, set[str]] = {}
        self._pred: dict[str, set[str]] = {}
        self.plate_to_symbol: dict[str, str] = {}
        self.symbol_to_dim: dict[str, int] = {}

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"<Trace of {len(self.nodes)} sites: {', '.join(map(str, self.nodes))}>"

    def add_node(self, site_name: str, **kwargs: Any) -> None:
        """Record a site.

        :param site_name: the site's name.
        :param kwargs: the message's keys.
        :raises DuplicateSiteError: where another site of that name was recorded; a parameter may be
            read as often as a model likes.
        """
        if site_name in self.nodes:
            self._check_reuse(site_name, kwargs["type"])
        self.nodes[site_name] = kwargs

    def record_message(self, msg: Message) -> None:
        """Record a message as it is now; what happens to it further in leaves the record alone."""
        name, nodes = msg["name"], self.nodes
        if name in nodes:
            self._check_reuse(name, msg["type"])
        nodes[name] = msg.copy()  # type: ignore[assignment]

    def _check_reuse(self, name: str, later: str) -> None:
        earlier = self.nodes[name]["type"]
        if not earlier == later == "param":
            raise _duplicate(name, earlier, later)

    def remove_node(self, site_name: str) -> None:
        """Drop a site and its edges.

        :param site_name: the site's name.
        """
        del self.nodes[site_name]
        for follower in self._succ.pop(site_name, ()):
            self._pred[follower].discard(site_name)
        for leader in self._pred.pop(site_name, ()):
            self._succ[leader].discard(site_name)

    def add_edge(self, site1: str, site2: str) -> None:
        """Say that one site may depend on another.

        :param site1: the name of the earlier site.
        :param site2: the name of the later site, which may depend on it.
        :raises KeyError: where the trace has no site of either name.
        """
        for name in (site1, site2):
            self._check_known(name)
        self.add_edges(site1, (site2,))

    def add_edges(self, site: str, later: Collection[str]) -> None:
        """Say that several sites may depend on one.

        :param site: the name of the earlier site.
        :param later: the names of the later sites, which may depend on it.
        """
        self._succ.setdefault(site, set()).update(later)
        for name in later:
            if name in self._pred:
                self._pred[name].add(site)
            else:
                self._pred[name] = {site}

    def _check_known(self, name: str) -> None:
        if name not in self.nodes:
            raise KeyError(f"The trace has no site {name!r}.")

    @property
    def edges(self) -> list[tuple[str, str]]:
        """All edges as pairs of names, in the order of the run."""
        return [(name, after) for name in self.nodes for after in self.successors(name)]

    def successors(self, site_name: str) -> list[str]:
        """Return the names of the sites that may depend on a site, in the order of the run."""
        return self._ordered(self._succ, site_name)

    def predecessors(self, site_name: str) -> list[str]:
        """Return the names of the sites that a site may depend on, in the order of the run."""
        return self._ordered(self._pred, site_name)

    def _ordered(self, neighbours: dict[str, set[str]], name: str) -> list[str]:
        self._check_known(name)
        near = neighbours.get(name)
        return [other for other in self.nodes if other in near] if near else []

    def topological_sort(self, reverse: bool = False) -> list[str]:
        """Return the names so that each site stands after all that it may depend on.

        :param reverse: put each site before all that it may depend on.

        A run visits causes before effects, so its own order is one; edges that were added against
        it are honoured too.
        """
        from_causes: list[str] = []
        waiting = {name: len(self._pred.get(name, ())) for name in self.nodes}
        ready = [name for name in reversed(self.nodes) if not waiting[name]]
        while ready:
            name = ready.pop()
            from_causes.append(name)
            for after in reversed(self.successors(name)):
                waiting[after] -= 1
                if not waiting[after]:
                    ready.append(after)
        if len(from_causes) < len(self.nodes):
            raise ValueError("The trace's edges form a cycle.")
        return from_causes[::-1] if reverse else from_causes

    def copy(self) -> "Trace":
        """Return a trace with the same sites and edges; the nodes are shared."""
        twin = Trace(self.graph_type)
        twin.nodes.update(self.nodes)
        twin._succ.update({name: set(after) for name, after in self._succ.items()})
        twin._pred.update({name: set(before) for name, before in self._pred.items()})
        twin.plate_to_symbol.update(self.plate_to_symbol)
        twin.symbol_to_dim.update(self.symbol_to_dim)
        return twin

    def _sample_sites(self, site_filter: SiteFilter) -> Iterator[Node]:
        for name, site in self.nodes.items():
            if site_is_sample(site) and not site_is_subsample(site) and site_filter(name, site):
                yield site

    def compute_log_prob(self, site_filter: SiteFilter = allow_all_sites) -> None:
        """Score the sample sites; each keeps ``log_prob``, ``unscaled_log_prob``, ``log_prob_sum``.

        :param site_filter: called with a name and a site; sites that it turns down stay unscored.
        :raises ValueError: that names the site, where its law refuses its value.
        """
        try:
            for name, site in self.nodes.items():
                if site_is_sample(site) and site_filter(name, site):
                    score_site(site, self.nodes)
        except (ValueError, RuntimeError) as error:
            self._tell_shapes(error)
            raise

    def log_prob_sum(self, site_filter: SiteFilter = allow_all_sites) -> torch.Tensor | float:
        """Return the log density of the run, ``sum_i s_i * m_i * log p_i(x_i)``.

        :param site_filter: called with a name and a site; sites that it turns down do not count.
        :returns: a scalar tensor; the number 0.0 where there is no sample site.
        :raises ValueError: that names the site, where its law refuses its value.
        """
        total: torch.Tensor | float = 0.0
        try:
            for site in self._sample_sites(site_filter):
                term = score_total(site, self.nodes)
                total = term if isinstance(total, float) else total + term
        except (ValueError, RuntimeError) as error:
            self._tell_shapes(error)
            raise
        return total

    def compute_score_parts(self) -> None:
        """Compute every sample site's parts of a score-function gradient estimate."""
        try:
            for site in self.nodes.values():
                if site_is_sample(site):
                    score_parts_of(site, self.nodes)
        except (ValueError, RuntimeError) as error:
            self._tell_shapes(error)
            raise

    def _tell_shapes(self, error: Exception) -> None:
        """Let an error show the shapes of this run, under validation."""
        append_shapes(error, {f"{TITLE}:": self.nodes})

    def symbolize_dims(self, plate_to_symbol: dict[str, str] | None = None) -> None:
        """Give each plate and each enumerated site a letter, in ``infer["_dim_to_symbol"]``.

        :param plate_to_symbol: letters of plates, such as another trace's ``plate_to_symbol``.

        The trace keeps the letters as ``plate_to_symbol`` and what they stand for as
        ``symbol_to_dim``.
        """
        self.plate_to_symbol, self.symbol_to_dim = symbolize_sites(
            self.nodes, self.plate_to_symbol if plate_to_symbol is None else plate_to_symbol
        )

    def pack_tensors(self, plate_to_symbol: dict[str, str] | None = None) -> None:
        """Pack the scores, scale and mask of every site that was scored, as ``site["packed"]``.

        Packed tensors have a letter for each of their dimensions, ``_pyro_dims``, that says which
        plates and enumerated sites they depend on, and no others; see :mod:`pyro.ops.packed`.

        :param plate_to_symbol: letters of plates, such as another trace's ``plate_to_symbol``.
        :raises ValueError: that names the site, where a dimension belongs to no plate and no
            enumerated site.

        >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
        >>> def model():
        ...     with pyro.plate("data", 3):
        ...         pyro.sample("z", dist.Bernoulli(0.3), infer={"enumerate": "parallel"})
        >>> trace = poutine.trace(poutine.enum(model, first_available_dim=-2)).get_trace()
        >>> trace.compute_log_prob()
        >>> trace.pack_tensors()
        >>> factor = trace.nodes["z"]["packed"]["log_prob"]
        >>> factor.shape, factor._pyro_dims
        (torch.Size([2, 3]), 'ba')
        """
        self.symbolize_dims(plate_to_symbol)
        for site in self.nodes.values():
            if is_packable(site):
                pack_site(site)

    def detach_(self) -> None:
        """Cut the values of all sample sites from the graph, in place."""
        for site in self.nodes.values():
            if site_is_sample(site) and isinstance(site["value"], torch.Tensor):
                site["value"] = site["value"].detach()

    @property
    def observation_nodes(self) -> list[str]:
        """Names of the sites whose value was given."""
        return [n for n, s in self.nodes.items() if site_is_sample(s) and s["is_observed"]]

    @property
    def param_nodes(self) -> list[str]:
        """Names of the parameters."""
        return [n for n, s in self.nodes.items() if s["type"] == "param"]

    @property
    def stochastic_nodes(self) -> list[str]:
        """Names of the sites whose value was drawn, plates among them."""
        return [n for n, s in self.nodes.items() if site_is_sample(s) and not s["is_observed"]]

    @property
    def reparameterized_nodes(self) -> list[str]:
        """Names of the drawn sites through which pathwise gradients flow."""
        return [n for n in self.stochastic_nodes if _is_pathwise(self.nodes[n])]

    @property
    def nonreparam_stochastic_nodes(self) -> list[str]:
        """Names of the drawn sites whose gradients need the score function."""
        return [n for n in self.stochastic_nodes if not _is_pathwise(self.nodes[n])]

    def iter_stochastic_nodes(self) -> Iterator[tuple[str, Node]]:
        """Iterate over the names and sites whose value was drawn, plates among them."""
        for name, site in self.nodes.items():
            if site_is_sample(site) and not site["is_observed"]:
                yield name, site

    def format_shapes(self, title: str = "Trace Shapes:", last_site: str | None = None) -> str:
        """Return a table of the sites' shapes: batch on the left of ``|``, event on the right.

        :param title: the table's first line.
        :param last_site: the last site to show, to see the shapes up to an error.

        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     with pyro.plate("data", 3):
        ...         pyro.sample("x", dist.Normal(0.0, 1.0))
        >>> trace = pyro.poutine.trace(model).get_trace()
        >>> trace.compute_log_prob()
        >>> print(trace.format_shapes())
        Trace Shapes:
         Param Sites:
        Sample Sites:
            data dist   |
                value 3 |
             log_prob   |
               x dist 3 |
                value 3 |
             log_prob 3 |
        """
        return format_shape_table(self.nodes, title, last_site)


def _is_pathwise(site: Node) -> bool:
    return bool(getattr(site["fn"], "has_rsample", False))


def _duplicate(name: str, earlier: str, later: str) -> DuplicateSiteError:
    return site_error(
        name,
        f"the name is used twice in one run, by a {earlier} site and then by a {later} site",
        f"Give each site a name of its own, e.g. f'{name}_{{i}}' in a loop.",
        DuplicateSiteError,
    )
