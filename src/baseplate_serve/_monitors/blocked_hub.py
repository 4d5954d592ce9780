"""``monitoring.blocked_hub``: who keeps the hub, for how long, and where.

Every switch between greenlets is seen: from the one out of the hub to the next one into it nobody else is
served, whatever is switched to in between (coroutines, greenlets of an application's own making).  That says
that the hub was blocked, and exactly for how long, also by C code that lets no other thread run.  Where, a
thread of our own sees, which looks several times within the limit.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import deque
from dataclasses import dataclass
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

import gevent
import greenlet
from gevent import monkey

from baseplate_serve._metrics import declared
from baseplate_serve._monitors.monitor import REPORTED_MAX, Monitor, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from baseplate_serve._metrics.declared import RuntimeMetrics

log = logging.getLogger("baseplate_serve.monitoring")

LOOKS = 4  # within the limit
LOOK_MIN_S = 0.005
UNSEEN = "  no Python code: something in C that lets no other thread run"

# The thread is a native one.
start_native_thread = monkey.get_original("_thread", "start_new_thread")
sleep_in_native_thread = monkey.get_original("time", "sleep")


@dataclass
class Look:
    """What ran, out of the hub since *began_at*."""

    began_at: float
    at: float
    who: str
    stack: traceback.StackSummary | None


@dataclass
class Blockage:
    """What blocked, and where, if a look fell into it."""

    took_s: float
    who: str
    look: Look | None


class BlockedHubMonitor(Monitor):
    """Reports each time that the hub is kept for longer than *limit*, by *clock*."""

    option = "monitoring.blocked_hub"
    logs = True

    def __init__(self, limit: timedelta, clock: Callable[[], float] = perf_counter) -> None:
        self._limit_s = limit.total_seconds()
        self._clock = clock
        self._hub: Any = gevent.get_hub()
        self._on = False
        self._traced_before: Any = None  # somebody else's function for this
        self._began_at = inf  # when the hub was left; inf: it is there
        self._running: Any = None  # the greenlet that runs
        self._look: Look | None = None  # the last one that fell into a blockage, or might have
        self._over: deque[Blockage] = deque()
        self._to_report: deque[float] = deque(maxlen=REPORTED_MAX)

    def start(self) -> None:
        if self._limit_s <= 0:
            raise Unavailable("monitoring.blocked_hub is off: it needs a duration of more than 0")
        self._on = True
        self._running, self._began_at = greenlet.getcurrent(), self._clock()
        self._traced_before = greenlet.settrace(self._switched)
        start_native_thread(self._look_always, ())

    def stop(self) -> None:
        if self._on:
            self._on = False
            greenlet.settrace(self._traced_before)

    def collect(self, metrics: RuntimeMetrics) -> None:
        while self._over:
            over = self._over.popleft()
            metrics(declared.HUB_BLOCKED).observe(over.took_s)
            self._to_report.append(over.took_s)
            log.warning("the hub was blocked for %.3f s by %s:\n%s", over.took_s, over.who, _where(over.look))

    def report(self, batch: Any) -> None:
        while self._to_report:
            batch.timer("hub_blocked").send(self._to_report.popleft())

    def _switched(self, event: str, greenlets: tuple[Any, Any]) -> None:
        """Called by every switch: the greenlet that was left, and the one that runs now."""
        left, self._running = greenlets
        if self._running is self._hub:
            took_s = self._clock() - self._began_at
            self._began_at, began_at = inf, self._began_at
            if took_s >= self._limit_s:
                look = self._look if self._look is not None and self._look.began_at == began_at else None
                self._over.append(Blockage(took_s, _name(left) if look is None else look.who, look))
        elif left is self._hub:
            self._began_at = self._clock()
        if self._traced_before is not None:
            self._traced_before(event, greenlets)

    def _look_always(self) -> None:
        """In the thread, which must not use what gevent has patched: only notes."""
        every_s = max(self._limit_s / LOOKS, LOOK_MIN_S)
        while self._on:
            sleep_in_native_thread(every_s)
            self.look()

    def look(self) -> None:
        """Note what runs, if it has for nearly the limit: it may be over before the next look."""
        began_at, last, now = self._began_at, self._look, self._clock()
        if now - began_at < self._limit_s * (1 - 1 / LOOKS):
            return
        if last is not None and last.began_at == began_at and last.at - began_at >= self._limit_s:
            return  # one where the limit was over is enough
        who = _name(self._running)
        frame = sys._current_frames().get(self._hub.thread_ident)  # noqa: SLF001 (its documented name)
        if frame is not None and frame.f_code is self._switched.__code__:
            frame = frame.f_back
        stack = None
        if frame is not None:
            stack = traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)
        if self._began_at == began_at:  # still
            self._look = Look(began_at, now, who, stack)


def _name(running: Any) -> str:
    return getattr(running, "name", None) or type(running).__name__


def _where(look: Look | None) -> str:
    if look is None or look.stack is None:
        return UNSEEN
    look.stack.reverse()
    return "".join(look.stack.format()).rstrip()
