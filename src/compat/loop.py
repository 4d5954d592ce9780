"""The event loop whose ready queue, timers and descriptors are the gevent hub's."""

from __future__ import annotations

import asyncio
import sys
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import gevent
from gevent import monkey
from gevent.event import Event

from compat._asyncio import get_running_loop
from compat._children import Children
from compat._current_thread import present_thread
from compat._descriptors import Descriptors, NoSelector
from compat._first_step import FirstSteps
from compat._hand_off import HandOff, let_hub_know
from compat._handles import Handle, TimerHandle
from compat._runner import dismiss
from compat._signals import Signals
from compat._task import HubTask
from compat._threads import Threads
from compat._timers import Timers
from compat._transports import Transports
from compat._turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

EAGER: Any = getattr(asyncio, "eager_task_factory", object())  # Python 3.12 brought it: makes asyncio.Tasks
SLOTS: Any = ("_awake", "_awake_for", "_hooks_before", "_nudged", "_stopped")  # as in _turns.py
_new: Any = object.__new__
_get_ident = monkey.get_original("threading", "get_ident")  # in a patched process the other is a greenlet's


class HubEventLoop(FirstSteps, Descriptors, Transports, Signals, Threads, Children):
    """An asyncio event loop in the hub of the thread that made it.

    Callbacks run in runner greenlets.  A task's step that calls something that blocks in gevent suspends that
    task alone: see `hand_off_mode`.  *selector* is accepted for asyncio's sake and not used: the hub polls.
    """

    __slots__ = SLOTS

    def __init__(self, selector: object = None) -> None:  # noqa: ARG002 (asyncio's signature)
        self._hub = gevent.get_hub()
        let_hub_know(self._hub)
        self._loops = self._hub.event_loops
        self._hub_loop: Any = self._hub.loop
        Turns.__init__(self)
        self._nudged = False  # another thread has asked for a turn
        self._stopped: Event | None = None  # None: attached, no greenlet waits
        self._hooks_before: Any = None
        self._awake = self._hub_loop.async_()  # while started, the hub doesn't think that nothing can happen
        self._awake_for = 0
        # What greenlets in compat.wait wait for, and how they are told when the loop is closed.
        self._waiters: dict[Callable[[], None], asyncio.Future[Any]] = {}
        self._timers = Timers(self, self._hub_loop)
        super(Turns, self).__init__(NoSelector())
        if sys.version_info >= (3, 12):
            # A dictionary of its own, whose keys no other loop shares: beside slots Python finds only its
            # attributes fast (a seventh of a streams echo's instructions on 3.13).
            self.__dict__ = {**self.__dict__}

    @property
    def hand_off_mode(self) -> HandOff:
        """What a call that blocks in gevent does: 'task', 'off' or 'error'; see `HandOff`."""
        return self._mode

    @hand_off_mode.setter
    def hand_off_mode(self, mode: HandOff | str) -> None:
        self._mode = HandOff(mode)

    # Callbacks

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        """As asyncio's.  Switches: no."""
        if self._closed or self._debug:
            self._check_closed()
            self._check_thread()
            self._check_callback(callback, "call_soon")
            handle = Handle(callback, args, self, context)
        else:  # the same, without the calls: every step of every task comes this way
            handle = _new(Handle)
            handle._callback = callback
            handle._args = args
            handle._loop = self
            handle._context = copy_context() if context is None else context
            handle._cancelled = False
            handle._repr = handle._source_traceback = None
        self._ready.append(handle)
        if not self._wake_pending:
            self._schedule()
        return handle

    def _call_soon(self, callback: Callable[..., Any], args: Any, context: Context | None) -> Any:
        handle = Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        """As asyncio's; from any thread, and from signal handlers.  Switches: no."""
        self._check_closed()
        if self._debug:
            self._check_callback(callback, "call_soon_threadsafe")
        handle = Handle(callback, args, self, context)
        self._ready.append(handle)
        self._write_to_self()
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        """As asyncio's.  Switches: no."""
        if delay is None:
            raise TypeError("delay must not be None")
        return self._add_timer("call_later", self.time() + delay, callback, args, context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        """As asyncio's.  Switches: no."""
        if when is None:
            raise TypeError("when cannot be None")
        return self._add_timer("call_at", when, callback, args, context)

    def _add_timer(
        self, method: str, when: float, callback: Callable[..., Any], args: Any, context: Context | None
    ) -> TimerHandle:
        if self._closed or self._debug:
            self._check_closed()
            self._check_thread()
            self._check_callback(callback, method)
        timer = TimerHandle(when, callback, args, self, context)
        self._timers.add(timer)
        if self._running and not self._wake_pending:
            self._timers.arm(when)
        return timer

    def _add_callback(self, handle: Any) -> None:
        if not handle._cancelled:
            self._enqueue(handle)

    def _add_callback_signalsafe(self, handle: Any) -> None:
        if not handle._cancelled:
            self._ready.append(handle)
            self._write_to_self()

    def _write_to_self(self) -> None:
        if not self._nudged:
            self._nudged = True
            self._hub_loop.run_callback_threadsafe(self._nudge)

    def _nudge(self) -> None:
        self._nudged = False  # before the look: who appends after it nudges again
        if self._ready or self._stopping:
            self._schedule()

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
        **kwargs: Any,
    ) -> Any:
        """As asyncio's; outside of this loop's callbacks eager tasks wait for a turn, too."""
        if self._closed:
            self._check_closed()
        if self._task_factory is None and not kwargs:
            # Nearly always; keywords that say nothing cost a twentieth.
            if name is None and context is None:
                task: Any = HubTask(coro, loop=self)
            else:
                task = HubTask(coro, loop=self, name=name, context=context)
            if self._debug:
                del task._source_traceback[-1]
            return task
        return self._create_otherwise(coro, name, context, kwargs)

    def _create_otherwise(
        self, coro: Coroutine[Any, Any, Any], name: str | None, context: Context | None, how: dict[str, Any]
    ) -> Any:
        """A task that a factory makes, or that is told how to begin."""
        factory = self._task_factory
        inside = get_running_loop() is self
        if not inside:
            how.pop("eager_start", None)
        elif factory is EAGER:
            how.setdefault("eager_start", True)
        if factory is None or factory is EAGER:
            task: Any = HubTask(coro, loop=self, name=name, context=context, **how)
            if task._source_traceback:
                del task._source_traceback[-2:]  # this call, and the one that led here
            return task
        if inside:
            return super().create_task(coro, name=name, context=context, **how)
        running, self._running = self._running, False  # what an eager task looks at before it starts
        try:
            task = super().create_task(coro, name=name, context=context, **how)
        finally:
            self._running = running
            if self._ready:
                self._schedule()
        return task

    # Running

    def run_forever(self) -> None:
        """Run until `stop`.  Switches: yes, the calling greenlet waits meanwhile.

        Killed, or with a `gevent.Timeout` raised in it, it leaves the loop stopped, its tasks as they are.
        """
        self._begin_run()
        stopped = self._stopped = Event()
        self._keep_awake()
        try:
            stopped.wait()
        finally:
            self._let_sleep()
            self._end_run()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def attach(self) -> None:
        """Run from now on for as long as the hub does, or until `detach`; nobody waits.  Switches: no."""
        self._begin_run()
        self._loops.attached = self

    def detach(self) -> None:
        """End what `attach` began; the loop may be closed then.  Switches: no."""
        self._end_run()

    def _begin_run(self) -> None:
        self._check_closed()
        self._check_running()
        here: Any = gevent.get_hub()
        if here is not self._hub:
            raise RuntimeError(
                "The event loop belongs to the hub of another thread: it runs where it was made"
            )
        self._set_coroutine_origin_tracking(self._debug)
        self._hooks_before = sys.get_asyncgen_hooks()
        self._asyncgen_hooks = (self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook)
        self._loops.hooked = None
        self._thread = present_thread(self._hub_loop)
        self._thread_id = _get_ident()
        if self._primary is None:
            self._primary = self._idle_runner()
        self._failure = None
        self._running = True
        self._loops.running.append(self)
        # As in asyncio, descriptors are looked at before anything runs.
        self._wake_pending = True
        self._again.start(self._first_turn)

    def _first_turn(self) -> None:
        self._wake_callback = self._hub_loop.run_callback(self._wake, True)

    def _end_run(self) -> None:
        if not self._running:
            return
        self._running = self._stopping = self._wake_pending = False
        self._thread_id = None
        loops = self._loops
        loops.running.remove(self)
        if loops.attached is self:
            loops.attached = None
        self._again.stop()
        if self._after_events is not None:
            self._after_events.stop()
        self._timers.disarm()
        if self._wake_callback is not None:
            self._wake_callback.stop()
        self._set_coroutine_origin_tracking(False)
        sys.set_asyncgen_hooks(*self._hooks_before)
        self._loops.hooked = None
        if self._stopped is not None:
            self._stopped.set()
            self._stopped = None
        elif self._failure is not None:
            failure, self._failure = self._failure, None
            self._hub.handle_error(None, type(failure), failure, failure.__traceback__)

    def _keep_awake(self) -> None:
        self._awake_for += 1
        if self._awake_for == 1:
            self._awake.start(_nothing)

    def _let_sleep(self) -> None:
        self._awake_for -= 1
        if not self._awake_for and not self._closed:
            self._awake.stop()

    def stop(self) -> None:
        """As asyncio's.  A step that is blocked goes on; its task is left where it then is."""
        self._stopping = True
        self._schedule()

    def is_running(self) -> bool:
        """Whether the loop runs, in whatever greenlet."""
        return self._running

    def _check_thread(self) -> None:
        if self._thread_id is not None and _get_ident() != self._thread_id:
            raise RuntimeError(
                "Non-thread-safe operation invoked on an event loop other than the current one"
            )

    def close(self) -> None:
        """As asyncio's.  Switches: no.  Runners that are blocked end with their step."""
        if self._running:
            raise RuntimeError("Cannot close a running event loop")
        if self._closed:
            return
        super().close()
        self._timers.heap.clear()
        for watcher in (self._again, self._awake, self._after_events):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        for tell in tuple(self._waiters):
            tell()
        greenlets = [*self._parked, self._primary, self._relay_greenlet, self._cradle]
        self._parked.clear()
        if gevent.get_hub() is self._hub:  # else they die with their thread
            for each in greenlets:
                if each is not None and not getattr(each, "busy", False):
                    dismiss(each)
        self._primary = self._relay_greenlet = self._cradle = None


def _nothing() -> None:
    pass


def new_event_loop() -> HubEventLoop:
    """A loop for `asyncio.Runner(loop_factory=...)`, anyio's `loop_factory` option, uvicorn's `--loop`."""
    return HubEventLoop()
