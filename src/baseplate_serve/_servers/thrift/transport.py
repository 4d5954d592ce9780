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
    MalformedMessage,
    build_frame,
    parse_envelope,
    undo_transforms,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = struct.Struct("!I")
READ_SIZE = 64 * 1024  # a message of the usual size comes in one system call
READ_SIZE_LARGE = 1024 * 1024  # memory for a long frame grows as its bytes arrive, never before

_PROTOCOL_ID = {
    Dialect.FRAMED_BINARY: THeaderSubprotocolID.BINARY,
    Dialect.UNFRAMED_BINARY: THeaderSubprotocolID.BINARY,
    Dialect.FRAMED_COMPACT: THeaderSubprotocolID.COMPACT,
    Dialect.UNFRAMED_COMPACT: THeaderSubprotocolID.COMPACT,
}


class ConnectionLost(TTransportException):  # type: ignore[misc] # thrift is untyped
    """The connection to this client ended or failed; not to be confused with one the handler uses."""


class MessageTransport(THeaderTransport):  # type: ignore[misc] # thrift is untyped
    """The server's end of one connection.

    *on_first_bytes* is called when a message begins to arrive.
    """

    def __init__(self, sock: Any, *, max_message_size: int, on_first_bytes: Callable[[], None]) -> None:
        super().__init__(None, tuple(dialect.value for dialect in Dialect))
        self.dialect = Dialect.HEADER  # of the last message; a reply goes out the same way
        self.length_limit = max_message_size  # no string or container of this message can be longer
        self._sock = sock
        self._max_message_size = max_message_size
        self._on_first_bytes = on_first_bytes
        self._message = BytesIO()  # the message being read
        self._unread = b""  # arrived behind it
        self._budget = 0  # bytes an unframed message may still take
        self._received = False  # a message has arrived that nobody has begun to read
        self._reply: list[bytes] = []
        self.replied = False  # something was sent since the message was received

    # -- receiving ---------------------------------------------------------------------------------

    def receive(self) -> bool:
        """Wait for a message; a framed one is there whole.  False when the client has gone between two.

        Raises `MalformedMessage`, or `ConnectionLost` in the middle of one.  Switches: yes.
        """
        if not self.dialect.framed:
            self._unread = self._message.read()
        data = self._unread or self._recv(READ_SIZE)
        if not data:
            return False
        self._on_first_bytes()
        self._unread = b""
        while (dialect := self._dialect_of(data)) is None:
            data += self._recv_more(READ_SIZE)
        self.dialect = dialect
        self._client_type = dialect.value
        if dialect.framed:
            self._take_frame(data)
        else:
            self._message = BytesIO(data)
            self._protocol_id = _PROTOCOL_ID[dialect]
            self._read_headers: dict[bytes, bytes] = {}
            self._budget = self.length_limit = self._max_message_size
        self._received = True
        self.replied = False
        return True

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
            data = self._recv_until(data, end)
        elif len(data) > end:
            self._unread = data[end:]
            data = data[:end]
        if self.dialect is Dialect.HEADER:
            self._open_envelope(data)
            return
        self._message = BytesIO(data)
        self._message.seek(LENGTH_SIZE)
        self._protocol_id = _PROTOCOL_ID[self.dialect]
        self._read_headers = {}
        self.length_limit = end

    def _open_envelope(self, frame: bytes) -> None:
        envelope = parse_envelope(frame, LENGTH_SIZE)
        self.flags = envelope.flags
        self.sequence_id = envelope.sequence_id
        self._protocol_id = envelope.protocol_id
        self._read_headers = envelope.headers
        if envelope.transforms:
            payload = frame[envelope.payload_at :]
            self._message = BytesIO(
                undo_transforms(payload, envelope.transforms, limit=self._max_message_size)
            )
        else:
            self._message = BytesIO(frame)
            self._message.seek(envelope.payload_at)
        self.length_limit = len(self._message.getbuffer())

    def _recv_until(self, data: bytes, end: int) -> bytes:
        frame = bytearray(data)
        while len(frame) < end:
            frame += self._recv_more(min(end - len(frame), READ_SIZE_LARGE))
        return bytes(frame)

    def _recv_more(self, size: int) -> bytes:
        data = self._recv(size)
        if not data:
            raise ConnectionLost(
                TTransportException.END_OF_FILE, "the client left in the middle of a message"
            )
        return data

    def _recv(self, size: int) -> bytes:
        try:
            return self._sock.recv(size)  # type: ignore[no-any-return]
        except OSError as error:
            raise ConnectionLost(TTransportException.UNKNOWN, str(error)) from error

    # -- reading, by protocols -----------------------------------------------------------------------

    @property
    def protocol_id(self) -> int:
        return self._protocol_id  # type: ignore[no-any-return]

    def readFrame(self, req_sz: int) -> None:  # noqa: N802, ARG002 (Thrift's name and signature)
        """Called where a message begins: `receive` has taken it in, unless a processor reads several."""
        if not self._received and not self.receive():
            raise ConnectionLost(TTransportException.END_OF_FILE, "the client left")
        self._received = False

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
            data += (more := self._recv_more(READ_SIZE))
            self._budget -= len(more)
        self._message = BytesIO(data)
        return self._message

    # -- replying -------------------------------------------------------------------------------------

    def write(self, buf: bytes) -> None:
        self._reply.append(buf)

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
        try:
            self._sock.sendall(frame)
        except OSError as error:
            raise ConnectionLost(TTransportException.UNKNOWN, str(error)) from error

    def discard_reply(self) -> None:
        """Forget what was written and not flushed."""
        self._reply = []
        self._write_headers: dict[bytes, bytes] = {}

    def isOpen(self) -> bool:  # noqa: N802 (Thrift's name)
        return self._sock is not None

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
