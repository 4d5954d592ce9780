"""The hand-off: a step that blocks in gevent gives the loop to another runner.

Whatever blocks in gevent ends in the hub's `switch()`.  There, in the greenlet that is about to wait, the
running loop and the current task are put aside, and put back when it goes on.  So in the hub, and in every
other greenlet, no loop is running, and the next runner finds the ground clear.
"""

from __future__ import annotations

import asyncio
import enum
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gevent import monkey
from gevent.hub import Hub

from compat._asyncio import BaseEventLoop, enter_task, get_running_loop, leave_task, set_running_loop
from compat._current_thread import stand_for_threads
from compat._handles import Handle
from compat._polls import answer_at_once
from compat._timeouts import know_tasks
from compat.errors import BlockingCall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

current_task = asyncio.current_task


class HandOff(enum.StrEnum):
    """What happens when a callback makes a call that blocks in gevent."""

    TASK = "task"  # a task's step: the loop goes on without it; any other callback: as OFF
    OFF = "off"  # the whole loop waits
    ERROR = "error"  # a task's step: BlockingCall is raised; any other callback: as OFF


class LoopHub(Hub):
    """A hub that knows of event loops.

    Costs a plain greenlet that blocks one Python call and a look at the running loop (0.2 µs).
    """

    event_loops: Loops

    def switch(self) -> Any:
        """As `Hub.switch`, in which every greenlet waits; a running loop is put aside meanwhile."""
        loop: Any = get_running_loop()
        if loop is None:
            return Hub.switch(self)
        suspend = getattr(loop, "_suspend", None)
        return _suspend_other(loop, self) if suspend is None else suspend(self)


class Loops:
    """The loops of one hub."""

    def __init__(self) -> None:
        self.running: list[Any] = []
        self.attached: Any = None  # the one that greenlets outside of every loop use
        self.hooked: Any = None  # who hears of asynchronous generators: it set the hooks last


def let_hub_know(hub: Any) -> None:
    """Make *hub* one that hands off; nothing happens when it is already."""
    kind = type(hub)
    if not issubclass(kind, LoopHub):
        # A live hub cannot be replaced: watchers and greenlets hold on to it.
        hub.__class__ = LoopHub if kind is Hub else type(kind.__name__, (LoopHub, kind), {})
        hub.event_loops = Loops()
        answer_at_once()
        know_tasks()
        stand_for_threads()
        _put_aside_earlier()


def _put_aside_earlier() -> None:
    """A loop that isn't ours may have blocked another greenlet before the hub knew: it seems to run here.

    A thread that runs a loop, in a process whose threads are greenlets, say.
    """
    loop: Any = get_running_loop()
    if not isinstance(loop, BaseEventLoop) or not monkey.is_module_patched("threading"):
        return
    if loop._thread_id != threading.get_ident():
        set_running_loop(None)
        # What it does first when it goes on: from then on the hub sees it block.
        loop._ready.appendleft(Handle(set_running_loop, (loop,), loop, None))


def _suspend_other(loop: asyncio.AbstractEventLoop, hub: LoopHub) -> Any:
    """A loop that is not ours blocks its greenlet, in a patched selector mostly."""
    task = current_task(loop)
    hooks = sys.get_asyncgen_hooks()
    if task is not None:
        leave_task(loop, task)
    set_running_loop(None)
    hub.event_loops.hooked = None
    try:
        return Hub.switch(hub)
    finally:
        hub.event_loops.hooked = None
        sys.set_asyncgen_hooks(*hooks)
        set_running_loop(loop)
        if task is not None:
            enter_task(loop, task)


# Sections in which the loop must not go on

_sections: dict[asyncio.Task[Any], int] = {}


@contextmanager
def no_handoff() -> Iterator[None]:
    """In this section of a coroutine a call that blocks in gevent holds the whole loop.

    For code that counts on nothing else in the loop running between two awaits.  Other greenlets run; it is
    the loop that waits.  Outside a task it changes nothing: other callbacks are never interleaved.

    Raises `WouldDeadlock` from `compat.wait` inside it.  Switches: no.
    """
    task = None if get_running_loop() is None else current_task()
    if task is None:
        yield
        return
    _sections[task] = _sections.get(task, 0) + 1
    try:
        yield
    finally:
        _sections[task] -= 1
        if not _sections[task]:
            del _sections[task]


def in_section(task: asyncio.Task[Any]) -> bool:
    """Whether *task* is in a `no_handoff` section."""
    return task in _sections


def may_hand_off(mode: HandOff, task: asyncio.Task[Any] | None) -> bool:
    """Whether the loop goes on while *task* is blocked; raises BlockingCall where that is forbidden."""
    if task is None or mode is HandOff.OFF:
        return False
    if mode is HandOff.ERROR:
        raise BlockingCall(task, blocking_line())
    return task not in _sections


def blocking_line() -> str:
    """`file:line in function` of the innermost frame that is neither gevent's nor ours."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("gevent", "compat"):
        frame = frame.f_back
    if frame is None:
        return "an unknown line"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
