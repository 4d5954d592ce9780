"""Between greenlets and coroutines: each waits for the other."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import gevent
from gevent._waiter import Waiter
from greenlet import getcurrent

from compat._asyncio import enter_task, get_running_loop, leave_task, set_running_loop
from compat._first_step import REFUSED, StandIn, Unfinished, leave_to_relay, take_first_step
from compat._greenlets import result_of
from compat._hand_off import HandOff, in_section, let_hub_know
from compat._runner import own_context
from compat.errors import WouldDeadlock
from compat.loop import HubEventLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

P = ParamSpec("P")
R = TypeVar("R")

__all__ = [
    "async_to_sync",
    "attached_loop",
    "result_of",
    "run_in_native_thread",
    "start",
    "sync_to_async",
    "wait",
]


def attached_loop() -> HubEventLoop:
    """The loop that greenlets of this thread use when they are in no loop: attached to the hub.

    Switches: no.
    """
    hub: Any = gevent.get_hub()
    let_hub_know(hub)
    loop: HubEventLoop | None = hub.event_loops.attached
    if loop is None:
        loop = HubEventLoop()
        loop.attach()
    return loop


def wait(awaitable: Awaitable[R], timeout: float | None = None, *, loop: HubEventLoop | None = None) -> R:
    """In a greenlet, wait for a coroutine, a task or a future; its result, or what it raised, unchanged.

    It runs on *loop*; by default on the loop the caller is in, or else on the one attached to the hub, or
    else on the only one that is running in this thread, or else on a new one, attached.

    A coroutine shares the caller's context variables, as with `await`; it is a task of its own.  One that
    never suspends costs no turn of the loop.

    After *timeout* seconds, or when the greenlet is killed, gets a `gevent.Timeout` or is otherwise thrown
    into, the awaitable is cancelled, and waited for until its clean-up is over; thrown into again, the
    greenlet goes and leaves it to itself.  In a task's step the cancellation of that task is passed on to
    the awaitable.

    A SystemExit or KeyboardInterrupt that a coroutine raises is the caller's, too: it doesn't end the loop,
    as one in a task that no greenlet waits for does.

    Raises: TimeoutError after *timeout*; `WouldDeadlock` where the loop waits for the caller (callbacks
    other than tasks' steps, `no_handoff` sections, `hand_off_mode` 'off'); RuntimeError when the loop is
    not running or is closed meanwhile.  Switches: yes.
    """
    if timeout is None:
        result: Any = take_first_step(awaitable, loop)
        if type(result) is not Unfinished:
            return result  # type: ignore[no-any-return] # the coroutine's
        if result is not REFUSED:
            return _finish(result)  # type: ignore[no-any-return] # likewise
    return _wait(awaitable, timeout, loop)


def _finish(unfinished: Unfinished) -> Any:
    """The result of a coroutine whose first step this greenlet has taken."""
    here: Any = getcurrent()
    task, unfinished.task = unfinished.task, None
    try:
        _block(here.attached, task, None, StandIn(here))
    finally:
        if not task.done():
            here.rawlink(leave_to_relay)
    try:
        return task.result()
    finally:
        del task  # its error leads here: without a cycle, what the frames hold is freed at once


def _wait(awaitable: Awaitable[R], timeout: float | None, loop: HubEventLoop | None) -> R:
    inside: Any = get_running_loop()
    loop, step = _loop_and_step(awaitable, loop, inside)
    if not inspect.iscoroutine(awaitable) or loop._task_factory is not None or loop._held:
        task = asyncio.ensure_future(awaitable, loop=loop)
    else:
        task = _start(loop, awaitable, inside, step, own_context(getcurrent()))
    if not task.done():
        passes_on = step is not None and isinstance(inside, HubEventLoop)  # cancellations of the step's task
        if passes_on:
            inside._waits_for[step] = task
        try:
            _block(loop, task, timeout, Waiter())
        finally:
            if passes_on:
                del inside._waits_for[step]
    try:
        return task.result()
    finally:
        del task  # likewise


def _loop_and_step(
    awaitable: object, loop: HubEventLoop | None, inside: Any
) -> tuple[HubEventLoop, asyncio.Task[Any] | None]:
    """The loop for *awaitable*, and the task whose step waits, if any; raises where that is impossible."""
    if loop is None:
        loop = _loop_for(awaitable, inside)
    try:
        return loop, _check(loop, inside)
    except RuntimeError:
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        raise


def _loop_for(awaitable: object, inside: Any) -> HubEventLoop:
    if asyncio.isfuture(awaitable):
        loop = awaitable.get_loop()
        if isinstance(loop, HubEventLoop):
            return loop
        raise RuntimeError(
            f"{awaitable!r} belongs to a loop that is not the hub's: only its own can wait for it"
        )
    if isinstance(inside, HubEventLoop):
        return inside
    loops = getattr(gevent.get_hub(), "event_loops", None)
    if loops is not None and loops.attached is None and loops.running:
        if len(loops.running) > 1:
            raise RuntimeError("several loops are running in this thread: tell wait() which, with loop=")
        only: HubEventLoop = loops.running[0]
        return only
    return attached_loop()


def _check(loop: HubEventLoop, inside: Any) -> asyncio.Task[Any] | None:
    """The task whose step waits, if any; raises where waiting is impossible."""
    hub: Any = gevent.get_hub()
    if getcurrent() is hub:
        raise WouldDeadlock("the hub itself cannot wait: wait() is for greenlets")
    if loop._hub is not hub:
        raise RuntimeError("the loop belongs to another thread: use asyncio.run_coroutine_threadsafe")
    if not loop.is_running():
        raise RuntimeError("the loop is not running: run it, or attach() it")
    if inside is None:
        return None
    step = asyncio.current_task(inside)
    if inside is loop and (step is None or loop.hand_off_mode is not HandOff.TASK or in_section(step)):
        raise WouldDeadlock(
            f"{step or 'a callback'!r} holds the loop, which would have to run what it waits for"
        )
    return step


def start(
    coro: Coroutine[Any, Any, R],
    *,
    context: contextvars.Context | None = None,
    loop: HubEventLoop | None = None,
) -> asyncio.Task[R]:
    """In a greenlet, a task for a coroutine that has run up to its first suspension, or to its end.

    As `create_task`, but for the turn of the loop; *context* defaults to a copy of the caller's variables,
    and *loop* is found as in `wait`.  In the first step, too, a call that blocks in gevent suspends the task
    only.  Nobody waits for the task: killing the greenlet doesn't cancel it.

    Raises as `wait` does.  Switches: to the task and back, past the hub.
    """
    inside: Any = get_running_loop()
    loop, step = _loop_and_step(coro, loop, inside)
    if context is None:
        context = contextvars.copy_context()
    if loop._task_factory is not None or loop._held:
        task: asyncio.Task[R] = loop.create_task(coro, context=context)
        return task
    return _start(loop, coro, inside, step, context)


def _start(
    loop: HubEventLoop, coro: Any, inside: Any, step: asyncio.Task[Any] | None, context: contextvars.Context
) -> asyncio.Task[Any]:
    """A task for *coro*, which has run up to its first suspension."""
    if inside is None:
        return loop._run_first_step(coro, context)
    active = getattr(inside, "_active", None)
    hooks = None if inside is loop else sys.get_asyncgen_hooks()
    if step is not None:
        leave_task(inside, step)
    set_running_loop(None)
    if hooks is not None:
        loop._loops.hooked = None
    try:
        return loop._run_first_step(coro, context)
    finally:
        if hooks is not None:
            sys.set_asyncgen_hooks(*hooks)
            loop._loops.hooked = None
        inside._active = active
        set_running_loop(inside)
        if step is not None:
            enter_task(inside, step)


def _block(
    loop: HubEventLoop, task: asyncio.Future[Any], timeout: float | None, waiter: Waiter[None] | StandIn
) -> None:
    """Return when *task* is done."""
    ours = None if timeout is None else gevent.Timeout.start_new(timeout)
    loop._keep_awake()
    try:
        try:
            _end_of(loop, task, waiter)
        except BaseException as error:
            if loop.is_closed():
                raise
            task.cancel()
            if ours is not None:
                ours.close()
            _end_of(loop, task, waiter)
            if error is not ours:
                raise
            if task.cancelled():
                raise TimeoutError from error
    finally:
        if ours is not None:
            ours.close()
        loop._let_sleep()


def _end_of(loop: HubEventLoop, task: asyncio.Future[Any], waiter: Waiter[None] | StandIn) -> None:
    """Block until *task* is done, or its loop is closed."""
    if task.done():
        return
    callback = loop._hub_loop.run_callback

    def tell(_: object = None) -> None:
        callback(waiter.switch, None)

    task.add_done_callback(tell)
    loop._waiters[tell] = task
    try:
        waiter.get()
    finally:
        loop._waiters.pop(tell, None)
        task.remove_done_callback(tell)
    if not task.done():
        raise RuntimeError("Event loop is closed")


def async_to_sync(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """A function for greenlets that calls the coroutine function and waits for it: see `wait`."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        coro = function(*args, **kwargs)
        result: Any = take_first_step(coro, None)  # what wait() begins with, without the call
        if type(result) is not Unfinished:
            return result  # type: ignore[no-any-return] # the coroutine's
        return _wait(coro, None, None) if result is REFUSED else _finish(result)

    return call


def sync_to_async(function: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """A coroutine function that calls *function* in a greenlet of its own and awaits that: see `result_of`.

    The greenlet shares the caller's context variables.
    """

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        context = contextvars.copy_context() if (own := getcurrent().gr_context) is None else own
        called = gevent.Greenlet(function, *args, **kwargs)
        called.gr_context = context
        called.start()
        result: R = await result_of(called)
        return result

    return call


async def run_in_native_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call *function* in a real thread, patched process or not, with a copy of the context variables.

    For what blocks without gevent's knowledge: files, drivers in C, long computations.  A thread cannot be
    interrupted: when the awaiting task is cancelled the function goes on, and nobody hears of its result.
    Runs on the loop's own pool (`asyncio.to_thread` does the same).  Switches: as every `await` does.
    """
    context = contextvars.copy_context()
    call = functools.partial(context.run, function, *args, **kwargs)
    result: R = await asyncio.get_running_loop().run_in_executor(None, call)
    return result
