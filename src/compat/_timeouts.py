"""`gevent.Timeout` in coroutines: whom it is raised in.

gevent raises it in the greenlet that started it.  A coroutine's is a runner, which by then may be parked, or
in the middle of another task's step.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import gevent.timeout
from greenlet import getcurrent

from compat._asyncio import get_running_loop
from compat._runner import throw_into

if TYPE_CHECKING:
    import greenlet

    from compat._turns import Turns


@functools.cache
def know_tasks() -> None:
    """From now on gevent's timeouts do: costs one that is started the look at the running loop."""
    gevent.timeout.getcurrent = _whom  # type: ignore[attr-defined] # what `Timeout.start` asks


def _whom() -> greenlet.greenlet | Starter:
    loop: Any = get_running_loop()
    if loop is None or not hasattr(loop, "_blocked"):  # the second: another kind of loop
        return getcurrent()
    return Starter(loop, asyncio.current_task(loop))


class Starter:
    """The task that started a timeout, or a callback that is no task's step, in the place of a greenlet."""

    __slots__ = ("loop", "task")

    def __init__(self, loop: Turns, task: asyncio.Task[Any] | None) -> None:
        self.loop = loop
        self.task = task

    def throw(self, error: Any) -> None:
        """In the hub: raise *error* where the task is blocked in gevent.

        One that awaits something can be cancelled only, so that it is bounded all the same.
        """
        loop, task = self.loop, self.task
        blocked = loop._blocked.get(task)
        if blocked is not None:
            throw_into(blocked, loop, error)
        elif not loop.is_closed():
            found = AWAITS if task is not None and task.cancel() else IS_OVER
            # Not from here: the hub neither logs nor locks.
            loop.call_soon(loop.call_exception_handler, {"message": f"{error!r} {found}", "task": task})


AWAITS = (
    "expired while the task that started it was awaiting something, and so was cancelled: use "
    "asyncio.timeout() around what awaits, gevent.Timeout around what blocks in gevent"
)
IS_OVER = "expired when the task or callback that started it was over: close it in time"
