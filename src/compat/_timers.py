"""Timers: a heap, and one timer of the hub for its earliest entry."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Any

from compat._asyncio import MIN_CANCELLED_TIMER_HANDLES_FRACTION, MIN_SCHEDULED_TIMER_HANDLES


class Timers:
    """The earliest of a loop's timers wakes the loop.

    A timer of the hub costs three times (libuv: sixty times) what an entry in a heap does, and most timers
    are cancelled before they fire, so one is enough; what fires too early because its entry was cancelled
    is armed again.

    The entries are tuples, which compare in C; asyncio's heap holds the handles.
    """

    def __init__(self, loop: Any, hub_loop: Any) -> None:
        self.loop = loop
        self.hub_loop = hub_loop
        self.shortest_s: float = hub_loop.approx_timer_resolution
        self.heap: list[tuple[float, int, Any]] = []
        self.watcher: Any = None
        self.armed_for: float | None = None  # loop.time() at which the watcher fires
        self._number = count().__next__  # of two that are due at the same time the older one comes first

    def add(self, handle: Any) -> None:
        """Keep *handle* until it is due."""
        heapq.heappush(self.heap, (handle._when, self._number(), handle))

    def take_due(self, now: float) -> None:
        """Move the handles that are due at *now*, of `loop.time()`, into the ready queue."""
        loop = self.loop
        heap = self.heap
        cancelled = loop._timer_cancelled_count
        if (
            cancelled > MIN_SCHEDULED_TIMER_HANDLES
            and cancelled / len(heap) > MIN_CANCELLED_TIMER_HANDLES_FRACTION
        ):
            self._forget_cancelled()
        end = now + loop._clock_resolution
        ready = loop._ready
        while heap:
            when, _, handle = heap[0]
            if handle._cancelled:
                loop._timer_cancelled_count -= 1
            elif when < end:
                ready.append(handle)
            else:
                return
            handle._scheduled = False
            heapq.heappop(heap)

    def _forget_cancelled(self) -> None:
        kept = []
        for entry in self.heap:
            if entry[2]._cancelled:
                entry[2]._scheduled = False
            else:
                kept.append(entry)
        self.heap[:] = kept
        heapq.heapify(self.heap)
        self.loop._timer_cancelled_count = 0

    def arm(self, when: float) -> None:
        """Have the hub wake the loop at *when*, of `loop.time()`, or earlier."""
        if self.armed_for is not None:
            if self.armed_for <= when:
                return
            self.disarm()
        # The hub's clock stands still during an iteration: without the update a timer would fire early.
        self.hub_loop.update_now()
        after = when - self.loop.time()
        # libuv warns of a timer that is shorter than it can be, and one that is due needs none.
        self.watcher = self.hub_loop.timer(max(self.shortest_s, after) if after > 0 else 0.0)
        self.watcher.start(self._fired)
        self.armed_for = when

    def disarm(self) -> None:
        """No timer of the hub is left behind."""
        if self.armed_for is not None:
            self.armed_for = None
            self.watcher.stop()
            self.watcher.close()

    def _fired(self) -> None:
        self.disarm()
        if not self.loop._wake_pending:
            self.loop._wake_now()
