"""Who is connected, and what is in flight: the one place that shutdown, signals and metrics ask.

A server makes one `Connection` per client and, around each request, calls `began` and `ended`: some attribute
writes, so that a request costs next to nothing here.  Everything else is worked out when somebody asks.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent.event import Event

from baseplate_serve._lifecycle.tally import Tally
from baseplate_serve._sockets.names import address_name
from baseplate_serve._sockets.shut import shut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


UNTRACKED = Tally()


@dataclass(frozen=True)
class InFlight:
    """One request in flight, as logs and dumps show it."""

    description: str  # 'GET /slow', 'Greeter.greet'
    peer: str  # '127.0.0.1:51212', or 'unix'
    age_s: float

    def __str__(self) -> str:
        return f"{self.description} from {self.peer}, {self.age_s:.3f} s old"


class Connection:
    """One client's connection.  Idle while `began_at` is None.

    The `..._since` say for how long it has waited for its client, by the monotonic clock; None: it doesn't.
    A server sets them where it does wait, and only there.
    """

    __slots__ = (
        "began_at", "body_since", "describe", "hang_up", "head_since", "idle_since", "leaving",
        "opened_at", "peer", "send_since", "sock", "tally", "timed_out",
    )  # fmt: skip

    def __init__(self, sock: Any, address: Any, describe: Callable[[], str] | None = None) -> None:
        self.sock = sock
        self.peer = address_name(address)  # evaluated once: a client that has gone has no name any more
        self.describe = describe or _nothing_yet  # says what the request in flight is; called only when asked
        self.opened_at = self.idle_since = monotonic()
        self.began_at: float | None = None  # when the request in flight began
        self.head_since: float | None = None  # for the rest of a request's head
        self.body_since: float | None = None  # for the next bytes of a body, or of a Thrift message
        self.send_since: float | None = None  # for the client to take more of a response
        self.timed_out: str | None = None  # the option that it has outlasted
        self.leaving = False  # serve what has arrived, then close
        self.tally = UNTRACKED  # the server's, once it is tracked
        self.hang_up: Callable[[], None] | None = None  # says good-bye where a request may go on for hours

    def began(self) -> None:
        """A request has begun: its first bytes have arrived."""
        self.began_at = monotonic()

    def ended(self, *, failed: bool = False) -> None:
        """The reply has been handed to the kernel; the connection is idle again, or leaves now.

        *failed*: it tells of a failure on our side.
        """
        if self.began_at is not None:
            self.idle_since = now = monotonic()
            self.tally.durations.append(now - self.began_at)
            self.began_at = None
            if failed:
                self.tally.errors += 1
        if self.leaving:
            shut(self.sock, socket.SHUT_RD)

    def lost(self) -> None:
        """The connection ends, and a request in flight has no reply."""
        if self.began_at is not None:
            self.began_at = None
            self.tally.lost += 1

    def refused(self, reason: str) -> None:
        """What the client did is no request, and the connection closes for it."""
        self.began_at = None
        self.tally.refused[reason] += 1

    def time_out(self, why: str) -> None:
        """The client takes longer than the option *why* allows: whoever waits for it finds it gone.

        Switches: no.
        """
        self.timed_out = why
        if why == "idle_timeout":
            self.idle_since = inf  # once is enough
            self.leave()
            return
        self.tally.refused[why] += 1
        if why in ("send_timeout", "websocket_ping_timeout"):
            self.send_since = None
            shut(self.sock, socket.SHUT_RDWR)
            return
        self.idle_since = inf
        self.head_since = self.body_since = None
        shut(self.sock, socket.SHUT_RD)

    def leave(self) -> None:
        """Close at once if idle, after the reply if a request is in flight.

        Idle is closed by ending its *reading* side: what the client had already sent is still read
        and answered, and only then comes the end of the stream.  Switches: no.
        """
        self.leaving = True
        if self.hang_up is not None:
            self.hang_up()
        elif self.began_at is None:
            shut(self.sock, socket.SHUT_RD)


def _nothing_yet() -> str:
    return "a connection that has sent no request"


class Connections:
    """All open connections of one server.

    `none_left` is set while there is none.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self._open: set[Connection] = set()
        self._leaving = False
        self.none_left = Event()
        self.none_left.set()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._open))

    def add(self, connection: Connection) -> None:
        """Track *connection* until `discard`; one that comes while all leave, leaves too."""
        connection.tally = self.tally
        self._open.add(connection)
        self.none_left.clear()
        if self._leaving:
            connection.leave()

    def discard(self, connection: Connection) -> None:
        """Forget *connection*: it is closed, whatever was in flight."""
        self._open.discard(connection)
        connection.lost()
        if not self._open:
            self.none_left.set()

    def any_newer_than(self, seconds: float) -> bool:
        """True if a connection was opened less than *seconds* ago and is idle."""
        since = monotonic() - seconds
        return any(c.opened_at > since and c.began_at is None for c in self._open)

    def leave(self) -> None:
        """Let every connection go: idle ones now, busy ones after their reply.  Switches: no."""
        self._leaving = True
        for connection in self:
            connection.leave()

    def busy(self) -> int:
        """How many have a request in flight."""
        return sum(1 for connection in self._open if connection.began_at is not None)

    def in_flight(self) -> list[InFlight]:
        """The requests in flight, oldest first."""
        now = monotonic()
        busy = [(c.began_at, c) for c in self._open if c.began_at is not None]
        busy.sort(key=lambda pair: pair[0])
        return [InFlight(c.describe(), c.peer, now - began_at) for began_at, c in busy]


def send_rest(sock: Any, data: memoryview, connection: Connection) -> None:
    """Send *data* on gevent's *sock*, as fast as the client of *connection* takes it.

    Raises: OSError.  Switches: yes.
    """
    try:
        while data:
            connection.send_since = monotonic()  # of each piece: slow is not stalled
            data = data[sock.send(data) :]
    finally:
        connection.send_since = None
