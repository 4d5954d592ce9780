"""First steps that don't wait for a turn of the loop: what `compat.wait` and `compat.start` begin with."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import gevent
import greenlet
from gevent.thread import get_ident  # type: ignore[import-not-found] # no stubs

from compat._asyncio import set_running_loop
from compat._runner import Runner, destination, own_context, set_context, threads
from compat._task import HubTask
from compat._turns import Turns

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from contextvars import Context

    from compat._task import Interrupted

_switch = greenlet.greenlet.switch
_throw = greenlet.greenlet.throw
set_asyncgen_hooks = sys.set_asyncgen_hooks


EAGER = sys.version_info >= (3, 12)


def first_step_taken(coro: Any, loop: Any, context: Context) -> HubTask:
    """What an eager task is from Python 3.12 on."""
    pending, loop._wake_pending = loop._wake_pending, True  # it asks for a turn, and gets this one
    try:
        task = HubTask(coro, loop=loop, context=context)
    finally:
        loop._wake_pending = pending
    step = loop._ready.pop()
    step._callback(*step._args)
    return task


class StepGreenlet(gevent.Greenlet):  # type: ignore[type-arg] # returns anything
    """A greenlet in which `compat.wait` takes a coroutine's first step itself, in no runner.

    So a coroutine that doesn't suspend costs no switch.  While such a step is blocked in gevent, what is
    thrown into the greenlet is raised there: the task is not cancelled.

    A greenlet that the step makes has this one for a parent, as it would have a `Runner`; when the step has
    ended, and its task goes on elsewhere, it must find the way: see `lend` and `Runner.switch`.
    """

    caller: None = None  # it is its own
    elsewhere_s = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        loops = getattr(gevent.get_hub(), "event_loops", None)
        self.attached: Any = None if loops is None else loops.attached
        self.interrupted: list[tuple[HubTask, Interrupted]] = []
        if self.attached is not None:
            threads()[get_ident(self)] = self.attached._thread
            self.rawlink(_forget)

    def first_step(self, coro: Any, loop: object) -> asyncio.Task[Any] | None:
        """A task for *coro* whose first step is over; None where that isn't possible in this way.

        Called in this greenlet, in no callback of any loop.  Switches: when the step blocks in gevent.
        """
        attached = self.attached
        if (
            attached is None
            or type(coro) is not CoroutineType
            or not attached._running
            or attached._held
            or attached._task_factory is not None
            or (loop is not None and loop is not attached)
        ):
            return None
        context = own_context(self)
        try:
            context.run(int)
        except RuntimeError:
            return None  # it is entered, and an eager task could not enter it once more
        set_running_loop(attached)
        attached._active = self
        set_asyncgen_hooks(*attached._asyncgen_hooks)
        blocked = attached.hand_offs + attached.holds
        try:
            if EAGER:
                task = HubTask(coro, loop=attached, context=context, eager_start=True)  # type: ignore[call-arg] # 3.12's
            else:
                task = first_step_taken(coro, attached, context)
        finally:
            set_running_loop(None)
            attached._active = None
        if blocked != attached.hand_offs + attached.holds:
            attached._settle(self)
            attached._plan_alone()
        try:
            return task
        finally:
            del task  # from Python 3.12 on its error leads here: see `wait`

    @contextmanager
    def lend(self) -> Iterator[None]:
        """While the task of a first step that was taken here goes on, in runners.

        Set on the object, for that time: a method would make every wake-up dearer.
        """
        self.switch: Any = lambda *args, **kwargs: _switch(destination(self), *args, **kwargs)
        self.throw: Any = self._pass_on
        try:
            yield
        finally:
            del self.switch, self.throw

    def _pass_on(self, *args: Any) -> Any:
        there = destination(self)
        return super().throw(*args) if there is self else _throw(there, *args)

    @property
    def gr_context(self) -> Context | None:
        context: Context | None = Runner.gr_context.__get__(self)
        return context

    @gr_context.setter
    def gr_context(self, context: Context | None) -> None:
        set_context(self, context)


def _forget(ended: StepGreenlet) -> None:
    threads().pop(get_ident(ended), None)


class FirstSteps(Turns):
    """The part of the loop that runs them."""

    def _run_first_step(self, coro: Any, context: Context) -> asyncio.Task[Any]:
        """A task for *coro* whose first step runs at once, in a runner, before this returns (or it blocks).

        In a greenlet that is in no callback of any loop.  Switches: to a runner and back, past the hub.
        """
        pending, self._wake_pending = self._wake_pending, True  # the task asks for a turn, and gets this one
        try:
            task = HubTask(coro, loop=self, context=context)
        finally:
            self._wake_pending = pending
        runner = self._idle_runner()
        runner.caller = greenlet.getcurrent()
        runner.first = self._ready.pop()
        runner.work_on(self._first_step)
        return task

    def _first_step(self, runner: Runner) -> greenlet.greenlet | None:
        handle, runner.first = runner.first, None
        self._enter(runner)
        try:
            set_context(runner, handle._context)
            blocked = self.hand_offs + self.holds
            try:  # noqa: SIM105 (suppress() costs a microsecond here)
                handle._callback(*handle._args)
            except (SystemExit, KeyboardInterrupt):
                pass  # the task holds them, for who asks
            if blocked != self.hand_offs + self.holds:
                self._settle(runner)
                self._plan_alone()
        finally:
            handle = None
            back = self._leave(runner)
        return back
