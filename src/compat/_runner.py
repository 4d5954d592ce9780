"""The greenlets that run a loop's callbacks."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeAlias

import greenlet

from compat._asyncio import get_running_loop

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from compat._task import HubTask, Interrupted
    from compat._turns import Turns

switch_to = greenlet.greenlet.switch
_throw = greenlet.greenlet.throw

# The slot itself: Runner.gr_context is for greenlets that ask their parent.
get_context: Callable[[greenlet.greenlet], Context | None] = greenlet.greenlet.gr_context.__get__
set_context: Callable[[greenlet.greenlet, Context | None], None] = greenlet.greenlet.gr_context.__set__  # type: ignore[attr-defined] # a slot

Work: TypeAlias = "Callable[[Runner], greenlet.greenlet | None]"


class Runner(greenlet.greenlet):
    """Does pieces of work, one after the other, and is parked between them.

    A piece of work is called with the runner and returns the greenlet to go back to, or None: the runner is
    not needed any more.  While it runs it may block, in gevent: then the hub goes on, and gives what is ready
    to another runner.

    Invariants: a parked runner holds no reference to its loop, so that a forgotten loop can be collected;
    control enters a parked runner through `work_on` alone.
    """

    # Found faster than what is in the object's dictionary, which greenlets keep in the old way.
    __slots__ = (
        "blocked", "busy", "caller", "elsewhere_s", "first", "interrupted", "loop",
    )  # fmt: skip

    own_context = greenlet.greenlet.gr_context  # no function of ours in between

    def __init__(self, hub: greenlet.greenlet | None) -> None:
        super().__init__(parent=hub)
        self.busy = False
        self.loop: Turns | None = None  # while it works
        self.first: Any = None  # the handle of a first step, for this runner alone
        # Who waits, out of the hub's sight, for it to park or block.
        self.caller: greenlet.greenlet | None = None
        # Which greenlet of its callback is blocked in gevent, or was: the loop may have gone on meanwhile.
        self.blocked: greenlet.greenlet | None = None
        self.interrupted: list[tuple[HubTask, Interrupted]] = []  # tasks whose step, here, was blocked
        self.elsewhere_s = 0.0  # in debug mode: how long this callback was blocked while the loop went on

    def run(self, back: greenlet.greenlet | None) -> None:
        while back is not None:
            self.own_context = None
            self.busy = False
            work: Work = switch_to(back)  # not the hub's own switch(): parking is no blocking
            back = work(self)
            del work

    def work_on(self, work: Work) -> Any:
        """Start *work*; returns when the runner parks, or, called in the hub, blocks."""
        self.busy = True
        return switch_to(self, work)

    # A greenlet that a step made (SQLAlchemy's `greenlet_spawn`, greenback) has the step's runner for a
    # parent, gives control back to it by name, and takes its context for the task's.  By then its task may
    # run in another runner, and the one it names may be parked or blocked.  gevent, which wakes runners,
    # does so in the hub, where no loop is running.

    def switch(self, *args: Any, **kwargs: Any) -> Any:
        """As greenlets do; from a greenlet that a step made: to the runner that the step is in now."""
        return switch_to(destination(self), *args, **kwargs)

    def throw(self, *args: Any) -> Any:
        """As `switch`; from the hub: into its callback, where that is blocked."""
        if get_running_loop() is not None:
            return _throw(destination(self), *args)
        if self.loop is None or self.blocked is None:
            # The step that somebody means is over: as with a greenlet that has ended, he gets it back.
            return _throw(greenlet.greenlet(self.run), *args)
        return throw_into(self.blocked, self.loop, *args)

    @property
    def gr_context(self) -> Context | None:
        """The context of the step that asks; asked from elsewhere, the runner's own."""
        active: Runner | None = getattr(get_running_loop(), "_active", None)
        return get_context(active or self)

    @gr_context.setter
    def gr_context(self, context: Context | None) -> None:
        self.own_context = context


