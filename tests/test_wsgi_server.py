"""The WSGI server over real sockets."""

from __future__ import annotations

import http.client
import logging
import socket
import weakref
from contextlib import contextmanager
from datetime import timedelta
from wsgiref.validate import validator

import gevent
import pytest
from gevent.event import Event
from gevent.pywsgi import WSGIHandler

from baseplate_serve._servers.http.server import HttpServer
from baseplate_serve._servers.http.strict import StrictHandler
from baseplate_serve._settings.options import ServerSettings
from baseplate_serve.state import SERVER_STATE, Phase
from baseplate_serve.wsgi import handler_class, make_server
from deadline import DEADLINE_S, wait_for


@contextmanager
def serving(app, handler=StrictHandler, listener=None, **options):
    settings = ServerSettings(**{"stop_timeout": timedelta(seconds=DEADLINE_S), **options})
    server = HttpServer(listener or socket.create_server(("127.0.0.1", 0)), app, settings, handler)
    server.start()
    try:
        yield server
    finally:
        server.stop(timeout=0)


@contextmanager
def connected(server):
    connection = http.client.HTTPConnection(*server.address[:2], timeout=DEADLINE_S)
    try:
        yield connection
    finally:
        connection.close()


def fetch(connection, method="GET", target="/", **kwargs):
    connection.request(method, target, **kwargs)
    response = connection.getresponse()
    return response, response.read()


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


@pytest.fixture
def draining():
    SERVER_STATE.phase = Phase.DRAINING
    yield
    SERVER_STATE.phase = Phase.STARTING


def test_many_requests_on_one_connection():
    with serving(validator(hello)) as server, connected(server) as connection:
        for _ in range(3):
            response, body = fetch(connection)
            assert (response.status, body) == (200, b"hello")
            assert not response.will_close


def test_max_concurrency_bounds_the_connections_accepted():
    with serving(hello, max_concurrency=2) as server:
        with connected(server) as one, connected(server) as two:
            for client in (one, two):
                assert fetch(client)[1] == b"hello"
            with connected(server) as three:
                third = gevent.spawn(fetch, three)
                gevent.idle()
                assert len(server.connections) == 2
                assert not third.ready()
                one.close()
                assert third.get(timeout=DEADLINE_S)[1] == b"hello"
        wait_for(lambda: len(server.connections) == 0, "all have left")


def test_a_streamed_response_arrives_piece_by_piece():
    """The second piece is made only once the client has the first."""
    go_on = Event()

    def streaming(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"first"
        go_on.wait()
        yield b"second"

    with serving(streaming) as server, connected(server) as connection:
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.read(5) == b"first"
        go_on.set()
        assert response.read() == b"second"


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_is_read_by_the_application(chunked):
    def length(environ, start_response):
        total = 0
        while data := environ["wsgi.input"].read(65536):
            total += len(data)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(total).encode()]

    pieces = [b"x" * 100_000] * 20
    with serving(length) as server, connected(server) as connection:
        body = iter(pieces) if chunked else b"".join(pieces)
        _, answer = fetch(connection, "POST", body=body, encode_chunked=chunked)
        assert answer == b"2000000"
        assert fetch(connection, "POST", body=b"")[1] == b"0"  # the connection is in step


def test_write_and_the_file_wrapper(tmp_path):
    (tmp_path / "file").write_bytes(b"from a file " * 10_000)

    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/file":
            return environ["wsgi.file_wrapper"](open(tmp_path / "file", "rb"), 4096)
        write(b"written, ")
        return [b"returned"]

    with serving(app) as server, connected(server) as connection:
        assert fetch(connection)[1] == b"written, returned"
        assert fetch(connection, target="/file")[1] == b"from a file " * 10_000


def test_flask():
    flask = pytest.importorskip("flask")
    app = flask.Flask("hello")
    app.add_url_rule("/<name>", view_func=lambda name: {"hello": name})
    with serving(app) as server, connected(server) as connection:
        assert fetch(connection, target="/w%C3%B6rld")[1] == b'{"hello":"w\\u00f6rld"}\n'


