"""The THeader envelope: parsed from bytes, built to bytes, no socket in sight.

    0F FF | flags u16 | sequence id i32 | header size in words u16 | headers, padded | payload
    headers: varint protocol id, varint count of transforms, the transforms, then info blocks

doc/specs/HeaderFormat.md of Apache Thrift.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from thrift.protocol.TProtocol import TProtocolException

MAGIC = 0x0FFF
FIXED = struct.Struct("!HHiH")  # magic, flags, sequence id, words of header
FRAME = struct.Struct("!IHHiH")  # the same behind the frame's length
PLAIN = struct.Struct("!IHHiHI")  # the same, and a header of one word: a protocol, no transforms, no infos
KEY_VALUE = 1  # the one kind of info block there is
ZLIB = 1  # the one transform there is
_BYTE = [bytes((value,)) for value in range(0x80)]  # the varints of most numbers
MAX_TRANSFORMS = 8  # each multiplies what a small frame may expand to; nobody sends two
MAX_EXPANSION = 100  # times; real messages shrink to a tenth, and a bomb is a thousandth of what it becomes
ALWAYS_EXPANDED = 1024 * 1024  # bytes; up to here a message may be as uniform as it likes


class MalformedMessage(TProtocolException):  # type: ignore[misc] # thrift is untyped
    """The client's bytes are no message: it is told so if it can be, and disconnected."""

    def __init__(self, problem: str, kind: int = TProtocolException.INVALID_DATA) -> None:
        super().__init__(kind, problem)


class Envelope(NamedTuple):
    """What surrounds a payload."""

    flags: int
    sequence_id: int
    protocol_id: int
    transforms: tuple[int, ...]
    headers: dict[bytes, bytes]
    payload_at: int  # index of the payload in the frame


def parse_envelope(frame: bytes, start: int = 0) -> Envelope:
    """The envelope of the THeader message that begins at *start* and ends with *frame*.

    Raises `MalformedMessage`.
    """
    if len(frame) - start < FIXED.size:
        raise MalformedMessage("a THeader message shorter than its fixed part")
    _, flags, sequence_id, words = FIXED.unpack_from(frame, start)
    at = start + FIXED.size
    end = at + words * 4
    if end > len(frame):
        raise MalformedMessage("THeader headers longer than their frame")
    protocol_id, at = _varint(frame, at, end)
    count, at = _varint(frame, at, end)
    if count > MAX_TRANSFORMS:
        raise MalformedMessage(f"{count} THeader transforms")
    transforms = []
    for _ in range(count):
        transform, at = _varint(frame, at, end)
        transforms.append(transform)
    return Envelope(flags, sequence_id, protocol_id, tuple(transforms), _infos(frame, at, end), end)


def _infos(frame: bytes, at: int, end: int) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    while at < end:
        kind, at = _varint(frame, at, end)
        if kind != KEY_VALUE:  # 0 is padding; what follows another kind cannot be known
            break
        count, at = _varint(frame, at, end)
        for _ in range(count):
            key, at = _string(frame, at, end)
            headers[key], at = _string(frame, at, end)
    return headers


def _varint(frame: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 35:  # five bytes hold 32 bits
        byte = frame[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise MalformedMessage("a THeader number that does not end")


def _string(frame: bytes, at: int, end: int) -> tuple[bytes, int]:
    if at < end and (size := frame[at]) < 0x80:  # nearly all are: 0.06 µs less a string
        at += 1
    else:
        size, at = _varint(frame, at, end)
    if (after := at + size) > end:
        raise MalformedMessage("a THeader string longer than the headers")
    return frame[at:after], after


def undo_transforms(payload: bytes, transforms: tuple[int, ...], *, limit: int) -> bytes:
    """*payload* as it was before *transforms*, the last undone first.

    Raises `MalformedMessage`, also when it would be longer than *limit* bytes, or than 1 MiB and a hundred
    times what it is.
    """
    limit = min(limit, max(ALWAYS_EXPANDED, MAX_EXPANSION * len(payload)))
    for transform in reversed(transforms):
        if transform != ZLIB:
            raise MalformedMessage(
                f"unknown THeader transform {transform}", TProtocolException.NOT_IMPLEMENTED
            )
        inflate = zlib.decompressobj()
        try:
            payload = inflate.decompress(payload, limit)
        except zlib.error as error:
            raise MalformedMessage(f"zlib: {error}") from error
        if inflate.unconsumed_tail:
            raise MalformedMessage(
                f"more than {limit} bytes when decompressed", TProtocolException.SIZE_LIMIT
            )
        if not inflate.eof:
            raise MalformedMessage("zlib: the data ends early")
    return payload


def build_frame(  # noqa: PLR0913 (an envelope has this many parts)
    payload: bytes,
    *,
    flags: int,
    sequence_id: int,
    protocol_id: int,
    transforms: list[int],
    headers: dict[bytes, bytes],
) -> bytes:
    """A whole frame, its length included."""
    if not headers and not transforms and protocol_id < 0x80:  # as below, in one step (2 µs less)
        length = FIXED.size + 4 + len(payload)
        return PLAIN.pack(length, MAGIC, flags, sequence_id, 1, protocol_id << 24) + payload
    for _ in transforms:  # ZLIB is the only one that can be added
        payload = zlib.compress(payload)
    parts = [_to_varint(protocol_id), _to_varint(len(transforms)), *map(_to_varint, transforms)]
    if headers:
        parts += [_to_varint(KEY_VALUE), _to_varint(len(headers))]
        for pair in headers.items():
            for text in pair:
                parts += (_BYTE[len(text)] if len(text) < 0x80 else _to_varint(len(text)), text)
    head = b"".join(parts)
    head += b"\0" * (-len(head) % 4)
    length = FIXED.size + len(head) + len(payload)
    return FRAME.pack(length, MAGIC, flags, sequence_id, len(head) // 4) + head + payload


def _to_varint(value: int) -> bytes:
    if value < 0x80:
        return _BYTE[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
