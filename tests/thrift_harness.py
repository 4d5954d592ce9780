"""A Thrift server in this process and clients of every dialect, over real sockets."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from datetime import timedelta

import gevent
from gevent.event import Event
from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolAccelerated
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport, TFramedTransport, TTransportException

from baseplate_serve._servers.thrift.server import ThriftServer
from baseplate_serve._settings.options import ServerSettings
from testing_idl import Testing
from testing_idl.ttypes import Item, Refused

HEADERS = (THeaderClientType.HEADERS,)


class Handler:
    """Every method of testing.thrift; `block` waits until `release` is set."""

    def __init__(self):
        self.notes = []
        self.began = Event()
        self.release = Event()
        self.read_headers = dict  # the harness points it at the connection's headers

    def ping(self):
        pass

    def echo(self, text):
        return text

    def items(self, count):
        return [Item(id=n, name=f"item {n}", tags=["a", "b"]) for n in range(count)]

    def headers(self):
        return {key.decode(): value.decode() for key, value in self.read_headers().items()}

    def block(self, name):
        self.began.set()
        self.release.wait()
        return f"late, {name}"

    def refuse(self, why):
        raise Refused(why)

    def fail(self):
        raise RuntimeError("a bug in the handler")

    def fail_downstream(self):
        raise TTransportException(TTransportException.NOT_OPEN, "the handler's own client failed")

    def bad_result(self):
        return "no i32"

    def note(self, text):
        self.notes.append(text)


class HeaderProcessor(Testing.Processor):
    """The generated processor, with a handler that can see the request's headers and set the reply's."""

    def process(self, iprot, oprot):
        if hasattr(iprot, "get_headers"):
            self._handler.read_headers = iprot.get_headers
        if hasattr(oprot, "set_header"):
            oprot.set_header(b"served-by", b"tests")
        return super().process(iprot, oprot)


@contextmanager
def serving(processor, **options):
    """Serve *processor*; yields the server, whose `.address` is where."""
    settings = ServerSettings(**{"stop_timeout": timedelta(seconds=5), **options})
    listener = socket.create_server(("127.0.0.1", 0))
    server = ThriftServer(listener, processor, settings)
    server.start()
    try:
        yield server
    finally:
        server.stop(timeout=0)


def _header(transport, protocol_id=THeaderSubprotocolID.BINARY):
    return THeaderProtocol(TBufferedTransport(transport), HEADERS, protocol_id)


DIALECTS = {
    "header": _header,
    "header compact": lambda transport: _header(transport, THeaderSubprotocolID.COMPACT),
    "framed binary": lambda transport: TBinaryProtocol(TFramedTransport(transport)),
    "framed binary accelerated": lambda transport: TBinaryProtocolAccelerated(TFramedTransport(transport)),
    "unframed binary": lambda transport: TBinaryProtocol(TBufferedTransport(transport)),
    "framed compact": lambda transport: TCompactProtocol(TFramedTransport(transport)),
    "unframed compact": lambda transport: TCompactProtocol(TBufferedTransport(transport)),
}


@contextmanager
def client(server, dialect="header"):
    """A connected client of *server*."""
    transport = TSocket(*server.address[:2])
    transport.setTimeout(20_000)
    transport.open()
    try:
        protocol = DIALECTS[dialect](transport)
        found = Testing.Client(protocol)
        found.protocol = protocol
        yield found
    finally:
        transport.close()


def in_background(function, *args):
    """Run *function* in a greenlet; `.get(timeout=…)` has its result or raises what it raised."""
    return gevent.spawn(function, *args)
