"""systemd: sockets by environment (sd_listen_fds(3)), state over a datagram socket (sd_notify(3))."""

from __future__ import annotations

import logging
import re
import socket
from typing import TYPE_CHECKING

from baseplate_serve.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("baseplate_serve")

FIRST_FD = 3  # SD_LISTEN_FDS_START


def passed_fds(environ: Mapping[str, str], *, pid: int) -> tuple[int, ...]:
    """The descriptors that systemd passed to the process *pid*; none if they were meant for another.

    Raises `EndpointError` for a count that is no number.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return ()
    count = environ.get("LISTEN_FDS", "0")
    if not re.fullmatch("[0-9]{1,6}", count):
        raise EndpointError(f"LISTEN_FDS: expected a number from systemd, got {count!r}")
    return tuple(range(FIRST_FD, FIRST_FD + int(count)))


def notify(environ: Mapping[str, str], state: str) -> None:
    """Send *state* (``READY=1``, ``STOPPING=1``) to systemd, if it waits for it.

    A socket that cannot be reached is logged: serving does not depend on it.  Switches: no.
    """
    path = environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(), address)
    except OSError as error:
        log.warning("NOTIFY_SOCKET = %r: could not send %s: %s", path, state, error)
