"""Clients that are slow or silent: each server waits for them as long as its options say, no longer."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import gevent
import pytest

import asgi_harness
from asgi_harness import connected, everything
from baseplate_serve._lifecycle import watch
from baseplate_serve._lifecycle.connections import Connection
from baseplate_serve._servers.http.patient import PatientSocket
from baseplate_serve._settings.patience import THRIFT
from baseplate_serve.thrift import make_server as make_thrift_server
from deadline import DEADLINE_S, wait_for
from testing_idl import Testing
from thrift_harness import Handler, client

BRIEF = "120 milliseconds"
LONG = b"x" * 50_000_000  # more than any socket's buffers take
HEAD = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
UPGRADE = b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n"


def wsgi_app(environ, start_response):
    if environ["PATH_INFO"] == "/unread":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"no"]
    if environ["PATH_INFO"] == "/echo":
        write = start_response("101 Switching Protocols", [("Connection", "upgrade"), ("Upgrade", "echo")])
        write(b"")
        write(environ["wsgi.input"].read(2))
        return []
    body = environ["wsgi.input"].read()
    long = environ["PATH_INFO"].endswith("/long")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [LONG] if long else [b"%d bytes" % len(body)]


async def asgi_app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    length, more = 0, scope["path"] != "/unread"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        more = message["more_body"]
    body = LONG if scope["path"] == "/long" else b"%d bytes" % length
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(params=asgi_harness.KINDS)
def serving(request):
    app, always = asgi_harness.kind_of_server(request.param, wsgi_app, asgi_app)

    def serve(**options):
        return asgi_harness.serving(app, lifespan=True, **always, **options)

    serve.kind = request.param
    return serve


def refusals(server, why):
    return server.connections.tally.refused[why]


def test_a_silent_connection_is_closed(serving):
    with serving(first_byte_timeout=BRIEF) as server, connected(server) as sock:
        assert everything(sock) == b""
        assert refusals(server, "first_byte_timeout") == 1


def test_half_a_head_is_answered_with_408(serving):
    with serving(head_timeout=BRIEF) as server, connected(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert everything(sock).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert refusals(server, "head_timeout") == 1


def test_dripping_does_not_extend_the_time_for_a_head(serving):
    with serving(head_timeout=BRIEF) as server, connected(server) as sock:
        drip = gevent.spawn(drip_headers, sock)
        began = time.monotonic()
        assert everything(sock).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < DEADLINE_S / 2
        drip.kill()


def test_half_a_head_is_no_request(serving):
    with serving() as server, connected(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwar")
        sock.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in everything(sock)


def test_a_head_that_was_cut_short_stays_cut_short():
    """What is sent after the server has shut the receiving side down is still received."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with ours, client:
        reader = PatientSocket(ours, Connection(ours, "a client"))
        client.sendall(b"GET /")
        assert reader.readinto(bytearray(100)) == 5
        ours.shutdown(socket.SHUT_RD)
        assert reader.readinto(bytearray(100)) == 0
        client.sendall(b" HTTP/1.1")
        wait_for(lambda: ours.recv(100, socket.MSG_PEEK), "it has arrived")
        assert reader.readinto(bytearray(100)) == 0
        assert reader.cut_short


def drip_headers(sock):
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
    while True:
        gevent.sleep(0.03)
        sock.sendall(b"A: b\r\n")


def test_half_a_body_is_answered_with_408(serving):
    # pywsgi raises an error in its application, and this one doesn't handle it.
    status = b"500" if "handler" in serving.kind else b"408"
    with serving(body_timeout=BRIEF) as server, connected(server) as sock:
        sock.sendall(HEAD + b"half")
        assert everything(sock).startswith(b"HTTP/1.1 %b " % status)
        assert refusals(server, "body_timeout") == 1


def test_a_body_that_comes_slowly_is_read(serving):
    with serving(body_timeout=BRIEF) as server, connected(server) as sock:
        sock.sendall(HEAD)
        for _ in range(10):
            gevent.sleep(0.02)  # 0.2 s in all
            sock.sendall(b"x")
        assert b"200 OK" in sock.recv(65536)


@pytest.mark.parametrize(
    "half",
    ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\na\r\nhalf"],
    ids=["announced", "chunked"],
)
def test_half_a_body_that_nobody_reads_is_waited_for_no_longer(serving, half):
    with serving(body_timeout=BRIEF) as server, connected(server) as sock:
        sock.sendall(f"POST /unread HTTP/1.1\r\nHost: a\r\n{half}".encode())
        assert b"200 OK" in everything(sock)
        assert refusals(server, "body_timeout") == 1


def test_a_body_that_nobody_reads_may_come_slowly(serving):
    with serving(body_timeout=BRIEF) as server, connected(server) as sock:
        sock.sendall(HEAD.replace(b"/up", b"/unread"))
        for _ in range(10):
            gevent.sleep(0.02)  # 0.2 s in all
            sock.sendall(b"x")
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"0 bytes" in asgi_harness.until(sock, b"bytes")


served_by_wsgi = pytest.mark.parametrize(
    "serving", [kind for kind in asgi_harness.KINDS if kind != "asgi"], indirect=True
)


