"""``wsgi.input``: the body of a request, as the application asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baseplate_serve._servers.http.chunks import TRAILER, Chunks
from baseplate_serve._servers.http.limits import CHUNK_LINE_MAX, DISCARD_MAX, TRAILERS_MAX
from baseplate_serve._servers.http.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from baseplate_serve._servers.http.inbound import Inbound

PIECE = 64 * 1024  # bytes that are asked for at a time
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyError(OSError):
    """The body cannot be read on.  An OSError, as files have them and applications expect."""


class BodyRefused(BodyError):
    """It is malformed or too long: what follows it cannot be found."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(str(refused))
        self.refused = refused


class ClientLeft(BodyError):
    """The client has gone before its end."""


CLIENT_LEFT = Refused("the client left within its body")


class NoBody:
    """The input of a request that has none: one for all of them, as there is nothing to remember."""

    ended = True
    broken: Refused | None = None
    expected = False

    def read(self, _size: int | None = -1) -> bytes:
        return b""

    readline = read

    def readlines(self, _hint: int | None = None) -> list[bytes]:
        return []

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def __next__(self) -> bytes:
        raise StopIteration

    def is_here(self) -> bool:
        return True

    def discard(self) -> bool:
        return True

    _discard = discard


NO_BODY = NoBody()


class Body:
    """The input of a request with a body.

    *outbound* gets the interim response if the client *expects* one, when the body is asked for.
    """

    __slots__ = (
        "_chunked", "_chunks", "_inbound", "_left", "_ready", "_taken", "broken",
        "ended", "expected", "outbound",
    )  # fmt: skip

    def __init__(self, inbound: Inbound, *, length: int | None, limit: int | None) -> None:
        self._inbound = inbound
        self._chunked = length is None
        self._left = length or 0  # bytes of the body, or of the present chunk
        self._chunks = Chunks(limit)
        self._ready = b""  # what `readline` took and didn't return
        self._taken = 0
        self.ended = length == 0  # nothing of it is left in the connection
        self.broken: Refused | None = None
        self.expected = False
        self.outbound: Any = None

    def read(self, size: int | None = -1) -> bytes:
        """*size* bytes, fewer at the end; all that is left if *size* is None or negative.

        Raises: BodyRefused, ClientLeft.  Switches: yes.
        """
        left = -1 if size is None else size
        piece = self._piece(left if left >= 0 else PIECE)
        if not piece or len(piece) == left:
            return piece
        pieces = []
        while piece:
            pieces.append(piece)
            if left >= 0:
                left -= len(piece)
                if not left:
                    break
            piece = self._piece(left if left >= 0 else PIECE)
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """A line with its line feed; *size* bytes at most unless that is None or negative.

        Raises and switches as `read`.
        """
        most = -1 if size is None else size
        pieces = []
        while most and (piece := self._piece(most if most >= 0 else PIECE)):
            end = piece.find(b"\n") + 1
            if end:
                self._ready = piece[end:] + self._ready
                piece = piece[:end]
            pieces.append(piece)
            most -= len(piece) if most > 0 else 0
            if end:
                break
        return b"".join(pieces)

    def readlines(self, hint: int | None = None) -> list[bytes]:
        """The lines that are left; *hint*, if positive, is how many bytes of them are enough."""
        lines = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def is_here(self) -> bool:
        """Whether all of it has arrived, for a body whose length is known.  Switches: no."""
        return self.ended or (not self._chunked and len(self._inbound.buffer) >= self._left)

    def discard(self) -> bool:
        """Take what the application left; False if the connection is not worth it or has come to its end.

        Switches: yes.
        """
        self.expected = False
        self._ready = b""
        if self.broken or (not self._chunked and self._left > DISCARD_MAX):
            return False
        most = DISCARD_MAX
        try:
            while not self.ended and most > 0:
                most -= len(self._piece(PIECE))
        except (BodyError, OSError):
            return False
        return self.ended

    _discard = discard  # its name in pywsgi

    def _piece(self, most: int) -> bytes:
        """Up to *most* bytes; none at the end."""
        if self._ready:
            piece, self._ready = self._ready[:most], self._ready[most:]
            return piece
        if self.broken:
            raise BodyRefused(self.broken)
        if self.ended or not most:
            return b""
        if self.expected:
            self.expected = False
            self.outbound(CONTINUE)
        try:
            if not self._left and self._next_chunk():
                return b""
            return self._take(most)
        except Refused as refused:
            self.broken = refused
            raise BodyRefused(refused) from None

    def _take(self, most: int) -> bytes:
        piece = self._inbound.take(min(most, self._left))
        if not piece:
            raise self._client_left()
        self._left -= len(piece)
        self._taken += len(piece)
        if not self._left:
            if not self._chunked:
                self.ended = True
            elif self._line(0):  # the end of the chunk, so that a wrong one is found before it is acted on
                raise Refused("a chunk is longer than its size")
        return piece

    def _next_chunk(self) -> bool:
        """Read a chunk's size; True if it was the last, and the trailers after it are read, too."""
        self._left = self._chunks.begin(self._line(CHUNK_LINE_MAX))
        if self._left:
            return False
        most = TRAILERS_MAX
        while line := self._line(most):
            most -= len(line) + 2
            if most < 0 or not TRAILER(line):
                raise Refused("a trailer is no header, or there are too many")
        self.ended = True
        return True

    def _line(self, most: int) -> bytes:
        line = self._inbound.line(most)
        if line is None:
            raise self._client_left()
        return line

    def _client_left(self) -> BodyError:
        if self._inbound.connection.timed_out:
            self.broken = Refused("the body took too long", 408)
            return BodyRefused(self.broken)
        self.broken = CLIENT_LEFT
        if self._chunked:
            return ClientLeft("unexpected end of file while parsing chunked data")
        return ClientLeft(f"unexpected end of file while reading request at position {self._taken}")
