"""ASGI's http over real sockets: what an application may do, what it must not, and what clients do."""

from __future__ import annotations

import asyncio
import contextvars
import re
import time

import anyio
import gevent
import h11
import httpx
import pytest
from gevent.event import Event
from gevent.pywsgi import WSGIHandler

from asgi_harness import body_of, connected, everything, exchange, reply, serving, until, url
from baseplate_serve._logs.trace import current_trace
from baseplate_serve.asgi import Asgi, Mount, is_asgi
from baseplate_serve.errors import ApplicationError
from deadline import DEADLINE_S, wait_for

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LAST_GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
variable = contextvars.ContextVar("variable", default="unset")


async def echo(_scope, receive, send):
    await reply(send, await body_of(receive))


async def hello(_scope, _receive, send):
    await reply(send, b"hello")


def test_a_request_and_its_scope():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await reply(send, await body_of(receive), 201, [(b"X-One", b"1"), (b"x-one", b"2")])

    with serving(app) as server:
        got = httpx.post(url(server, "/a%20b/%C3%BC?q=%20"), content=b"body", headers={"X-Ask": "Why"})
    assert (got.status_code, got.content) == (201, b"body")
    assert got.headers.get_list("x-one") == ["1", "2"]
    assert got.headers["content-length"] == "4"
    assert "date" in got.headers
    (scope,) = scopes
    assert {key: scope[key] for key in ("type", "http_version", "method", "scheme", "root_path")} == {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "root_path": "",
    }
    assert scope["path"] == "/a b/ü"
    assert scope["raw_path"] == b"/a%20b/%C3%BC"
    assert scope["query_string"] == b"q=%20"
    assert (b"x-ask", b"Why") in scope["headers"]
    assert scope["server"] == ["127.0.0.1", server.address[1]]
    assert scope["client"][0] == "127.0.0.1"


def test_many_requests_on_one_connection():
    with serving(echo) as server, httpx.Client() as client:
        for n in range(100):
            assert client.post(url(server), content=b"%d" % n).content == b"%d" % n
        assert len(server.connections) == 1


def test_pipelined_requests_are_answered_in_order():
    with serving(echo) as server:
        requests = b"".join(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n%b\r\n%d"
            % (b"Connection: close\r\n" if n == 4 else b"", n)
            for n in range(5)
        )
        answers = exchange(server, requests)
    assert [part[-1:] for part in answers.split(b"HTTP/1.1 200 OK")[1:]] == [b"%d" % n for n in range(5)]


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("HEAD", 200, (b"content-length: 5", b"")),
        ("GET", 204, (None, b"")),
        ("GET", 304, (b"content-length: 5", b"")),
        ("GET", 200, (b"content-length: 5", b"hello")),
    ],
)
def test_responses_with_and_without_a_body(method, status, expected):
    async def app(_scope, _receive, send):
        await reply(send, b"hello", status, [(b"content-length", b"5")])

    with serving(app) as server:
        request = f"{method} / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
        head, _, body = exchange(server, request).partition(b"\r\n\r\n")
    length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    assert (length[0] if length else None, body) == expected
    assert b"transfer-encoding" not in head


def test_a_streamed_response_is_chunked():
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200})
        for piece in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0.001)
        await send({"type": "http.response.body"})

    with serving(app) as server:
        assert httpx.get(url(server)).text == "onetwo"
        assert exchange(server, LAST_GET).endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        old = exchange(server, b"GET / HTTP/1.0\r\n\r\n")  # knows no chunks: the end is the end
        assert old.endswith(b"\r\n\r\nonetwo")


