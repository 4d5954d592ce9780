"""Tasks that are made ahead of their coroutines: what a first step costs when it is the last one, too.

Most coroutines that a greenlet waits for never suspend: a method that answers from memory, say.  A task for
each would cost more than all the rest, and hardly anybody looks at it.  So a `FirstStep` has a task without
a coroutine yet.  The coroutine's first step is taken by hand, with this task as the current one.  If the
coroutine is over then, and nobody has noticed the task, the next coroutine gets it; nobody can tell.
Otherwise the task goes on from there as if it had taken the first step itself.
"""

from __future__ import annotations

import types
from sys import getrefcount
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

from compat._asyncio import register_task, unregister_task
from compat._task import HubTask

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context

    from compat._first_step import StepGreenlet


class FirstStep:
    """The first step of a coroutine, of many coroutines one after the other, and the task that takes it."""

    __slots__ = (
        "awaited",
        "cancelled",
        "context",
        "coro",
        "error",
        "greenlet",
        "handle",
        "listed",
        "noticed",
        "references",
        "rest",
        "result",
        "run",
        "take",
        "task",
    )

    run: Generator[Any, Any, Any]
    # Takes a coroutine's first step: what it is suspended on; this object: `result`.
    take: Callable[[Any], Any]

    def __init__(self, greenlet: StepGreenlet, loop: Any, context: Context) -> None:
        self.greenlet = greenlet  # in which it is taken
        self.context = context
        self.coro: Any = None
        self.awaited: Any = self  # what the coroutine is suspended on; this object when it is over
        self.rest: Any = None  # after the first step: what takes the others
        self.result: Any = None
        self.error: BaseException | None = None
        self.cancelled = False  # the task, by the step itself: by whoever else, the step is blocked
        self.noticed = False  # somebody asked something of the task
        self.listed = True  # in asyncio.all_tasks()
        self.again()
        pending, loop._wake_pending = loop._wake_pending, True  # the task asks for a turn, and gets none yet
        try:
            self.task: Any = AheadTask(self, loop)
        finally:
            loop._wake_pending = pending
        self.handle: Any = loop._ready.pop()
        self.references = getrefcount(self.task)  # while nobody else has one

    def again(self) -> None:
        """Be ready for the next coroutine after one that raised something."""
        self.coro = self.error = None
        self.run = _run(self)
        self.take = self.run.send
        self.take(None)  # up to where it is given a coroutine

    def unnoticed(self) -> bool:
        """After a coroutine's end: whether nobody knows of the task."""
        if self.listed:
            unregister_task(self.task)
            self.listed = False
        return not (self.noticed or getrefcount(self.task) != self.references or getweakrefcount(self.task))

    def ended_well(self) -> bool:
        """Whether the coroutine has returned."""
        return self.awaited is self and self.error is None

    def go_on(self) -> AheadTask:
        """The task, which from now on is like every other: suspended, or done.

        In the greenlet and with the context of the first step, and with the loop running.
        """
        task: AheadTask = self.task
        handle, self.task, self.handle = self.handle, None, None
        if self.rest is None:
            self.rest = self.run
        if not self.listed:
            register_task(task)
        _set(task, "_log_destroy_pending", True)
        error = self.error
        traceback = None if error is None else error.__traceback__
        try:  # noqa: SIM105 (suppress() costs a microsecond here)
            handle._callback(*handle._args)
        except (SystemExit, KeyboardInterrupt):
            pass  # the task holds them, for who asks
        if error is not None:
            if not task.cancelled():
                task.exception()  # it is raised elsewhere: nobody needs a report
            error.__traceback__ = traceback
            self.error = error = None
        return task

    def forget(self) -> None:
        """No coroutine will come."""
        del self.task, self.handle, self.run, self.take, self.awaited


@types.coroutine
def _run(step: FirstStep) -> Generator[Any, Any, Any]:
    """Coroutines, one after the other: `yield from` hands their results on without an exception each."""
    while True:
        step.result = yield from (yield step)  # in no variable of ours: an idle one would keep it
        if step.task is None:
            return step.result  # the task's: it has gone on


class AheadTask(HubTask):
    """The task of a coroutine that it gets later."""

    __slots__ = ("_step",)

    _step: FirstStep

    def __init__(self, step: FirstStep, loop: Any) -> None:
        _set(self, "_step", step)
        rest = _rest_of(step)
        rest.send(None)  # up to its first line: one that never began would be complained of
        super().__init__(rest, loop=loop, context=step.context)
        _set(self, "_log_destroy_pending", False)

    def get_coro(self) -> Any:
        """As `asyncio.Task.get_coro`."""
        return self._step.coro

    def _shown(self) -> Any:
        """What asyncio's own reports look at: always a coroutine."""
        return self._step.coro or super().get_coro()

    def _replace(self, coro: Any) -> None:
        """From the next step on run *coro*, which goes on with the present one: greenback's portals."""
        self._step.rest = coro

    _coro = property(_shown, _replace)

    # In the first step asyncio's part of the task knows nothing of it yet.

    def cancel(self, msg: Any | None = None) -> bool:
        """As `asyncio.Task.cancel`."""
        step = self._step
        if step.task is not None:
            if self not in self._loop._interrupted:
                self._interrupt(step.greenlet)
            step.cancelled = step.cancelled or self not in self._loop._blocked
        return super().cancel(msg)

    def _has_control(self) -> bool:
        return self._step.task is None and super()._has_control()

    def _interrupt(self, runner: Any) -> None:
        step = self._step
        step.noticed = True
        if not step.listed:
            register_task(self)
            step.listed = True
        super()._interrupt(runner)

    # What would be found again by the next coroutine.

    def set_name(self, value: object) -> None:
        """As `asyncio.Task.set_name`."""
        self._step.noticed = True
        super().set_name(value)

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """As `asyncio.Task.add_done_callback`."""
        self._step.noticed = True
        super().add_done_callback(fn, context=context)

    def __setattr__(self, name: str, value: object) -> None:
        self._step.noticed = True
        super().__setattr__(name, value)


_set = object.__setattr__  # unnoticed


async def _rest_of(step: FirstStep) -> Any:
    """What the task runs: all of the coroutine but its first step."""
    return await _after(step)


@types.coroutine
def _after(step: FirstStep) -> Generator[Any, Any, Any]:
    yield  # ahead of the coroutine
    if step.error is not None:
        raise step.error
    awaited, step.awaited = step.awaited, None
    if awaited is step:
        return step.result
    while True:
        try:
            yield awaited
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is the coroutine's)
            thrown: BaseException | None = error
        else:
            thrown = None
        try:
            # Out of the handler: there the coroutine would find the error in sys.exc_info() later on.
            awaited = step.rest.send(None) if thrown is None else step.rest.throw(thrown)
        except StopIteration as end:
            return end.value
        finally:
            thrown = None
