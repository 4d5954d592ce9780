"""A library that takes a connection over for a WebSocket: simple-websocket, on which flask-sock stands."""

from __future__ import annotations

import functools
import logging
import socket
from types import SimpleNamespace

import gevent
import pytest
import simple_websocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import asgi_harness
from asgi_harness import kind_of_server, url
from baseplate_serve._servers.http.handover import EarlySocket
from deadline import DEADLINE_S, wait_for

serving = functools.partial(asgi_harness.serving, lifespan=True)  # what is served is no ASGI application

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HELLO = b"\x81\x85\0\0\0\0hello"  # a client's frame, and the server's, which has no mask
HELLO_BACK = b"\x81\x05hello"
CLOSE, CLOSE_BACK = b"\x88\x82\0\0\0\0\x03\xe8", b"\x88\x02\x03\xe8"


def echo(environ, start_response):
    """As flask-sock: its response to what the library has answered calls no start_response()."""
    messages = simple_websocket.Server.accept(environ)
    try:
        while True:
            messages.send(messages.receive())
    except simple_websocket.ConnectionClosed:
        return []


def handshake(client):
    """Shake hands over *client*, a socket that says no more than that; the stream behind it."""
    stream = client.makefile("rb")
    while stream.readline().strip():
        pass
    return stream


def test_messages_go_to_and_fro(caplog):
    with serving(echo) as server:
        with connect(url(server, scheme="ws"), open_timeout=DEADLINE_S, proxy=None) as client:
            for text in ("hello", "x" * 100_000):
                client.send(text)
                assert client.recv(DEADLINE_S) == text
        wait_for(lambda: not server.connections, "the connection has closed")
        assert server.connections.tally.errors == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_nothing_follows_what_the_library_has_sent():
    """The server's own words for a missing start_response() would be a broken frame."""
    with serving(echo) as server, socket.create_connection(server.address, DEADLINE_S) as client:
        client.sendall(HANDSHAKE)
        stream = handshake(client)
        client.sendall(HELLO)
        assert stream.read(len(HELLO_BACK)) == HELLO_BACK
        client.sendall(CLOSE)
        assert stream.read() == CLOSE_BACK


@pytest.mark.parametrize("kind", ["wsgi", "wsgi in a mount"])
def test_what_came_with_the_head_is_not_lost(kind):
    """A client should wait for its answer; one that doesn't would wait for ever if this was lost."""
    app, options = kind_of_server(kind, echo, None)
    with serving(app, **options) as server:
        with socket.create_connection(server.address, DEADLINE_S) as client:
            client.sendall(HANDSHAKE + HELLO)
            stream = handshake(client)
            assert stream.read(len(HELLO_BACK)) == HELLO_BACK
            client.sendall(CLOSE)
            assert stream.read(len(CLOSE_BACK)) == CLOSE_BACK
            stream.close()
        wait_for(lambda: not server.connections, "the connection has closed")


def test_a_failure_after_the_handshake_ends_the_stream(caplog):
    def app(environ, start_response):
        simple_websocket.Server.accept(environ)
        raise ZeroDivisionError

    with serving(app) as server, socket.create_connection(server.address, DEADLINE_S) as client:
        client.sendall(HANDSHAKE)
        head, _, rest = client.makefile("rb").read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert rest == b""
        wait_for(lambda: server.connections.tally.errors == 1, "the failure is counted")
    assert "GET / failed" in caplog.text


def test_a_library_may_close_first():
    def app(environ, start_response):
        simple_websocket.Server.accept(environ).close(1001, "bye")
        return []

    with serving(app) as server:
        with connect(url(server, scheme="ws"), open_timeout=DEADLINE_S, proxy=None) as client:
            assert list(client) == []
            assert (client.close_code, client.close_reason) == (1001, "bye")
        wait_for(lambda: not server.connections, "the connection has closed")


def test_a_handshake_that_is_refused_has_an_ordinary_response():
    def app(environ, start_response):
        start_response("403 Forbidden", [])
        return [b"no"]

    with serving(app) as server, pytest.raises(InvalidStatus) as refused:
        connect(url(server, scheme="ws"), open_timeout=DEADLINE_S, proxy=None)
    assert refused.value.response.status_code == 403


def test_a_stop_ends_the_librarys_copy_of_the_socket():
    began = gevent.event.Event()

    def app(environ, start_response):
        messages = simple_websocket.Server.accept(environ)
        began.set()
        messages.receive()

    with serving(app) as server, socket.create_connection(server.address, DEADLINE_S) as client:
        client.sendall(HANDSHAKE)
        assert began.wait(DEADLINE_S)
        server.stop(timeout=0)
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 101 ")


def test_what_came_with_the_head_may_be_looked_at_first():
    inbound = SimpleNamespace(buffer=b"early", sock=None, take=lambda size: b"early"[:size])
    sock = EarlySocket(inbound, None)
    assert sock.recv(2, socket.MSG_PEEK) == b"ea"
    into = bytearray(5)
    assert sock.recv_into(into, 0, socket.MSG_PEEK) == 5
    assert into == b"early"
    assert sock.recv(5) == b"early"