def test_django():
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler as DjangoHandler
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    urls = [
        path("hello", lambda request: HttpResponse(f"hello {request.GET['name']}")),
        path("stream", lambda request: StreamingHttpResponse(iter(["one ", "two"]))),
    ]
    settings.configure(
        ROOT_URLCONF=type("urls", (), {"urlpatterns": urls}), ALLOWED_HOSTS=["*"], SECRET_KEY="test"
    )
    __import__("django").setup()
    with serving(DjangoHandler()) as server, connected(server) as connection:
        assert fetch(connection, target="/hello?name=world")[1] == b"hello world"
        assert fetch(connection, target="/stream")[1] == b"one two"


def test_a_unix_socket(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "wsgi.sock"))
        listener.listen()
        with serving(hello, listener=listener):
            client.settimeout(DEADLINE_S)
            client.connect(str(tmp_path / "wsgi.sock"))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").read().endswith(b"\r\n\r\nhello")


def test_the_applications_own_handler_class_is_used_and_still_tracked():
    class Own(WSGIHandler):
        def get_environ(self):
            return {**super().get_environ(), "own": "yes"}

    began, go_on = Event(), Event()

    def app(environ, start_response):
        began.set()
        go_on.wait()
        start_response("200 OK", [])
        return [environ["own"].encode()]

    with serving(app, handler=Own) as server, connected(server) as connection:
        answer = gevent.spawn(fetch, connection, "GET", "/slow?secret=1")
        assert began.wait(DEADLINE_S)
        assert [request.description for request in server.in_flight()] == ["GET /slow"]
        go_on.set()
        assert answer.get(timeout=DEADLINE_S)[1] == b"yes"
        wait_for(lambda: not server.in_flight(), "the request is over")


def test_a_handler_may_keep_what_it_reads_from():
    class Own(WSGIHandler):
        def __init__(self, *args):
            super().__init__(*args)
            self.own_rfile = self.rfile

        def read_requestline(self):
            return self.own_rfile.readline(8192).decode("latin-1")

    with serving(hello, handler=Own) as server, connected(server) as connection:
        for _ in range(2):
            assert fetch(connection)[1] == b"hello"
        assert server.connections.tally.received > 0


class Large(bytearray):
    """Bytes that a weak reference can watch."""


@pytest.mark.parametrize("handler", [StrictHandler, WSGIHandler])
def test_an_idle_connection_keeps_nothing_of_its_last_request(handler):
    """Thousands wait for hours, each after another reply."""
    held = []

    def app(environ, start_response):
        body = environ["app.own"] = Large(b"x" * 100_000)
        held.append(weakref.ref(body))
        start_response("200 OK", [])
        return [body]

    with serving(app, handler=handler) as server, connected(server) as connection:
        fetch(connection)
        wait_for(lambda: held[0]() is None, "the reply is freed")
        fetch(connection)  # on the same connection
        assert len(held) == 2


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param("gevent.pywsgi:WSGIServer", "is no subclass", id="another class"),
        pytest.param("gevent.pywsgi:Nothing", "there is no 'Nothing'", id="not there"),
        pytest.param("nowhere", "expected module:name", id="no class"),
    ],
)
def test_a_handler_that_is_none_is_a_fault_of_the_file(name, problem):
    from baseplate_serve.errors import FileError

    with pytest.raises(FileError, match=problem):
        handler_class(name)


def test_a_handler_may_be_named_with_dots_or_a_colon():
    assert (
        handler_class("gevent.pywsgi.WSGIHandler")
        is handler_class("gevent.pywsgi:WSGIHandler")
        is WSGIHandler
    )


def test_the_server_factory_takes_what_baseplates_takes():
    server = make_server({"factory": "x", "stop_timeout": "1"}, socket.create_server(("127.0.0.1", 0)), hello)
    server.start()
    with connected(server) as connection:
        assert fetch(connection)[1] == b"hello"
    server.stop()


