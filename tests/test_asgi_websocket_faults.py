"""WebSockets whose client or application breaks the rules, or that are opened while the server stops."""

from __future__ import annotations

import asyncio
import logging

import gevent
import pytest
from gevent.event import Event
from websockets.exceptions import ConnectionClosed

from asgi_harness import connected, everything, exchange, serving, until
from baseplate_serve._servers.asgi import websocket
from deadline import DEADLINE_S, wait_for
from websocket_harness import (
    CLOSE,
    HANDSHAKE,
    PING,
    TEXT,
    an_echo,
    closing,
    its_server,
    masked,
    opened,
    ws,
)

FIXTURES = an_echo, its_server  # `echo` and `server`: pytest finds them here

NEVER_S = 3600
LARGE = 5_000_000
FAILURES = {
    "not masked": (b"\x81\x05hello", 1002),
    "reserved bits": (masked(0xF1), 1002),
    "an unknown opcode": (masked(0x83), 1002),
    "a close of one byte": (masked(CLOSE, b"\x03"), 1002),
    "a close with a code that is never sent": (masked(CLOSE, (1005).to_bytes(2)), 1002),
    "no UTF-8": (masked(TEXT, b"\xff\xff"), 1007),
    "a close whose reason is no UTF-8": (masked(CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.fixture(autouse=True)
def only_warnings(caplog):
    """Whatever level other tests' frameworks have left, what is logged here is a complaint."""
    caplog.set_level(logging.WARNING)


@pytest.fixture
def patient(monkeypatch):
    """A server that waits for ever where it waits for a client's answer to its close."""
    monkeypatch.setattr(websocket, "CLOSE_S", NEVER_S)


async def accept(receive, send):
    await receive()
    await send({"type": "websocket.accept"})


# What clients do wrong


@pytest.mark.parametrize(("broken", "code"), FAILURES.values(), ids=FAILURES)
def test_a_client_that_breaks_the_protocol_is_told_how_and_left(echo, patient, broken, code, caplog):
    """RFC 6455 §7.1.7: nothing that follows is looked at, and nothing is waited for."""
    with serving(echo) as server, opened(server) as sock:
        sock.sendall(broken + masked(TEXT, b"more"))
        assert everything(sock) == closing(code)
        assert server.connections.tally.refused["malformed"] == 1
    wait_for(echo.ended.is_set)
    assert [(m["type"], m.get("code")) for m in echo.got[1:]] == [("websocket.disconnect", code)]
    assert "broke the WebSocket protocol" in caplog.text
    assert "Traceback" not in caplog.text


def test_the_limit_of_a_message_is_in_bytes(echo):
    with serving(echo, max_websocket_message="1000") as server, ws(server) as client:
        client.send("ü" * 500)
        assert client.recv(DEADLINE_S) == "ü" * 500
        client.send("ü" * 501)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE_S)
    assert closed.value.rcvd.code == 1009


def test_what_comes_before_the_application_accepts_is_not_lost():
    go = Event()

    async def app(_scope, receive, send):
        while not go.is_set():
            await asyncio.sleep(0.001)
        await accept(receive, send)
        await send({**await receive(), "type": "websocket.send"})

    early = HANDSHAKE + masked(TEXT, b"early")
    with serving(app) as server, connected(server) as sock:
        sock.sendall(early)
        wait_for(lambda: server.connections.tally.received == len(early))
        go.set()
        until(sock, b"\x81\x05early")


@pytest.mark.parametrize("late", [masked(PING), masked(TEXT, b"late")], ids=["a ping", "a message"])
def test_what_crosses_our_close_is_no_error(patient, late, caplog):
    async def app(_scope, receive, send):
        await accept(receive, send)
        await send({"type": "websocket.close", "code": 4000})

    with serving(app) as server, connected(server) as sock:
        sock.sendall(HANDSHAKE)
        until(sock, closing(4000))
        sock.sendall(late)
        sock.sendall(masked(CLOSE, (4000).to_bytes(2)) + late)
        assert everything(sock) == b""
    assert not caplog.records


def test_a_ping_that_is_due_when_we_close_is_not_sent(patient, caplog):
    async def app(_scope, receive, send):
        await accept(receive, send)
        send.__self__._ping()
        await send({"type": "websocket.close"})

    with serving(app) as server, connected(server) as sock:
        sock.sendall(HANDSHAKE)
        assert until(sock, closing(1000)).endswith(b"\r\n\r\n" + closing(1000))
        sock.sendall(masked(CLOSE, (1000).to_bytes(2)))
        assert everything(sock) == b""
    assert not caplog.records


def test_an_error_of_ours_while_reading_is_logged_and_closes(monkeypatch, server, echo, caplog):
    async def fail(_self, _event):
        raise ValueError("a bug")

    monkeypatch.setattr(websocket.WebSocket, "_handle", fail)
    with ws(server) as client:
        client.send("x")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE_S)
    assert closed.value.rcvd.code == 1011
    assert "ValueError: a bug" in caplog.text
    wait_for(echo.ended.is_set)
    assert echo.got[-1]["code"] == 1011


# What asks for no WebSocket


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Connection: Upgrade\r\n", b""),
        (b"Connection: Upgrade", b"Connection: upgrades, close"),
        (b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["no Connection", "other options", "HTTP/1.0"],
)
def test_an_upgrade_that_may_not_be_asked_for_is_ignored(server, old, new):
    """RFC 9110 §7.8: a proxy that doesn't know the field leaves it where it is, and takes Connection away."""
    with connected(server) as sock:
        sock.sendall(HANDSHAKE.replace(old, new))
        assert until(sock, b"\r\n\r\nhttp").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("options", [b"keep-alive, Upgrade", b"keep-alive,upgrade , x"])
def test_an_upgrade_among_other_options(server, options):
    with connected(server) as sock:
        sock.sendall(HANDSHAKE.replace(b"Connection: Upgrade", b"Connection: " + options))
        assert until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 101")


# What applications do wrong


@pytest.mark.parametrize("code", [70000, 5000, 2000, 1016, 1004, 999, 0, -1, "1000"])
def test_a_close_code_that_is_none(code, caplog):
    async def app(_scope, receive, send):
        await accept(receive, send)
        await send({"type": "websocket.close", "code": code})

    with serving(app) as server, ws(server) as client, pytest.raises(ConnectionClosed) as closed:
        client.recv(DEADLINE_S)
    assert closed.value.rcvd.code == 1011
    assert f"ValueError: no close code: {code!r}" in caplog.text


@pytest.mark.parametrize(
    ("code", "sent"), [(None, 1000), (1005, 1000), (1006, 1000), (1014, 1014), (3000, 3000)]
)
def test_close_codes(code, sent):
    """1005 and 1006 tell of a close without a code; an application may hand on what it was told."""

    async def app(_scope, receive, send):
        await accept(receive, send)
        await send({"type": "websocket.close", "code": code})

    with serving(app) as server, connected(server) as sock:
        sock.sendall(HANDSHAKE)
        until(sock, closing(sent))


DENIAL = {"type": "websocket.http.response.start", "status": 401, "headers": []}
BODY = {"type": "websocket.http.response.body", "body": b"who?"}


@pytest.mark.parametrize(
    "messages",
    [
        [{**DENIAL, "headers": [(b"x", b"a\r\nb: c")]}, BODY],
        [{**DENIAL, "status": 101}, BODY],
        [{**DENIAL, "headers": [(b"content-length", b"3")]}, BODY],
        [DENIAL],
        [BODY],
        [{"type": "websocket.accept", "headers": [(b"x", b"a\r\nb: c")]}],
        [{"type": "websocket.accept", "subprotocol": "not offered"}],
    ],
    ids=["header", "status", "length", "no body", "no start", "header of accept", "subprotocol"],
)
def test_an_answer_that_is_none(messages, caplog):
    async def app(_scope, receive, send):
        await receive()
        for message in messages:
            await send(message)

    with serving(app) as server:
        answer = exchange(server, HANDSHAKE)
    assert answer.startswith(b"HTTP/1.1 500")
    assert [record.levelname for record in caplog.records if record.name == "baseplate_serve.asgi"] == [
        "ERROR"
    ]


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "websocket.close"}],
        [DENIAL, BODY],
        [DENIAL, {**BODY, "more_body": True}, {**BODY, "body": b""}],
    ],
    ids=["close", "denial", "streamed denial"],
)
def test_a_refusal_says_that_the_connection_closes(messages):
    async def app(_scope, receive, send):
        await receive()
        for message in messages:
            await send(message)

    with serving(app) as server:
        head, _, _body = exchange(server, HANDSHAKE).partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower().split(b"\r\n")


