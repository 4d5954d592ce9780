"""Bytes in and out of a connection, past gevent's socket where that does more than is needed."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent.socket import socket, wait
from thrift.transport.TTransport import TTransportException

from baseplate_serve._lifecycle.connections import send_rest
from baseplate_serve._sockets.shut import say_goodbye

if TYPE_CHECKING:
    from baseplate_serve._lifecycle.connections import Connection

PIECE = 1024 * 1024  # memory for a long frame grows as its bytes arrive, never before


class ConnectionLost(TTransportException):  # type: ignore[misc] # thrift is untyped
    """The connection to this client ended or failed; not to be confused with one the handler uses."""


class Wire:
    """The two directions of *connection*, whose tally counts bytes."""

    def __init__(self, sock: Any, connection: Connection) -> None:
        self._sock = sock
        self._connection = connection
        self._tally = connection.tally
        # The kernel's socket below, if it is one of gevent's, whose recv() tries first: an exception, 2 µs in
        # all, where a client sends one call after the other.  Its sendall() asks for the size of the buffer
        # each time, 1 µs.
        self._raw: Any = getattr(sock, "_sock", None) if type(sock) is socket else None

    def recv_next(self, size: int) -> bytes:
        """What comes next, where nothing is expected to be there yet; empty at the end.  Switches: yes."""
        raw = self._raw
        if raw is None:
            return self.recv(size)
        try:
            while True:
                wait(self._sock._read_event)  # noqa: SLF001 (gevent has no other name for it)
                try:
                    data: bytes = raw.recv(size)
                except BlockingIOError:
                    continue
                self._tally.received += len(data)
                return data
        except OSError as error:
            raise ConnectionLost(TTransportException.UNKNOWN, str(error)) from error

    def recv(self, size: int) -> bytes:
        """What is there or comes next, empty at the end.  Switches: perhaps."""
        try:
            data: bytes = self._sock.recv(size)
        except OSError as error:
            raise ConnectionLost(TTransportException.UNKNOWN, str(error)) from error
        self._tally.received += len(data)
        return data

    def recv_more(self, size: int) -> bytes:
        """Likewise; the end is an error.  Switches: perhaps."""
        self._connection.body_since = monotonic()
        try:
            data = self.recv(size)
        finally:
            self._connection.body_since = None
        if not data:
            raise ConnectionLost(
                TTransportException.END_OF_FILE, "the client left in the middle of a message"
            )
        return data

    def recv_until(self, data: bytes, end: int) -> bytes:
        """*data* and what comes, *end* bytes in all.  Switches: perhaps."""
        frame = bytearray(data)
        while len(frame) < end:
            frame += self.recv_more(min(end - len(frame), PIECE))
        return bytes(frame)

    def send(self, data: bytes) -> None:
        """All of *data*.  Switches: when the client doesn't take it at once."""
        sent = 0
        self._tally.sent += len(data)
        try:
            if self._raw is not None:
                try:
                    sent = self._raw.send(data)
                except BlockingIOError:
                    sent = 0
            if sent < len(data):
                send_rest(self._sock, memoryview(data)[sent:], self._connection)
        except OSError as error:
            raise ConnectionLost(TTransportException.UNKNOWN, str(error)) from error

    @property
    def is_open(self) -> bool:
        return self._sock is not None

    def close(self) -> None:
        """A second time, too."""
        if self._sock is not None:
            say_goodbye(self._sock)
            self._sock.close()
            self._sock = self._raw = None
