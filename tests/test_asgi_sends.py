"""Sends that don't end as they should: cancelled half-way, or to a client that breaks the connection."""

from __future__ import annotations

import asyncio
import socket
import struct

import gevent
import pytest
from gevent.event import Event

from asgi_harness import connected, everything, reply, serving
from deadline import DEADLINE_S, wait_for

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
LARGE = b"A" * 20_000_000  # more than the kernel takes of it


async def cut_short(sending):
    """Await *sending*, whose client doesn't read, for too short a time."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sending, 0.05)


def is_a_part_of_the_message(answer):
    """Whether *answer* to a handshake is a part of a WebSocket's message with LARGE, and nothing else."""
    _, _, frame = answer.partition(b"\r\n\r\n")
    header = b"\x82\x7f" + struct.pack("!Q", len(LARGE))
    return frame.startswith(header) and len(frame) < len(LARGE) and not frame[len(header) :].strip(b"A")


@pytest.mark.parametrize("more", [True, False], ids=["more follows", "it was the last"])
def test_nothing_follows_a_message_that_was_cut_short(more, caplog):
    """The client would take it for the rest of that message."""
    cut, raised = Event(), []

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200})
        await cut_short(send({"type": "http.response.body", "body": LARGE, "more_body": more}))
        try:
            if more:
                await send({"type": "http.response.body", "body": b"next"})
        except OSError as error:
            raised.append(str(error))
        cut.set()

    with serving(app) as server, connected(server) as sock:
        sock.sendall(GET + GET)
        wait_for(cut.is_set)
        _, _, body = everything(sock).partition(b"\r\n\r\n")
        assert server.connections.tally.lost == 1
    framing = b"1312d00\r\n" if more else b""
    assert body == framing + b"A" * (len(body) - len(framing))
    assert raised == (["the client has gone"] if more else [])
    assert "failed" not in caplog.text


def test_who_waits_behind_it_fails_with_it():
    outcomes = []

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        first = asyncio.ensure_future(send({"type": "websocket.send", "bytes": LARGE}))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(send({"type": "websocket.send", "text": "behind"}))
        await asyncio.sleep(0.01)
        first.cancel()
        outcomes.extend(await asyncio.gather(first, second, return_exceptions=True))

    with serving(app) as server, connected(server) as sock:
        sock.sendall(HANDSHAKE)
        wait_for(lambda: outcomes)
        assert is_a_part_of_the_message(everything(sock))
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert isinstance(outcomes[1], OSError)


def test_a_websocket_that_is_cut_off_within_a_message_gets_no_close_frame_inside_it(caplog):
    sending = Event()

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        sending.set()
        await send({"type": "websocket.send", "bytes": LARGE})

    with serving(app, stop_timeout="0.1") as server, connected(server) as sock:
        sock.sendall(HANDSHAKE)
        wait_for(sending.is_set)
        stopping = gevent.spawn(server.stop)
        wait_for(lambda: server.abandoned, "it is cut off")
        assert is_a_part_of_the_message(everything(sock))
        stopping.get(timeout=DEADLINE_S)
    assert "Traceback" not in caplog.text


def test_clients_that_break_the_connection_while_they_are_sent_to_leave_no_error_in_the_log(caplog):
    began = []

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200})
        began.append(1)
        while True:
            await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})

    with serving(app) as server:
        for count in range(1, 21):
            with connected(server) as sock:
                sock.sendall(GET)
                wait_for(lambda count=count: len(began) == count)
                (connection,) = server.connections
                wait_for(lambda connection=connection: connection.send_since, "the client takes no more")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wait_for(lambda: not server.connections and not server.tasks)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_connection_is_used_again_after_a_response_that_its_client_took_slowly():
    async def app(_scope, _receive, send):
        await reply(send, LARGE + b"end")

    with serving(app) as server, connected(server) as sock:
        for _ in range(2):
            sock.sendall(GET)
            (connection,) = wait_for(lambda: list(server.connections))
            wait_for(lambda connection=connection: connection.send_since, "the client takes no more")
            while b"end" not in sock.recv(1_000_000)[-3:]:
                pass
