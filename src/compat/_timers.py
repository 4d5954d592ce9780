"""Timers: asyncio's own heap, and one timer of the hub for its earliest entry."""

from __future__ import annotations

import heapq
from typing import Any

from compat._asyncio import MIN_CANCELLED_TIMER_HANDLES_FRACTION, MIN_SCHEDULED_TIMER_HANDLES


class Timers:
    """The earliest of a loop's timers wakes the loop.

    A timer of the hub costs three times (libuv: sixty times) what an entry in a heap does, and most timers
    are cancelled before they fire, so one is enough; what fires too early because its entry was cancelled
    is armed again.
    """

    def __init__(self, loop: Any, hub_loop: Any) -> None:
        self.loop = loop
        self.hub_loop = hub_loop
        self.watcher: Any = None
        self.armed_for: float | None = None  # loop.time() at which the watcher fires

    def take_due(self, now: float) -> None:
        """Move the handles that are due at *now*, of `loop.time()`, into the ready queue."""
        loop = self.loop
        scheduled: list[Any] = loop._scheduled
        cancelled = loop._timer_cancelled_count
        if (
            cancelled > MIN_SCHEDULED_TIMER_HANDLES
            and cancelled / len(scheduled) > MIN_CANCELLED_TIMER_HANDLES_FRACTION
        ):
            self._forget_cancelled()
        now += loop._clock_resolution
        while scheduled and (scheduled[0]._cancelled or scheduled[0]._when < now):
            handle: Any = heapq.heappop(scheduled)
            handle._scheduled = False
            if handle._cancelled:
                loop._timer_cancelled_count -= 1
            else:
                loop._ready.append(handle)

    def _forget_cancelled(self) -> None:
        scheduled: list[Any] = self.loop._scheduled
        for handle in scheduled:
            if handle._cancelled:
                handle._scheduled = False
        scheduled[:] = [handle for handle in scheduled if handle._scheduled]
        heapq.heapify(scheduled)
        self.loop._timer_cancelled_count = 0

    def arm(self, when: float) -> None:
        """Have the hub wake the loop at *when*, of `loop.time()`, or earlier."""
        if self.armed_for is not None:
            if self.armed_for <= when:
                return
            self.disarm()
        self.armed_for = when
        # The hub's clock stands still during an iteration: without the update a timer would fire early.
        self.hub_loop.update_now()
        self.watcher = self.hub_loop.timer(max(0.0, when - self.loop.time()))
        self.watcher.start(self._fired)

    def disarm(self) -> None:
        """No timer of the hub is left behind."""
        if self.armed_for is not None:
            self.armed_for = None
            self.watcher.stop()
            self.watcher.close()

    def _fired(self) -> None:
        self.disarm()
        self.loop._schedule()
