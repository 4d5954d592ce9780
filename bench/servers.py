"""HTTP servers that gevent has or that are made of it, and the factory of their application."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402 (patched first)
import sys  # noqa: E402
from typing import Any  # noqa: E402

from gevent.pywsgi import WSGIServer  # noqa: E402
from gevent.server import StreamServer  # noqa: E402

import http_apps  # noqa: E402
from below import below_of  # noqa: E402


def make_app(_config: dict[str, str]) -> Any:
    """The WSGI application."""
    return http_apps.wsgi


def listen(port: int, *, nodelay: bool) -> socket.socket:
    """A listener as Baseplate makes it, or with TCP_NODELAY."""
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    if nodelay:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve_constant(port: int, *, below: bool) -> None:
    """What gevent can do at most: every `recv` is answered with the same bytes.

    *below* gevent's socket: with the kernel's, which is waited for first.
    """
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
    reply += b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"

    def handle(sock: Any, _address: Any) -> None:
        receive, send = below_of(sock) if below else (sock.recv, sock.sendall)
        while data := receive(65536):
            closes = b"\r\nConnection: close" in data
            send(reply + (b"Connection: close\r\n" if closes else b"") + b"\r\nhello")
            if closes:
                return

    StreamServer(listen(port, nodelay=True), handle).serve_forever()


if __name__ == "__main__":
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind.startswith("constant"):
        serve_constant(port, below=kind == "constant-below")
    else:
        WSGIServer(listen(port, nodelay=kind == "pywsgi-nodelay"), make_app({}), log=None).serve_forever()
