"""Which monitors the settings ask for, and the server has something to tell to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baseplate_serve._monitors.coroutines import LoopMonitor
from baseplate_serve._monitors.lag import LagMonitor
from baseplate_serve._monitors.requests import PhaseMonitor, RequestMonitor
from baseplate_serve.state import SERVER_STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from baseplate_serve._monitors.monitor import Monitor
    from baseplate_serve._settings.options import ServerSettings


def monitors_for(
    settings: ServerSettings, server: Any, *, pool: Any, reporters: Mapping[str, Callable[[Any], None]]
) -> Iterator[Monitor]:
    """*pool* of greenlets: what a server that is not ours has told of its connections, or None.

    *reporters*: of Baseplate's clients, by their names.
    """
    # Each is imported where it is on.
    ours = hasattr(server, "connections")
    yield PhaseMonitor(SERVER_STATE)
    yield LagMonitor()
    yield LoopMonitor()
    if ours:
        yield RequestMonitor(server)
    if settings.concurrency and ours:
        from baseplate_serve._monitors.concurrency import ConcurrencyMonitor  # noqa: PLC0415 (it is on)

        yield ConcurrencyMonitor(server)
    elif settings.concurrency and pool is not None:
        from baseplate_serve._monitors.concurrency import PoolConcurrencyMonitor  # noqa: PLC0415 (it is on)

        yield PoolConcurrencyMonitor(pool)
    if settings.connection_pool:
        from baseplate_serve._monitors.connection_pool import ConnectionPoolMonitor  # noqa: PLC0415 (it is on)

        yield ConnectionPoolMonitor(reporters)
    if settings.gc_stats:
        from baseplate_serve._monitors.gc_stats import GcStatsMonitor  # noqa: PLC0415 (it is on)

        yield GcStatsMonitor()
    if settings.gc_timing:
        from baseplate_serve._monitors.gc_timing import GcTimingMonitor  # noqa: PLC0415 (it is on)

        yield GcTimingMonitor()
    if settings.gc_refcycle is not None:
        from baseplate_serve._monitors.refcycle import RefCycleMonitor  # noqa: PLC0415 (it is on)

        yield RefCycleMonitor(settings.gc_refcycle)
    if settings.blocked_hub is not None:
        from baseplate_serve._monitors.blocked_hub import BlockedHubMonitor  # noqa: PLC0415 (it is on)

        yield BlockedHubMonitor(settings.blocked_hub)
