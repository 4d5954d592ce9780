"""A worker of Einhorn: its sockets, its ACK, the end of its master."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

import fake_einhorn
from deadline import wait_for
from fake_einhorn import FakeEinhorn
from processes import HELLO, ServerProcess, command_line, serve, write_service

pytestmark = pytest.mark.process

# Loaded once the file `go` stands in its folder.
GATED = (
    HELLO.replace("def make_app(config):", "def make_app(config):\n    wait_for_go()")
    + """
def wait_for_go():
    import logging, os, time
    logging.getLogger("application").info("is being loaded")
    while not os.path.exists("go"):
        time.sleep(0.01)
"""
)


@pytest.fixture
def master(tmp_path):
    with FakeEinhorn(tmp_path) as master:
        yield master


def start_worker(folder, master, *arguments, environ=None, **options):
    return serve(
        folder,
        *arguments,
        environ={**master.environ, **(environ or {})},
        pass_fds=master.fds,
        **options,
    )


def test_a_worker_serves_einhorns_socket_and_acknowledges_once_ready(tmp_path, master):
    """Einhorn ends the old workers when it gets the ACK: one sent too early is an outage."""
    write_service(tmp_path, code=GATED)
    with start_worker(tmp_path, master) as worker:
        worker.wait_until_logged("is being loaded")
        assert not master.commands
        (tmp_path / "go").touch()
        wait_for(lambda: master.commands, "the ACK")
        assert worker.get() == b"hello"
        assert worker.wait_until_ready() == master.listeners[0].getsockname()
        assert worker.stop() == 0
    assert master.commands == [{"command": "worker:ack", "pid": worker.process.pid}]


def test_a_worker_serves_a_unix_socket_and_leaves_its_file(tmp_path):
    """The family is read from the descriptor; the file is the master's, whose next worker needs it."""
    listener = socket.socket(socket.AF_UNIX)
    path = tmp_path / "server.sock"
    listener.bind(str(path))
    listener.listen()
    write_service(tmp_path)
    with FakeEinhorn(tmp_path, listener) as master, start_worker(tmp_path, master) as worker:
        assert worker.get_from_file() == b"hello"
        assert worker.stop() == 0
        assert path.exists()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))  # it waits for the next worker


def test_the_first_of_several_sockets_is_served(tmp_path):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    write_service(tmp_path)
    with FakeEinhorn(tmp_path, *listeners) as master, start_worker(tmp_path, master) as worker:
        assert worker.wait_until_ready() == listeners[0].getsockname()


def test_a_worker_that_fails_to_load_does_not_acknowledge(tmp_path, master):
    """Einhorn keeps the old workers and tries again."""
    write_service(tmp_path, code="raise RuntimeError('no database')")
    with start_worker(tmp_path, master) as worker:
        assert worker.wait() == 1
    assert not master.commands


def test_a_grandchild_of_einhorn_binds_for_itself(tmp_path, master):
    """A worker's own child inherits the variables; it must not take the master's socket, nor ACK."""
    write_service(tmp_path)
    command = ["sh", "-c", '"$@"; true', "sh", *command_line("--bind", "127.0.0.1:0", "app.ini")]
    with start_worker(tmp_path, master, command=command) as shell:
        shell.wait_until_logged(r"listening on \S+ \(bound here\)")
        assert shell.wait_until_ready() != master.listeners[0].getsockname()
        assert shell.get() == b"hello"
        os.kill(shell.pid_of_server, signal.SIGTERM)
        assert shell.wait() == 0
    assert not master.commands


def test_einhorn_may_repeat_itself(tmp_path, master):
    """It sends SIGUSR2 to the old workers each time that it is asked to upgrade."""
    write_service(tmp_path, server="factory = baseplate_serve.wsgi\ndrain_time = 10 minutes")
    with start_worker(tmp_path, master) as worker:
        worker.wait_until_ready()
        worker.signal(signal.SIGUSR2)
        worker.wait_until_logged("draining")
        worker.signal(signal.SIGUSR2)
        assert worker.get() == b"hello"
        assert not any("finishing" in message for message in worker.messages)
        assert worker.stop() == 0


def test_a_stopped_worker_leaves_the_queue_to_the_others(tmp_path, master):
    """The socket is shared: what waits in its queue is somebody else's to serve."""
    write_service(tmp_path)
    with start_worker(tmp_path, master) as old, start_worker(tmp_path, master) as new:
        old.wait_until_ready()
        new.wait_until_ready()
        old.signal(signal.SIGUSR2)
        assert old.wait() == 0
        assert new.get() == b"hello"


def test_a_worker_whose_master_died_drains(tmp_path):
    """kill -9 leaves workers that serve old code for ever: nobody would replace or stop them."""
    write_service(tmp_path)
    command = [sys.executable, fake_einhorn.__file__, tmp_path, *command_line("app.ini")]
    with ServerProcess(tmp_path, command=command) as master:
        assert master.get() == b"hello"
        worker = master.pid_of_server
        master.signal(signal.SIGKILL)
        master.wait()
        wait_for(lambda: "stopped (last reply sent)" in master.messages, "the worker stops")
        wait_for(lambda: has_ended(worker), "the worker ends")
    assert any("draining" in message and "Einhorn" in message for message in master.messages)


def has_ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_metrics_of_workers_need_a_common_directory(tmp_path, master):
    """Each scrape reaches one of them; without the directory it would see a random part of the numbers."""
    write_service(tmp_path, server="factory = baseplate_serve.wsgi\nmetrics.endpoint = 127.0.0.1:0")
    with start_worker(tmp_path, master) as worker:
        assert worker.wait() == 2
        assert worker.output.startswith("baseplate-serve: PROMETHEUS_MULTIPROC_DIR is not set")
        assert worker.output.count("\n") == 1
    assert not master.commands


def test_a_worker_serves_although_the_master_cannot_be_told(tmp_path, master):
    """A lost command socket is the master's trouble; clients should not notice."""
    write_service(tmp_path)
    with start_worker(tmp_path, master, environ={"EINHORN_SOCK_PATH": "/nonexistent"}) as worker:
        assert worker.get() == b"hello"
        assert any("Einhorn was not told" in message for message in worker.messages)
        assert worker.stop() == 0


@pytest.mark.skipif(not shutil.which("einhorn"), reason="einhorn is not installed (gem install einhorn)")
def test_the_real_einhorn_serves_with_two_workers(tmp_path):
    """In manual mode it counts a worker as up when its ACK has come, and replaces those that send none."""
    write_service(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "einhorn",
        "-m",
        "manual",
        "-n",
        "2",
        "--bind",
        f"127.0.0.1:{port}",
        "-d",
        "command.sock",
        "-e",
        "pid",
    ]
    with ServerProcess(tmp_path, command=[*command, *command_line("app.ini")]) as master:
        wait_for(lambda: master.output.count("Received a manual ACK") == 2, "both workers are acknowledged")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as reply:
            assert reply.read() == b"hello"
        master.signal(signal.SIGHUP)  # replace both, one by one
        wait_for(lambda: master.output.count("Received a manual ACK") == 4, "their successors, too")
        wait_for(lambda: stopped(master) == 2, "their predecessors stop")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as reply:
            assert reply.read() == b"hello"
        master.signal(signal.SIGTERM)
        assert master.wait() == 0
        assert stopped(master) == 4


def stopped(server):
    return server.messages.count("stopped (last reply sent)")
