"""The end of the process, whoever would hold it."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from gevent import monkey

from baseplate_serve._lifecycle.forked import flush_streams

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("baseplate_serve")


def leave_within(seconds: float, status: int) -> None:
    """Have the process end with *status* in *seconds*, if it hasn't ended by itself then.

    Python waits at its end for every thread that is no daemon, and for what `atexit` calls, however long they
    take: a platform that loses its patience would kill us, and call it a failure.  Switches: no.
    """
    threads = [t.name for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
    words = f"baseplate-serve: has not ended by itself in {seconds:.1f} s, leaves; threads: {threads}\n"
    # A real thread, as the hub may be what is blocked.
    start: Callable[..., int] = monkey.get_original("_thread", "start_new_thread")
    try:
        start(_leave, (monkey.get_original("time", "sleep"), seconds, words.encode(), status))
    except RuntimeError as error:  # no memory is left, or no thread is allowed: Python's own end has to do
        log.warning("nobody ends the process if it doesn't end by itself: %s", error)
    flush_streams()  # that thread cannot: it might have to wait for whoever holds the process


def _leave(sleep: Callable[[float], None], seconds: float, words: bytes, status: int) -> None:
    """In a thread of its own, which may wait for no lock: anybody may hold it."""
    sleep(seconds)
    with suppress(OSError):  # nobody reads it any more
        os.write(2, words)
    os._exit(status)
