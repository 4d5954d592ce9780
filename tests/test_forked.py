"""A forked child has copies of all that serves, and is no server."""

from __future__ import annotations

import io
import os
import socket
import sys

import gevent
import pytest

from baseplate_serve import wsgi
from baseplate_serve._lifecycle.forked import in_children, leave_if_forked, serving_here, silence
from baseplate_serve._sockets.bind import bind
from baseplate_serve.config import Endpoint


def status_of_child(child):
    """Fork, and call *child* there: the exit status that it returns."""
    gevent.get_hub().loop.install_sigchld()  # as the command does: gevent begins after the first fork
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(child())
        finally:
            os._exit(99)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_socket_that_is_given_up_says_nothing_and_stays_open():
    ours, client = socket.socketpair()
    in_children(ours, silence)

    def child():
        client.sendall(b"for the parent")
        ours.sendall(b"from nobody")
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
            ours.recv(100)
        ours.shutdown(socket.SHUT_RDWR)
        return 7

    with ours, client:
        assert status_of_child(child) == 7
        assert ours.recv(100) == b"for the parent"
        ours.sendall(b"from the parent")
        assert client.recv(100) == b"from the parent"


def test_a_childs_end_removes_no_socket_file(tmp_path):
    path = tmp_path / "server.sock"
    listener = bind(Endpoint(str(path)))
    with listener:
        listener.listen()

        def child():
            listener.remove_file()
            return 7

        assert status_of_child(child) == 7
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        listener.remove_file()
    assert not path.exists()


def test_a_connection_that_was_accepted_and_not_begun_is_the_parents():
    """Its greenlet begins when the hub runs, in the child, too."""

    def app(environ, start_response):
        served.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Length", "0"), ("Connection", "close")])
        return []

    served = []
    server = wsgi.make_server({"factory": ""}, socket.create_server(("127.0.0.1", 0)), app)
    server.start()
    accepted, client = socket.socketpair()
    with accepted, client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")

        def child():
            server.handle(accepted, "")
            return len(served)

        assert status_of_child(child) == 0
        server.handle(accepted, "")
        assert b"200 OK" in client.recv(4096)
    server.stop()


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["none", "closed"])
def test_a_child_that_exits_leaves_whatever_its_streams_are(monkeypatch, stream):
    if stream is not None:
        stream.close()
    serving_here()

    def child():
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        leave_if_forked(SystemExit("gone"))
        return 7

    assert status_of_child(child) == 1
