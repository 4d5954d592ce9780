"""``monitoring.blocked_hub``: who keeps the hub, for how long, and where.

gevent's monitoring thread notices that no greenlet has been switched to for a while.  Here its word is taken
for the beginning of a blockage, whose stack is kept; the first switch after it is the end.
"""

from __future__ import annotations

import logging
import sys
import traceback
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent import config, events

from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import Monitor, Unavailable

if TYPE_CHECKING:
    from datetime import timedelta

    from baseplate_serve._metrics.declared import RuntimeMetrics

log = logging.getLogger("baseplate_serve.monitoring")

LOOK_MIN_S = 0.005  # gevent's thread sleeps that long at least


@dataclass
class Blockage:
    """What blocks, or blocked."""

    began_at: float
    who: str
    stack: str
    took_s: float = 0.0


class BlockedHubMonitor(Monitor):
    """Reports each time that the hub is kept for longer than *limit*."""

    def __init__(self, limit: timedelta) -> None:
        self._limit_s = limit.total_seconds()
        self._hub: Any = gevent.get_hub()
        self._thread: Any = None
        self._current: Blockage | None = None
        self._over: list[Blockage] = []
        self._to_report: list[float] = []

    def start(self) -> None:
        if self._limit_s <= 0:
            raise Unavailable("monitoring.blocked_hub is off: it needs a duration of more than 0")
        config.monitor_thread = True
        config.max_blocking_time = self._limit_s
        config.print_blocking_reports = False  # we log one of our own
        events.subscribers.append(self._blocked)
        self._thread = self._hub.start_periodic_monitoring_thread()
        self._thread.add_monitoring_function(self._look, max(self._limit_s / 4, LOOK_MIN_S))

    def stop(self) -> None:
        if self._thread is not None:
            events.subscribers.remove(self._blocked)
            self._thread.kill()
            self._thread = None

    def collect(self, metrics: RuntimeMetrics) -> None:
        over, self._over = self._over, []
        for blockage in over:
            metrics(declared.HUB_BLOCKED).observe(blockage.took_s)
            self._to_report.append(blockage.took_s)
            log.warning(
                "the hub was blocked for %.3f s by %s:\n%s", blockage.took_s, blockage.who, blockage.stack
            )
        del self._to_report[:-1000]  # nobody may be asking

    def report(self, batch: Any) -> None:
        took, self._to_report = self._to_report, []
        for seconds in took:
            batch.timer("hub_blocked").send(seconds)

    # In the monitoring thread, which must not use what gevent has patched: it only notes.

    def _blocked(self, event: object) -> None:
        if not isinstance(event, events.EventLoopBlocked) or self._current is not None:
            return
        frame = sys._current_frames().get(self._hub.thread_ident)  # noqa: SLF001 (its documented name)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "nowhere"
        self._current = Blockage(monotonic() - event.blocking_time, repr(event.greenlet), stack.rstrip())

    def _look(self, hub: Any) -> None:
        del hub
        current = self._current
        if current is not None and self._thread._greenlet_tracer.greenlet_switch_counter:  # noqa: SLF001 (gevent tells it no other way)
            current.took_s = monotonic() - current.began_at
            self._over.append(current)
            self._current = None
