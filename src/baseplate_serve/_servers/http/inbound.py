"""What a client sends: received when somebody asks, kept until somebody takes it.

`Inbound.receive` is the one place where a connection waits for its client's next bytes.
"""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent.socket import socket as PlainSocket  # noqa: N812 (a class, whatever its name looks like)
from gevent.socket import wait

from baseplate_serve._servers.http.handover import Raw
from baseplate_serve._servers.http.limits import LINE_MAX
from baseplate_serve._servers.http.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from baseplate_serve._lifecycle.connections import Connection
    from baseplate_serve._lifecycle.tally import Tally
    from baseplate_serve._servers.http.limits import Limits

# Asked of the kernel for a head: many pipelined requests, and what is left of them is moved for each.
PIECE = 16 * 1024
_LONE_LF = re.compile(rb"(?<!\r)\n").search


def kernels_socket(sock: Any) -> Any:
    """The kernel's socket under gevent's *sock*; None where another protocol, TLS, lies between."""
    return getattr(sock, "_sock", None) if type(sock) is PlainSocket else None


class Inbound:
    """The receiving side of one connection; a binary file, for applications that take it over.

    `buffer` holds what was received and not taken.
    """

    __slots__ = (
        "_event", "_kernels", "_tally", "buffer", "closed", "connection", "handed_over", "sock", "upgraded",
    )  # fmt: skip

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self._kernels = kernels_socket(sock)
        self._event: Any = getattr(sock, "_read_event", None)
        self.buffer = b""
        self.closed = False
        self.upgraded = False  # by a 101: what is sent is no body, and may take its time
        self.handed_over = False  # the application has the socket, and answers by itself
        self.connection: Connection  # both by `serve`
        self._tally: Tally

    def serve(self, connection: Connection) -> None:
        """Tell *connection* from now on.  Before anything is received."""
        self.connection = connection
        self._tally = connection.tally

    def receive(self, most: int = PIECE) -> bytes:
        """Up to *most* bytes past the buffer; none at the end of the stream.

        Raises: OSError.  Switches: yes.
        """
        kernels = self._kernels
        if kernels is None:
            data: bytes = self.sock.recv(most)
            self._tally.received += len(data)
            return data
        # gevent's recv() tries first, and an exception tells it that there is nothing, as there is between
        # two requests of a client that waits for its reply: waiting first saves 2 µs a request.
        while True:
            wait(self._event)
            try:
                data = kernels.recv(most)
            except BlockingIOError:
                continue  # woken for nothing
            self._tally.received += len(data)
            return data

    def receive_body(self, most: int = PIECE) -> bytes:
        """Likewise, in the middle of a request: the client has only so much time for that."""
        if self.upgraded:
            return self.receive(most)
        connection = self.connection
        connection.body_since = monotonic()
        try:
            return self.receive(most)
        finally:
            connection.body_since = None

    def head(self, limits: Limits, look: Callable[[bytes], object]) -> bytes:
        """A request's head, with its empty line; empty at the end of the stream.

        Tells the connection that a request began, and calls *look* with the request line where that arrives
        before the rest, so that what is none is refused at once.  Raises: Refused, OSError.  Switches: yes.
        """
        buffer = self.buffer or self.receive()
        end = buffer.find(b"\r\n\r\n")
        if end <= 0 or buffer[0] == 13:
            return self._late_head(buffer, limits, look)
        self.connection.began()
        end += 4
        if end == len(buffer):
            self.buffer = b""
            return buffer
        self.buffer = buffer[end:]
        return buffer[:end]

    def _late_head(self, buffer: bytes, limits: Limits, look: Callable[[bytes], object]) -> bytes:
        """Likewise, for one that comes in pieces or after an empty line."""
        data = bytearray(buffer)
        if not self._skip_empty_line(data):
            self.buffer = b""
            return b""
        connection = self.connection
        connection.began()
        connection.head_since = connection.began_at
        looked = False
        searched = 0
        while (end := data.find(b"\r\n\r\n", searched)) < 0:
            looked = look_at_part(data, searched, None if looked else look, limits)
            searched = max(0, len(data) - 3)
            piece = self.receive()
            if not piece:
                self.buffer = b""
                if connection.timed_out:
                    raise Refused("the head took too long", 408)
                return b""
            data += piece
        connection.head_since = None
        self.buffer = bytes(data[end + 4 :])
        return bytes(data[: end + 4])

    def _skip_empty_line(self, data: bytearray) -> bool:
        """RFC 9112 §2.2: one before a request line is ignored.  False at the end of the stream."""
        skipped = False
        while True:
            if not skipped and data.startswith(b"\r\n"):
                del data[:2]
                skipped = True
            if data and (skipped or data != b"\r"):
                return True
            piece = self.receive()
            if not piece:
                return False
            data += piece

    def take(self, most: int) -> bytes:
        """Up to *most* bytes, received if none are here; none at the end of the stream.

        Raises: OSError.  Switches: yes, if none are here.
        """
        buffer = self.buffer
        if not buffer:
            return self.receive_body(most)
        if len(buffer) <= most:
            self.buffer = b""
            return buffer
        self.buffer = buffer[most:]
        return buffer[:most]

    def line(self, most: int) -> bytes | None:
        """What stands before the next CR LF; None at the end of the stream.

        Raises: Refused if that is more than *most* bytes, OSError.  Switches: yes.
        """
        while (end := self.buffer.find(b"\r\n")) < 0 and len(self.buffer) <= most + 1:
            piece = self.receive_body()
            if not piece:
                return None
            self.buffer += piece
        if not 0 <= end <= most:
            raise Refused("a line of the body is too long")
        found = self.buffer[:end]
        self.buffer = self.buffer[end + 2 :]
        return found

    # A file, for an application that has upgraded the connection

    def read(self, size: int = -1) -> bytes:
        """*size* bytes, or fewer at the end of the stream; all of it if *size* is negative."""
        pieces = []
        while size and (piece := self.take(size if size > 0 else PIECE)):
            pieces.append(piece)
            if size > 0:
                size -= len(piece)
        return b"".join(pieces)

    def readline(self, size: int = -1) -> bytes:
        """A line with its line feed, *size* bytes at most unless that is negative."""
        while (end := self.buffer.find(b"\n") + 1) == 0 and not 0 <= size <= len(self.buffer):
            piece = self.receive_body()
            if not piece:
                end = len(self.buffer)
                break
            self.buffer += piece
        if size >= 0:
            end = min(end or size, size)
        return self.take(end) if end else b""

    def close(self) -> None:
        self.closed = True

    @property
    def raw(self) -> Raw:
        return Raw(self)


def look_at_part(
    data: bytearray, searched: int, look: Callable[[bytes], object] | None, limits: Limits
) -> bool:
    """Refuse at once what will never be a head, *data* being the first part of it, *searched* up to there.

    *look* sees the request line, unless it has.  False if that is not here yet.  Raises: Refused.
    """
    if _LONE_LF(data, searched):
        raise Refused("a line feed without its carriage return")
    looked = look is None or _look_at_line(data, look)
    if len(data) > limits.head:
        raise Refused("the head is too large", 431)
    return looked


def _look_at_line(data: bytearray, look: Callable[[bytes], object]) -> bool:
    end = data.find(b"\r\n")
    if end > LINE_MAX or (end < 0 and len(data) > LINE_MAX + 1):
        raise Refused("the request line is too long", 414)
    if end < 0:
        return False
    look(bytes(data[:end]))
    return True
