"""The asyncio loop of a server whose application has coroutines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import Monitor

if TYPE_CHECKING:
    from baseplate_serve._metrics.declared import RuntimeMetrics


class LoopMonitor(Monitor):
    """The counters of *loop*, a `compat.HubEventLoop`, and its tasks.  Not imported without one."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._counted = {declared.HAND_OFFS: 0, declared.HOLDS: 0, declared.SLOW_CALLBACKS: 0}

    def collect(self, metrics: RuntimeMetrics) -> None:
        loop = self._loop
        now = {
            declared.HAND_OFFS: loop.hand_offs,
            declared.HOLDS: loop.holds,
            declared.SLOW_CALLBACKS: loop.slow_callbacks,
        }
        for metric, count in now.items():
            metrics(metric).inc(count - self._counted[metric])
        self._counted = now
        metrics(declared.TASKS).set(len(asyncio.all_tasks(loop)))
