"""An HTTP server without a network: bytes in, in the pieces that a test chooses, bytes out."""

from __future__ import annotations

import io
import socket
from http.client import HTTPResponse

from baseplate_serve._servers.http.server import HttpServer
from baseplate_serve._settings.options import ServerSettings


class Wire:
    """A client's connection as the server sees it: *pieces* come, one a `recv`, and then the end."""

    def __init__(self, pieces):
        self._pieces = [piece for piece in pieces if piece]
        self.sent = bytearray()

    def recv(self, most):
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > most:
            self._pieces.insert(0, piece[most:])
        return piece[:most]

    def send(self, data):
        self.sent += data
        return len(data)

    def shutdown(self, _how):
        pass

    def close(self):
        pass


class Reader(io.BytesIO):
    """What `HTTPResponse` reads from, several on one connection."""

    def makefile(self, *_):
        return self

    def close(self):
        pass


FEEDS = {
    "whole": lambda data: [data],
    "halved": lambda data: [data[: len(data) // 2], data[len(data) // 2 :]],
    "byte by byte": lambda data: [data[i : i + 1] for i in range(len(data))],
}


class Seen(list):
    """An application that notes what it is asked for, and reads all of it."""

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read()
        query = environ["QUERY_STRING"]
        target = f"{environ['PATH_INFO']}?{query}" if query else environ["PATH_INFO"]
        self.append((target, body, environ))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]


def exchange(app, pieces, **options):
    """What the server sends to a client that sends *pieces*."""
    with socket.socket() as listener:
        server = HttpServer(listener, app, ServerSettings(**options))
        server.environ.update(SERVER_NAME="a", SERVER_PORT="80")  # of a listener that is bound
        wire = Wire(pieces)
        server.handle(wire, ("127.0.0.1", 1))
        assert not server.connections
    return bytes(wire.sent)


def responses(data, methods=()):
    """The final responses in *data*, as pairs of status and body, and their headers.

    *methods* of the requests, where they aren't GET."""
    reader = Reader(data)
    methods = iter(methods)
    found = []
    while reader.tell() < len(data):
        response = HTTPResponse(reader, method=next(methods, "GET"))
        response.begin()
        response.text = response.read()
        found.append(response)
    return found
