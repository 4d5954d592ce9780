"""`threading.current_thread()` in a patched process, where it is the greenlet's.

For a greenlet that it doesn't know `threading` makes a thread, `Dummy-17`.  In a loop's callbacks, in
whichever greenlet they run, it should be the thread that runs the loop; but if `threading` knew these
greenlets, it would count that thread once for each of them.
"""

from __future__ import annotations

import threading
from typing import Any

from gevent import monkey
from greenlet import getcurrent


class Threads(dict[int, threading.Thread]):
    """What `threading` knows, and what it is told when it asks for the present greenlet's."""

    def __missing__(self, ident: int) -> threading.Thread:
        try:
            one: Any = getcurrent() if ident == threading.get_ident() else None
        except RuntimeError:  # the interpreter ends, and with it tasks that log this
            return threading.main_thread()
        # Not by the running loop: up to Python 3.11 a forked child has none, and asks.
        while one is not None:
            # A StepGreenlet's, a Runner's.
            loop = getattr(one, "attached", None) or getattr(one, "loop", None)
            thread: threading.Thread | None = getattr(loop, "_thread", None)
            if thread is not None:
                return thread
            one = one.parent
        raise KeyError(ident)


def stand_for_threads() -> None:
    """From now on they do.  Nothing happens where threads are not greenlets."""
    known = threading._active  # type: ignore[attr-defined] # where it looks
    if monkey.is_module_patched("threading") and not isinstance(known, Threads):
        threading._active = Threads(known)  # type: ignore[attr-defined] # likewise


def present_thread(hub_loop: Any) -> threading.Thread:
    """Whose loop begins to run here: the present thread, and in a greenlet that is none the hub's."""
    known: threading.Thread | None = threading._active.get(threading.get_ident())  # type: ignore[attr-defined] # likewise
    if known is None and hub_loop.default:
        return threading.main_thread()
    return known or threading.current_thread()
