"""The httpx client, in coroutines, against servers on the same thread."""

from __future__ import annotations

import asyncio
import ssl
import time

import gevent
import httpx
import pytest
from gevent.event import Event
from gevent.pywsgi import WSGIServer

from certificates import client_context, server_context
from loops import on_hub

MEETING = 20


def application(environ, start_response):
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/slow":
        time.sleep(0.02)
    elif path == "/meet":
        environ["tests.meeting"].wait()
    elif path == "/never":
        gevent.sleep(3600)
    elif path == "/stream":
        return (b"%d\n" % number for number in slowly(range(100)))
    return [f"{environ['REQUEST_METHOD']} {len(body)}".encode()]


def slowly(numbers):
    for number in numbers:
        gevent.sleep(0)
        yield number


class Server:
    """pywsgi in greenlets of this thread; remembers who connected."""

    def __init__(self, **tls):
        self.clients = set()
        self.meeting = Event()  # that many have come
        self.wsgi = WSGIServer(("127.0.0.1", 0), self, log=None, error_log=None, **tls)
        self.scheme = "https" if tls else "http"

    def __call__(self, environ, start_response):
        self.clients.add(environ["REMOTE_PORT"])
        if len(self.clients) == MEETING:
            self.meeting.set()
        environ["tests.meeting"] = self.meeting
        return application(environ, start_response)

    def __enter__(self):
        self.wsgi.start()
        self.url = f"{self.scheme}://localhost:{self.wsgi.server_port}"
        return self

    def __exit__(self, *_exc_info):
        self.wsgi.stop(timeout=0)


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def tls_server():
    with Server(ssl_context=server_context()) as server:
        yield server


@on_hub
async def test_a_connection_is_kept(server):
    async with httpx.AsyncClient(base_url=server.url) as client:
        for size in range(10):
            reply = await client.post("/", content=b"x" * size)
            assert reply.text == f"POST {size}"
    assert len(server.clients) == 1


@on_hub
async def test_concurrent_requests(server):
    """Two hundred coroutines; the server's greenlets and the client's tasks take turns in one thread."""
    limits = httpx.Limits(max_connections=30)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=20) as client:

        async def ask(size):
            if size % 4 == 0:
                time.sleep(0.0005)
            return (await client.post("/slow" if size % 10 == 0 else "/", content=b"x" * size)).text

        replies = await asyncio.gather(*map(ask, range(200)))
    assert replies == [f"POST {size}" for size in range(200)]
    assert len(server.clients) <= 30


@on_hub
async def test_streaming_both_ways(server):
    async def pieces():
        for _ in range(64):
            yield b"x" * 16384
            await asyncio.sleep(0)

    async with httpx.AsyncClient(base_url=server.url) as client:
        reply = await client.post("/", content=pieces())
        assert reply.text == f"POST {64 * 16384}"
        async with client.stream("GET", "/stream") as reply:
            assert [int(line) async for line in reply.aiter_lines()] == [*range(100)]


@on_hub
async def test_a_consumer_that_blocks(server):
    async with httpx.AsyncClient(base_url=server.url) as client:
        async with client.stream("GET", "/stream") as reply:
            lines = []
            async for line in reply.aiter_lines():
                time.sleep(0.0002)
                lines.append(int(line))
    assert lines == [*range(100)]


@on_hub
async def test_timeouts(server):
    async with httpx.AsyncClient(base_url=server.url) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/never", timeout=0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.get("/never", timeout=None)
        assert (await client.get("/")).text == "GET 0"


@on_hub
async def test_tls(tls_server):
    async with httpx.AsyncClient(base_url=tls_server.url, verify=client_context()) as client:
        replies = await asyncio.gather(*(client.post("/", content=b"x" * 100_000) for _ in range(10)))
    assert {reply.text for reply in replies} == {"POST 100000"}


@on_hub
async def test_tls_from_an_unknown_authority(tls_server):
    async with httpx.AsyncClient(base_url=tls_server.url, verify=ssl.create_default_context()) as client:
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await client.get("/")


@on_hub
async def test_nobody_listens(server):
    server.wsgi.stop()
    async with httpx.AsyncClient(base_url=server.url) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/")


@on_hub
async def test_the_synchronous_client_in_coroutines(server):
    """What old code does: a blocking client in an async handler.  The server answers
    when all of them have asked, so each may cost its own task only."""

    async def ask(_):
        with httpx.Client(base_url=server.url, timeout=20) as client:
            return client.get("/meet").text

    assert await asyncio.gather(*map(ask, range(MEETING))) == ["GET 0"] * MEETING
