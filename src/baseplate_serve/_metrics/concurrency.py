"""``monitoring.concurrency``: open connections and active requests, as gauges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from baseplate_serve._metrics.declared import RuntimeMetrics

EVERY_S = 1.0  # gauges of a worker are read from its file by whichever worker is scraped


class ConcurrencyMonitor:
    """Writes what the server's connection tracking says into the gauges, every second and at the end."""

    def __init__(
        self, metrics: RuntimeMetrics, connections: Sized, in_flight: Callable[[], list[Any]]
    ) -> None:
        self._metrics = metrics
        self._connections = connections
        self._in_flight = in_flight
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Begin.  Switches: no."""
        self.write()
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Write a last time and end.  Switches: perhaps."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self.write()

    def write(self) -> None:
        """Write the gauges now."""
        self._metrics.open_connections.set(len(self._connections))
        self._metrics.active_requests.set(len(self._in_flight()))

    def _run(self) -> None:
        while True:
            gevent.sleep(EVERY_S)
            self.write()
