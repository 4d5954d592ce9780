"""Descriptors: asyncio's readers and writers, on the hub's io watchers."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING, Any

from compat._asyncio import SelectorEventLoop
from compat._handles import NO_SLOTS, Handle

if TYPE_CHECKING:
    from collections.abc import Callable

    from compat._turns import Turns

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE  # the numbers of libev and libuv are the same


class Watch:
    """One direction of one descriptor: its watcher, and what to run when the descriptor is ready.

    The watcher is level-triggered: while the callback is queued, runs, or is suspended in the middle, the
    descriptor stays ready.  A second event in that time stops the watcher until the callback is through;
    usually there is none, and nothing has to be stopped.

    It stands in the ready queue itself, as a handle does, and knows so when the callback is through.  One
    that tells it itself, `taken` in its first line, stands there as the handle it is: two calls less.
    """

    __slots__ = (
        "_context", "_source_traceback", "entry", "fileobj", "handle", "idle", "loop", "queue", "queued",
        "wake", "watcher",
    )  # fmt: skip

    _args = ()
    _cancelled = False

    def __init__(self, loop: Turns, fd: int, direction: int) -> None:
        self.loop = loop
        self.queue = loop._ready.append  # here, as a loop's own attributes and methods are found slower
        self.wake = loop._wake_now
        self.watcher: Any = loop._hub_loop.io(fd, direction)
        self.handle: Any = None  # None: nobody wants to know
        self.fileobj: Any = None  # while there is a handle: what the descriptor was given as
        self.entry: Any = self  # what is queued: this, or the handle
        self.queued = False  # in the ready queue, running, or suspended
        self.idle = True  # the watcher is stopped
        self._context: Any = None
        self._source_traceback: Any = None

    def set(self, handle: Any, fileobj: Any = None, *, tells: bool = False) -> None:
        """Run *handle* from now on; None: stop watching.  The former one is cancelled.

        *tells*: its callback calls `taken`.
        """
        if self.handle is not None:
            self.handle.cancel()
            # Replaced or removed, its descriptor may be another one by now: the poller must be told anew.
            self._stop()
            if self.entry is not self:
                self.queued = False  # a handle that is cancelled isn't run
        self.handle = handle
        self.fileobj = fileobj
        self.entry = handle if tells else self
        if handle is not None:
            self._context = handle._context
            self._source_traceback = handle._source_traceback
            if not self.queued:
                self._start()

    def _start(self) -> None:
        self.idle = False
        self.watcher.start(self._ready)

    def _stop(self) -> None:
        if not self.idle:
            self.idle = True
            self.watcher.stop()
        # libev asks the kernel again only for a watcher whose events were set anew.
        self.watcher.events = self.watcher.events

    def _ready(self) -> None:
        """In the hub: the descriptor is ready."""
        if self.queued:
            self.idle = True
            self.watcher.stop()
            return
        self.queued = True
        queue = self.queue  # Python 3.11 finds in a slot what is called faster when it isn't called at once
        queue(self.entry)
        if not self.loop._wake_pending:
            wake = self.wake
            wake()

    def taken(self) -> None:
        """The event that was queued is being answered: the next one is news."""
        self.queued = False
        if self.idle and self.handle is not None:
            self._start()

    def _callback(self) -> None:
        handle = self.handle
        try:
            if handle is not None:
                handle._callback(*handle._args)
        finally:
            handle = None  # as in `_debug.run_timed`
            self.taken()

    def close(self) -> None:
        self.set(None)
        self.watcher.close()

    def __repr__(self) -> str:
        return repr(self.handle)


class NoSelector:
    """Stands where asyncio keeps its selector: the hub polls, so all it can tell is who watches what."""

    def __init__(self) -> None:
        self.watches: dict[tuple[int, int], Watch] = {}

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """The events watched for a descriptor; KeyError when there are none."""
        fd = self.number_of(fileobj)
        mask = sum(d for d in (READ, WRITE) if (w := self.watches.get((fd, d))) is not None and w.handle)
        if not mask:
            raise KeyError(fd)
        return selectors.SelectorKey(fileobj, fd, mask, None)

    def number_of(self, fileobj: Any) -> int:
        """The number of a descriptor; of an object that has been closed: the one that is watched for it.

        Anyio closes its UNIX sockets before it removes their readers and writers.  Raises: ValueError.
        """
        try:
            return number_of(fileobj)
        except ValueError:
            for (fd, _), watch in self.watches.items():
                if watch.fileobj is fileobj:
                    return fd
            raise

    def close(self) -> None:
        for watch in self.watches.values():
            watch.close()
        self.watches.clear()


class Descriptors(SelectorEventLoop):  # type: ignore[misc] # untyped
    """Where asyncio's transports register their descriptors.

    Watchers are kept and used again: to make one costs as much as ten starts and stops.
    """

    __slots__ = NO_SLOTS

    _selector: NoSelector
    _ssock: Any

    def _add(self, fileobj: Any, direction: int, callback: Callable[..., Any], args: Any) -> Handle:
        self._check_closed()
        handle = Handle(callback, args, self, None)
        self._watch(number_of(fileobj), direction).set(handle, fileobj)
        return handle

    def _watch(self, fd: int, direction: int) -> Watch:
        watches = self._selector.watches
        watch = watches.get((fd, direction))
        if watch is None:
            watch = watches[fd, direction] = Watch(self, fd, direction)
        return watch

    def _add_receiver(self, fd: int, receive: Callable[[], None]) -> Watch:
        """As `_add_reader`; *receive* tells the watch, which is returned, that it has `taken` the event."""
        self._check_closed()
        watch = self._watch(fd, READ)
        watch.set(Handle(receive, (), self, None), fd, tells=True)
        return watch

    def _remove(self, fileobj: Any, direction: int) -> bool:
        if self.is_closed():
            return False
        watch = self._selector.watches.get((self._selector.number_of(fileobj), direction))
        if watch is None or watch.handle is None:
            return False
        watch.set(None)
        return True

    def _add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Handle:
        return self._add(fd, READ, callback, args)

    def _remove_reader(self, fd: Any) -> bool:
        return self._remove(fd, READ)

    def _add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Handle:
        return self._add(fd, WRITE, callback, args)

    def _remove_writer(self, fd: Any) -> bool:
        return self._remove(fd, WRITE)


def number_of(fd: Any) -> int:
    """The number of a descriptor or of an object that has one; ValueError when it has none (any more)."""
    number = fd if isinstance(fd, int) else fd.fileno()
    if number < 0:
        raise ValueError(f"Invalid file descriptor: {number}")
    return number
