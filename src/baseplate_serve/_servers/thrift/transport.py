"""Whole messages in and out of a socket, bounded.

It is a `THeaderTransport`, because processors and Baseplate's instrumentation use what one has
(`get_headers`, `set_header`), and a readable transport for Thrift's C codec.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any

from thrift.protocol.TProtocol import TProtocolException
from thrift.transport.THeaderTransport import (
    HARD_MAX_FRAME_SIZE,
    THeaderClientType,
    THeaderSubprotocolID,
    THeaderTransport,
)
from thrift.transport.TTransport import TTransportException

from baseplate_serve._servers.thrift.dialect import LENGTH_SIZE, Dialect, NotThrift, dialect_of
from baseplate_serve._servers.thrift.header import (
    MAGIC,
    PLAIN,
    MalformedMessage,
    build_frame,
    parse_envelope,
    undo_transforms,
)
from baseplate_serve._servers.thrift.wire import ConnectionLost, Wire

if TYPE_CHECKING:
    from baseplate_serve._lifecycle.connections import Connection

LENGTH = struct.Struct("!I")
BEGIN = struct.Struct("!HHi")  # of a binary message: version, type, length of the name
SEQUENCE_ID = struct.Struct("!i")
BINARY_VERSION = 0x8001
READ_SIZE = 64 * 1024  # a message of the usual size comes in one system call

_PROTOCOL_ID = {
    Dialect.FRAMED_BINARY: THeaderSubprotocolID.BINARY,
    Dialect.UNFRAMED_BINARY: THeaderSubprotocolID.BINARY,
    Dialect.FRAMED_COMPACT: THeaderSubprotocolID.COMPACT,
    Dialect.UNFRAMED_COMPACT: THeaderSubprotocolID.COMPACT,
}
_NO_MESSAGE = BytesIO()  # before the first and between two


class MessageTransport(THeaderTransport):  # type: ignore[misc] # thrift is untyped
    """The server's end of one *connection*, which is told when a message begins to arrive."""

    def __init__(self, sock: Any, connection: Connection, *, max_message_size: int) -> None:
        super().__init__(None, tuple(dialect.value for dialect in Dialect))
        self.dialect = Dialect.HEADER  # of the last message; a reply goes out the same way
        self.length_limit = max_message_size  # no string or container of this message can be longer
        self._frame = b""  # what the message stands in, from `_at` on
        self._at = 0
        self._wire = Wire(sock, connection)
        self._max_message_size = max_message_size
        self._on_first_bytes = connection.began
        self._message = _NO_MESSAGE  # the message being read
        self._unread = b""  # arrived behind it
        self._budget = 0  # bytes an unframed message may still take
        self._received = False  # a message has arrived that nobody has begun to read
        self._reply: list[bytes] = []
        self.replied = False  # something was sent since the message was received

    # -- receiving ---------------------------------------------------------------------------------

    def receive(self, *, leaving: bool = False) -> bool:
        """Wait for a message; a framed one is there whole.  False when the client has gone between two.

        *leaving*: the connection's reading side has been shut; what comes from now on is not waited for.

        Raises `MalformedMessage`, or `ConnectionLost` in the middle of one.  Switches: yes.
        """
        if not self.dialect.framed:
            self._unread = self._message.read()
        # Nothing of the last message is kept while we wait for the next, which may be hours.
        self._frame = b""
        self._message = _NO_MESSAGE
        self._read_headers: dict[bytes, bytes] = {}
        data = self._unread or (self._wire.recv(READ_SIZE) if leaving else self._wire.recv_next(READ_SIZE))
        if not data:
            return False
        self._on_first_bytes()
        self._unread = b""
        self.replied = False
        self._received = True
        if not self._take_plain(data):
            self._take(data)
        return True

    def _take_plain(self, data: bytes) -> bool:
        """Take *data* if it is one whole binary message, framed or in a THeader frame without headers.

        What `_take` does costs 2 µs more.
        """
        if len(data) < PLAIN.size:
            return False
        length, magic, flags, sequence_id, words, header = PLAIN.unpack_from(data)
        if not length == len(data) - LENGTH_SIZE <= self._max_message_size:
            return False
        if magic == BINARY_VERSION:
            self.dialect = Dialect.FRAMED_BINARY
            self._client_type = THeaderClientType.FRAMED_BINARY
            self._open(data, LENGTH_SIZE)
        elif magic == MAGIC and words == 1 and not header:
            self.dialect = Dialect.HEADER
            self._client_type = THeaderClientType.HEADERS
            self.flags = flags
            self.sequence_id = sequence_id
            self._open(data, PLAIN.size)
        else:
            return False
        self._protocol_id = THeaderSubprotocolID.BINARY
        return True

    def _take(self, data: bytes) -> None:
        while (dialect := self._dialect_of(data)) is None:
            data += self._wire.recv_more(READ_SIZE)
        self.dialect = dialect
        self._client_type = dialect.value
        if dialect.framed:
            self._take_frame(data)
        else:
            self._open(data, 0)
            self._protocol_id = _PROTOCOL_ID[dialect]
            self._budget = self.length_limit = self._max_message_size

    def _open(self, frame: bytes, at: int) -> None:
        """The message is what stands in *frame* from *at* on."""
        self._frame = frame
        self._at = at
        self._message = BytesIO(frame)
        self._message.seek(at)
        self.length_limit = len(frame)

    def _dialect_of(self, opening: bytes) -> Dialect | None:
        try:
            return dialect_of(opening)
        except NotThrift as error:
            raise MalformedMessage(str(error)) from None

    def _take_frame(self, data: bytes) -> None:
        end = LENGTH_SIZE + LENGTH.unpack_from(data)[0]
        if end - LENGTH_SIZE > self._max_message_size:
            raise MalformedMessage(
                f"a frame of {end - LENGTH_SIZE} bytes, more than max_frame_size",
                TProtocolException.SIZE_LIMIT,
            )
        if len(data) < end:
            data = self._wire.recv_until(data, end)
        elif len(data) > end:
            self._unread = data[end:]
            data = data[:end]
        if self.dialect is Dialect.HEADER:
            self._open_envelope(data)
            return
        self._open(data, LENGTH_SIZE)
        self._protocol_id = _PROTOCOL_ID[self.dialect]

    def _open_envelope(self, frame: bytes) -> None:
        envelope = parse_envelope(frame, LENGTH_SIZE)
        self.flags = envelope.flags
        self.sequence_id = envelope.sequence_id
        self._protocol_id = envelope.protocol_id
        self._read_headers = envelope.headers
        if envelope.transforms:
            payload = frame[envelope.payload_at :]
            self._open(undo_transforms(payload, envelope.transforms, limit=self._max_message_size), 0)
        else:
            self._open(frame, envelope.payload_at)

    # -- reading, by protocols -----------------------------------------------------------------------

    @property
    def protocol_id(self) -> int:
        return self._protocol_id  # type: ignore[no-any-return]

    @property
    def whole_message(self) -> bytes | None:
        """The message with what surrounds it; None where it may not be there whole, as it is unframed."""
        return self._frame if self.dialect.framed else None

    def readFrame(self, req_sz: int) -> None:  # noqa: N802, ARG002 (Thrift's name and signature)
        """Called where a message begins: `receive` has taken it in, unless a processor reads several."""
        if not self._received and not self.receive():
            raise ConnectionLost(TTransportException.END_OF_FILE, "the client left")
        self._received = False

    def read_call(self) -> tuple[str, int, int] | None:
        """Name, type and sequence id of a binary message: three reads of the protocol's in one (2 µs less).

        None where that cannot be: it is for the protocol to read, or to say what is wrong.
        """
        frame, at = self._frame, self._at
        if self._protocol_id != THeaderSubprotocolID.BINARY or len(frame) < at + BEGIN.size:
            return None
        version, kind, size = BEGIN.unpack_from(frame, at)
        at += BEGIN.size
        end = at + size
        if version != BINARY_VERSION or size < 0 or end + SEQUENCE_ID.size > len(frame):
            return None
        try:
            name = frame[at:end].decode()
        except UnicodeDecodeError:
            return None
        self._message.seek(end + SEQUENCE_ID.size)
        return name, kind & 0xFF, SEQUENCE_ID.unpack_from(frame, end)[0]

    def read(self, sz: int) -> bytes:
        """At most *sz* bytes of the message, at least one."""
        return self._message.read(sz) or self._more(sz).read(sz)

    @property
    def cstringio_buf(self) -> BytesIO:
        return self._message

    def cstringio_refill(self, partialread: bytes, reqlen: int) -> BytesIO:
        """The C codec wants *reqlen* bytes and *partialread* is all that was left."""
        return self._more(reqlen, partialread)

    def _more(self, size: int, left: bytes = b"") -> BytesIO:
        if self.dialect.framed:
            raise MalformedMessage("the message ends early")
        data = bytearray(left)
        while len(data) < size:
            if self._budget <= 0:
                raise MalformedMessage(
                    f"an unframed message of more than {self._max_message_size} bytes",
                    TProtocolException.SIZE_LIMIT,
                )
            data += (more := self._wire.recv_more(READ_SIZE))
            self._budget -= len(more)
        self._message = BytesIO(data)
        return self._message

    # -- replying -------------------------------------------------------------------------------------

    def write(self, buf: bytes) -> None:
        self._reply.append(buf)

    def write_call(self, name: str, kind: int, sequence_id: int) -> bool:
        """What `read_call` reads; False where the message is no binary one."""
        if self._protocol_id != THeaderSubprotocolID.BINARY:
            return False
        encoded = name.encode()
        begin = BEGIN.pack(BINARY_VERSION, kind, len(encoded))
        self._reply.append(b"%b%b%b" % (begin, encoded, SEQUENCE_ID.pack(sequence_id)))
        return True

    def flush(self) -> None:
        """Send what was written as one message, the way the client's came.  Switches: perhaps."""
        payload = b"".join(self._reply)
        headers = self._write_headers
        self.discard_reply()
        if self._client_type == THeaderClientType.HEADERS:
            frame = build_frame(
                payload,
                flags=self.flags,
                sequence_id=self.sequence_id,
                protocol_id=self._protocol_id,
                transforms=self._write_transforms,
                headers=headers,
            )
        elif self.dialect.framed:
            frame = LENGTH.pack(len(payload)) + payload
        else:
            frame = payload
        if len(frame) > HARD_MAX_FRAME_SIZE:
            raise TTransportException(TTransportException.SIZE_LIMIT, f"a reply of {len(frame)} bytes")
        self.replied = True
        self._wire.send(frame)

    def discard_reply(self) -> None:
        """Forget what was written and not flushed."""
        self._reply = []
        self._write_headers: dict[bytes, bytes] = {}

    def isOpen(self) -> bool:  # noqa: N802 (Thrift's name)
        return self._wire.is_open

    def close(self) -> None:
        self._wire.close()