@pytest.mark.parametrize("pieces", [1, 20])
def test_a_large_body_both_ways(pieces):
    body = bytes(range(256)) * 40_000

    def in_pieces(whole):
        for n in range(pieces):
            yield whole[n * len(whole) // pieces : (n + 1) * len(whole) // pieces]

    async def app(_scope, receive, send):
        whole = await body_of(receive)
        await send({"type": "http.response.start", "status": 200})
        for piece in in_pieces(whole):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    with serving(app) as server:
        assert httpx.post(url(server), content=in_pieces(body)).content == body
        assert httpx.post(url(server), content=body).content == body


def test_a_client_that_does_not_read_stops_the_application_and_nobody_else():
    """Backpressure: `send` suspends, and what it would have sent isn't kept."""
    sent = []

    async def app(scope, _receive, send):
        if scope["path"] == "/other":
            await reply(send, b"other")
            return
        await send({"type": "http.response.start", "status": 200})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
            sent.append(1)

    with serving(app) as server, connected(server) as sock:
        sock.sendall(GET)
        wait_for(lambda: sent)
        gevent.sleep(0.2)
        stopped_at = len(sent)
        assert stopped_at < 500
        assert httpx.get(url(server, "/other")).text == "other"
        assert len(sent) == stopped_at


def test_a_body_that_nobody_reads_is_not_received_without_end():
    async def app(_scope, _receive, send):
        await asyncio.sleep(0.2)
        await reply(send, b"no, thanks")

    with serving(app) as server, connected(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
        sock.settimeout(0.1)
        taken = 0
        with pytest.raises(TimeoutError):  # noqa: PT012 (some of them)
            while True:
                taken += sock.send(bytes(100_000))
        assert taken < 20_000_000
        sock.settimeout(20)
        assert b"no, thanks" in until(sock, b"no, thanks")


def test_100_continue_is_sent_when_the_application_asks_for_the_body():
    asked = Event()

    async def app(scope, receive, send):
        if scope["path"] == "/refuse":
            await reply(send, b"", 413)
            return
        while not asked.is_set():
            await asyncio.sleep(0.001)
        await reply(send, await body_of(receive))

    head = b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    with serving(app) as server:
        with connected(server) as sock:
            sock.sendall(head % b"/")
            asked.set()
            assert until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"body")
            assert until(sock, b"body").startswith(b"HTTP/1.1 200")
        assert exchange(server, head % b"/refuse").startswith(b"HTTP/1.1 413")  # and closes


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nSpace : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 300 + b"\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused(request_bytes, status, caplog):
    with serving(echo) as server:
        assert exchange(server, request_bytes).startswith(b"HTTP/1.1 %d " % status)
        assert httpx.get(url(server)).status_code == 200
    assert "Traceback" not in caplog.text


def test_an_absolute_target_and_an_asterisk():
    paths = []

    async def app(scope, _receive, send):
        paths.append((scope["path"], scope["query_string"]))
        await reply(send)

    with serving(app) as server:
        for target in (b"http://elsewhere/a?b", b"http://elsewhere", b"*"):
            exchange(server, b"OPTIONS %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % target)
    assert paths == [("/a", b"b"), ("*", b""), ("*", b"")]  # RFC 9112 §3.2.4


async def no_response(_scope, _receive, _send):
    pass


async def raises_before(_scope, _receive, _send):
    raise ValueError("before")


async def raises_after(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError("after")


async def starts_twice(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.start", "status": 200})


async def body_first(_scope, _receive, send):
    await send({"type": "http.response.body", "body": b"x"})


async def too_much(_scope, _receive, send):
    await reply(send, b"four", headers=[(b"content-length", b"2")])


async def too_little(_scope, _receive, send):
    await reply(send, b"four", headers=[(b"content-length", b"9")])


async def no_length(_scope, _receive, send):
    await reply(send, b"hello", headers=[(b"content-length", b"+5")])


async def no_decimal_length(_scope, _receive, send):
    await reply(send, b"hello", headers=[(b"content-length", b"0_5")])


async def two_lengths(_scope, _receive, send):
    await reply(send, b"hello", headers=[(b"content-length", b"3"), (b"Content-Length", b"5")])


async def no_field(_scope, _receive, send):
    await reply(send, b"", headers=[(b"x", b"hunter2\r\nb: c")])


async def no_name(_scope, _receive, send):
    await reply(send, b"", headers=[(b"x: hunter2", b"")])


async def unknown_message(_scope, _receive, send):
    await send({"type": "http.nonsense"})


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (no_response, "returned without a response"),
        (raises_before, "ValueError: before"),
        (starts_twice, "the response was started twice"),
        (body_first, "has a body and was not started"),
        (too_much, "longer than its Content-Length"),
        (too_little, "5 bytes shorter than its Content-Length"),
        (no_length, "Content-Length is no number"),
        (no_decimal_length, "Content-Length is no number"),
        (two_lengths, "Content-Length is given twice"),
        (no_field, "in the value of a header: b'x'"),
        (no_name, "a header's name is none"),
        (unknown_message, "no message of http: 'http.nonsense'"),
    ],
)
def test_an_applications_mistake_before_the_first_byte_is_a_500(app, said, caplog):
    with serving(app) as server:
        assert exchange(server, GET).startswith(b"HTTP/1.1 500 ")
    assert said in caplog.text


def test_a_failure_after_the_first_byte_ends_the_connection(caplog):
    with serving(raises_after) as server:
        assert exchange(server, GET).endswith(b"\r\n\r\nhalf")
    assert "ValueError: after" in caplog.text


def test_an_application_that_returns_within_its_response_ends_the_connection(caplog):
    """The client sees that it is not whole: the last chunk is missing."""

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    with serving(app) as server:
        assert exchange(server, GET + GET).endswith(b"\r\n\r\n4\r\nhalf\r\n")
    assert "GET /: the application returned without a whole response" in caplog.text


def test_more_after_the_end_is_the_applications_error(caplog):
    async def app(_scope, _receive, send):
        await reply(send, b"whole")
        await send({"type": "http.response.body", "body": b"more"})

    with serving(app) as server:
        assert httpx.get(url(server)).text == "whole"
        wait_for(lambda: "the response is complete and gets more" in caplog.text)


def test_what_follows_the_response_does_not_keep_the_next_request_waiting():
    """A framework's background tasks run in the application's call."""
    go = Event()
    done = []

    async def app(scope, receive, send):
        await reply(send, scope["path"].encode())
        assert (await receive())["type"] == "http.disconnect"  # of the request, not of the connection
        while not go.is_set():
            await asyncio.sleep(0.001)
        done.append(scope["path"])

    with serving(app) as server, httpx.Client() as client:
        assert client.get(url(server, "/1")).text == "/1"
        assert client.get(url(server, "/2")).text == "/2"
        assert done == []
        go.set()
        wait_for(lambda: len(done) == 2)


def test_such_a_task_is_waited_for_when_the_server_stops():
    done = []

    async def app(_scope, _receive, send):
        await reply(send)
        await asyncio.sleep(0.1)
        done.append(True)

    with serving(app) as server:
        httpx.get(url(server))
    assert done


@pytest.mark.parametrize("waits_in", ["sleep", "receive", "gevent"])
def test_a_client_that_hangs_up_cancels_its_task(waits_in):
    began, ended, go = Event(), [], Event()

    async def app(_scope, receive, _send):
        await body_of(receive)
        began.set()
        try:
            if waits_in == "sleep":
                await asyncio.sleep(60)
            elif waits_in == "gevent":
                go.wait()
                await asyncio.sleep(60)
            else:
                ended.append((await receive())["type"])
                await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.001)  # clean-up may await
            ended.append("cleaned up")

    with serving(app) as server:
        with connected(server) as sock:
            sock.sendall(GET)
            wait_for(began.is_set)
        gevent.sleep(0.05)
        go.set()
        wait_for(lambda: ended[-1:] == ["cleaned up"])
        wait_for(lambda: not server.tasks)
        assert ended[:-1] == (["http.disconnect"] if waits_in == "receive" else [])


def test_what_is_shielded_is_not_cancelled():
    began, go, ended = Event(), Event(), []

    async def app(_scope, receive, _send):
        await body_of(receive)
        with anyio.CancelScope(shield=True):
            began.set()
            while not go.is_set():
                await asyncio.sleep(0.001)
            ended.append("shielded")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with serving(app) as server:
        with connected(server) as sock:
            sock.sendall(GET)
            wait_for(began.is_set)
        gevent.sleep(0.05)
        assert ended == []
        go.set()
        wait_for(lambda: ended == ["shielded", "cancelled"])


def test_sending_to_a_client_that_has_gone_is_an_oserror():
    raised = []

    async def app(_scope, receive, send):
        await body_of(receive)
        assert (await receive())["type"] == "http.disconnect"
        try:
            await reply(send)
        except OSError as error:
            raised.append(str(error))
            raise

    with serving(app) as server:
        with connected(server) as sock:
            sock.sendall(GET)
            gevent.sleep(0.05)
        wait_for(lambda: raised == ["the client has gone"])


def test_stop_waits_for_a_request_in_flight_and_closes_idle_connections():
    began, go = Event(), Event()

    async def app(_scope, _receive, send):
        began.set()
        while not go.is_set():
            await asyncio.sleep(0.001)
        await reply(send, b"whole")

    with serving(app) as server, connected(server) as busy, connected(server) as idle:
        busy.sendall(GET)
        wait_for(began.is_set)
        stopping = gevent.spawn(server.stop)
        assert everything(idle) == b""
        assert not stopping.ready()
        go.set()
        answer = everything(busy)
        stopping.get(timeout=DEADLINE_S)
    assert answer.endswith(b"whole")
    assert b"connection: close" in answer


def test_what_is_left_at_stop_timeout_is_cancelled(caplog):
    began, ended = Event(), []

    async def app(_scope, _receive, _send):
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.001)
            ended.append(True)

    with serving(app, stop_timeout="10 milliseconds") as server, connected(server) as sock:
        sock.sendall(GET)
        wait_for(began.is_set)
        server.stop()
        assert ended == [True]
        assert not server.tasks
    assert "stop_timeout is over, cut off: GET /" in caplog.text


