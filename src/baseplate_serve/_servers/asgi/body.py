"""The body of a request, in the pieces that arrive."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from baseplate_serve._servers.asgi.head import BadRequest

if TYPE_CHECKING:
    from baseplate_serve._servers.asgi.inbox import Inbox

LINE_MAX = 4096  # of a chunk's size with its extensions, or of a trailer
TRAILERS_MAX = 64
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?").fullmatch


class Body:
    """Takes a request's body from the inbox.  *length* None: it is chunked."""

    def __init__(self, inbox: Inbox, length: int | None) -> None:
        self.inbox = inbox
        self.chunked = length is None
        self.left = length or 0  # bytes of the body, or of the present chunk
        self.ended = length == 0
        self._after_chunk = self._trailers = False
        self._trailer_lines = 0

    def piece(self) -> bytes | None:
        """What is here of it; empty when it has ended; None when more must arrive first.

        Raises: BadRequest.  Switches: no.
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
        end = self.inbox.buffer.find(b"\r\n")
        if end < 0 or end > LINE_MAX:
            if end > LINE_MAX or len(self.inbox.buffer) > LINE_MAX:
                raise BadRequest("a chunk's line is too long")
            return False
        line = self.inbox.take(end + 2)[:-2]
        if self._after_chunk:
            if line:
                raise BadRequest("a chunk is longer than its size")
            self._after_chunk = False
        elif self._trailers:
            self._trailer_lines += 1
            if self._trailer_lines > TRAILERS_MAX:
                raise BadRequest("too many trailers")
            self.ended = not line
        else:
            size = _SIZE(line)
            if size is None:
                raise BadRequest(f"a chunk's size is {line[:80]!r}")
            self.left = int(size[1], 16)
            self._trailers = not self.left
        return True
