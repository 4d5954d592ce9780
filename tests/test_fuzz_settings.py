"""Any INI file, any environment of Einhorn's or systemd's: settings, or an error that is one line."""

from __future__ import annotations

import os
import socket
from contextlib import redirect_stderr
from io import StringIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from baseplate_serve._command.report import report
from baseplate_serve._settings.ini import read_ini
from baseplate_serve._settings.read import read_settings
from baseplate_serve._sockets import systemd
from baseplate_serve._sockets.acquire import acquire
from baseplate_serve._sockets.einhorn import acknowledge, worker_of
from baseplate_serve.config import Endpoint
from baseplate_serve.errors import ServeError
from fuzzing import examples, kept, mutated

FILES = kept("ini")
EINHORNS = kept("einhorn")
SYSTEMDS = kept("systemd")
ANYWHERE = Endpoint("127.0.0.1:0")


def is_clear(error):
    """What is printed is lines that a terminal can be given."""
    with redirect_stderr(StringIO()) as printed:
        assert report(error) == 2
    lines = printed.getvalue().removesuffix("\n").split("\n")
    assert all(line.startswith("baseplate-serve: ") and line.isprintable() for line in lines), lines


def environment_of(data):
    """An environment as a process finds it: ``NAME=value`` for each line, any bytes but NUL."""
    pairs = (line.partition(b"=") for line in data.replace(b"\0", b"").splitlines())
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs if name}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "app.ini"


def test_any_file_is_settings_or_clear_errors(path):
    @examples(200)
    @given(mutated(list(FILES.values())))
    def reads(data):
        path.write_bytes(data)
        try:
            file = read_ini(str(path), server_name="main", app_name="main")
            read_settings(file)
        except ServeError as error:
            is_clear(error)

    for data in FILES.values():
        example(data)(reads)
    reads()


def _acquires(environ, worker):
    try:
        listener = acquire(ANYWHERE, worker, environ)
    except ServeError as error:
        is_clear(error)
    else:
        listener.close()


def test_any_environment_of_einhorn_is_a_worker_or_a_clear_error():
    @examples(150)
    @given(mutated(list(EINHORNS.values())))
    def reads(data):
        environ = environment_of(data)
        try:
            worker = worker_of(environ, parent_pid=4711)
        except ServeError as error:
            is_clear(error)
            return
        if worker is None:
            return
        with pytest.raises(ServeError) as unreachable:  # no master listens
            acknowledge(worker)
        is_clear(unreachable.value)
        if all(fd > 1000 for fd in worker.fds):  # else somebody else's
            _acquires(environ, worker)

    reads()


def test_any_environment_of_systemd_is_descriptors_or_a_clear_error():
    @examples(60)
    @given(mutated(list(SYSTEMDS.values())))
    def reads(data):
        environ = environment_of(data)
        systemd.notify(environ, "READY=1")
        try:
            fds = systemd.passed_fds(environ, pid=4711)
        except ServeError as error:
            is_clear(error)
            return
        assert fds[:2] in ((), (3,), (3, 4))

    reads()


@given(st.integers(0, 10**9 - 1))
def test_a_descriptor_that_is_no_listener_is_a_clear_error(fd):
    """Einhorn's number of a socket that was closed on the way, or of a file."""
    environ = {"EINHORN_MASTER_PID": "4711", "EINHORN_FD_COUNT": "1", "EINHORN_FD_0": str(fd)}
    worker = worker_of(environ, parent_pid=4711)
    if fd > 1000:
        _acquires(environ, worker)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagram"])
def test_only_a_stream_socket_is_adopted(kind):
    with socket.socket(socket.AF_INET, kind) as sock:
        environ = {
            "EINHORN_MASTER_PID": "4711",
            "EINHORN_FD_COUNT": "1",
            "EINHORN_FD_0": str(os.dup(sock.fileno())),
        }
        _acquires(environ, worker_of(environ, parent_pid=4711))