# At a stop


def test_a_handshake_that_is_not_answered_when_the_server_stops_gets_503():
    asked = Event()
    got = []

    async def app(_scope, receive, send):
        await receive()
        asked.set()
        got.append(await receive())

    with serving(app) as server, connected(server) as sock:
        sock.sendall(HANDSHAKE)
        wait_for(asked.is_set)
        stopping = gevent.spawn(server.stop)
        assert everything(sock).startswith(b"HTTP/1.1 503")
        stopping.get(timeout=DEADLINE_S)
    assert got == [{"type": "websocket.disconnect", "code": 1012, "reason": ""}]


def test_a_handshake_whose_rest_comes_after_the_stop_gets_503(echo):
    with serving(echo) as server, connected(server) as sock:
        sock.sendall(HANDSHAKE[:30])
        wait_for(server.in_flight)
        stopping = gevent.spawn(server.stop)
        wait_for(lambda: all(each.leaving for each in server.connections))
        sock.sendall(HANDSHAKE[30:])
        assert everything(sock).startswith(b"HTTP/1.1 503")
        stopping.get(timeout=DEADLINE_S)
    assert not echo.got


def test_a_denial_that_is_under_way_when_the_server_stops_is_sent():
    begun, go = Event(), Event()

    async def app(_scope, receive, send):
        await receive()
        await send(DENIAL)
        await send({**BODY, "more_body": True})
        begun.set()
        while not go.is_set():
            await asyncio.sleep(0.001)
        await send({**BODY, "body": b" you?"})

    with serving(app) as server, connected(server) as sock:
        sock.sendall(HANDSHAKE)
        wait_for(begun.is_set)
        stopping = gevent.spawn(server.stop)
        wait_for(lambda: all(each.leaving for each in server.connections))
        go.set()
        assert b"5\r\n you?\r\n0\r\n\r\n" in everything(sock)
        stopping.get(timeout=DEADLINE_S)


# A client that reads slowly


def test_our_answer_to_a_close_is_sent_before_the_connection_closes():
    """From the first time that a client takes less than there is, every write may wait."""

    async def app(_scope, receive, send):
        await accept(receive, send)
        await send({"type": "websocket.send", "bytes": bytes(LARGE) + b"that's it"})
        await receive()

    with serving(app) as server:
        for _ in range(3):  # one after the other gets the same descriptor
            with connected(server) as sock:
                sock.sendall(HANDSHAKE)
                until(sock, b"that's it")
                sock.sendall(masked(TEXT, b"x") + masked(CLOSE, (1000).to_bytes(2)))
                assert everything(sock) == closing(1000)
