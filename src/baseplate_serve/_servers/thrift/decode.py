"""Structs from a client's bytes, whatever they are: a struct, or one error that says they are none.

Apache Thrift's C codec is trusted with all messages from release 0.25 on.  Earlier ones follow a message as
deep as it is nested, off the end of the stack (70 KB of compact bytes are a segmentation fault), and make
room for as many elements as a list announces; so does `thrift-unofficial` 0.19.  There, messages that may do
this are left to the Python protocols.
"""

from __future__ import annotations

import functools
import struct
import sys
from typing import TYPE_CHECKING, Any

from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TType
from thrift.transport.THeaderTransport import THeaderSubprotocolID
from thrift.transport.TTransport import TMemoryBuffer, TTransportException

from baseplate_serve._servers.thrift.header import MalformedMessage
from baseplate_serve._servers.thrift.wire import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from baseplate_serve._servers.thrift.transport import MessageTransport

# What the C codec and the Python protocols raise on bytes that are no message.
ERRORS = (
    OverflowError,
    TypeError,
    ValueError,
    EOFError,
    MemoryError,
    LookupError,  # a type that there is not
    AssertionError,  # the compact protocol, where something else was to come
    RecursionError,
    struct.error,
    TProtocolException,
    TTransportException,
)
MAX_SKIP_DEPTH = 64  # as deep as Apache Thrift's own codecs go since 0.24
SAFE_DEPTH = 4096  # structs in structs that fit on the stack: 500 bytes each, of the usual 8 MiB

# Every level of nesting takes a byte that says so, and what follows in it:
_NO_CONTAINER = {
    THeaderSubprotocolID.BINARY: bytes({*range(256)} - {TType.STRUCT, TType.MAP, TType.SET, TType.LIST}),
    THeaderSubprotocolID.COMPACT: bytes(  # 9 list, 10 set, 11 map, 12 struct; a map has two in one byte
        byte for byte in range(256) if not (9 <= byte & 15 <= 12 or 9 <= byte >> 4 <= 12)
    ),
}
_ELEMENTS = 10_000  # more than a codec that doesn't trust a count makes room for at once


class Nothing:
    """A struct without fields: to read one skips all there are."""

    thrift_spec = ()

    def read(self, protocol: Any) -> None:
        """What a codec does for a struct of this kind."""
        skip(protocol, TType.STRUCT)


class Decode:
    """What generated code calls to read a struct: `_fast_decode` of *protocol*, or without a codec.

    Raises `MalformedMessage` for anything wrong with the bytes: it is told from an application's errors so.
    An object, not a function: protocol decorators put it into a class, where a function would bind.
    """

    __slots__ = ("_codec", "_protocol", "_trusted")

    def __init__(self, protocol: Any) -> None:
        self._codec: Callable[..., Any] | None = protocol._fast_decode  # noqa: SLF001 (generated code's own entry point)
        self._protocol = protocol
        self._trusted = self._codec is not None and is_bounded(self._codec)
        protocol._fast_decode = None  # noqa: SLF001 (what is read from it is read in Python)
        protocol.skip = functools.partial(skip, protocol)

    def __call__(self, value: Any, protocol: Any, spec: Any) -> Any:
        """Read into *value*, or a new one if None, as codecs do.  Switches: where the rest is to come yet."""
        try:
            if self._trusted or (self._codec is not None and not _may_harm(self._protocol.trans)):
                return self._codec(value, protocol, spec)  # type: ignore[misc] # a trusted one is there
            return (spec[0] if value is None else value).read(self._protocol)
        except (ConnectionLost, MalformedMessage):
            raise
        except ERRORS as error:
            raise MalformedMessage(f"{spec[0].__name__}: {error}") from error


def skip(protocol: Any, kind: int, depth: int = MAX_SKIP_DEPTH) -> None:
    """Read a value of type *kind* in Python.  Apache Thrift's own, before 0.24, knows no limit."""
    if depth == 0:
        raise MalformedMessage("nested too deep", TProtocolException.DEPTH_LIMIT)
    if kind == TType.STRUCT:
        protocol.readStructBegin()
        while (field := protocol.readFieldBegin()[1]) != TType.STOP:
            skip(protocol, field, depth - 1)
            protocol.readFieldEnd()
        protocol.readStructEnd()
    elif kind == TType.MAP:
        key, value, size = protocol.readMapBegin()
        for _ in range(size):
            skip(protocol, key, depth - 1)
            skip(protocol, value, depth - 1)
        protocol.readMapEnd()
    elif kind in (TType.LIST, TType.SET):
        element, size = protocol.readListBegin()
        for _ in range(size):
            skip(protocol, element, depth - 1)
        protocol.readListEnd()
    else:
        getattr(protocol, _READ[kind])()  # every kind takes a byte at least: so many steps and no more


_READ = {
    TType.BOOL: "readBool",
    TType.BYTE: "readByte",
    TType.I16: "readI16",
    TType.I32: "readI32",
    TType.I64: "readI64",
    TType.DOUBLE: "readDouble",
    TType.STRING: "readBinary",
    **({TType.UUID: "readUuid"} if hasattr(TType, "UUID") else {}),  # since 0.21
}


def _may_harm(transport: MessageTransport) -> bool:
    """Whether a codec that is not trusted must not see this message."""
    message = transport.whole_message
    return message is None or deepest(message, transport.protocol_id) > SAFE_DEPTH


def deepest(message: bytes, protocol_id: int) -> int:
    """No struct in *message* is nested deeper.  Some 2 ns a byte, for the long ones."""
    if len(message) <= SAFE_DEPTH:
        return len(message)
    return len(message.translate(None, _NO_CONTAINER[protocol_id]))


@functools.cache
def is_bounded(codec: Callable[..., Any]) -> bool:
    """Whether *codec*, for the binary or the compact protocol, can be trusted with any message: tried out."""
    binary = "binary" in codec.__name__
    try:
        codec(Nothing(), _Reader(_NESTED[binary]), [Nothing, Nothing.thrift_spec])
    except TProtocolException:
        pass
    else:
        return False
    several = Nothing()
    spec = (None, (1, TType.LIST, "found", (TType.BYTE, None, False), None))
    codec(several, _Reader(_LONG[binary]), [Nothing, spec])
    # A list that grew as its elements came has room for some more.
    return sys.getsizeof(several.found) > sys.getsizeof([None] * _ELEMENTS)  # type: ignore[attr-defined]


class _Reader:
    """As much of a protocol as a codec wants."""

    string_length_limit = container_length_limit = _ELEMENTS

    def __init__(self, message: bytes) -> None:
        self.trans = TMemoryBuffer(message)


_NESTED = {  # many times as deep as anybody's limit, and no danger to the stack
    True: b"\x0c\x00\x09" * 500 + b"\0" * 501,
    False: b"\x9c" + b"\x1c" * 499 + b"\0" * 501,
}
_LONG = {
    True: b"\x0f\x00\x01\x03" + struct.pack("!i", _ELEMENTS) + b"\7" * _ELEMENTS + b"\0",
    False: b"\x19\xf3" + b"\x90\x4e" + b"\7" * _ELEMENTS + b"\0",
}
