"""The asyncio loop that is attached to the hub, if there is one by now."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gevent import get_hub

from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import Monitor

if TYPE_CHECKING:
    from baseplate_serve._metrics.declared import Metric, RuntimeMetrics


class LoopMonitor(Monitor):
    """Its counters, and its tasks.

    Whoever has coroutines makes the loop when it needs one: the server, or an application by `compat.wait`.
    A service without never imports asyncio, and has no such metrics.
    """

    def __init__(self) -> None:
        self._loop: Any = None
        self._counted: dict[Metric, int] = {}  # of that loop

    def collect(self, metrics: RuntimeMetrics) -> None:
        loop = getattr(getattr(get_hub(), "event_loops", None), "attached", None)
        if loop is not self._loop:
            self._loop = loop
            self._counted = {}
        if loop is None:
            return
        now = {
            declared.HAND_OFFS: loop.hand_offs,
            declared.HOLDS: loop.holds,
            declared.SLOW_CALLBACKS: loop.slow_callbacks,
        }
        for metric, count in now.items():
            metrics(metric).inc(count - self._counted.get(metric, 0))
        self._counted = now
        metrics(declared.TASKS).set(len(sys.modules["asyncio"].all_tasks(loop)))
