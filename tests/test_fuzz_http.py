"""Any bytes to a WSGI or an ASGI server: well-formed responses or none, and the next client is served."""

from __future__ import annotations

import http.client
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asgi_harness
from fuzzing import Fuzzed, examples, kept, mutated
from http_corpus import INVALID, VALID

WHOLE = [case.data for case in (*VALID, *INVALID) if len(case.data) < 2000]
UPGRADE = (
    b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
FRAMES = kept("websocket")
HANDSHAKES = kept("handshake")
STATUS = re.compile(rb"HTTP/1\.1 [1-5][0-9][0-9] ")


def wsgi_app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"alive" if environ["PATH_INFO"] == "/alive" else str(len(body)).encode()]


async def asgi_app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        return
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await asgi_harness.reply(send, b"alive")


def still_serves(address):
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.request("GET", "/alive")
    assert connection.getresponse().read() == b"alive"
    connection.close()


@pytest.fixture(params=["wsgi", "asgi", "wsgi in a mount"])
def fuzzed(request):
    app, always = asgi_harness.kind_of_server(request.param, wsgi_app, asgi_app)
    with (
        asgi_harness.serving(app, lifespan=True, **always) as server,
        Fuzzed(server, still_serves) as running,
    ):
        yield running


def test_an_http_server_survives_any_bytes(fuzzed):
    @examples(120)
    @given(mutated([*WHOLE, UPGRADE]), st.sampled_from([1, 1, 2, 7]))
    def survives(data, pieces):
        reply = fuzzed.survives(data, pieces)
        assert not reply or STATUS.match(reply), (data, reply)

    survives()


def test_a_server_survives_any_handshake_of_a_websocket():
    @examples(120)
    @given(mutated(list(HANDSHAKES.values())), st.sampled_from([1, 1, 2, 7]))
    def survives(data, pieces):
        reply = running.survives(data, pieces)
        assert not reply or STATUS.match(reply), (data, reply)

    with asgi_harness.serving(asgi_app) as server, Fuzzed(server, still_serves) as running:
        for handshake in HANDSHAKES.values():
            running.survives(handshake)
        survives()


def test_a_server_survives_any_frames_of_a_websocket():
    @examples(120)
    @given(mutated(list(FRAMES.values())), st.sampled_from([1, 1, 2, 7]))
    def survives(data, pieces):
        reply = running.survives(UPGRADE + data, pieces)
        assert reply.startswith(b"HTTP/1.1 101 ")

    with asgi_harness.serving(asgi_app) as server, Fuzzed(server, still_serves) as running:
        for frames in FRAMES.values():
            running.survives(UPGRADE + frames)
        survives()
