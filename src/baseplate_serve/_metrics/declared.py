"""Every metric of ours: name, type, labels, unit, help.  The only place that makes one.

Process-level metrics begin with ``runtime`` and carry the host's name and the process id.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

LABELS = ("hostname", "PID")


class RuntimeMetrics:
    """The metrics of one process.  Make it once, after the exporter and before the application."""

    open_connections: Gauge  # connections
    active_requests: Gauge  # requests
    requests_abandoned: Counter  # requests

    def __init__(self) -> None:
        # Imported late: with metrics.enabled = false nobody pays for prometheus_client.
        from prometheus_client import Counter, Gauge  # noqa: PLC0415

        process = (socket.gethostname(), str(os.getpid()))
        self.open_connections = Gauge(
            "runtime_open_connections",
            "Connections that are open, idle or not.",
            LABELS,
            multiprocess_mode="livesum",  # a worker that has gone has none
        ).labels(*process)
        self.active_requests = Gauge(
            "runtime_active_requests",
            "Requests in flight: begun, and their reply not sent.",
            LABELS,
            multiprocess_mode="livesum",
        ).labels(*process)
        self.requests_abandoned = Counter(
            "runtime_requests_abandoned",
            "Requests cut off because stop_timeout was over.",
            LABELS,
        ).labels(*process)
