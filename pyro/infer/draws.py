"""Runs of a model one after another, at given values, that keep nothing but what is wanted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from pyro._foundation.errors import DuplicateSiteError, site_error
from pyro.infer.plates import frame_depth
from pyro.ops.shapes import broadcast_shape
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_sample, site_is_subsample, site_is_untraced

Site = Mapping[str, Any]
Column = Sequence[Any] | torch.Tensor


class Draws(Messenger):
    """Feeds values to the sites of a model, draw by draw, and collects the values of others.

    This does for many runs what a trace does for one, at a fraction of the cost.

    :param feed: values by site name, one for each draw; a site with values is not drawn.
    :param is_wanted: tells of a sample site whether its values are to be collected.
    :param keeps_results: whether to keep what the model returns.

    After :meth:`run`, ``columns`` holds the values of the wanted sites, ``fed`` the tensors that
    were fed, ``event_dims`` the number of event dimensions of both, ``results`` what the model
    returned, and ``depth`` is the number of batch dimensions that its plates take up.
    """

    def __init__(
        self,
        feed: Mapping[str, Column],
        is_wanted: Callable[[Site], bool],
        keeps_results: bool = False,
    ) -> None:
        super().__init__()
        self.columns: dict[str, list[Any]] = {}
        self.fed: dict[str, torch.Tensor] = {}
        self.event_dims: dict[str, int] = {}
        self.results: list[Any] = []
        self.depth = 0
        self._feed: dict[str, Column] = dict(feed)
        self._is_wanted = is_wanted
        self._keeps_results = keeps_results
        self._index = 0
        self._known: set[str] = set()

    def run(self, fn: Callable[..., Any], count: int, args: Any, kwargs: Any) -> "Draws":
        """Run a model so many times.

        :param fn: the model.
        :param count: the number of draws.
        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: this object.
        :raises ValueError: that names the site, where a site runs in some draws only or twice in
            one, and where a value that is fed to it cannot have come from it.
        """
        with self:
            for self._index in range(count):
                result = fn(*args, **kwargs)
                if self._keeps_results:
                    self.results.append(result)
        for name, column in self.columns.items():
            if len(column) != count:
                raise skipped_site(name)
        return self

    def _pyro_sample(self, msg: Message) -> None:
        column = self._feed.get(msg["name"])
        if column is not None:
            if isinstance(column, torch.Tensor):
                column = self._first_fed(msg, column)
            msg["value"] = column[self._index]
            msg["is_observed"] = True

    def _first_fed(self, msg: Message, values: torch.Tensor) -> Column:
        name = msg["name"]
        self.fed[name] = fit_to_site(msg, values)
        self.event_dims[name] = msg["fn"].event_dim
        column = self._feed[name] = self.fed[name].unbind(0)
        return column

    def _pyro_post_sample(self, msg: Message) -> None:
        column = self.columns.get(msg["name"])
        if column is None:
            self._meet(msg)
        elif len(column) == self._index:
            column.append(msg["value"])
        else:
            raise (skipped_site if len(column) < self._index else _repeated)(msg["name"])

    def _meet(self, msg: Message) -> None:
        """Decide about a site that is not collected: most often one that was met before."""
        name = msg["name"]
        if name in self._known:
            if self._index == 0:
                raise _repeated(name)
            return
        self._known.add(name)
        self.depth = max(self.depth, frame_depth(msg["cond_indep_stack"]))
        if self._is_wanted(msg):
            if self._index:
                raise skipped_site(name)
            self.columns[name] = [msg["value"]]
            self.event_dims[name] = getattr(msg["fn"], "event_dim", 0)


def _repeated(name: str) -> ValueError:
    return site_error(
        name,
        "the name is used twice in one run",
        f"Give each site a name of its own, e.g. f'{name}_{{i}}' in a loop.",
        DuplicateSiteError,
    )


def skipped_site(name: str) -> ValueError:
    """Build the error that says of a site that some runs of the model pass it by.

    :param name: the site's name.
    """
    return site_error(
        name,
        "the site runs in some draws only, so that its values cannot be stacked",
        "Leave it out of return_sites, or let every run of the model pass it.",
    )


def is_recorded(site: Site) -> bool:
    """Tell whether a site shows in predictions: plate indices do not.

    :param site: a message or a node of a trace.
    """
    return site_is_sample(site) and not site_is_subsample(site) and not site_is_untraced(site)


def fit_to_site(site: Site, values: torch.Tensor) -> torch.Tensor:
    """Take from a stack of values the dimensions of size 1 that their site does not have.

    Predictions and samples of one site may differ by those, which stand for plates.

    :param site: a message or a node of a trace.
    :param values: the values, with the draws along the first dimension.
    :raises ValueError: that names the site, where a value cannot have come from it, and where it is
        a plate.
    """
    if site_is_subsample(site):
        raise site_error(
            site["name"],
            "posterior samples have the name of a plate, whose indices cannot be given so",
            "Leave it out, or pass subsample= to the plate.",
        )
    own = tuple(site["fn"].batch_shape + site["fn"].event_shape)
    shape = tuple(values.shape[1:])
    surplus = len(shape) - len(own)
    if surplus > 0 and all(size == 1 for size in shape[:surplus]):
        shape = shape[surplus:]
    try:
        broadcast_shape(shape, own)
    except ValueError as error:
        raise site_error(
            site["name"],
            f"each posterior sample has shape {shape}, expected {own}",
            "posterior_samples hold the draws along the first dimension, then the site's shape.",
        ) from error
    return values.reshape(values.shape[:1] + shape)