def test_a_failing_application_is_logged_once_with_its_traceback_and_no_secrets(caplog):
    def failing(environ, start_response):
        raise LookupError("a bug")

    caplog.set_level(logging.INFO)
    with serving(failing) as server, connected(server) as connection:
        response, _ = fetch(connection, target="/path?token=secret", headers={"Authorization": "secret"})
        assert response.status == 500
        assert fetch(connection)[0].status == 500  # the connection lives on
    first, _second = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert first.getMessage() == "GET /path failed"
    assert "a bug" in caplog.text
    assert "secret" not in caplog.text


def test_what_is_printed_to_wsgi_errors_is_one_record(caplog):
    def app(environ, start_response):
        print("a complaint", file=environ["wsgi.errors"])
        return hello(environ, start_response)

    with serving(app) as server, connected(server) as connection:
        fetch(connection)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "a complaint"
    ]


def test_accesses_are_logged_at_debug(caplog):
    caplog.set_level(logging.DEBUG)
    with serving(hello) as server, connected(server) as connection:
        fetch(connection, target="/seen")
    [record] = [record for record in caplog.records if "/seen" in record.getMessage()]
    assert record.levelno == logging.DEBUG


@pytest.mark.usefixtures("draining")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_replies_close_their_connection_while_the_server_drains(version):
    """So that keep-alive clients move to another worker before this one's listener closes."""
    with serving(hello) as server, socket.create_connection(server.address) as client:
        client.settimeout(DEADLINE_S)
        client.sendall(f"GET / HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".encode())
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
        assert body == b"hello"
        assert head.lower().count(b"connection: close") == 1
        assert b"keep-alive" not in head.lower()


def test_idle_connections_are_closed_at_once_and_busy_ones_after_their_reply():
    began, go_on = Event(), Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/busy":
            began.set()
            go_on.wait()
        return hello(environ, start_response)

    with serving(app) as server, connected(server) as idle, connected(server) as busy:
        fetch(idle)
        answer = gevent.spawn(fetch, busy, "GET", "/busy")
        assert began.wait(DEADLINE_S)
        stopping = gevent.spawn(server.stop)
        wait_for(lambda: len(server.connections) == 1, "the idle one is closed")
        assert idle.sock.recv(1) == b""
        go_on.set()
        response, body = answer.get(timeout=DEADLINE_S)
        assert body == b"hello"
        assert response.headers["Connection"] == "close"
        stopping.get(timeout=DEADLINE_S)
        assert server.abandoned == 0


def test_what_is_left_after_stop_timeout_runs_its_finally(caplog):
    began = Event()
    cleaned_up = []

    def app(environ, start_response):
        began.set()
        try:
            gevent.sleep(1000)
        finally:
            cleaned_up.append(environ["PATH_INFO"])

    with serving(app, stop_timeout=timedelta(milliseconds=20)) as server, connected(server) as connection:
        answer = gevent.spawn(fetch, connection, "GET", "/slow")
        assert began.wait(DEADLINE_S)
        server.stop()
        assert server.abandoned == 1
        assert cleaned_up == ["/slow"]
        answer.join(DEADLINE_S)
    assert "cut off: GET /slow from 127.0.0.1:" in caplog.text


@pytest.mark.parametrize(
    ("handler", "target", "told"),
    [
        pytest.param(StrictHandler, b"/%1b[31mred%0a", "GET /%1b[31mred%0a failed", id="percent-encoded"),
        pytest.param(
            WSGIHandler, b"/\x1b[31mred\x9b", r"GET /\x1b[31mred\x9b failed", id="pywsgi lets them in"
        ),
    ],
)
def test_control_characters_of_the_wire_do_not_reach_the_log(handler, target, told, caplog):
    def failing(environ, start_response):
        assert environ["PATH_INFO"].startswith("/\x1b[31mred")
        raise LookupError

    with (
        serving(failing, handler=handler) as server,
        socket.create_connection(server.address) as client,
    ):
        client.settimeout(DEADLINE_S)
        client.sendall(b"GET %b HTTP/1.0\r\n\r\n" % target)
        assert b" 500 " in client.makefile("rb").readline()
    assert told in caplog.text
    assert not {"\x1b", "\x9b"} & set("".join(record.getMessage() for record in caplog.records))
