"""How much of a request is read, in one place."""

from __future__ import annotations

from dataclasses import dataclass

LINE_MAX = 8 * 1024  # bytes of a request line: pywsgi's limit
CHUNK_LINE_MAX = 4 * 1024  # bytes of a chunk's size with its extensions
EXTENSIONS_MAX = 16 * 1024  # bytes of all chunk extensions of a body: they carry nothing
TRAILERS_MAX = 8 * 1024  # bytes of all trailers of a body
DISCARD_MAX = 256 * 1024  # bytes of a body that nobody read, for which a connection is worth keeping
LINGER_MAX = 1024 * 1024  # bytes that are read and dropped after a last response
LINGER_S = 1.0  # and how long that may take


@dataclass(frozen=True)
class Limits:
    """What an operator may choose."""

    head: int = 64 * 1024  # bytes of a request's head, with its request line
    fields: int = 100  # headers
    body: int | None = None  # bytes; None: no limit
