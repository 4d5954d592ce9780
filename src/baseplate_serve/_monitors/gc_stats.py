"""``monitoring.gc.stats``: what the garbage collector has done."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import Monitor

if TYPE_CHECKING:
    from baseplate_serve._metrics.declared import RuntimeMetrics


class GcStatsMonitor(Monitor):
    """`gc.get_stats()`."""

    def collect(self, metrics: RuntimeMetrics) -> None:
        for generation, stats in enumerate(gc.get_stats()):
            for name, value in stats.items():
                metrics(declared.GC_STATS, name, str(generation)).set(value)

    def report(self, batch: Any) -> None:
        for generation, stats in enumerate(gc.get_stats()):
            for name, value in stats.items():
                batch.gauge(f"gc.{name}", tags={"generation": generation}).replace(value)
