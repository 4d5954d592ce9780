"""The ready queue and who runs it: from "something is ready" to "every callback has run, or is blocked"."""

from __future__ import annotations

import asyncio
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

import greenlet
from gevent.hub import Hub

from compat import _debug
from compat._asyncio import SelectorEventLoop, enter_task, leave_task, set_running_loop
from compat._hand_off import HandOff, may_hand_off
from compat._runner import Cradle, Relay, switch_to
from compat._task import HubTask

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from compat._hand_off import Loops
    from compat._runner import Runner
    from compat._task import Interrupted
    from compat._timers import Timers

BATCHES_S = 0.0002  # how long a runner goes on with what became ready meanwhile before the hub polls again
PARKED_MAX = 32  # runners kept for the next hand-offs
LAST = -2  # the priority of a watcher that is called when all others of an iteration have been
TIMEOUT = 0x100  # an event that the hub's loop knows: it says nothing to whom it is fed
VAIN_S = 0.01  # between two attempts of anyio to cancel a task that is blocked

# With all of them the loop's dictionary would be larger than what Python finds attributes and methods in
# fast: a seventh of a protocol echo's instructions on 3.11, a tenth on 3.13.
SLOTS: Any = (  # for mypy: who they are added to isn't typed
    "_active", "_after_events", "_again", "_asyncgen_hooks", "_blocked", "_cancelled_in_vain",
    "_cradle", "_failure", "_feed", "_held", "_hub", "_hub_loop", "_interrupted", "_loops", "_mode",
    "_parked", "_primary", "_relay_greenlet", "_reporting", "_running", "_thread", "_timers",
    "_waiters", "_waits_for", "_wake_callback", "_wake_now", "_wake_pending", "_work", "hand_offs", "holds",
    "slow_callbacks",
)  # fmt: skip


