"""What stands between the chunks of a body (RFC 9112 §7.1), for both servers."""

from __future__ import annotations

import re

from baseplate_serve._servers.http.grammar import TOKEN_BYTES
from baseplate_serve._servers.http.limits import EXTENSIONS_MAX
from baseplate_serve._servers.http.refusal import Refused

_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
# RFC 9112 §7.1, and nothing else: a lone line feed in an extension hides the rest of it from some readers.
SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*)"
    % (TOKEN_BYTES, TOKEN_BYTES, _QUOTED)
).fullmatch
# RFC 9110 §6.5.1: none of these comes so late, and whoever merges trailers into headers would believe it.
TRAILER = re.compile(
    rb"(?!(?i:content-length|transfer-encoding|host):)%b:[^\x00-\x08\x0a-\x1f\x7f]*" % TOKEN_BYTES
).fullmatch


class Chunks:
    """The chunks of one body, of *limit* bytes at most; None: of any number."""

    __slots__ = ("_extensions", "_limit", "_total")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._total = 0
        self._extensions = 0  # bytes

    def begin(self, line: bytes) -> int:
        """The size of the chunk that *line* begins; 0 for the last.  Raises: Refused."""
        found = SIZE(line)
        if found is None:
            raise Refused("a chunk begins with no size")
        self._extensions += len(found[2])
        if self._extensions > EXTENSIONS_MAX:
            raise Refused("too many chunk extensions")
        size = int(found[1], 16)
        self._total += size
        if self._limit is not None and self._total > self._limit:
            raise Refused("the body is too large", 413)
        return size
