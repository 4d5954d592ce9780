"""ASGI's websocket over real sockets, with a client of another make."""

from __future__ import annotations

import asyncio
import os
import socket

import gevent
import pytest
from gevent.event import Event
from websockets.exceptions import ConnectionClosed, InvalidStatus

from asgi_harness import connected, everything, exchange, serving, until
from baseplate_serve._servers.asgi import websocket
from deadline import DEADLINE_S, wait_for
from websocket_harness import (
    BEGIN,
    BYTES,
    CLOSE,
    END,
    GO_ON,
    HANDSHAKE,
    PING,
    TEXT,
    an_echo,
    its_server,
    masked,
    opened,
    ws,
)

FIXTURES = an_echo, its_server  # `echo` and `server`: pytest finds them here


def test_text_bytes_and_a_close_with_a_code(server, echo):
    with ws(server, "/a?b") as client:
        assert client.response.headers["x-by"] == "tests"
        for message in ("text", b"bytes", "", "ü" * 100_000, os.urandom(1_000_000)):
            client.send(message)
            assert client.recv(DEADLINE_S) == message
        client.close(4001, "enough")
    wait_for(echo.ended.is_set)
    assert echo.got[-1] == {"type": "websocket.disconnect", "code": 4001, "reason": "enough"}
    assert echo.got[0] == {"type": "websocket.connect"}
    (scope,) = echo.scopes
    assert (scope["type"], scope["scheme"], scope["path"], scope["query_string"]) == (
        "websocket",
        "ws",
        "/a",
        b"b",
    )
    assert "method" not in scope


def test_fragments_are_joined(server):
    with ws(server) as client:
        client.send(iter(["one ", "two ", "three"]))
        assert client.recv(DEADLINE_S) == "one two three"


def test_pings_are_answered_while_the_application_is_busy():
    go = Event()

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while not go.is_set():
            await asyncio.sleep(0.001)

    with serving(app) as server, ws(server) as client:
        assert client.ping().wait(DEADLINE_S)
        go.set()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE_S)
        assert closed.value.rcvd.code == 1000


def test_subprotocols():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][1]})

    with serving(app) as server, ws(server, subprotocols=["one", "two"]) as client:
        assert client.subprotocol == "two"


@pytest.mark.parametrize("how", ["close", "denial"])
def test_refused_before_it_is_accepted(how):
    async def app(_scope, receive, send):
        await receive()
        if how == "close":
            await send({"type": "websocket.close"})
        else:
            headers = [(b"content-length", b"4")]
            await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": b"who?"})

    with serving(app) as server, pytest.raises(InvalidStatus) as refused, ws(server):
        pass
    assert refused.value.response.status_code == (403 if how == "close" else 401)
    assert refused.value.response.body == (b"" if how == "close" else b"who?")


@pytest.mark.parametrize("accepts", [True, False])
def test_an_application_that_fails(accepts, caplog):
    async def app(_scope, receive, send):
        await receive()
        if accepts:
            await send({"type": "websocket.accept"})
        raise ValueError("a bug")

    with serving(app) as server:
        if accepts:
            with ws(server) as client, pytest.raises(ConnectionClosed) as closed:
                client.recv(DEADLINE_S)
            assert closed.value.rcvd.code == 1011
        else:
            with pytest.raises(InvalidStatus, match="500"), ws(server):
                pass
    assert "ValueError: a bug" in caplog.text


def test_a_message_that_is_too_large(echo):
    with serving(echo, max_websocket_message="1000") as server, ws(server) as client:
        client.send("x" * 1000)
        assert len(client.recv(DEADLINE_S)) == 1000
        client.send("x" * 1001)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE_S)
    assert closed.value.rcvd.code == 1009
    wait_for(lambda: echo.got[-1].get("code") == 1009)


@pytest.fixture
def impatient(echo):
    """A server that pings soon, and doesn't wait for long."""
    brief = "100 milliseconds"
    with serving(echo, websocket_ping_interval=brief, websocket_ping_timeout=brief) as running:
        yield running


