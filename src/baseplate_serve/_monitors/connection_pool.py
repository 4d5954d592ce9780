"""``monitoring.connection_pool``: the pools that the application has."""

from __future__ import annotations

import logging
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

    def __init__(self, reporters: Mapping[str, Callable[[Any], None]]) -> None:
        self._reporters = reporters
        self._failing: set[str] = set()  # and that was said

    def collect(self, metrics: RuntimeMetrics) -> None:
        for name, use in self._uses():
            metrics(declared.POOL_CONNECTIONS, name, "in_use").set(use.in_use)
            metrics(declared.POOL_CONNECTIONS, name, "idle").set(use.idle)
            if use.limit is not None:
                metrics(declared.POOL_LIMIT, name).set(use.limit)

    def report(self, batch: Any) -> None:
        for name, reporter in self._reporters.items():
            batch.base_tags["client"] = name
            self._try(name, lambda: reporter(batch))  # noqa: B023 (called at once)
            del batch.base_tags["client"]
        for name, use in self._uses():
            tags = {"client": name}
            batch.gauge("pool.in_use", tags=tags).replace(use.in_use)
            if use.limit is not None:
                batch.gauge("pool.size", tags=tags).replace(use.limit)

    def _uses(self) -> list[tuple[str, PoolUse]]:
        uses = [(name, self._try(name, read)) for name, read in monitoring.watched_pools().items()]
        return [(name, use) for name, use in uses if use is not None]

    def _try(self, name: str, call: Callable[[], Any]) -> Any:
        """What *call* returns; None if it fails, which is said the first time."""
        try:
            told = call()
        except Exception:
            if name not in self._failing:
                log.warning("the connection pool of %s cannot be read", name, exc_info=True)
            self._failing.add(name)
            return None
        self._failing.discard(name)
        return told
