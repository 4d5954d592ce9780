"""systemd: sockets by environment (sd_listen_fds(3)), state over a datagram socket (sd_notify(3)), and the
watchdog that is fed over it (sd_watchdog_enabled(3)).
"""

from __future__ import annotations

import logging
import re
import socket
from typing import TYPE_CHECKING, Any

from gevent import get_hub

from baseplate_serve._lifecycle.forked import in_children
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


class Watchdog:
    """Tells systemd, from the hub, that the hub runs: where something keeps it longer than `WatchdogSec=`,
    systemd ends the process and starts another.

    Raises `EndpointError` for a time that is no number.
    """

    def __init__(self, environ: Mapping[str, str], *, pid: int) -> None:
        self._environ = environ
        # Four times as often as we have to: what keeps the hub for less than three quarters does no harm.
        self._every_s = _watchdog_s(environ, pid) / 4
        self._timer: Any = None

    def start(self) -> None:
        """Feed it from now on, if there is one.  Switches: no."""
        if self._every_s:
            self._timer = get_hub().loop.timer(0, self._every_s, ref=False)
            self._timer.start(notify, self._environ, "WATCHDOG=1")
            in_children(self, Watchdog.stop)  # a child must not speak for us

    def stop(self) -> None:
        """Switches: no."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float:
    """How long the process *pid* may be silent, in seconds; 0 where nobody listens."""
    limit = environ.get("WATCHDOG_USEC")
    if limit is None or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0.0
    if not re.fullmatch("[0-9]{1,18}", limit):
        raise EndpointError(f"WATCHDOG_USEC: expected a number from systemd, got {limit!r}")
    return int(limit) / 1e6
