"""How late the hub comes to what is due."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent

from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import Monitor

if TYPE_CHECKING:
    from baseplate_serve._metrics.declared import RuntimeMetrics

EVERY_S = 0.1


class LagMonitor(Monitor):
    """Sets a timer ten times a second, and looks how late it was served."""

    def __init__(self) -> None:
        self._late_s: list[float] = []
        self._loop = gevent.get_hub().loop
        self._timer: Any = None
        self._due_at = 0.0

    def start(self) -> None:
        self._next()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.close()

    def collect(self, metrics: RuntimeMetrics) -> None:
        late_s, self._late_s = self._late_s, []
        metrics.observe_all(late_s, declared.HUB_LAG)

    def _next(self) -> None:
        self._due_at = monotonic() + EVERY_S
        # Another one each time, as one that has rung has no delay left.
        self._timer = self._loop.timer(EVERY_S, ref=False)
        # The hub's own clock stands still while it is busy: counted from there, nothing would ever be late.
        self._timer.start(self._look, update=True)

    def _look(self) -> None:
        self._late_s.append(max(0.0, monotonic() - self._due_at))
        self._timer.close()
        self._next()
