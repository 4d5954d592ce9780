"""The peers' servers, and the applications that all of them serve."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402 (patched first)
import sys  # noqa: E402
from typing import Any  # noqa: E402

from gevent.pywsgi import WSGIServer  # noqa: E402
from gevent.server import StreamServer  # noqa: E402

import http_apps  # noqa: E402


def make_app(_config: dict[str, str]) -> Any:
    """The WSGI application."""
    return http_apps.wsgi


def make_processor(_config: dict[str, str]) -> Any:
    """A processor whose methods do nothing."""
    from testing_idl import Testing  # noqa: PLC0415 (generated; HTTP servers have no use for it)

    class Handler:
        def ping(self) -> None:
            pass

    return Testing.Processor(Handler())


def make_async_processor(_config: dict[str, str]) -> Any:
    """Likewise, as a coroutine function that doesn't suspend."""
    from testing_idl import Testing  # noqa: PLC0415 (likewise)

    class Handler:
        async def ping(self) -> None:
            pass

    return Testing.Processor(Handler())


def listen(port: int, *, nodelay: bool) -> socket.socket:
    """A listener as Baseplate makes it, or with TCP_NODELAY."""
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    if nodelay:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve_constant(port: int) -> None:
    """What gevent can do at most: every `recv` is answered with the same bytes."""
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
    reply += b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"

    def handle(sock: Any, _address: Any) -> None:
        while data := sock.recv(65536):
            closes = b"\r\nConnection: close" in data
            sock.sendall(reply + (b"Connection: close\r\n" if closes else b"") + b"\r\nhello")
            if closes:
                return

    StreamServer(listen(port, nodelay=True), handle).serve_forever()


def serve_thrift(port: int) -> None:
    """Apache Thrift's header protocol over a buffered socket, a greenlet a connection."""
    from thrift.protocol.THeaderProtocol import THeaderProtocol  # noqa: PLC0415
    from thrift.transport.THeaderTransport import THeaderClientType  # noqa: PLC0415
    from thrift.transport.TSocket import TSocket  # noqa: PLC0415
    from thrift.transport.TTransport import TBufferedTransport, TTransportException  # noqa: PLC0415

    processor = make_processor({})
    allowed = (THeaderClientType.HEADERS, THeaderClientType.FRAMED_BINARY, THeaderClientType.UNFRAMED_BINARY)

    def handle(sock: Any, _address: Any) -> None:
        client = TSocket()
        client.setHandle(sock)
        protocol = THeaderProtocol(TBufferedTransport(client), allowed)
        try:
            while True:
                processor.process(protocol, protocol)
        except TTransportException:
            client.close()

    StreamServer(listen(port, nodelay=False), handle).serve_forever()


if __name__ == "__main__":
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "thrift-apache":
        serve_thrift(port)
    elif kind == "constant":
        serve_constant(port)
    else:
        WSGIServer(listen(port, nodelay=kind == "pywsgi-nodelay"), make_app({}), log=None).serve_forever()
