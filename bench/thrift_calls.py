"""Calls encoded beforehand, in three framings, and what must come back."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TMessageType
from thrift.transport.TTransport import TMemoryBuffer

from contestant import LoadFailed
from testing_idl import Testing
from thrift_apps import items

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = struct.Struct("!I")
# Magic, flags, sequence id, words of header, and a header: binary protocol, no transforms, no infos.
HEADER = struct.pack("!HHiHI", 0x0FFF, 0, 1, 1, 0)
MAGIC = b"\x0f\xff"


@dataclass(frozen=True)
class Call:
    """A call and its reply, as binary messages."""

    request: bytes
    reply: bytes


@dataclass(frozen=True)
class Framing:
    """How a message stands in the stream."""

    wrap: Callable[[bytes], bytes]
    # From bytes and the length of the message that is expected: a message; None while more bytes are needed.
    unwrap: Callable[[bytes, int], bytes | None]


def _message(name: str, kind: int, content: Any) -> bytes:
    buffer = TMemoryBuffer()
    protocol = TBinaryProtocol(buffer)
    protocol.writeMessageBegin(name, kind, 1)
    content.write(protocol)
    protocol.writeMessageEnd()
    encoded: bytes = buffer.getvalue()
    return encoded


def _call(name: str, arguments: Any, result: Any) -> Call:
    return Call(_message(name, TMessageType.CALL, arguments), _message(name, TMessageType.REPLY, result))


def _frame(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


def _content(frame: bytes, _expected: int = 0) -> bytes | None:
    whole = len(frame) >= LENGTH.size and len(frame) == LENGTH.size + LENGTH.unpack_from(frame)[0]
    return frame[LENGTH.size :] if whole else None


def _behind_header(frame: bytes, _expected: int) -> bytes | None:
    content = _content(frame)
    if content is None:
        return None
    if content[:2] != MAGIC:
        raise LoadFailed("a reply without a THeader")
    return content[10 + 4 * int.from_bytes(content[8:10], "big") :]


CALLS = {
    "a void call": _call("ping", Testing.ping_args(), Testing.ping_result()),
    "a small struct": _call("items", Testing.items_args(count=1), Testing.items_result(success=items(1))),
    "20 items": _call("items", Testing.items_args(count=20), Testing.items_result(success=items(20))),
}
FRAMINGS = {
    "header": Framing(lambda message: _frame(HEADER + message), _behind_header),
    "framed": Framing(_frame, _content),
    "unframed": Framing(
        lambda message: message, lambda data, expected: data if len(data) >= expected else None
    ),
}
