"""Apache Thrift's header protocol over a `MessageTransport`, with the limits that it does not set.

`THeaderProtocol` passes no length limits to the C codec: a 40-byte message that announces a string of
2 GiB makes it allocate them.  Every element of a message takes at least a byte of it, so no string and
no container can be longer than the message itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thrift.protocol.THeaderProtocol import PROTOCOLS_BY_ID, THeaderProtocol
from thrift.protocol.TProtocol import TProtocolException

from baseplate_serve._servers.thrift.dialect import Dialect
from baseplate_serve._servers.thrift.header import MalformedMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from baseplate_serve._servers.thrift.transport import MessageTransport

# What the C codec and the Python protocols raise on bytes that are no message.
_DECODING_ERRORS = (OverflowError, TypeError, ValueError, EOFError, MemoryError)


class Protocol(THeaderProtocol):  # type: ignore[misc] # thrift is untyped
    """One connection's protocol; `call` is the message that was begun last."""

    def __init__(self, transport: MessageTransport) -> None:
        self.call: tuple[str, int, int] | None = None  # name, message type, sequence id
        self.read_whole = False  # the call's message has been read to its end
        self._by_id: dict[int, Any] = {}
        super().__init__(transport, tuple(dialect.value for dialect in Dialect))

    def _set_protocol(self) -> None:
        protocol_id = self.trans.protocol_id
        protocol = self._by_id.get(protocol_id)
        if protocol is None:
            if protocol_id not in PROTOCOLS_BY_ID:
                raise MalformedMessage(f"unknown protocol {protocol_id}", TProtocolException.NOT_IMPLEMENTED)
            protocol = self._by_id[protocol_id] = PROTOCOLS_BY_ID[protocol_id](self.trans)
        self._protocol = protocol
        # The codec reads the limits from the protocol it is given: this one.
        limit = self.trans.length_limit
        self.string_length_limit = self.container_length_limit = limit
        protocol.string_length_limit = protocol.container_length_limit = limit
        self._fast_encode = protocol._fast_encode  # noqa: SLF001 (generated code's own entry point)
        self._fast_decode = protocol._fast_decode and _checked(protocol._fast_decode)  # noqa: SLF001

    def readMessageBegin(self) -> tuple[str, int, int]:  # noqa: N802 (Thrift's name)
        self.call = None
        self.read_whole = False
        self.trans.readFrame(0)
        self._set_protocol()
        try:
            self.call = self._protocol.readMessageBegin()
        except _DECODING_ERRORS as error:
            raise MalformedMessage(f"no message begins: {error}") from error
        return self.call

    def readMessageEnd(self) -> None:  # noqa: N802 (Thrift's name)
        self._protocol.readMessageEnd()
        self.read_whole = True


def _checked(decode: Callable[..., None]) -> Callable[..., None]:
    """The codec's *decode*, whose complaints are told from an application's errors."""

    def checked(value: Any, protocol: Any, spec: Any) -> None:
        try:
            decode(value, protocol, spec)
        except _DECODING_ERRORS as error:
            raise MalformedMessage(f"{type(value).__name__}: {error}") from error

    return checked
