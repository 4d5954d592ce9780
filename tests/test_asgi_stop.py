"""What a stop of an ASGI server may take: `stop_timeout`, a bounded time for all clean-up, and no more."""

from __future__ import annotations

import asyncio
import socket
import time

import anyio
import gevent
import pytest
from gevent.event import Event

from asgi_harness import connected, everything, reply, serving
from baseplate_serve import wsgi
from baseplate_serve._servers import graceful
from baseplate_serve._servers.asgi import connection
from baseplate_serve._servers.asgi import server as asgi_server
from baseplate_serve.asgi import Mount
from baseplate_serve.errors import ApplicationError
from deadline import DEADLINE_S, wait_for

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(autouse=True)
def little_time(monkeypatch):
    """The times for clean-up are no options."""
    for module in (graceful, connection):
        monkeypatch.setattr(module, "CLEAN_UP_S", 0.2)
    for module in (graceful, asgi_server):
        monkeypatch.setattr(module, "LAST_S", 0.05)


class App:
    """Notes when its shutdown began and ended; that takes *takes_s* seconds."""

    def __init__(self, takes_s=60.0):
        self.takes_s = takes_s
        self.steps = []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            await reply(send, b"served")
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.steps.append("began")
        await asyncio.sleep(self.takes_s)
        self.steps.append("ended")
        await send({"type": "lifespan.shutdown.complete"})


def seconds_to_stop(server):
    began_at = time.monotonic()
    server.stop()
    return time.monotonic() - began_at


def test_shutdowns_that_do_not_end_share_one_time(caplog):
    """Platforms are told drain_time + stop_timeout + that."""
    apps = [App() for _ in range(3)]
    mount = Mount({"/one": apps[0], "/two": apps[1]}, asgi=apps[2])
    with serving(mount, lifespan=True, stop_timeout="0.1") as server:
        assert seconds_to_stop(server) < 1.5
    assert [app.steps for app in apps] == [["began"]] * 3
    assert caplog.text.count("shutdown took longer than") == 3


def test_a_shutdown_has_what_requests_leave_of_stop_timeout():
    app = App(takes_s=0.4)
    with serving(app, lifespan=True, stop_timeout="20"):
        pass
    assert app.steps == ["began", "ended"]


def test_who_skips_the_rest_of_the_finish_skips_it_for_the_shutdown_too():
    """A third SIGTERM kills the greenlet that stops."""
    began, app = Event(), App()

    async def busy(scope, receive, send):
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
        began.set()
        await asyncio.sleep(60)

    with serving(busy, lifespan=True, stop_timeout="60") as server, connected(server) as sock:
        sock.sendall(GET)
        wait_for(began.is_set)
        stopping = gevent.spawn(server.stop)
        wait_for(lambda: server.closed)
        began_at = time.monotonic()
        stopping.kill()
        assert time.monotonic() - began_at < 1.5
        assert everything(sock) == b""
    assert app.steps == ["began"]


def test_what_does_not_end_when_it_is_cancelled_is_given_up(caplog, monkeypatch):
    monkeypatch.setattr(connection, "CLEAN_UP_S", 0.22)  # after the server's: each says its words
    began, go = Event(), Event()

    async def app(_scope, _receive, _send):
        began.set()
        with anyio.CancelScope(shield=True):
            while not go.is_set():
                await asyncio.sleep(0.001)

    with serving(app, stop_timeout="0") as server, connected(server) as sock:
        sock.sendall(GET)
        wait_for(began.is_set)
        stopping = gevent.spawn(server.stop)
        assert everything(sock) == b""
        assert not server.connections
        stopping.get(timeout=DEADLINE_S)
    assert "GET / was cancelled and does not end" in caplog.text
    assert "does not end, left behind: GET / " in caplog.text


def test_a_start_up_that_fails_shuts_down_what_has_started():
    """Its database connections, say, are closed in good order."""

    async def fails(_scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no config"})

    first = App(takes_s=0.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = wsgi.make_server({"factory": ""}, listener, Mount({"/first": first}, asgi=fails))
        with pytest.raises(ApplicationError, match="no config"):
            server.start()
        steps = list(first.steps)
        server.stop()
    assert steps == ["began", "ended"]
