"""The corpus of requests on the ASGI server: one verdict, whoever serves."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from urllib.parse import unquote

import gevent
import pytest

from asgi_harness import everything, serving
from http_corpus import INVALID, VALID, chunked, get, post
from http_harness import FEEDS, responses

NEXT = get(target=b"/next", headers=b"Connection: close\r\n")


class Seen(list):
    """An application that notes what it is asked for, and reads all of it."""

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        query = scope["query_string"].decode()
        # The corpus says what WSGI says, which is latin-1.
        path = unquote(scope["raw_path"].decode(), "latin-1")
        self.append((f"{path}?{query}" if query else path, body, scope))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def server():
    seen = Seen()
    with serving(seen) as server:
        server.seen = seen
        yield server


@pytest.fixture
def exchange(server):
    """What the server sends to a client that sends pieces, and the requests that its application saw."""
    server.seen.clear()

    def exchange(pieces):
        ours, theirs = socket.socketpair()
        with ours:
            server.do_handle(theirs, ("127.0.0.1", 1))
            for piece in pieces:
                try:
                    ours.sendall(piece)
                except OSError:
                    break  # it has closed
                gevent.sleep(0)  # a turn of the hub, in which the server reads it
            with suppress(OSError):
                ours.shutdown(socket.SHUT_WR)
            return everything(ours), server.seen

    return exchange


@pytest.mark.parametrize("feed", ["whole", "byte by byte"])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in VALID])
def test_what_is_valid_is_served_and_so_is_what_follows(exchange, case, feed):
    sent, seen = exchange(FEEDS[feed](case.data + NEXT))
    assert [response.status for response in responses(sent)] == [200, 200]
    assert [each[:2] for each in seen] == [case.verdict, ("/next", b"")]


@pytest.mark.parametrize("feed", ["whole", "byte by byte"])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in INVALID])
def test_what_is_invalid_is_refused_and_nothing_that_follows_is_served(exchange, case, feed, caplog):
    if len(case.data) > 2000 and feed != "whole":
        feed = "halved"
    sent, seen = exchange(FEEDS[feed](case.data + NEXT))
    [response] = responses(sent)
    assert response.status == case.verdict, case.reason
    assert response.headers["Connection"] == "close"
    assert not seen
    [record] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage().isprintable()


def test_a_name_with_an_underscore_is_dropped(exchange):
    _, seen = exchange([get(b"X_User: root\r\nX-User: me\r\nTransfer_Encoding: chunked\r\n")])
    assert seen[0][2]["headers"] == [(b"host", b"a"), (b"x-user", b"me")]


def test_the_authority_of_an_absolute_target_is_the_host(exchange):
    _, seen = exchange([get(target=b"http://real:81/x", host=b"Host: other\r\n")])
    assert seen[0][2]["headers"] == [(b"host", b"real:81")]
    assert seen[0][2]["raw_path"] == b"/x"


@contextmanager
def connected(app, **options):
    with serving(app, **options) as server, socket.create_connection(server.address) as sock:
        yield sock


LARGE = {
    "announced": post(b"Content-Length: 6\r\n", b"123456"),
    "chunked": chunked(b"3\r\n123\r\n3\r\n456\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
def test_a_body_over_the_limit_is_refused(data):
    seen = Seen()
    for limit, status in ((6, 200), (5, 413)):
        with (
            serving(seen, max_body_size=str(limit)) as server,
            socket.create_connection(server.address) as sock,
        ):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            assert everything(sock).startswith(b"HTTP/1.1 %d " % status)
    assert len(seen) == 1


def test_limits_of_the_head_are_options():
    data = get(b"X: y\r\n" * 2 + b"Connection: close\r\n")
    for options, status in (
        ({"max_headers": "4"}, 200),
        ({"max_headers": "3"}, 431),
        ({"max_head_size": str(len(data))}, 200),
        ({"max_head_size": str(len(data) - 1)}, 431),
    ):
        with connected(Seen(), **options) as sock:
            sock.sendall(data)
            assert everything(sock).startswith(b"HTTP/1.1 %d " % status)
