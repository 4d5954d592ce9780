"""``monitoring.blocked_hub``: who keeps the hub, for how long, and where.

gevent's monitoring thread counts the switches between greenlets; a coroutine runs in a greenlet, too.
Several times within the limit it looks whether there was one, and takes the stack of what runs if not.
"""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent import config

from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import REPORTED_MAX, Monitor, Unavailable

if TYPE_CHECKING:
    from datetime import timedelta

    from baseplate_serve._metrics.declared import RuntimeMetrics

log = logging.getLogger("baseplate_serve.monitoring")

LOOKS = 4  # within the limit: a blockage is known that exactly, both ways
LOOK_MIN_S = 0.005  # gevent's thread sleeps that long at least
SELDOM_S = 3600.0


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
        self._tracer: Any = None  # the thread's, which may outlive our `stop` for a moment
        self._switched_at = monotonic()
        self._current: Blockage | None = None
        self._over: deque[Blockage] = deque()
        self._to_report: deque[float] = deque(maxlen=REPORTED_MAX)

    def start(self) -> None:
        """Switches: yes."""
        if self._limit_s <= 0:
            raise Unavailable("monitoring.blocked_hub is off: it needs a duration of more than 0")
        gevent.sleep(0)  # the thread takes a hub that has never run for one that is dead, and ends
        look_s = max(self._limit_s / LOOKS, LOOK_MIN_S)
        config.max_blocking_time = look_s  # the thread sleeps as long before it learns of ours
        config.print_blocking_reports = False
        config.monitor_thread = True
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unable to monitor memory usage")  # nobody has asked it to
            self._thread = self._hub.start_periodic_monitoring_thread()
        config.monitor_thread = False  # the hubs of worker threads need none
        self._tracer = self._thread._greenlet_tracer  # noqa: SLF001 (gevent has no other name for it)
        self._switched_at = monotonic()
        self._thread.add_monitoring_function(self._look, look_s)
        config.max_blocking_time = SELDOM_S  # gevent's own look, which keeps no duration

    def stop(self) -> None:
        if self._thread is not None:
            self._thread.kill()
            self._thread = self._hub.periodic_monitoring_thread = None

    def collect(self, metrics: RuntimeMetrics) -> None:
        while self._over:
            over = self._over.popleft()
            metrics(declared.HUB_BLOCKED).observe(over.took_s)
            self._to_report.append(over.took_s)
            log.warning("the hub was blocked for %.3f s by %s:\n%s", over.took_s, over.who, over.stack)

    def report(self, batch: Any) -> None:
        while self._to_report:
            batch.timer("hub_blocked").send(self._to_report.popleft())

    def _look(self, hub: Any) -> None:
        """In the monitoring thread, which must not use what gevent has patched: only notes."""
        blocked = self._tracer.did_block_hub(hub)  # since the last time; who, too
        now = monotonic()
        if not blocked:
            if self._current is not None:
                self._current.took_s = now - self._current.began_at
                self._over.append(self._current)
                self._current = None
            self._switched_at = now
        elif self._current is None and now - self._switched_at >= self._limit_s:
            self._current = Blockage(self._switched_at, _name(blocked[1]), _stack(hub))


def _name(active: Any) -> str:
    return getattr(active, "name", None) or type(active).__name__


def _stack(hub: Any) -> str:
    frame = sys._current_frames().get(hub.thread_ident)  # noqa: SLF001 (its documented name)
    return "".join(traceback.format_stack(frame)).rstrip() if frame is not None else "  no Python code"