class Cradle(greenlet.greenlet):
    """Where runners begin.

    A greenlet counts the calls that it is deep in from those of the greenlet that started it.  A runner that
    began in a first step, far down in nested waits, would have next to none left, for every later step.
    """

    def __init__(self, hub: greenlet.greenlet) -> None:
        super().__init__(parent=hub)
        switch_to(self, greenlet.getcurrent())

    def run(self, back: greenlet.greenlet) -> None:
        while True:
            runner, back = switch_to(back)
            switch_to(runner, self)
            del runner

    def new_runner(self) -> Runner:
        """A runner that is parked."""
        runner = Runner(self.parent)
        switch_to(self, (runner, greenlet.getcurrent()))
        return runner


def destination(named: greenlet.greenlet) -> greenlet.greenlet:
    """Where control goes that somebody gives to *named*, which runs a step, or did."""
    loop: Any = get_running_loop()
    active: greenlet.greenlet | None = getattr(loop, "_active", None)
    if active is None:
        return named
    child = greenlet.getcurrent()
    while child.parent is not None and not runs_steps(child.parent) and not isinstance(child.parent, Relay):
        child = child.parent
    if child.parent is not None and not isinstance(child.parent, Relay):
        child.parent = loop._relay()
    return active


def throw_into(blocked: greenlet.greenlet, loop: Turns, *args: Any) -> Any:
    """Raise in a greenlet of a step that is *blocked* in gevent.  In the hub.

    What it ends with is raised in its parent then, and so on.  Of itself a raw greenlet returns a
    GreenletExit.
    """
    child = blocked
    while not runs_steps(child) and (parent := child.parent) is not None and not isinstance(parent, Relay):
        child.parent = loop._relay() if runs_steps(parent) else Relay(loop, parent)
        child = parent
    return _throw(blocked, *args)


def runs_steps(one: greenlet.greenlet) -> bool:
    """Whether it is a `Runner` or a `StepGreenlet`, and no greenlet that a step made."""
    return hasattr(one, "interrupted")


class Relay(greenlet.greenlet):
    """The parent of greenlets that outlived the step that made them: passes what they say to who runs them.

    A greenlet that ends goes to its parent, whoever that is; this one sends it on, by default to the runner
    of the step that is at work.
    """

    def __init__(self, loop: Turns, to: greenlet.greenlet | None = None) -> None:
        super().__init__(parent=loop._hub)
        self.loop = loop
        self.to = to
        # One that never ran would take a greenlet's end for its beginning.
        switch_to(self, greenlet.getcurrent())

    def run(self, back: greenlet.greenlet) -> None:
        send: Callable[..., Any] = switch_to
        args: tuple[Any, ...] = ()
        while True:
            try:
                said = send(back, *args)
            except greenlet.GreenletExit:
                return  # dismissed
            except BaseException as error:  # noqa: BLE001 (whatever the greenlet ended with is its caller's)
                send, args = _throw, (error,)
            else:
                # A greenlet that was killed returns what it was killed with.
                send, args = _throw if isinstance(said, greenlet.GreenletExit) else switch_to, (said,)
            back = self.to or self.loop._active or self.loop._hub

    def switch(self, *args: Any, **kwargs: Any) -> Any:
        return switch_to(self.to or self.loop._active or self, *args, **kwargs)

    def throw(self, *args: Any) -> Any:
        return _throw(self.to or self.loop._active or self, *args)


def own_context(current: greenlet.greenlet) -> Context:
    """The context variables of the *current* greenlet, not a copy."""
    context = get_context(current)
    if context is None:
        context = copy_context()
        set_context(current, context)
    return context


def dismiss(parked: greenlet.greenlet) -> None:
    """End a runner that is parked, or a relay."""
    if parked:
        parked.parent = greenlet.getcurrent()  # where control goes when it ends
        _throw(parked)
