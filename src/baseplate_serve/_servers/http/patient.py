"""What pywsgi's handlers read from, told how long the client takes."""

from __future__ import annotations

import io
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baseplate_serve._lifecycle.connections import Connection


class PatientSocket(io.RawIOBase):
    """The receiving side of gevent's *sock*: notes on *connection* when a request begins, and each wait.

    `upgraded` by a 101: what comes is no request any more; `cut_short` once a head has ended before its end.
    """

    def __init__(self, sock: Any, connection: Connection) -> None:
        self._sock = sock
        self._connection = connection
        self.upgraded = self.cut_short = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises: OSError.  Switches: yes."""
        received = self._receive_into(buffer)
        self._connection.tally.received += received
        return received

    def _receive_into(self, buffer: Any) -> int:
        connection = self._connection
        if connection.began_at is None:
            received: int = self._sock.recv_into(buffer)
            if received:
                connection.began()
                connection.head_since = connection.began_at
            return received
        if connection.head_since is not None or self.upgraded:
            # Once ended it stays so: what comes after a shutdown() of ours the kernel hands out all the same.
            received = 0 if self.cut_short else self._sock.recv_into(buffer)
            self.cut_short = not received
            return received
        connection.body_since = monotonic()
        try:
            return int(self._sock.recv_into(buffer))
        finally:
            connection.body_since = None
