"""``monitoring.connection_pool``: the pools that the application has."""

from __future__ import annotations

import logging
from math import nan
from typing import TYPE_CHECKING, Any

from baseplate_serve import monitoring
from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from baseplate_serve._metrics.declared import RuntimeMetrics
    from baseplate_serve.monitoring import PoolUse

log = logging.getLogger("baseplate_serve.monitoring")


class ConnectionPoolMonitor(Monitor):
    """Those of `monitoring.watch_pool`, and those of Baseplate's clients by their *reporters*.

    A reporter brings Prometheus metrics of the client's own up to date besides telling the batch.  One that
    fails is asked again the next time: a pool may be closed, and opened again.
    """

    option = "monitoring.connection_pool"

    def __init__(self, reporters: Mapping[str, Callable[[Any], None]]) -> None:
        self._reporters = reporters
        self._failing: set[tuple[str, str]] = set()  # kind and name; and that was said
        self._shown: dict[tuple[Any, ...], float] = {}  # what `metrics` is called with, and the figure

    def collect(self, metrics: RuntimeMetrics) -> None:
        # What cannot be read, or is not watched any more, must not look as it did at last.  A file of metrics
        # forgets nothing: there is no figure, so they say.
        figures: dict[tuple[Any, ...], float] = dict.fromkeys(self._shown, nan)
        for name, use in self._uses():
            figures[declared.POOL_CONNECTIONS, name, "in_use"] = use.in_use
            figures[declared.POOL_CONNECTIONS, name, "idle"] = use.idle
            if use.limit is not None:
                figures[declared.POOL_LIMIT, name] = use.limit
        for key, figure in figures.items():
            metrics(*key).set(figure)
        self._shown = figures

    def report(self, batch: Any) -> None:
        for name, reporter in self._reporters.items():
            batch.base_tags["client"] = name
            self._try("client", name, lambda: reporter(batch))  # noqa: B023 (called at once)
            del batch.base_tags["client"]
        for name, use in self._uses():
            tags = {"client": name}
            batch.gauge("pool.in_use", tags=tags).replace(use.in_use)
            if use.limit is not None:
                batch.gauge("pool.size", tags=tags).replace(use.limit)

    def _uses(self) -> list[tuple[str, PoolUse]]:
        uses = [(name, self._try("pool", name, read)) for name, read in monitoring.watched_pools().items()]
        return [(name, use) for name, use in uses if use is not None]

    def _try(self, kind: str, name: str, call: Callable[[], Any]) -> Any:
        """What *call* returns; None if it fails, which is said the first time."""
        try:
            told = call()
        except Exception:
            if (kind, name) not in self._failing:
                log.warning("the connection pool of %s cannot be read", name, exc_info=True)
            self._failing.add((kind, name))
            return None
        self._failing.discard((kind, name))
        return told
