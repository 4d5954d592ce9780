"""What WSGI promises an application, by our handler: PEP 3333, and what pywsgi gives besides."""

from __future__ import annotations

import logging
import socket
import sys
from wsgiref.validate import validator

import gevent
import pytest
from gevent.event import Event

from baseplate_serve._servers.http.server import HttpServer
from baseplate_serve._settings.options import ServerSettings
from deadline import DEADLINE_S
from http_corpus import chunked, get, post
from http_harness import FEEDS, exchange, responses

TEXT = [("Content-Type", "text/plain")]
CLOSE = get(b"Connection: close\r\n")
HTTP_10 = get(version=b"HTTP/1.0")


class Closing:
    """A result that knows whether it was closed."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self):
        self.closed += 1


def answering(result, status="200 OK", headers=TEXT):
    def app(environ, start_response):
        start_response(status, headers)
        return result() if callable(result) else result

    return app


def one(app, data=CLOSE, method="GET"):
    """The only response to *data*."""
    [response] = responses(exchange(app, [data]), [method])
    return response


def errors(caplog):
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


# Results


@pytest.mark.parametrize(
    ("result", "framing"),
    [
        pytest.param([b"hello"], ("5", None), id="a list of one"),
        pytest.param([b"hel", b"", b"lo"], ("5", None), id="a list"),
        pytest.param((b"hel", b"lo"), ("5", None), id="a tuple"),
        pytest.param([bytearray(b"hello")], ("5", None), id="a bytearray"),
        pytest.param(lambda: iter([b"", b"hel", b"", b"lo"]), (None, "chunked"), id="an iterator"),
    ],
)
def test_a_result_is_framed_by_what_is_known_of_it(result, framing):
    response = one(answering(result))
    assert response.text == b"hello"
    assert (response.headers["Content-Length"], response.headers["Transfer-Encoding"]) == framing


@pytest.mark.parametrize("result", [[], (), [b""]], ids=repr)
def test_an_empty_result_has_length_zero(result):
    assert one(answering(result)).headers["Content-Length"] == "0"


def test_an_iterator_for_http_1_0_ends_with_its_connection():
    data = exchange(
        answering(lambda: iter([b"hel", b"lo"])), [get(b"Connection: keep-alive\r\n", version=b"HTTP/1.0")]
    )
    assert data.endswith(b"Connection: close\r\n\r\nhello")
    assert b"Content-Length" not in data
    assert b"Transfer-Encoding" not in data


def test_http_1_0_is_kept_alive_if_it_asks():
    data = get(b"Connection: keep-alive\r\n", version=b"HTTP/1.0")
    first, second = responses(exchange(answering([b"x"]), [data + HTTP_10]))
    assert first.headers["Connection"] == "keep-alive"
    assert second.headers["Connection"] == "close"


def test_the_head_goes_with_the_first_piece_and_not_before():
    """`start_response` may be called again, with exc_info, as long as nothing was sent."""
    order = []

    def app(environ, start_response):
        def pieces():
            start_response("200 OK", TEXT)
            order.append("started")
            yield b""
            try:
                raise LookupError
            except LookupError:
                start_response("503 Service Unavailable", TEXT, sys.exc_info())
            yield b"sorry"

        return pieces()

    response = one(app)
    assert (response.status, response.text) == (503, b"sorry")


def test_exc_info_is_raised_again_once_the_head_is_sent(caplog):
    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"begun")
        try:
            raise LookupError("too late")
        except LookupError:
            start_response("500 Oh no", TEXT, sys.exc_info())
        pytest.fail("not reached")

    data = exchange(app, [get() + get()])
    assert data.count(b"HTTP/1.1") == 1  # the connection ends with the broken response
    assert not data.endswith(b"0\r\n\r\n")
    assert "too late" in caplog.text


def test_a_second_start_response_after_the_head_is_an_error(caplog):
    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"begun")
        start_response("200 OK", TEXT)
        return []

    exchange(app, [get()])
    assert "The response has begun" in caplog.text


def test_write_goes_before_the_result():
    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"written, ")
        write(b"")
        return [b"returned"]

    assert one(app).text == b"written, returned"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_10], ids=["1.1", "1.0"])
def test_close_is_called_once_whatever_happens(data, caplog):
    for pieces in ([b"a"], [b"", b"a"], [LookupError("a bug")], [b"a", LookupError("a bug")]):
        result = Closing(pieces)
        exchange(answering(result), [data])
        assert result.closed == 1


def test_close_is_called_when_the_client_has_gone():
    result = Closing([b"x" * 65536] * 1000)
    with serving(answering(result)) as server, socket.create_connection(server.address) as client:
        client.sendall(get())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        client.recv(1)
        client.close()
        server.connections.none_left.wait(DEADLINE_S)
        assert result.closed == 1


def test_it_satisfies_the_validator():
    def app(environ, start_response):
        for _ in environ["wsgi.input"]:
            pass
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        return [b"hello"]

    for data in (
        get(),
        get(target=b"/a?b"),
        post(b"Content-Length: 3\r\n", b"a\nb"),
        chunked(b"1\r\na\r\n0\r\n\r\n"),
    ):
        assert one(validator(app), data).text == b"hello"


# Responses without a body


@pytest.mark.parametrize(
    ("result", "length"),
    [
        pytest.param([b"hello"], "5", id="a list"),
        pytest.param([], None, id="a list that somebody has emptied"),
        pytest.param(lambda: iter([b"hel", b"lo"]), None, id="an iterator"),
    ],
)
def test_head_has_the_head_alone(result, length):
    data = exchange(answering(result), [get(method=b"HEAD") + CLOSE])
    first, second = responses(data, ["HEAD"])
    assert first.headers["Content-Length"] == length
    assert first.headers["Transfer-Encoding"] is None
    assert second.text in (b"hello", b"")


def test_head_keeps_the_length_that_is_declared():
    app = answering([b"hello"], headers=[("Content-Length", "5")])
    data = exchange(app, [get(method=b"HEAD")])
    assert data.endswith(b"\r\n\r\n")
    assert b"Content-Length: 5\r\n" in data


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_without_body_has_none(status, caplog):
    data = exchange(answering([], status, []), [get() + CLOSE])
    assert [response.status for response in responses(data)] == [int(status[:3])] * 2
    assert b"Content-Length" not in data
    assert one(answering([b"body"], status, [])).status == 500
    assert one(answering([], status, [("Content-Length", "4")])).status == 500


# Content-Length


@pytest.mark.parametrize("result", [[b"hello, world"], [b"hel", b"lo, world"]], ids=repr)
def test_a_list_longer_than_declared_is_an_error(result, caplog):
    app = answering(result, headers=[("Content-Length", "5")])
    assert one(app, get() + get()).status == 500
    assert "longer than its Content-Length" in caplog.text


def test_more_than_declared_is_not_sent(caplog):
    """The client would take the rest for its next response."""
    app = answering(lambda: iter([b"hello", b", world"]), headers=[("Content-Length", "5")])
    response = one(app, get() + get())
    assert response.text == b"hello"
    assert "longer than its Content-Length" in caplog.text


def test_less_than_declared_ends_the_connection(caplog):
    app = answering(lambda: iter([b"hell"]), headers=[("Content-Length", "5")])
    data = exchange(app, [get() + get()])
    assert data.endswith(b"\r\n\r\nhell")
    assert data.count(b"HTTP/1.1") == 1
    assert "1 bytes shorter than its Content-Length" in caplog.text


# What applications give


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        pytest.param("200 OK\r\nX: y", [], id="CR LF in the status"),
        pytest.param("200 OK\0", [], id="NUL in the status"),
        pytest.param("200 OK", [("X", "a\r\nSet-Cookie: b")], id="CR LF in a value"),
        pytest.param("200 OK", [("X", "a\nSet-Cookie: b")], id="LF in a value"),
        pytest.param("200 OK", [("X", "a\rSet-Cookie: b")], id="CR in a value"),
        pytest.param("200 OK", [("X", "a\0")], id="NUL in a value"),
        pytest.param("200 OK", [("X", "a"), ("Connection", "close\r\nX: y")], id="CR LF in Connection"),
        pytest.param("200 OK", [("Content-Length", "1\r\n")], id="CR LF in Content-Length"),
        pytest.param("200 OK", [("Date", "now\r\nX: y")], id="CR LF in Date"),
        pytest.param("200 OK", [("X\r\nY", "a")], id="CR LF in a name"),
        pytest.param("200 OK", [("X: y\r\nZ", "a")], id="a line in a name"),
        pytest.param("200 OK", [("X ", "a")], id="a space in a name"),
        pytest.param("200 OK", [("", "a")], id="no name"),
        pytest.param("200 OK", [("X", 5)], id="a number for a value"),
        pytest.param("200 OK", [("X", b"a")], id="bytes for a value"),
        pytest.param("200 OK", [(b"X", "a")], id="bytes for a name"),
        pytest.param("200 OK", [("X", "\u20ac")], id="no latin-1"),
        pytest.param("200 OK", [("Content-Length", "5"), ("content-length", "6")], id="two lengths"),
        pytest.param("200 OK", [("Content-Length", "-5")], id="a negative length"),
        pytest.param("200 OK", [("Content-Length", "\u0665")], id="a digit of another script"),
        pytest.param("100 Continue", [], id="an interim status"),
        pytest.param("OK", [], id="no code"),
        pytest.param(b"200 OK", [], id="bytes for a status"),
    ],
)
def test_a_head_that_is_none_is_refused_in_start_response(status, headers, caplog):
    """So that the application is told while it runs; response splitting among them."""
    told = []

    def app(environ, start_response):
        try:
            start_response(status, headers)
        except (ValueError, TypeError) as error:
            told.append(error)
            raise
        return [b"hello"]

    for _ in range(2):  # what is remembered of the first time makes no difference
        response = one(app)
        assert response.status == 500
        assert response.headers["X"] is None
        assert response.headers["Set-Cookie"] is None
    assert len(told) == 2


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param("Set-Cookie", "session=hunter2\n", "Set-Cookie", id="LF in a value"),
        pytest.param("Set-Cookie", "session=hunter2\0", "Set-Cookie", id="NUL in a value"),
        pytest.param("Set-Cookie", "session=hunter2\u20ac", "Set-Cookie", id="no latin-1"),
        pytest.param("Set-Cookie", b"session=hunter2", "Set-Cookie", id="bytes for a value"),
        pytest.param("Connection", "hunter2\n", "Connection", id="LF in Connection"),
        pytest.param("Content-Length", "hunter2", "Content-Length", id="no length"),
        pytest.param("Set-Cookie: session=hunter2", "", "Set-Cookie", id="a line in a name"),
        pytest.param(b"Set-Cookie: session=hunter2", "", "no native string", id="bytes for a name"),
    ],
)
def test_the_log_tells_which_header_is_wrong_and_not_its_value(name, value, told, caplog):
    assert one(answering([b""], headers=[("X", "y"), (name, value)])).status == 500
    assert told in caplog.text
    assert "hunter2" not in caplog.text


def test_what_the_application_gives_stays():
    headers = [("Date", "today"), ("X-One", "1"), ("X-One", "2"), ("Set-Cookie", "\xe4")]
    response = one(answering([b""], "299 Fine, thanks", headers), get())
    assert (response.status, response.reason) == (299, "Fine, thanks")
    assert response.headers.items()[:4] == headers
    assert response.headers["Connection"] is None


def test_connection_close_is_the_applications_choice():
    response = one(answering([b"x"], headers=[("connection", "Close")]), get() + get())
    assert response.headers["Connection"] == "close"


def test_the_body_is_framed_by_the_server():
    """An application that passes on another server's Transfer-Encoding would announce what isn't so."""
    response = one(answering([b"x"], headers=[("Transfer-Encoding", "chunked")]))
    assert response.headers["Transfer-Encoding"] is None
    assert response.text == b"x"


@pytest.mark.parametrize(
    ("app", "words"),
    [
        pytest.param(lambda environ, start_response: [b"x"], "did not call start_response", id="no start"),
        pytest.param(lambda environ, start_response: [], "did not call start_response", id="nothing"),
        pytest.param(answering(None), "not iterable", id="None"),
        pytest.param(answering(["text"]), "bytes", id="text"),
        pytest.param(answering(lambda: iter(["text"])), "bytes", id="text in an iterator"),
        pytest.param(answering(lambda: iter(["text" * 20000])), "bytes", id="much text"),
        pytest.param(answering([b"x"], headers=None), "not iterable", id="no headers"),
    ],
)
def test_a_faulty_application_is_answered_for(app, words, caplog):
    assert one(app).status == 500
    assert len(errors(caplog)) == 1
    assert words in caplog.text


def test_an_error_of_the_applications_own_connections_is_not_the_clients(caplog):
    """A database that resets its connection must not look like a client that went away."""

    def app(environ, start_response):
        raise ConnectionResetError(104, "Connection reset by peer")

    assert one(app).status == 500
    assert len(errors(caplog)) == 1


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), gevent.Timeout(1)], ids=repr)
def test_what_is_no_exception_has_its_response_too(error, caplog):
    def app(environ, start_response):
        raise error

    assert one(app).status == 500


# Input


def reading(how):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return [repr(how(environ["wsgi.input"])).encode()]

    return app


BODY = b"one\ntwo\n\nthree"


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(post(b"Content-Length: 14\r\n", BODY), id="length"),
        pytest.param(chunked(b"2\r\non\r\n3\r\ne\nt\r\n9\r\nwo\n\nthree\r\n0\r\nX: y\r\n\r\n"), id="chunked"),
    ],
)
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        pytest.param(lambda body: body.read(), BODY, id="read"),
        pytest.param(lambda body: body.read(None), BODY, id="read None"),
        pytest.param(lambda body: body.read(-1), BODY, id="read -1"),
        pytest.param(lambda body: (body.read(0), body.read(5), body.read(100), body.read(1)),
                     (b"", b"one\nt", b"wo\n\nthree", b""), id="read some"),
        pytest.param(lambda body: (body.readline(), body.readline(1), body.readline(), body.read(1)),
                     (b"one\n", b"t", b"wo\n", b"\n"), id="readline"),
        pytest.param(lambda body: (body.readline(0), body.readline(4), body.readline(-1)),
                     (b"", b"one\n", b"two\n"), id="readline with sizes"),
        pytest.param(lambda body: body.readlines(), BODY.splitlines(keepends=True), id="readlines"),
        pytest.param(lambda body: body.readlines(5), [b"one\n", b"two\n"], id="readlines with a hint"),
        pytest.param(lambda body: [*body, body.read(), body.readline()],
                     [*BODY.splitlines(keepends=True), b"", b""], id="iterate"),
        pytest.param(lambda body: (body.read(2), body.readline(), next(body, None)),
                     (b"on", b"e\n", b"two\n"), id="mixed"),
        pytest.param(lambda body: None, None, id="nothing"),
    ],
)  # fmt: skip
def test_the_input_is_a_file_and_ends_with_the_body(request_, how, expected, feed):
    """However much of it is read, the next request is where it begins."""
    first, second = responses(exchange(reading(how), FEEDS[feed](request_ + CLOSE)))
    assert first.text == repr(expected).encode()
    assert second.status == 200


def test_no_body_is_an_empty_file():
    def how(body):
        return [body.read(), body.read(5), body.readline(), body.readlines(), list(body)]

    assert one(reading(how)).text == repr([b"", b"", b"", [], []]).encode()


def test_a_body_that_nobody_wants_ends_the_connection_if_it_is_long():
    data = post(b"Content-Length: 1000000\r\n", b"x" * 1_000_000)
    response = one(answering([b"no"]), data + get())
    assert response.text == b"no"


def test_a_body_that_turns_out_malformed_is_the_applications_oserror():
    seen = []

    def app(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            seen.append(str(error))
        start_response("200 OK", TEXT)
        return [b"whatever"]

    response = one(app, chunked(b"5\r\nhelloX\r\n") + get())
    assert seen == ["a line of the body is too long"]
    assert response.headers["Connection"] == "close"


# Expect: 100-continue

EXPECTING = b"Content-Length: 5\r\nExpect: 100-Continue\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


def echo(environ, start_response):
    read = environ["wsgi.input"].read
    body = read(2) + read()
    start_response("200 OK", TEXT)
    return [body]


def test_the_client_is_asked_once_when_the_application_reads():
    data = exchange(echo, [post(EXPECTING, b""), b"hello"])
    assert data.startswith(INTERIM + b"HTTP/1.1 200 OK\r\n")
    assert data.count(INTERIM) == 1
    assert data.endswith(b"hello")


def test_a_client_that_is_not_asked_is_not_waited_for():
    response = one(answering([b"no"], "417 Expectation Failed"), post(EXPECTING, b""))
    assert response.status == 417
    assert response.headers["Connection"] == "close"  # whether it sends the body is anybody's guess


def test_a_client_that_did_not_wait_is_in_step():
    responses_ = responses(exchange(answering([b"no"]), [post(EXPECTING, b"hello") + CLOSE]))
    assert [response.text for response in responses_] == [b"no", b"no"]


def test_http_1_0_expects_nothing():
    assert INTERIM not in exchange(echo, [get(EXPECTING, version=b"HTTP/1.0") + b"hello"])


def test_the_interim_response_never_follows_the_final_one():
    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"answered, ")
        return [environ["wsgi.input"].read()]

    data = exchange(app, [post(EXPECTING, b""), b"hello"])
    assert INTERIM not in data
    assert b"Connection: close" in data


# Upgrades


def test_an_application_may_take_the_connection_over():
    def app(environ, start_response):
        assert environ["wsgi.input_terminated"] is False
        write = start_response("101 Switching Protocols", [("Upgrade", "echo"), ("Connection", "Upgrade")])
        write(b"")
        incoming = environ["wsgi.input"]
        write(incoming.readline())
        write(incoming.read(3))
        write(incoming.readline(2))
        write(incoming.read())
        return []

    data = exchange(app, [get(b"Connection: upgrade\r\nUpgrade: echo\r\n"), b"li", b"ne\n123", b"45rest"])
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"\r\nConnection: Upgrade" in head
    assert b"Content-Length" not in head
    assert body == b"line\n12345rest"


def test_an_upgrade_that_is_not_taken_is_a_request_like_others():
    response = one(answering([b"no"]), get(b"Connection: Upgrade\r\nUpgrade: websocket\r\n") + get())
    assert response.text == b"no"
    assert response.headers["Connection"] == "close"


# The environ


def test_the_environ_is_a_new_dict_with_what_pywsgi_has():
    seen = []

    def app(environ, start_response):
        seen.append(dict(environ))
        assert type(environ) is dict
        environ.clear()
        start_response("204 No Content", [])
        return []

    data = post(b"Content-Length: 2\r\nContent-Type: a/b\r\nX-Y: z\r\n", b"hi") + get(target=b"/%C3%A4?b=%20")
    exchange(app, [data])
    first, second = seen
    expected = {
        "GATEWAY_INTERFACE": "CGI/1.1", "SCRIPT_NAME": "", "REQUEST_METHOD": "POST", "PATH_INFO": "/",
        "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "1",
        "CONTENT_LENGTH": "2", "CONTENT_TYPE": "a/b", "HTTP_HOST": "a", "HTTP_X_Y": "z",
        "SERVER_NAME": "a", "SERVER_PORT": "80", "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http", "wsgi.multithread": False, "wsgi.multiprocess": False,
        "wsgi.run_once": False, "wsgi.input_terminated": True,
    }  # fmt: skip
    assert expected.items() <= first.items()
    assert first.keys() - expected.keys() == {
        "SERVER_SOFTWARE", "wsgi.errors", "wsgi.file_wrapper", "wsgi.input",
    }  # fmt: skip
    assert (second["PATH_INFO"], second["QUERY_STRING"]) == ("/\xc3\xa4", "b=%20")
    assert not {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_X_Y"} & second.keys()


# Over the network


class serving:  # noqa: N801 (a context manager)
    def __init__(self, app, **options):
        self.server = HttpServer(socket.create_server(("127.0.0.1", 0)), app, ServerSettings(**options))

    def __enter__(self):
        self.server.start()
        return self.server

    def __exit__(self, *_):
        self.server.stop(timeout=0)


def test_a_long_response_reaches_a_slow_reader_whole():
    """The kernel takes part of it, the rest goes when there is room."""
    body = bytes(range(256)) * 40_000
    with serving(answering([body])) as server, socket.create_connection(server.address) as client:
        client.settimeout(DEADLINE_S)
        client.sendall(get() + CLOSE)
        gevent.sleep(0)
        found = responses(client.makefile("rb").read())
    assert [response.text == body for response in found] == [True, True]


def test_a_refused_upload_gets_its_response():
    """Closed with its bytes unread, the connection would be reset, and the response lost with it."""
    with serving(answering([b"x"]), max_body_size=1000) as server:
        with socket.create_connection(server.address) as client:
            client.settimeout(DEADLINE_S)
            client.sendall(post(b"Content-Length: 500000\r\n", b"x" * 500_000))
            [response] = responses(client.makefile("rb").read())
    assert response.status == 413


def test_a_killed_request_ends_its_connection():
    began, ended = Event(), Event()

    def app(environ, start_response):
        began.set()
        try:
            gevent.sleep(1000)
        finally:
            ended.set()

    with serving(app) as server, socket.create_connection(server.address) as client:
        client.settimeout(DEADLINE_S)
        client.sendall(get())
        assert began.wait(DEADLINE_S)
        server.stop(timeout=0)
        assert ended.is_set()
        assert not server.connections
        assert responses(client.makefile("rb").read())[0].status == 500


def test_what_an_application_keeps_does_not_keep_the_connection():
    kept = []

    def app(environ, start_response):
        kept.append((environ, sys._getframe()))
        start_response("200 OK", TEXT)
        return [b"x"]

    with serving(app) as server, socket.create_connection(server.address) as client:
        client.settimeout(DEADLINE_S)
        client.sendall(CLOSE)
        assert client.makefile("rb").read().endswith(b"x")
