"""The body of a request, in the pieces that arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baseplate_serve._servers.http.chunks import TRAILER, Chunks
from baseplate_serve._servers.http.limits import CHUNK_LINE_MAX, TRAILERS_MAX
from baseplate_serve._servers.http.refusal import Refused

if TYPE_CHECKING:
    from baseplate_serve._servers.asgi.inbox import Inbox


class Body:
    """Takes a request's body from the inbox.  *length* None: it is chunked; *limit*: bytes."""

    def __init__(self, inbox: Inbox, length: int | None, limit: int | None) -> None:
        self.inbox = inbox
        self.chunked = length is None
        self.left = length or 0  # bytes of the body, or of the present chunk
        self.ended = length == 0
        self._chunks = Chunks(limit)
        self._after_chunk = self._trailers = False
        self._trailer_bytes = 0

    def piece(self) -> bytes | None:
        """What is here of it; empty when it has ended; None when more must arrive first.

        Raises: Refused.  Switches: no.
        """
        while not self.ended:
            if self.left:
                data = self.inbox.take(self.left)
                self.left -= len(data)
                if self.left or not self.chunked:
                    self.ended = not self.left
                else:
                    self._after_chunk = True
                return data or None
            if not self._next_chunk():
                return None
        return b""

    def _next_chunk(self) -> bool:
        """Read what stands between chunks; False when it hasn't arrived."""
        most = 0 if self._after_chunk else CHUNK_LINE_MAX
        if self._trailers:
            most = TRAILERS_MAX - self._trailer_bytes
        buffer = self.inbox.buffer
        end = buffer.find(b"\r\n")
        if end < 0 and len(buffer) <= most + 1:
            return False
        if not 0 <= end <= most:
            raise Refused("a line of the body is too long")
        line = self.inbox.take(end + 2)[:-2]
        if self._after_chunk:
            self._after_chunk = False
        elif self._trailers:
            self._trailer_bytes += len(line) + 2
            self.ended = not line
            if line and not TRAILER(line):
                raise Refused("a trailer is no header")
        else:
            self.left = self._chunks.begin(line)
            self._trailers = not self.left
        return True
