"""Apache Thrift's header protocol over a `MessageTransport`, with the limits that it does not set.

`THeaderProtocol` passes no length limits to the C codec: a 40-byte message that announces a string of
2 GiB makes it allocate them.  Every element of a message takes at least a byte of it, so no string and
no container can be longer than the message itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thrift.protocol.THeaderProtocol import PROTOCOLS_BY_ID, THeaderProtocol
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TMessageType, TType

from baseplate_serve._servers.thrift.decode import ERRORS, Decode, Nothing
from baseplate_serve._servers.thrift.dialect import Dialect
from baseplate_serve._servers.thrift.header import MalformedMessage
from baseplate_serve._servers.thrift.wire import ConnectionLost

if TYPE_CHECKING:
    from baseplate_serve._servers.thrift.transport import MessageTransport


class Protocol(THeaderProtocol):  # type: ignore[misc] # thrift is untyped
    """One connection's protocol; `call` is the message that was begun last."""

    def __init__(self, transport: MessageTransport) -> None:
        self.call: tuple[str, int, int] | None = None  # name, message type, sequence id
        self.read_whole = False  # the call's message has been read to its end
        self.failed = False  # the reply is an exception that no one declared
        self._by_id: dict[int, Any] = {}
        self._decodes: dict[int, Decode] = {}
        self._current_id: int | None = None  # what `_protocol` is; to set it each time takes 0.1 µs
        super().__init__(transport, tuple(dialect.value for dialect in Dialect))

    def _set_protocol(self) -> None:
        protocol_id = self.trans.protocol_id
        if protocol_id != self._current_id:
            self._use(protocol_id)
        # The codec reads the limits from the protocol it is given: this one.
        limit = self.trans.length_limit
        self.string_length_limit = self.container_length_limit = limit
        self._protocol.string_length_limit = self._protocol.container_length_limit = limit

    def _use(self, protocol_id: int) -> None:
        protocol = self._by_id.get(protocol_id)
        if protocol is None:
            if protocol_id not in PROTOCOLS_BY_ID:
                raise MalformedMessage(f"unknown protocol {protocol_id}", TProtocolException.NOT_IMPLEMENTED)
            protocol = self._by_id[protocol_id] = PROTOCOLS_BY_ID[protocol_id](self.trans)
            self._decodes[protocol_id] = Decode(protocol)
        self._current_id = protocol_id
        self._protocol = protocol
        self._fast_encode = protocol._fast_encode  # noqa: SLF001 (generated code's own entry point)
        self._fast_decode = self._decodes[protocol_id]

    def readMessageBegin(self) -> tuple[str, int, int]:  # noqa: N802 (Thrift's name)
        self.call = None
        self.read_whole = self.failed = False
        self.trans.readFrame(0)
        self._set_protocol()
        self.call = self.trans.read_call()
        if self.call is not None:
            return self.call
        try:
            self.call = self._protocol.readMessageBegin()
        except (ConnectionLost, MalformedMessage):
            raise
        except ERRORS as error:
            raise MalformedMessage(f"no message begins: {error}") from error
        return self.call

    def skip(self, ttype: int) -> None:
        """Read what nobody wants: the arguments of a method that there is not."""
        if ttype == TType.STRUCT:
            self._fast_decode(Nothing(), self, [Nothing, Nothing.thrift_spec])
        else:
            self._protocol.skip(ttype)

    def start_over(self) -> None:
        """Forget a message that was read or written in part: the compact protocol remembers where it was."""
        self._by_id.clear()
        self._current_id = None
        self._set_protocol()

    def writeMessageBegin(self, name: str, ttype: int, seqid: int) -> None:  # noqa: N802 (Thrift's name)
        self.trans.sequence_id = seqid
        self.failed = ttype == TMessageType.EXCEPTION
        if not self.trans.write_call(name, ttype, seqid):
            self._protocol.writeMessageBegin(name, ttype, seqid)

    def readMessageEnd(self) -> None:  # noqa: N802 (Thrift's name)
        self._protocol.readMessageEnd()
        self.read_whole = True
