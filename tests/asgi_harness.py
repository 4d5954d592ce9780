"""An HTTP server for ASGI applications in this process, and clients over real sockets."""

from __future__ import annotations

import socket
from contextlib import contextmanager

import gevent

from baseplate_serve import wsgi
from baseplate_serve.asgi import Mount


@contextmanager
def serving(app, *, lifespan=False, **options):
    """Serve *app*, by default without a lifespan; yields the server, whose `.address` is where."""
    section = {"factory": "", "stop_timeout": "5 seconds", **options}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = wsgi.make_server(section, listener, app if lifespan else without_lifespan(app))
        try:
            server.start()
            yield server
        finally:
            server.stop()


KINDS = ["wsgi", "wsgi handler", "asgi", "wsgi in a mount", "wsgi handler in a mount"]


def kind_of_server(kind, wsgi_app, asgi_app):
    """What is served, and by which options, in each of the ways in which HTTP is: one of KINDS."""
    handler = {"handler": "gevent.pywsgi:WSGIHandler"} if "handler" in kind else {}
    app = asgi_app if kind == "asgi" else wsgi_app
    return Mount({"/async": asgi_app}, wsgi=wsgi_app) if "mount" in kind else app, handler


def without_lifespan(app):
    if not callable(app):
        return app

    async def http_only(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await app(scope, receive, send)

    return http_only


def url(server, path="/", scheme="http"):
    return f"{scheme}://127.0.0.1:{server.address[1]}{path}"


@contextmanager
def connected(server):
    """A connected socket."""
    with socket.create_connection(server.address[:2], timeout=20) as sock:
        yield sock


def exchange(server, request, *, end=False):
    """Send *request*; all that comes until the server closes the connection.  *end*: ask it to."""
    with connected(server) as sock:
        sock.sendall(request)
        if end:
            gevent.sleep(0.05)
            sock.shutdown(socket.SHUT_WR)
        return everything(sock)


def everything(sock):
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def until(sock, mark):
    """What comes up to and including *mark*."""
    data = b""
    while mark not in data:
        piece = sock.recv(65536)
        assert piece, f"the server closed the connection after {data!r}"
        data += piece
    return data


async def body_of(receive):
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        if not message["more_body"]:
            return body


async def reply(send, body=b"", status=200, headers=(), **more):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body, **more})
