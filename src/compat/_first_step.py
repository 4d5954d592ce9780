"""First steps that don't wait for a turn of the loop: what `compat.wait` and `compat.start` begin with."""

from __future__ import annotations

from sys import getrefcount
from types import CoroutineType
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

import gevent
import greenlet
from gevent.hub import Hub
from greenlet import getcurrent

from compat._ahead import FirstStep
from compat._asyncio import enter_task, get_running_loop, leave_task, set_running_loop
from compat._handles import NO_SLOTS
from compat._runner import Runner, own_context, switch_to, throw_into
from compat._task import HubTask
from compat._turns import Turns

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from compat._ahead import AheadTask
    from compat._task import Interrupted

_throw = greenlet.greenlet.throw


class Unfinished:
    """A first step's end that is not the coroutine's, or one that somebody else may ask the task for."""

    __slots__ = ("task",)

    def __init__(self, task: Any) -> None:
        self.task = task  # an AheadTask, for who takes it over


REFUSED = Unfinished(None)  # no first step was taken


class StepGreenlet(gevent.Greenlet):  # type: ignore[type-arg] # returns anything
    """A greenlet in which `compat.wait` takes a coroutine's first step itself, in no runner.

    So a coroutine that doesn't suspend costs no switch.  While such a step is blocked in gevent, what is
    thrown into the greenlet is raised there: the task is not cancelled.

    A greenlet that the step makes has this one for a parent, as it would have a `Runner`; when the step has
    ended, and its task goes on elsewhere, it must find the way: see `StandIn`.
    """

    # Found faster than what is in the object's dictionary, which gevent's classes keep in the old way.
    __slots__ = ("ahead", "attached", "blocked", "interrupted")

    caller: None = None  # it is its own
    elsewhere_s = 0.0
    own_context = greenlet.greenlet.gr_context  # no function of ours in between

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        loops = getattr(gevent.get_hub(), "event_loops", None)
        self.attached: Any = None if loops is None else loops.attached
        self.interrupted: list[tuple[HubTask, Interrupted]] = []
        self.blocked: greenlet.greenlet | None = None
        self.ahead: FirstStep | None = None
        if self.attached is not None:
            self.rawlink(_forget)

    def throw(self, *args: Any) -> Any:
        """As greenlets do; while a greenlet that its step made is blocked in gevent: there."""
        blocked = self.blocked
        if blocked is None or blocked is self:
            return super().throw(*args)
        return throw_into(blocked, self.attached, *args)

    @property
    def gr_context(self) -> Context | None:
        context: Context | None = Runner.gr_context.__get__(self)
        return context

    @gr_context.setter
    def gr_context(self, context: Context | None) -> None:
        self.own_context = context


def take_first_step(coro: Any, loop: object) -> Any:  # noqa: C901 (the hot path: calls cost)
    """Take *coro*'s first step here: its result, or what it raises; `Unfinished`, or REFUSED.

    It is taken in `StepGreenlet`s, in no callback of any loop.  Switches: when the step blocks in gevent.
    """
    here = getcurrent()
    if not isinstance(here, StepGreenlet):
        return REFUSED
    attached = here.attached
    if (
        attached is None
        or type(coro) is not CoroutineType
        or not attached._running
        or attached._held
        or attached._task_factory is not None
        or attached._debug
        or (loop is not None and loop is not attached)
        or get_running_loop() is not None
    ):
        return REFUSED
    context = here.own_context
    step = here.ahead
    if step is None or step.context is not context:
        if context is None:
            context = own_context(here)
        if step is not None:
            step.forget()
        step = here.ahead = FirstStep(here, attached, context)
    step.coro = coro
    set_running_loop(attached)
    enter_task(attached, step.task)
    attached._active = here
    if attached._loops.hooked is not attached:
        attached._hook()
    try:
        awaited = step.take(coro)
    except BaseException as error:
        leave_task(attached, step.task)
        set_running_loop(None)
        attached._active = None
        step.error = error
        if here.blocked is not None or not step.unnoticed():
            _go_on(here, step)
        else:
            step.again()
        raise
    leave_task(attached, step.task)
    set_running_loop(None)
    attached._active = None
    if awaited is not step:
        step.awaited = awaited
        return Unfinished(_go_on(here, step))
    result = step.result
    # What unnoticed() asks, without the call.
    if (
        here.blocked is not None
        or step.noticed
        or step.listed
        or getrefcount(step.task) != step.references
        or getweakrefcount(step.task)
    ) and (here.blocked is not None or not step.unnoticed()):
        return Unfinished(_go_on(here, step))
    step.coro = step.result = None
    return result


def _go_on(here: StepGreenlet, step: FirstStep) -> AheadTask:
    """Leave its task to the loop."""
    attached, here.ahead = here.attached, None
    set_running_loop(attached)
    attached._active = here
    blocked = here.blocked is not None
    if step.cancelled and step.ended_well():
        attached._settle(here)  # as asyncio has it: who cancels himself and returns was cancelled
    try:
        return step.go_on()
    finally:
        set_running_loop(None)
        attached._active = None
        attached._settle(here)
        if blocked:
            attached._plan_alone()


def _forget(ended: StepGreenlet) -> None:
    if ended.ahead is not None:
        ended.ahead.forget()
        ended.ahead = None


class StandIn:
    """How a `StepGreenlet` waits for its task, which goes on in runners.

    Greenlets that the first step made (SQLAlchemy's, greenback's) have the `StepGreenlet` for a parent, and
    come back to it in the middle of a later step, when they switch to it or end.  So it passes on what they
    say to whoever runs that step.  It would cost more to have them switch elsewhere: `switch` is what every
    wake-up calls, too, and who ends asks nobody where to go.
    """

    __slots__ = ("here", "loop", "waits")

    def __init__(self, here: StepGreenlet) -> None:
        self.here = here
        self.loop: Turns = here.attached
        self.waits = False

    def switch(self, _: None) -> None:
        """In the hub: it has waited long enough."""
        if self.waits:
            switch_to(self.here)

    def get(self) -> None:
        """Wait.  Raises: what is thrown into the greenlet meanwhile."""
        loop = self.loop
        send: Callable[..., Any] = Hub.switch
        args: Any = (loop._hub,)
        self.waits = True
        try:
            while True:
                try:
                    said = send(*args)
                except BaseException as error:
                    if loop._active is None:
                        raise  # from the hub: it is meant for this greenlet
                    send, args = _throw, (loop._active, error)
                else:
                    if loop._active is None:
                        return
                    send, args = switch_to, (loop._active, said)
        finally:
            self.waits = False
            args = said = None  # an error's traceback leads here


def leave_to_relay(ended: StepGreenlet) -> None:
    """After the end of one that left its task to itself: what the first step made must not end in the hub."""
    if not ended.attached.is_closed():
        ended.parent = ended.attached._relay()


class FirstSteps(Turns):
    """The part of the loop that runs them."""

    __slots__ = NO_SLOTS

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
        runner.caller = getcurrent()
        runner.first = self._ready.pop()
        runner.work_on(self._work)
        return task

    def _run_first(self, runner: Runner) -> bool:
        handle, runner.first = runner.first, None
        runner.own_context = handle._context
        try:
            handle._callback(*handle._args)
        except (SystemExit, KeyboardInterrupt):
            pass  # the task holds them, for who asks
        finally:
            handle = None
        if runner.blocked is None:
            return False
        self._settle(runner)
        return True
