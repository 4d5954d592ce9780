"""``monitoring.concurrency``: open connections and active requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Sized

    from baseplate_serve._metrics.declared import RuntimeMetrics


class ConcurrencyMonitor(Monitor):
    """What *server*'s connection tracking says."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def collect(self, metrics: RuntimeMetrics) -> None:
        metrics(declared.OPEN_CONNECTIONS).set(len(self._server.connections))
        metrics(declared.ACTIVE_REQUESTS).set(self._server.connections.busy())

    def report(self, batch: Any) -> None:
        batch.gauge("open_connections").replace(len(self._server.connections))
        batch.gauge("active_requests").replace(self._server.connections.busy())


class PoolConcurrencyMonitor(Monitor):
    """The greenlets of a server that is not ours: one for each connection."""

    def __init__(self, pool: Sized) -> None:
        self._pool = pool

    def collect(self, metrics: RuntimeMetrics) -> None:
        metrics(declared.OPEN_CONNECTIONS).set(len(self._pool))

    def report(self, batch: Any) -> None:
        batch.gauge("open_connections").replace(len(self._pool))
