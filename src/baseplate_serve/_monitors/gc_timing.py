"""``monitoring.gc.timing``: how long each garbage collection takes."""

from __future__ import annotations

import gc
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any

from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import REPORTED_MAX, Monitor

if TYPE_CHECKING:
    from baseplate_serve._metrics.declared import RuntimeMetrics


class GcTimingMonitor(Monitor):
    """Is called by the collector before and after."""

    option = "monitoring.gc.timing"

    def __init__(self) -> None:
        self._began_at = 0.0
        self._to_collect: list[tuple[int, float]] = []  # generation, seconds
        self._to_report: deque[float] = deque(maxlen=REPORTED_MAX)

    def start(self) -> None:
        gc.callbacks.append(self._look)

    def stop(self) -> None:
        if self._look in gc.callbacks:
            gc.callbacks.remove(self._look)

    def collect(self, metrics: RuntimeMetrics) -> None:
        took, self._to_collect = self._to_collect, []
        for generation, seconds in took:
            metrics(declared.GC_DURATION, str(generation)).observe(seconds)

    def report(self, batch: Any) -> None:
        while self._to_report:
            batch.timer("gc.elapsed").send(self._to_report.popleft())

    def _look(self, phase: str, info: dict[str, int]) -> None:
        """Runs wherever Python happens to be: only notes."""
        if phase == "start":
            self._began_at = perf_counter()
        elif self._began_at:
            seconds = perf_counter() - self._began_at
            self._to_collect.append((info["generation"], seconds))
            self._to_report.append(seconds)
