"""``baseplate.server.prometheus``: the exporter that the command has started, by its older names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from baseplate_serve import config
from baseplate_serve._metrics.exporter import DEFAULT_ENDPOINT, PATH, make_exporter, running_exporter
from baseplate_serve._sockets.einhorn import worker_of
from baseplate_serve.errors import UsageError

if TYPE_CHECKING:
    from baseplate_serve.config import EndpointConfiguration

__all__ = [
    "METRICS_ENDPOINT",
    "PROMETHEUS_EXPORTER_ADDRESS",
    "start_prometheus_exporter",
    "start_prometheus_exporter_for_sidecar",
    "worker_id",
]

PROMETHEUS_EXPORTER_ADDRESS = DEFAULT_ENDPOINT
METRICS_ENDPOINT = PATH


def worker_id() -> str:
    """The name under which this process writes its metrics: its slot, or its pid where it has none."""
    running = running_exporter()
    return running.slot.name() if running is not None and running.slot is not None else str(os.getpid())


def start_prometheus_exporter(address: EndpointConfiguration = PROMETHEUS_EXPORTER_ADDRESS) -> None:
    """Show metrics at *address*, too; nothing is left to do where the command shows them there already.

    Raises `UsageError`: the address cannot be bound, ``PROMETHEUS_MULTIPROC_DIR`` is wrong.
    """
    running = running_exporter()
    if running is None:
        worker = worker_of(os.environ, parent_pid=os.getppid())
        make_exporter(os.environ, address, einhorn_worker=worker is not None).start()
    elif running.endpoint != address:
        running.also_at(address).start()


def start_prometheus_exporter_for_sidecar() -> None:
    """Show metrics on ``BASEPLATE_SIDECAR_ADMIN_PORT`` of all addresses.  Raises `UsageError`."""
    port = os.environ.get("BASEPLATE_SIDECAR_ADMIN_PORT", "")
    try:
        address = config.Endpoint(f"0.0.0.0:{port}")
    except ValueError as error:
        raise UsageError(f"BASEPLATE_SIDECAR_ADMIN_PORT = {port!r}: {error}") from None
    start_prometheus_exporter(address)
