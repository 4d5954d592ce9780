"""A handler may fork.  Its child inherits our listeners, connections, timers and greenlets, and is no server.

What is ours ends in the child before anything else runs there; what the application has there goes on, its
greenlets included.
"""

from __future__ import annotations

import _socket
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    import gevent

Ours = TypeVar("Ours")

_ours: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()
_silent: list[_socket.socket] = []  # other ends, kept open: closed, they would be an end of the stream
UNHEARD = (OSError, ValueError)  # of a stream that nobody reads any more, or that was closed
_serves: set[int] = set()  # the process in which a server was made


def in_children(ours: Ours, leave: Callable[[Ours], None]) -> None:
    """Call *leave* with *ours* in each child that is forked from now on, as long as *ours* lives here.

    It must not switch, nor do anything to what the child shares with us: a socket's state, a file.
    """
    _ours[ours] = leave


def end_greenlet(greenlet: gevent.Greenlet[..., Any]) -> None:
    """For `in_children`: it doesn't go on."""
    greenlet.kill(block=False)


def silence(*socks: Any) -> None:
    """For `in_children`: give *socks* up, whoever waits for them here.

    Their descriptors become those of a client that says nothing, takes what it is sent, and stays.  So no
    greenlet reads or answers what is the parent's to serve, and none finds its client gone, and cleans up.
    """
    descriptors = [sock.fileno() for sock in socks]
    ours, theirs = _socket.socketpair()  # not gevent's, which wants a hub: any thread may fork
    ours.setblocking(False)
    for descriptor in descriptors:
        if descriptor >= 0:
            os.dup2(ours.fileno(), descriptor, inheritable=False)
    ours.close()
    _silent.append(theirs)


def _leave_to_parent() -> None:
    here = list(_ours.items())
    _ours.clear()  # a grandchild has nothing left to leave
    for ours, leave in here:
        leave(ours)


os.register_at_fork(after_in_child=_leave_to_parent)


def flush_streams() -> None:
    """What was printed goes out, as far as anybody takes it.  Switches: no, but waits for a slow reader."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(*UNHEARD):
            stream.flush()


def serving_here() -> None:
    """A server is made in this process.  Its children forget it: the number is not theirs."""
    _serves.add(os.getpid())


def leave_if_forked(error: BaseException) -> None:
    """End this process if *error* is a SystemExit and no server was made here.  Switches: no.

    Otherwise the child would be answered for as happens to a handler's sys.exit(), and stay.
    """
    if not isinstance(error, SystemExit) or not _serves or os.getpid() in _serves:
        return
    code = error.code
    if code is not None and not isinstance(code, int):
        with suppress(*UNHEARD):
            print(code, file=sys.stderr or sys.stdout)
        code = 1
    flush_streams()
    os._exit(code or 0)  # as multiprocessing's children end: what runs at exit is the parent's
