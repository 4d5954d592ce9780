"""What clients send stays out of the log: docs/security.md promises it."""

from __future__ import annotations

import socket

import pytest
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TApplicationException
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TFramedTransport

from deadline import DEADLINE_S
from processes import serve, write_service
from testing_idl import Testing

pytestmark = pytest.mark.process

SECRET = "hunter2"  # in a query, a header, a cookie, a body, an argument

WSGI = """
    def app(environ, start_response):
        environ["wsgi.input"].read()
        if environ["PATH_INFO"] == "/fails":
            raise RuntimeError("the application's own words")
        end = chr(10) if environ["PATH_INFO"] == "/splits" else ""
        headers = [("Set-Cookie", "session=hunter2" + end)]
        start_response("200 OK", headers)
        return [b"hunter2"]

    def make_app(config):
        return app
"""
ASGI = """
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept", "headers": [(b"set-cookie", b"session=hunter2")]})
            await receive()
            await receive()
            if scope["path"].endswith("/fails"):
                raise RuntimeError("the application's own words")
            return
        while (await receive()).get("more_body"):
            pass
        if scope["path"].endswith("/fails"):
            raise RuntimeError("the application's own words")
        end = b"%c" % 10 if scope["path"] == "/splits" else b""
        headers = [(b"set-cookie", b"session=hunter2" + end)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hunter2"})

    def make_app(config):
        return app
"""
MOUNT = f"""{WSGI}
    {ASGI.replace("def app(", "def new_app(")}
    from baseplate_serve.asgi import Mount

    def make_app(config):
        return Mount({{"/new": new_app}}, wsgi=app)
"""
THRIFT = """
    from testing_idl import Testing

    class Handler:
        def echo(self, text):
            if text.startswith("fail"):
                raise RuntimeError("the application's own words")
            return text

    def make_app(config):
        return Testing.Processor(Handler())
"""
HEADERS = "Host: a\r\nAuthorization: Bearer hunter2\r\nCookie: session=hunter2\r\n"
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
FRAME = "\x81\x87\0\0\0\0hunter2"
REQUESTS = {
    "served": f"POST /?token=hunter2 HTTP/1.1\r\n{HEADERS}Content-Length: 7\r\n\r\nhunter2",
    "fails": f"POST /fails?token=hunter2 HTTP/1.1\r\n{HEADERS}Content-Length: 7\r\n\r\nhunter2",
    "a malformed reply": f"GET /splits?token=hunter2 HTTP/1.1\r\n{HEADERS}\r\n",
    "malformed head": f"GET /?token=hunter2 HTTP/1.1\r\n{HEADERS}hunter2\r\n\r\n",
    "malformed target": f"GET hunter2 HTTP/1.1\r\n{HEADERS}\r\n",
    "malformed method": f"hunter2 / HTTP/1.1\r\n{HEADERS}\r\n",
    "malformed length": f"POST / HTTP/1.1\r\n{HEADERS}Content-Length: hunter2\r\n\r\n",
    "malformed body": f"POST / HTTP/1.1\r\n{HEADERS}Transfer-Encoding: chunked\r\n\r\nhunter2\r\n",
    "half a head": f"GET / HTTP/1.1\r\n{HEADERS}",
    "websocket": f"GET /?token=hunter2 HTTP/1.1\r\n{HEADERS}{UPGRADE}\r\n{FRAME}",
    "websocket fails": f"GET /fails?token=hunter2 HTTP/1.1\r\n{HEADERS}{UPGRADE}\r\n{FRAME}",
    "malformed frame": f"GET /?token=hunter2 HTTP/1.1\r\n{HEADERS}{UPGRADE}\r\nhunter2",
    "malformed handshake": f"GET / HTTP/1.1\r\n{HEADERS}{UPGRADE}Sec-WebSocket-Protocol: hunter2\xe4\r\n\r\n",
    "half a body": f"POST /?token=hunter2 HTTP/1.1\r\n{HEADERS}Content-Length: 70\r\n\r\nhunter2",
}


def send(address, data):
    """Send it, and nothing more; wait until the server has closed."""
    with socket.create_connection(address, timeout=DEADLINE_S) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


@pytest.mark.parametrize("options", [(), ("--debug",)], ids=["info", "debug"])
@pytest.mark.parametrize("code", [WSGI, ASGI, MOUNT], ids=["wsgi", "asgi", "mount"])
def test_nothing_that_an_http_client_sends_but_method_and_path(tmp_path, code, options):
    write_service(tmp_path, code=code)
    with serve(tmp_path, *options) as server:
        address = server.wait_until_ready()
        for request in REQUESTS.values():
            send(address, request.encode("latin-1"))
            if code is MOUNT:
                send(address, request.replace(" /", " /new/", 1).encode("latin-1"))
        assert server.stop() == 0
        assert "the application's own words" in server.output
        assert "/fails" in server.output
        assert code is not MOUNT or "/new/fails" in server.output
        assert "newline" in server.output
        assert SECRET not in server.output


@pytest.mark.parametrize("options", [(), ("--debug",)], ids=["info", "debug"])
def test_nothing_that_a_thrift_client_sends_but_the_methods_name(tmp_path, options):
    write_service(tmp_path, server="factory = baseplate_serve.thrift", code=THRIFT)
    with serve(tmp_path, *options) as server:
        address = server.wait_until_ready()
        transport = TFramedTransport(TSocket(*address))
        transport.open()
        client = Testing.Client(TBinaryProtocol(transport))
        assert client.echo(SECRET) == SECRET
        with pytest.raises(TApplicationException):
            client.echo(f"fail {SECRET}")
        transport.close()
        for data in (
            b"hunter2, which is no message",
            b"\x00\x00\x00\x10hunter2",  # half of one
            b"\x00\x00\x00\x20\x80\x01\x00\x01\x00\x00\x00\x04echo\x00\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x09hunter2",
            b"\x00\x00\x00\x1b\x80\x01\x00\x01\x00\x00\x00\x04echo\x00\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x09hunter2",
            b"\x00\x00\x00\x1c\x80\x01\x00\x01\x00\x00\x00\x04echo\x00\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x08hunter2\xff",
        ):
            send(address, data)
        assert server.stop() == 0
        assert "the application's own words" in server.output
        assert SECRET not in server.output