def test_gevent_calls_and_context_variables_in_an_application():
    inside = most = 0

    async def app(scope, _receive, send):
        nonlocal inside, most
        assert variable.get() == "unset"
        variable.set(scope["path"])
        inside += 1
        most = max(most, inside)
        time.sleep(0.05)  # noqa: ASYNC251 (gevent's: it suspends this task only)
        inside -= 1
        await reply(send, variable.get().encode())

    with serving(app) as server:
        calls = [gevent.spawn(httpx.get, url(server, f"/{n}")) for n in range(20)]
        assert [call.get(timeout=DEADLINE_S).text for call in calls] == [f"/{n}" for n in range(20)]
        assert most > 1


@pytest.mark.parametrize("chunked", [True, False])
def test_h11_agrees_with_every_byte(chunked):
    """A parser of another make, strict about what it reads, on one connection."""

    async def app(scope, receive, send):
        body = await body_of(receive)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        if chunked:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            body = b""
        await send({"type": "http.response.body", "body": body})

    with serving(app) as server, connected(server) as sock:
        connection = h11.Connection(h11.CLIENT)
        for body in (b"one", b"", b"three" * 1000):
            framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))
            request = h11.Request(method="POST", target="/", headers=[("Host", "h"), framing])
            for event in (request, h11.Data(data=body), h11.EndOfMessage()):
                sock.sendall(connection.send(event))
            got = []
            while not got or not isinstance(got[-1], h11.EndOfMessage):
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(sock.recv(65536))
                else:
                    got.append(event)
            assert got[0].status_code == 200
            assert b"".join(bytes(e.data) for e in got if isinstance(e, h11.Data)) == body
            connection.start_next_cycle()


