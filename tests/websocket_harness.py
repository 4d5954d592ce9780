"""WebSockets: a client of another make, and one that sends any bytes."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from gevent.event import Event
from websockets.sync.client import connect

from asgi_harness import connected, reply, serving, until, url

HANDSHAKE = (
    b"GET /raw HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Echo:
    """Accepts, and sends back what comes; notes what it gets."""

    def __init__(self):
        self.scopes = []
        self.got = []
        self.ended = Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            await reply(send, b"http")
            return
        self.scopes.append(scope)
        try:
            self.got.append(await receive())
            await send({"type": "websocket.accept", "headers": [(b"x-by", b"tests")]})
            while True:
                message = await receive()
                self.got.append(message)
                if message["type"] == "websocket.disconnect":
                    return
                await send({**message, "type": "websocket.send"})
        finally:
            self.ended.set()


@pytest.fixture(name="echo")
def an_echo():
    return Echo()


@pytest.fixture(name="server")
def its_server(echo):
    with serving(echo) as running:
        yield running


def ws(server, path="/", **options):
    return connect(url(server, path, "ws"), compression=None, **options)


@contextmanager
def opened(server):
    """A socket with an open WebSocket on it."""
    with connected(server) as sock:
        sock.sendall(HANDSHAKE)
        until(sock, b"\r\n\r\n")
        yield sock


TEXT, BYTES, CLOSE, PING = 0x81, 0x82, 0x88, 0x89
BEGIN, GO_ON, END = 0x01, 0x00, 0x80  # of a text in fragments


def masked(opcode, payload=b""):
    """A client's frame, whose mask changes nothing."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xff" + len(payload).to_bytes(8)
    return bytes([opcode]) + length + bytes(4) + payload


def closing(code):
    """A server's close, without a reason."""
    return b"\x88\x02" + code.to_bytes(2)
