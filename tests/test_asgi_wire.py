"""The corpus of requests on the ASGI server, for ASGI and WSGI applications: one verdict, whoever serves."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from urllib.parse import unquote

import gevent
import pytest

from asgi_harness import connected, everything, kind_of_server, serving
from http_corpus import INVALID, VALID, chunked, get, post
from http_harness import FEEDS, responses
from http_harness import Seen as SeenByWsgi

NEXT = get(target=b"/next", headers=b"Connection: close\r\n")


KINDS = ["asgi", "wsgi in a mount"]


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


@contextmanager
def serving_kind(kind, **options):
    """Serve in the way *kind*; the server's `seen` is what its application has seen."""
    seen = {"asgi": Seen(), "wsgi in a mount": SeenByWsgi()}
    app, always = kind_of_server(kind, seen["wsgi in a mount"], seen["asgi"])
    with serving(app, **always, **options) as server:
        server.seen = seen[kind]
        yield server


@pytest.fixture(scope="module", params=KINDS)
def server(request):
    with serving_kind(request.param) as server:
        yield server


@pytest.fixture
def exchange(server):
    """What the server sends to a client that sends pieces, and the requests that its application saw."""
    server.seen.clear()

    def exchange(pieces, *, half_close=True):
        ours, theirs = socket.socketpair()
        with ours:
            server.do_handle(theirs, ("127.0.0.1", 1))
            for piece in pieces:
                try:
                    ours.sendall(piece)
                except OSError:
                    break  # it has closed
                gevent.sleep(0)  # a turn of the hub, in which the server reads it
            if half_close:
                with suppress(OSError):
                    ours.shutdown(socket.SHUT_WR)
            return everything(ours), server.seen

    return exchange


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in VALID])
def test_what_is_valid_is_served_and_so_is_what_follows(exchange, case, feed):
    # A client that closes its half counts as gone; the server closes after the second.
    sent, seen = exchange(FEEDS[feed](case.data + NEXT), half_close=False)
    assert [response.status for response in responses(sent)] == [200, 200]
    assert [each[:2] for each in seen] == [case.verdict, ("/next", b"")]


@pytest.mark.parametrize(
    ("case", "feed"),
    [
        pytest.param(case, feed, id=f"{case.name}, {feed}")
        for case in INVALID
        for feed in FEEDS
        if len(case.data) < 2000 or feed != "byte by byte"  # each byte is a turn of the hub
    ],
)
def test_what_is_invalid_is_refused_and_nothing_that_follows_is_served(exchange, case, feed, caplog):
    sent, seen = exchange(FEEDS[feed](case.data + NEXT))
    [response] = responses(sent)
    assert response.status == case.verdict, case.reason
    assert response.headers["Connection"] == "close"
    assert not seen
    [record] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage().isprintable()


@pytest.mark.parametrize("server", ["asgi"], indirect=True)
def test_a_name_with_an_underscore_is_dropped(exchange):
    _, seen = exchange([get(b"X_User: root\r\nX-User: me\r\nTransfer_Encoding: chunked\r\n")])
    assert seen[0][2]["headers"] == [(b"host", b"a"), (b"x-user", b"me")]


@pytest.mark.parametrize("server", ["asgi"], indirect=True)
def test_the_authority_of_an_absolute_target_is_the_host(exchange):
    _, seen = exchange([get(target=b"http://real:81/x", host=b"Host: other\r\n")])
    assert seen[0][2]["headers"] == [(b"host", b"real:81")]
    assert seen[0][2]["raw_path"] == b"/x"


LARGE = {
    "announced": post(b"Content-Length: 6\r\n", b"123456"),
    "chunked": chunked(b"3\r\n123\r\n3\r\n456\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
def test_a_body_over_the_limit_is_refused(kind, data):
    for limit, status in ((6, 200), (5, 413)):
        with serving_kind(kind, max_body_size=str(limit)) as server, connected(server) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            assert everything(sock).startswith(b"HTTP/1.1 %d " % status)
            assert len(server.seen) == (status == 200)


@pytest.mark.parametrize("kind", KINDS)
def test_limits_of_the_head_are_options(kind):
    data = get(b"X: y\r\n" * 2 + b"Connection: close\r\n")
    for options, status in (
        ({"max_headers": "4"}, 200),
        ({"max_headers": "3"}, 431),
        ({"max_head_size": str(len(data))}, 200),
        ({"max_head_size": str(len(data) - 1)}, 431),
    ):
        with serving_kind(kind, **options) as server, connected(server) as sock:
            sock.sendall(data)
            assert everything(sock).startswith(b"HTTP/1.1 %d " % status)