def test_log_lines_have_the_requests_trace():
    traces = []

    async def app(_scope, _receive, send):
        await asyncio.sleep(0)
        traces.append(current_trace())
        await reply(send)

    with serving(app) as server, httpx.Client() as client:
        client.get(url(server), headers={"X-B3-TraceId": "1234", "X-B3-SpanId": "5678"})
        client.get(url(server))
    assert traces == [("1234", "5678"), None]


def old_app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"old ", environ["PATH_INFO"].encode(), b" ", body]


async def new_app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await reply(send, f"new {scope['root_path']} {scope['path']} ".encode() + await body_of(receive))


def test_some_paths_are_asgi_and_the_others_wsgi():
    mount = Mount({"/api": new_app, "/api/old": old_app}, wsgi=old_app)
    with serving(mount) as server, httpx.Client() as client:
        for path, expected in [
            ("/", "old / body"),
            ("/api", "new /api /api body"),
            ("/api/users", "new /api /api/users body"),
            ("/apis", "old /apis body"),
            ("/api/old/x", "old /api/old/x body"),
            ("/other", "old /other body"),
        ]:
            assert client.post(url(server, path), content=b"body").text == expected
            assert client.post(url(server, path), content=iter([b"bo", b"dy"])).text == expected
        assert len(server.connections) == 1


def test_asgi_by_default_and_wsgi_below():
    with serving(Mount({"/old": old_app}, asgi=new_app)) as server:
        assert httpx.get(url(server, "/old")).text == "old /old "
        assert httpx.get(url(server, "/new")).text == "new  /new "


@pytest.mark.parametrize("prefix", ["api", "/api/", "/", ""])
def test_a_prefix_has_a_form(prefix):
    with pytest.raises(ValueError, match="begins with a slash"):
        Mount({prefix: new_app}, wsgi=old_app)
    with pytest.raises(TypeError, match="default"):
        Mount({"/api": new_app})


