"""Ends a client's connection, or one direction of it, under the greenlet that waits on it."""

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


def say_goodbye(sock: Any) -> None:
    """Have the client know that nothing was cut off, if gevent's *sock* does TLS.  Switches: no."""
    with suppress(OSError):  # it is closed; or, having sent our good-bye, TLS asks for the client's
        tls = getattr(sock, "_sslobj", None)  # gevent's own unwrap() would wait for that
        if tls is not None:
            tls.shutdown()
