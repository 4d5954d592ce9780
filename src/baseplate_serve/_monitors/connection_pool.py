"""``monitoring.connection_pool``: the pools that the application has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baseplate_serve import monitoring
from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from baseplate_serve._metrics.declared import RuntimeMetrics


class ConnectionPoolMonitor(Monitor):
    """Those of `monitoring.watch_pool`, and those of Baseplate's clients by their *reporters*.

    A reporter brings Prometheus metrics of the client's own up to date besides telling the batch.
    """

    def __init__(self, reporters: Mapping[str, Callable[[Any], None]]) -> None:
        self._reporters = reporters

    def collect(self, metrics: RuntimeMetrics) -> None:
        for name, use in monitoring.watched_pools():
            metrics(declared.POOL_CONNECTIONS, name, "in_use").set(use.in_use)
            metrics(declared.POOL_CONNECTIONS, name, "idle").set(use.idle)
            if use.limit is not None:
                metrics(declared.POOL_LIMIT, name).set(use.limit)

    def report(self, batch: Any) -> None:
        for name, reporter in self._reporters.items():
            batch.base_tags["client"] = name
            try:
                reporter(batch)
            finally:
                del batch.base_tags["client"]
        for name, use in monitoring.watched_pools():
            tags = {"client": name}
            batch.gauge("pool.in_use", tags=tags).replace(use.in_use)
            if use.limit is not None:
                batch.gauge("pool.size", tags=tags).replace(use.limit)
