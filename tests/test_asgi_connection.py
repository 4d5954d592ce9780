"""A connection of the ASGI server, whichever applications its requests are for."""

from __future__ import annotations

import gevent
import httpx
import pytest

from asgi_harness import body_of, connected, everything, reply, serving, until, url
from baseplate_serve._servers.asgi import connection
from baseplate_serve.asgi import Mount
from deadline import DEADLINE_S, wait_for

GET = b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n"


async def hello(_scope, _receive, send):
    await reply(send, b"hello")


async def new_app(scope, receive, send):
    await reply(send, f"new {scope['path']} ".encode() + await body_of(receive))


def old_app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"old {environ['PATH_INFO']} ".encode() + body]


def both():
    return Mount({"/new": new_app}, wsgi=old_app)


def test_requests_for_both_kinds_in_one_pipeline():
    request = b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n%b"
    paths = [b"/new/1", b"/old/2", b"/old/3", b"/new/4", b"/old/5"]
    with serving(both()) as server, connected(server) as sock:
        sock.sendall(b"".join(request % (path, path[-4:]) for path in paths))
        answers = until(sock, b"old /old/5 ld/5")
    found = [answers.find(b"%b %b %b" % (path[1:4], path, path[-4:])) for path in paths]
    assert -1 not in found
    assert found == sorted(found)


def test_after_requests_of_both_kinds_the_connection_is_idle_and_leaves_at_once():
    with serving(both()) as server, connected(server) as sock:
        for path in (b"/old", b"/new", b"/old"):
            sock.sendall(GET % path)
            until(sock, b" %b " % path)
        wait_for(lambda: not server.in_flight(), "it is idle")
        stopping = gevent.spawn(server.stop)
        assert everything(sock) in (b"", b"0\r\n\r\n")
        stopping.get(timeout=1)


@pytest.mark.parametrize("target", [b"/%6eew/x", b"/new/x", b"http://h/new/x"])
def test_a_prefix_matches_however_the_path_is_written(target):
    with serving(both()) as server, connected(server) as sock:
        sock.sendall(GET % target)
        assert until(sock, b"/new/x ").endswith(b"new /new/x ")


def test_the_parser_judges_requests_for_wsgi_applications_too(caplog):
    with serving(both()) as server, connected(server) as sock:
        sock.sendall(b"GET /old HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n")
        assert everything(sock).startswith(b"HTTP/1.1 501 ")
    assert "is no request" in caplog.text


def test_max_concurrency_bounds_the_connections_accepted():
    with serving(hello, max_concurrency="2") as server:
        with connected(server) as one, connected(server) as two:
            for sock in (one, two):
                sock.sendall(GET % b"/")
                until(sock, b"hello")
            third = gevent.spawn(httpx.get, url(server), timeout=DEADLINE_S)
            gevent.idle()
            assert len(server.connections) == 2
            assert not third.ready()
        assert third.get(timeout=DEADLINE_S).text == "hello"
        wait_for(lambda: len(server.connections) == 0, "all have left")


def test_idle_connections_have_no_greenlets():
    with serving(both()) as server:
        socks = [connected(server) for _ in range(20)]
        opened = [sock.__enter__() for sock in socks]
        for sock in opened:
            sock.sendall(GET % b"/new")
            until(sock, b"new /new ")
        assert len(server.connections) == 20
        assert len(server.pool) == 0
        for sock in socks:
            sock.__exit__(None, None, None)
        wait_for(lambda: len(server.connections) == 0, "all have left")


def test_who_hangs_up_at_once_leaves_nothing_behind():
    begun = []

    async def app(_scope, receive, _send):
        begun.append(1)
        await receive()
        await receive()

    with serving(app) as server:
        for _ in range(50):
            with connected(server) as sock:
                sock.sendall(GET % b"/")
        wait_for(lambda: len(server.connections) == 0, "all have left")
        wait_for(lambda: not server.tasks, "their tasks are over")


def test_a_bug_of_ours_leaves_no_client_waiting(monkeypatch, caplog):
    def scope_of(*_):
        raise ValueError("a bug")

    monkeypatch.setattr(connection, "scope_of", scope_of)
    with serving(hello) as server:
        with connected(server) as sock:
            sock.sendall(GET % b"/")
            assert everything(sock).startswith(b"HTTP/1.1 500 ")
        wait_for(lambda: not server.connections, "it is forgotten")
        assert server.connections.tally.errors == 1
    assert caplog.text.count("ValueError: a bug") == 1


def test_half_a_head_does_not_outlast_stop_timeout(caplog):
    with serving(hello, stop_timeout="0.1") as server, connected(server) as sock:
        sock.sendall(b"GET / HT")
        wait_for(server.in_flight, "it has begun")
        stopping = gevent.spawn(server.stop)
        assert everything(sock) == b""
        stopping.get(timeout=DEADLINE_S)
        assert server.abandoned == 1
    assert "cut off: a request from 127.0.0.1:" in caplog.text