class Turns(SelectorEventLoop):  # type: ignore[misc] # untyped
    """The part of the loop that is not asyncio's: callbacks run in runners, woken by the hub."""

    __slots__ = SLOTS

    _hub: Any  # a LoopHub
    _hub_loop: Any
    _loops: Loops
    _timers: Timers
    _waiters: dict[Callable[[], None], asyncio.Future[Any]]
    _thread: threading.Thread

    def __init__(self) -> None:
        self._mode = HandOff.TASK
        self.hand_offs = 0  # blocking calls in task steps that the loop went on without
        self.holds = 0  # blocking calls that the whole loop waited for
        # Batches (in debug mode: callbacks) that took slow_callback_duration or longer.
        self.slow_callbacks = 0
        self._running = False
        self._wake_pending = False  # `_wake` is coming, or at work: who appends to `_ready` need not call it
        self._wake_callback: Any = None
        self._held = 0  # blocked callbacks that the loop waits for
        self._active: Runner | None = None  # the runner whose callback has the control
        self._primary: Runner | None = None  # first choice, so that greenlet-locals last from step to step
        self._parked: list[Runner] = []
        self._cradle: Cradle | None = None
        self._relay_greenlet: Relay | None = None
        self._interrupted: dict[asyncio.Task[Any], Interrupted] = {}  # tasks whose step is blocked
        # Tasks whose step is in compat.wait.
        self._waits_for: dict[asyncio.Task[Any], asyncio.Future[Any]] = {}
        # Which greenlet of a step is blocked now; None: of a callback that is no task's step.
        self._blocked: dict[asyncio.Task[Any] | None, greenlet.greenlet] = {}
        self._cancelled_in_vain = False
        self._failure: BaseException | None = None  # SystemExit or KeyboardInterrupt: run_forever raises it
        self._reporting = False
        self._asyncgen_hooks: Any = (None, None)  # while it runs; asynchronous generators are the thread's
        self._again = self._hub_loop.timer(0)
        self._after_events = self._hub_loop.timer(0, priority=LAST) if _can_feed(self._hub_loop) else None
        self._feed: Any = getattr(self._after_events, "feed", None)
        # What a watcher's callback calls: a turn without a poll before it, where none is cut short by that.
        self._wake_now = self._schedule if self._feed is None else self._wake
        self._work = self._run_ready

    def _enqueue(self, handle: Any) -> None:
        self._ready.append(handle)
        if not self._wake_pending:
            self._schedule()

    def _schedule(self) -> None:
        """Have the hub call `_wake`.  In the hub's thread only."""
        if self._running and not self._wake_pending:
            self._wake_pending = True
            self._wake_callback = self._hub_loop.run_callback(self._wake, True)

    def _wake(self, last: bool = False) -> None:  # noqa: FBT001, FBT002 (a watcher's callback takes no keywords)
        """In the hub: a runner takes what is ready, until it is parked or blocked.

        Not *last*: after the watchers whose events came in the same iteration, where the hub can tell.
        """
        if self._held or not self._running:
            self._wake_pending = False
            return
        self._wake_pending = True
        if not last and self._feed is not None and self._hub_loop.pendingcnt:
            self._feed(TIMEOUT, self._wake, True)
            return
        runner = self._primary
        if runner is None or runner.busy:
            runner = self._idle_runner()
        runner.busy = True
        switch_to(runner, self._work)  # Runner.work_on, without the call
        if self._ready or self._timers.heap or self._stopping or self._failure is not None:
            self._plan()
        else:
            self._wake_pending = False

    def _idle_runner(self) -> Runner:
        runner = self._primary
        if runner is not None and not runner.busy:
            return runner
        if self._parked:
            return self._parked.pop()
        if self._cradle is None:
            self._cradle = Cradle(self._hub)
        return self._cradle.new_runner()

    def _plan(self) -> None:
        """See to the next turn, if one is due."""
        self._wake_pending = False
        if self._held:
            return  # whoever holds the loop comes here when it is through
        if self._stopping or self._failure is not None:
            self._end_run()
        elif self._ready:
            if self._cancelled_in_vain and all(map(_is_retry, self._ready)):
                self._timers.arm(self.time() + VAIN_S)  # whatever else becomes ready doesn't wait that long
            else:
                # Not run_callback: the hub runs fifty of those before it looks at descriptors again.
                self._wake_pending = True
                self._again.start(self._wake, True)
        elif timers := self._timers.heap:
            self._timers.arm(timers[0][0])

    def _end_run(self) -> None:
        raise NotImplementedError

    # In a runner

    def _run_ready(self, runner: Runner) -> greenlet.greenlet | None:
        """A runner's work: what is ready, or the first step that it was given."""
        runner.loop = self
        self._active = runner
        set_running_loop(self)
        if self._loops.hooked is not self:
            self._hook()
        try:
            if self._run_batches(runner) if runner.first is None else self._run_first(runner):
                self._plan_alone()
        finally:
            set_running_loop(None)
            self._active = None
            runner.loop = None
            back = runner.caller or self._hub
            runner.caller = None
            if runner is not self._primary and not self._park(runner):
                runner.parent = back
                back = None
        return back

    def _run_first(self, runner: Runner) -> bool:
        """Run the first step that *runner* was given; True if it was blocked."""
        raise NotImplementedError

    def _plan_alone(self) -> None:
        """After a blocked callback: `_wake` returned long ago, so nobody else plans."""
        if self._running and not self._wake_pending:
            self._plan()

    def _hook(self) -> None:
        """Be the loop that hears of asynchronous generators, which know their thread only."""
        sys.set_asyncgen_hooks(*self._asyncgen_hooks)
        self._loops.hooked = self

    def _park(self, runner: Runner) -> bool:
        """Keep it for later; False: there are enough."""
        if len(self._parked) >= PARKED_MAX or self._closed:
            return False
        self._parked.append(runner)
        return True

    def _run_batches(self, runner: Runner) -> bool:  # noqa: C901, PLR0912 (one loop, and the hot one: calls cost)
        """Run what is ready, and what becomes ready by that for a moment; True if a callback was blocked."""
        ready = self._ready
        timers = self._timers.heap
        context = None  # the runner's
        began = now = monotonic()
        self._cancelled_in_vain = False
        while True:
            if timers:
                self._timers.take_due(self.time())
            left = len(ready)
            while left:  # a range would cost more than most batches, which are of one or two
                left -= 1
                handle: Any = ready.popleft()
                if handle._cancelled:
                    continue
                if context is not handle._context:
                    # What Context.run() does, but two suspended steps may share a context.
                    context = handle._context
                    runner.own_context = context
                try:
                    if self._debug:
                        _debug.run_timed(self, runner, handle)
                    else:
                        handle._callback(*handle._args)
                except (SystemExit, KeyboardInterrupt) as error:
                    if getattr(handle._callback, "__self__", None) not in self._waiters.values():
                        self._failure = error
                        self._settle(runner)
                        return True
                except BaseException as error:  # noqa: BLE001 (to the exception handler, as asyncio does)
                    _debug.report(self, handle, error)
                    if self._failure is not None:
                        self._settle(runner)
                        return True
                if runner.blocked is not None:
                    self._settle(runner)
                    return True
            handle = None
            last, now = now, monotonic()
            if now - last >= self.slow_callback_duration and not self._debug:
                self.slow_callbacks += 1
            if (
                not (ready or (timers and timers[0][0] <= self.time()))
                or now - began >= BATCHES_S
                or self._stopping
                or self._cancelled_in_vain
            ):
                return False

    def _settle(self, runner: Runner) -> None:
        """A step that was blocked is over: deliver the cancellations that came meanwhile."""
        runner.blocked = None
        interrupted, runner.interrupted = runner.interrupted, []
        for task, cancellations in interrupted:
            task._step_is_over(cancellations)

    # Blocked callbacks

    def _suspend(self, hub: Hub) -> Any:
        """In place of `Hub.switch`, in a callback of this loop that is about to wait."""
        task = asyncio.current_task(self)
        runner = self._active
        hand_off = may_hand_off(self._mode, task)
        if hand_off:
            self.hand_offs += 1
            if isinstance(task, HubTask) and task not in self._interrupted and runner is not None:
                task._interrupt(runner)
        else:
            self.holds += 1
            self._held += 1
        blocked = _debug.Blocked(self, runner, task) if self._debug and not self._reporting else None
        caller = None
        here = self._blocked[task] = greenlet.getcurrent()
        if runner is not None:
            runner.blocked = here
            caller, runner.caller = runner.caller, None
        if task is not None:
            leave_task(self, task)
        set_running_loop(None)
        self._active = None
        try:
            # Who started this callback directly goes on, and waits for it in the hub like everybody else.
            return Hub.switch(hub) if caller is None else greenlet.greenlet.switch(caller)
        finally:
            del self._blocked[task]
            if not hand_off:
                self._held -= 1
            self._active = runner
            if self._loops.hooked is not self:
                self._hook()
            set_running_loop(self)
            if task is not None:
                enter_task(self, task)
            if blocked is not None:
                blocked.over(handed_off=hand_off)

    def _relay(self) -> Relay:
        if self._relay_greenlet is None:
            self._relay_greenlet = Relay(self)
        return self._relay_greenlet


def _is_retry(handle: Any) -> bool:
    """Anyio's attempt to cancel what a scope holds, which it repeats in every turn of the loop."""
    callback = handle._callback
    return getattr(callback, "__name__", "") == "_deliver_cancellation" and callback.__module__.startswith(
        "anyio."
    )


def _can_feed(hub_loop: Any) -> bool:
    """Whether events may be fed to a watcher: libuv has no such thing, and gevent's cffi libev loses them."""
    return type(hub_loop).__module__ == "gevent.libev.corecext"