def test_a_client_that_answers_no_ping_is_gone(impatient, echo):
    with opened(impatient) as sock:
        assert everything(sock) == b"\x89\0"  # a ping, and the end
    wait_for(echo.ended.is_set)
    assert echo.got[-1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    wait_for(lambda: not impatient.tasks and not impatient.connections)
    assert impatient.connections.tally.refused["websocket_ping_timeout"] == 1


def test_a_client_that_answers_pings_stays(impatient):
    with ws(impatient) as client:
        gevent.sleep(0.5)  # several times what a silent one has
        client.send("still here")
        assert client.recv(DEADLINE_S) == "still here"


def test_a_client_that_waits_for_the_application_is_not_gone():
    """What it sends is not read meanwhile, its pongs neither."""

    async def app(_scope, receive, send):
        await send({"type": "websocket.accept"})
        await asyncio.sleep(0.5)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    brief = "100 milliseconds"
    with serving(app, websocket_ping_interval=brief, websocket_ping_timeout=brief) as server:
        with ws(server) as client:
            for _ in range(200):
                client.send("x" * 1000)
            client.ping().wait(DEADLINE_S)
        assert not server.connections.tally.refused


def test_a_client_that_goes_without_a_word(server, echo):
    with opened(server):
        pass
    wait_for(echo.ended.is_set)
    assert echo.got[-1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    wait_for(lambda: not server.tasks and not server.connections)


@pytest.mark.parametrize("messages", [0, 1000])
def test_a_client_that_goes_cancels_an_application_that_does_not_listen(monkeypatch, messages):
    monkeypatch.setattr(websocket, "CLEAN_UP_S", 0.05)
    ended = []

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with serving(app) as server:
        with opened(server) as sock:
            sock.sendall(masked(TEXT, b"hi") * messages)
        wait_for(lambda: ended == [True])


@pytest.mark.parametrize("missing", [b"Sec-WebSocket-Key", b"Sec-WebSocket-Version"])
def test_a_handshake_that_is_none(server, missing):
    lines = [line for line in HANDSHAKE.split(b"\r\n") if not line.startswith(missing)]
    assert exchange(server, b"\r\n".join(lines)).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("version", [b"8", b"14", b"x\xff", b"13\r\nSec-WebSocket-Version: 8"])
def test_a_handshake_of_another_version_is_told_ours(server, version):
    answer = exchange(server, HANDSHAKE.replace(b"Version: 13", b"Version: " + version))
    assert answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer
    assert b"\r\nUpgrade: websocket\r\n" in answer
    assert answer.endswith(b"\r\n\r\nit opens no WebSocket: the version spoken here is 13\n")


BAD_HEADERS = {
    "a protocol above ASCII": b"Sec-WebSocket-Protocol: \xe4\r\n",
    "an extension above ASCII": b"Sec-WebSocket-Extensions: \xff\r\n",
    "a connection above ASCII": b"Connection: Upgrade, \xff\r\n",
    "a host that is no IDNA": b"Host: xn--0\r\n",
    "an empty key": b"Sec-WebSocket-Key: \r\n",
    "a short key": b"Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n",
    "a key that is no base64": b"Sec-WebSocket-Key: dGhlIHNhbXBs\xff\xffBub25jZQ==\r\n",
    "a key that is a list": b"Sec-WebSocket-Key: a, dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "a body": b"Content-Length: 2\r\n",
    "a chunked body": b"Transfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_handshake_that_is_malformed_is_refused(server, echo, header, caplog):
    name = header.partition(b":")[0]
    lines = [line for line in HANDSHAKE.split(b"\r\n") if not line.startswith(name)]
    answer = exchange(server, b"\r\n".join([*lines[:-2], header, b""]))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not echo.scopes
    assert "it opens no WebSocket: " in caplog.text
    assert "Traceback" not in caplog.text


def test_two_keys_are_none(server):
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    assert exchange(server, HANDSHAKE.replace(key, key + key)).startswith(b"HTTP/1.1 400 ")


def test_what_was_sent_before_a_close_is_received():
    got = []

    async def app(_scope, receive, send):
        await send({"type": "websocket.accept"})
        while got[-1:] != [4001]:
            message = await receive()
            got.append(message.get("text", message.get("code")))

    with serving(app) as server, opened(server) as sock:
        sock.sendall(masked(TEXT, b"hi") * 200 + masked(CLOSE, (4001).to_bytes(2)))
        sock.shutdown(socket.SHUT_WR)
        everything(sock)
    assert got == [None, *["hi"] * 200, 4001]


def test_what_comes_after_a_close_is_dropped(server, echo):
    with opened(server) as sock:
        sock.sendall(masked(CLOSE, (4001).to_bytes(2)))
        sock.sendall(masked(PING) + masked(TEXT, b"late"))
        everything(sock)
    assert [message["type"] for message in echo.got] == ["websocket.connect", "websocket.disconnect"]


@pytest.mark.parametrize("accepts", [True, False])
def test_messages_that_nobody_receives_are_not_kept_without_end(accepts):
    go = Event()
    lengths = []

    async def app(_scope, receive, send):
        await receive()
        if accepts:
            await send({"type": "websocket.accept"})
        while not go.is_set():
            await asyncio.sleep(0.001)
        if not accepts:
            await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            lengths.append(len(message["bytes"]))

    message = masked(BYTES, bytes(1_000_000))
    with serving(app, max_websocket_message="1000000") as server, connected(server) as sock:
        sock.sendall(HANDSHAKE)
        taken = 0
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):  # noqa: PT012 (some of them)
            while taken < 100_000_000:
                taken += sock.send(message[taken % len(message) :])
        assert taken < 20_000_000  # what the kernel takes, and little more
        sock.settimeout(20)
        go.set()
        sock.sendall(message[taken % len(message) :] + masked(CLOSE))
        everything(sock)
    assert lengths == [1_000_000] * (taken // len(message) + 1)


def test_a_client_of_many_small_frames_leaves_others_their_turns():
    frames = masked(BEGIN) + masked(GO_ON) * 5000 + masked(END, b"whole")
    turns = []

    async def app(_scope, receive, send):
        await receive()
        [connection] = server._open
        while len(connection.inbox.buffer) < len(frames):
            await asyncio.sleep(0.001)
        await send({"type": "websocket.accept"})
        received = asyncio.ensure_future(receive())
        while not received.done():
            turns.append(1)
            await asyncio.sleep(0)
        assert received.result()["text"] == "whole"

    with serving(app) as server, connected(server) as sock:
        sock.sendall(HANDSHAKE + frames)
        until(sock, (1000).to_bytes(2))
    assert len(turns) > 5000 / 100


def test_a_reader_that_is_slow_stops_the_sender():
    sent = []

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(1000):
            await send({"type": "websocket.send", "bytes": bytes(100_000)})
            sent.append(1)

    with serving(app, stop_timeout="10 milliseconds") as server, connected(server) as sock:
        sock.sendall(HANDSHAKE)
        wait_for(lambda: sent)
        gevent.sleep(0.2)
        assert len(sent) < 500


def test_a_server_that_stops_says_so(server, echo):
    with ws(server) as one, ws(server) as other:
        stopping = gevent.spawn(server.stop)
        for client in (one, other):
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(DEADLINE_S)
            assert closed.value.rcvd.code == 1012
        stopping.get(timeout=DEADLINE_S)
    assert [m["code"] for m in echo.got if m["type"] == "websocket.disconnect"] == [1012, 1012]
