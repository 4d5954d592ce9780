"""A greenlet per connection that feeds a processor."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TMessageType

from baseplate_serve._lifecycle.forked import leave_if_forked
from baseplate_serve._logs.trace import current_request_headers, from_theader
from baseplate_serve._servers.graceful import GracefulServer
from baseplate_serve._servers.thrift.header import MalformedMessage
from baseplate_serve._servers.thrift.protocol import Protocol
from baseplate_serve._servers.thrift.transport import MessageTransport
from baseplate_serve._servers.thrift.wire import ConnectionLost
from baseplate_serve._settings.patience import THRIFT

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from baseplate_serve._lifecycle.connections import Connection
    from baseplate_serve._settings.options import ServerSettings

log = logging.getLogger("baseplate_serve.thrift")


class ThriftServer(GracefulServer):
    """Serves *processor*, which needs nothing but `process(iprot, oprot)`.

    *around_connection* makes the context that each connection is served in, from the server and the
    peer's address.
    """

    def __init__(
        self,
        listener: Any,
        processor: Any,
        settings: ServerSettings,
        *,
        around_connection: Callable[[ThriftServer, Any], AbstractContextManager[Any]] | None = None,
    ) -> None:
        self.processor = processor
        self._around_connection = around_connection or (lambda _server, _address: nullcontext())
        self._max_message_size = settings.max_frame_size
        super().__init__(
            listener, settings=settings, patience=THRIFT, max_concurrency=settings.max_concurrency
        )

    def serve(self, sock: Any, address: Any, connection: Connection) -> None:
        """Switches: yes."""
        transport = MessageTransport(sock, connection, max_message_size=self._max_message_size)
        protocol = Protocol(transport)
        connection.describe = lambda: _name_of(protocol)
        # A lambda, as the headers are others for each call.
        current_request_headers.set(lambda name: from_theader(transport.get_headers())(name))  # noqa: PLW0108
        try:
            with self._around_connection(self, address):
                while transport.receive(leaving=connection.leaving):
                    if not self._process(protocol, transport):
                        break
                    connection.ended(failed=protocol.failed)
                    protocol.call = None
        except ConnectionLost as error:
            log.debug("%s: %s", connection.peer, error)
        except MalformedMessage as error:
            log.warning("%s sent what is no Thrift message, disconnected: %s", connection.peer, error)
            connection.refused("malformed")
        finally:
            transport.close()

    def _process(self, protocol: Protocol, transport: MessageTransport) -> bool:
        """Serve one message; False when the connection cannot be used any more."""
        try:
            self.processor.process(protocol, protocol)
        except ConnectionLost:
            raise
        except MalformedMessage as error:
            self._answer(protocol, transport, TApplicationException.PROTOCOL_ERROR, str(error))
            raise
        except TProtocolException as error:  # a processor's word: a service that is not there, say
            log.warning("%s was refused: %s", _name_of(protocol), error)
            self._answer(protocol, transport, TApplicationException.PROTOCOL_ERROR, str(error))
        except GreenletExit:
            raise  # killed: the connection ends with its greenlet
        except BaseException as error:
            leave_if_forked(error)
            # Generated processors answer a handler's errors themselves; what comes out here is one
            # they let pass (a TTransportException of the handler's own clients), a result that cannot
            # be encoded, or a processor that is written by hand.  It is this request's failure alone.
            log.exception("%s failed", _name_of(protocol))
            self._answer(protocol, transport, TApplicationException.INTERNAL_ERROR, "Internal error")
        else:
            return True
        # Where the next message begins is known if this one was framed, or read to its end; one that
        # could not be answered leaves its client waiting, who is better off without us.
        return protocol.call is not None and (transport.dialect.framed or protocol.read_whole)

    def _answer(self, protocol: Protocol, transport: MessageTransport, kind: int, text: str) -> None:
        """Answer the call that is being served with an exception, if there is one that waits for it."""
        transport.discard_reply()
        protocol.start_over()
        if protocol.call is None or protocol.call[1] != TMessageType.CALL or transport.replied:
            return
        name, _, sequence_id = protocol.call
        protocol.writeMessageBegin(name, TMessageType.EXCEPTION, sequence_id)
        TApplicationException(kind, text).write(protocol)
        protocol.writeMessageEnd()
        transport.flush()


def _name_of(protocol: Protocol) -> str:
    return f"call of {protocol.call[0]!r}" if protocol.call else "a message that has not arrived whole"