def test_what_is_an_asgi_application():
    class Instance:
        async def __call__(self, scope, receive, send):
            pass

    def forwards(scope, receive, send):
        return new_app(scope, receive, send)

    def undecided(*args):
        return new_app(*args)

    assert all(map(is_asgi, [new_app, Instance(), forwards, Asgi(undecided)]))
    assert not any(map(is_asgi, [old_app, undecided, Instance, print]))


def lifespan_app(log, fail=None):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{step}"
                log.append(step)
                if fail == step:
                    await send({"type": f"lifespan.{step}.failed", "message": "no database"})
                    return
                scope["state"]["pool"] = "the pool"
                await send({"type": f"lifespan.{step}.complete"})
        else:
            log.append("request")
            scope["state"]["own"] = 1
            await reply(send, scope["state"]["pool"].encode())

    return app


def test_lifespan_and_its_state():
    log = []
    with serving(lifespan_app(log), lifespan=True) as server:
        assert log == ["startup"]
        assert httpx.get(url(server)).text == "the pool"
    assert log == ["startup", "request", "shutdown"]


def test_a_failed_start_up_raises_with_its_message():
    log = []
    with (
        pytest.raises(Exception, match="start-up failed: no database"),
        serving(lifespan_app(log, "startup"), lifespan=True),
    ):
        pass
    assert log == ["startup"]


def leaving_its_start_up(error, *, heard=True):
    """An application whose lifespan ends by *error*, or returns, and has answered nothing."""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await reply(send, b"served")
            return
        if heard:
            await receive()
        if error is not None:
            raise error

    return app


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit("no config"), "no config"),
        (SystemExit(3), "SystemExit(3)"),
        (asyncio.CancelledError(), "CancelledError()"),
    ],
    ids=repr,
)
def test_an_application_that_leaves_its_start_up_has_failed(error, said):
    with (
        pytest.raises(ApplicationError, match=re.escape(f"the application's start-up failed: {said}")),
        serving(leaving_its_start_up(error), lifespan=True),
    ):
        pass


@pytest.mark.parametrize(
    ("error", "heard", "level", "said"),
    [
        (NotImplementedError(), False, "INFO", "has no lifespan: it raised NotImplementedError()"),
        (None, False, "INFO", "has no lifespan: it returned"),
        (ValueError("db"), True, "WARNING", "the application raised ValueError('db') in its start-up"),
        (None, True, "WARNING", "the application returned in its start-up"),
    ],
)
def test_an_application_that_does_not_answer_is_served_without_a_lifespan(error, heard, level, said, caplog):
    """As the specification has it; the log says so."""
    caplog.set_level("INFO")
    with serving(leaving_its_start_up(error, heard=heard), lifespan=True) as server:
        assert httpx.get(url(server)).text == "served"
    (record,) = [r for r in caplog.records if r.name == "baseplate_serve.asgi"]
    assert record.levelname == level
    assert said in record.getMessage()


def test_a_start_up_that_has_said_why_it_failed_says_it_once(caplog):
    """Frameworks send the message, and raise."""

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise ConnectionError

    caplog.set_level("INFO")
    with pytest.raises(ApplicationError, match="failed: no database"), serving(app, lifespan=True):
        pass
    assert not [r for r in caplog.records if r.name == "baseplate_serve.asgi"]


def test_a_failed_shutdown_is_logged(caplog):
    with serving(lifespan_app([], "shutdown"), lifespan=True):
        pass
    assert "shutdown failed: no database" in caplog.text


def test_a_handler_that_waits_between_finding_the_application_and_calling_it():
    """Meanwhile another connection's request finds another application."""

    def named(name):
        def app(environ, start_response):
            start_response("200 OK", [])
            return [name]

        return app

    mount = Mount({"/a": named(b"a"), "/b": named(b"b"), "/new": new_app}, wsgi=old_app)
    with serving(mount, handler="test_asgi_http:WaitingHandler") as server:
        calls = [gevent.spawn(httpx.get, url(server, path)) for path in ("/a", "/b") * 5]
        assert [call.get(timeout=DEADLINE_S).text for call in calls] == ["a", "b"] * 5


class WaitingHandler(WSGIHandler):
    def handle_one_response(self):
        gevent.sleep(0.01)
        super().handle_one_response()

    def get_environ(self):
        gevent.sleep(0.01)
        return super().get_environ()
