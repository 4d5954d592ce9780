"""Which of five ways of sending a Thrift message a client uses, decided from its first bytes.

    unframed binary    80 01 .. ..                 a strict binary message begins at once
    unframed compact   82 .1                       a compact message begins at once
    framed binary      LL LL LL LL  80 01          a length, then a binary message
    framed compact     LL LL LL LL  82 .1          a length, then a compact message
    header             LL LL LL LL  0F FF          a length, then a THeader message

doc/specs/HeaderFormat.md, thrift-binary-protocol.md and thrift-compact-protocol.md of Apache Thrift.
"""

from __future__ import annotations

from enum import Enum

from thrift.transport.THeaderTransport import THeaderClientType

LENGTH_SIZE = 4


class Dialect(Enum):
    """A framing and a protocol; the values are Apache Thrift's client types."""

    HEADER = THeaderClientType.HEADERS
    FRAMED_BINARY = THeaderClientType.FRAMED_BINARY
    UNFRAMED_BINARY = THeaderClientType.UNFRAMED_BINARY
    FRAMED_COMPACT = THeaderClientType.FRAMED_COMPACT
    UNFRAMED_COMPACT = THeaderClientType.UNFRAMED_COMPACT

    def __init__(self, client_type: int) -> None:
        self.framed = client_type not in (
            THeaderClientType.UNFRAMED_BINARY,
            THeaderClientType.UNFRAMED_COMPACT,
        )


class NotThrift(ValueError):
    """The bytes are the beginning of no Thrift message."""


def dialect_of(opening: bytes) -> Dialect | None:
    """The dialect of a message that begins with *opening*; None while more bytes are needed.

    At most 6 bytes are.  Raises `NotThrift`.
    """
    if len(opening) < 2:
        return None
    if opening[0] >= 0x80:  # no length: that would be a negative one
        return _protocol_of(opening, Dialect.UNFRAMED_BINARY, Dialect.UNFRAMED_COMPACT)
    if len(opening) < LENGTH_SIZE + 2:
        return None
    framed = opening[LENGTH_SIZE:]
    if framed[0] == 0x0F and framed[1] == 0xFF:
        return Dialect.HEADER
    return _protocol_of(framed, Dialect.FRAMED_BINARY, Dialect.FRAMED_COMPACT)


def _protocol_of(message: bytes, binary: Dialect, compact: Dialect) -> Dialect:
    if message[0] == 0x80 and message[1] == 0x01:
        return binary
    if message[0] == 0x82 and message[1] & 0x1F == 0x01:
        return compact
    raise NotThrift("neither a THeader, a binary nor a compact message of a known version")
