"""Ends one direction of a client's connection, under the greenlet that waits on it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any


def shut(sock: Any, how: int) -> None:
    """``shutdown(how)`` on *sock*: its greenlet finds the end of the stream, or a broken pipe.

    After ``SHUT_RD`` what has arrived can still be read, and then comes the end.  Switches: no.
    """
    # The kernel's socket under gevent's: gevent's own shutdown() raises in the greenlet that reads, and
    # what had arrived would be lost.
    kernels = getattr(sock, "_sock", sock)
    with suppress(OSError):  # ENOTCONN, EBADF: the client has gone, its greenlet is about to notice
        kernels.shutdown(how)