@served_by_wsgi
def test_who_asks_for_an_upgrade_has_no_more_time_than_others(serving):
    with serving(body_timeout=BRIEF) as server, connected(server) as sock:
        sock.sendall(UPGRADE % b"/")
        assert b"200 OK" in everything(sock)  # of an application that reads to the end
        assert refusals(server, "body_timeout") == 1


@served_by_wsgi
def test_who_has_got_an_upgrade_may_be_silent(serving):
    with serving(body_timeout=BRIEF) as server, connected(server) as sock:
        sock.sendall(UPGRADE % b"/echo")
        assert b" 101 " in asgi_harness.until(sock, b"\r\n\r\n")
        gevent.sleep(0.3)
        sock.sendall(b"hi")
        assert everything(sock) == b"hi"


def test_an_idle_connection_is_closed_and_one_in_use_is_not(serving):
    with serving(idle_timeout="1 second") as server, connected(server) as idle, connected(server) as used:
        for sock in (idle, used):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in sock.recv(65536)
        ended = gevent.spawn(everything, idle)
        while not ended.ready():
            gevent.sleep(0.02)
            used.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in used.recv(65536)
        assert ended.get() == b""
        assert not server.connections.tally.refused  # nobody did anything wrong


def test_a_client_that_takes_nothing_is_disconnected(serving):
    with serving(send_timeout=BRIEF) as server, connected(server) as sock:
        sock.sendall(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: refusals(server, "send_timeout"), "the disconnection")
        wait_for(lambda: not len(server.connections), "the end of the connection")


def test_a_client_that_takes_it_slowly_gets_it(serving):
    with serving(send_timeout="1 second") as server, connected(server) as sock:
        sock.sendall(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
        left = len(LONG)
        while left > 0:
            left -= len(sock.recv(1_000_000))
            gevent.sleep(0.01)
        assert not server.connections.tally.refused


def test_who_has_all_the_time_in_the_world_is_left_alone(serving):
    options = dict.fromkeys(["first_byte_timeout", "idle_timeout", "head_timeout", "body_timeout"], "0")
    options["send_timeout"] = BRIEF  # or nobody would look
    with (
        serving(**options) as server,
        connected(server) as silent,
        connected(server) as slow,
    ):
        slow.sendall(b"GET / HTTP/1.1\r\n")
        gevent.sleep(0.25)
        slow.sendall(b"Host: a\r\n\r\n")
        silent.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" in slow.recv(65536)
        assert b"200 OK" in silent.recv(65536)
        assert not server.connections.tally.refused


# Thrift


@pytest.fixture
def thrift_serving():
    servers = []

    def serve(**options):
        listener = socket.create_server(("127.0.0.1", 0))
        server = make_thrift_server({**options, "factory": ""}, listener, Testing.Processor(Handler()))
        server.start()
        servers.append((server, listener))
        return server

    yield serve
    for server, listener in servers:
        server.stop(timeout=0)
        listener.close()


HALVES = {
    "half a length": b"\0\0",
    "half a frame": b"\0\0\0\x20\x0f\xff\0\0",
    "half a message without a frame": b"\x80\x01\0\x01\0\0\0\x04pi",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_half_a_thrift_message_is_not_waited_for(thrift_serving, half):
    server = thrift_serving(body_timeout=BRIEF)
    with connected(server) as sock, client(server) as other:
        sock.sendall(half)
        assert everything(sock) == b""
        assert refusals(server, "body_timeout") == 1
        other.ping()


def test_thrift_clients_may_be_idle(thrift_serving):
    server = thrift_serving(body_timeout=BRIEF)
    with client(server) as silent:
        silent.ping()
        gevent.sleep(0.25)
        silent.ping()


@pytest.mark.parametrize("option", ["first_byte_timeout", "idle_timeout"])
def test_thrift_clients_may_not_be_idle_where_the_file_says_so(thrift_serving, option):
    server = thrift_serving(**{option: BRIEF})
    with client(server) as silent:
        if option == "idle_timeout":
            silent.ping()
        wait_for(lambda: not len(server.connections), "the end of the connection")


def test_a_thrift_client_that_takes_no_reply_is_disconnected(thrift_serving):
    server = thrift_serving(send_timeout=BRIEF)
    with client(server, "framed binary") as silent:
        silent.send_echo("x" * 50_000_000)
        wait_for(lambda: refusals(server, "send_timeout"), "the disconnection")
        wait_for(lambda: not len(server.connections), "the end of the connection")


def test_a_look_that_comes_late_judges_nobody_nor_does_the_one_right_behind_it(monkeypatch):
    """Who was stopped (SIGSTOP) has not read what came meanwhile, and libev makes up for the late look."""
    now = 0.0
    monkeypatch.setattr(watch, "monotonic", lambda: now)
    here, there = socket.socketpair()
    with here, there:
        connection = Connection(here, "")
        connection.body_since = 0.0
        looking = watch.Watch([connection], replace(THRIFT, body_timeout=1.0))
        looking.start()
        judged = []
        for now in (0.25, 2.0, 2.001, 2.25):  # noqa: B007 (the lambda above looks at it)
            looking._look()
            judged.append(connection.timed_out)
        looking.stop()
    assert judged == [None, None, None, "body_timeout"]
