"""Started by systemd: its sockets, and what it is told.

sd_listen_fds(3), sd_notify(3)
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys

import pytest

from deadline import DEADLINE_S, wait_for
from processes import HELLO, ServerProcess, command_line, environment, serve, write_service

pytestmark = pytest.mark.process

# As systemd does between fork and exec: the sockets come from descriptor 3 on, for this process alone.
ACTIVATE = """
import fcntl, os, sys
fds, command = sys.argv[1].split(","), sys.argv[2:]
copies = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in fds]  # out of the way of each other
for place, copy in enumerate(copies, 3):
    os.dup2(copy, place)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds))}
os.execv(command[0], command)
"""

GATED = """
    import logging, os, time
    from baseplate.server import SERVER_STATE

    def make_app(config):
        logging.getLogger("application").info("is being loaded")
        while not os.path.exists("go"):
            time.sleep(0.01)
        return app

    def app(environ, start_response):
        start_response("200 OK", [])
        return [str(SERVER_STATE.shutting_down).encode()]
"""


def activated(folder, *listeners, command=None):
    """A server that finds *listeners* from descriptor 3 on."""
    fds = [listener.fileno() for listener in listeners]
    command = command or command_line("app.ini")
    script = [sys.executable, "-c", ACTIVATE, ",".join(map(str, fds))]
    return ServerProcess(folder, command=[*script, *command], pass_fds=fds)


def test_systemds_socket_is_served(tmp_path):
    """Socket activation: systemd holds the port, so that nothing is refused across restarts."""
    write_service(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener, activated(tmp_path, listener) as server:
        server.wait_until_logged(r"listening on \S+ \(systemd\)")
        assert server.wait_until_ready() == listener.getsockname()
        assert server.get() == b"hello"
        assert server.stop() == 0


def test_what_arrives_while_the_server_is_away_is_served_by_the_next(tmp_path):
    """The queue is systemd's: clients wait a moment instead of being refused."""
    write_service(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with activated(tmp_path, listener) as server:
            server.wait_until_ready()
            assert server.stop() == 0
        with socket.create_connection(listener.getsockname(), timeout=DEADLINE_S) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with activated(tmp_path, listener):
                assert client.makefile("rb").read().endswith(b"hello")


def test_sockets_meant_for_another_process_are_left_alone(tmp_path):
    """A wrapper that forgets to pass them on leaves the variables behind: descriptor 3 is anything then."""
    write_service(tmp_path)
    script = ["sh", "-c", '"$@"; true', "sh", *command_line("--bind", "127.0.0.1:0", "app.ini")]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with activated(tmp_path, listener, command=[shutil.which("sh"), *script[1:]]) as shell:
            shell.wait_until_logged(r"listening on \S+ \(bound here\)")
            assert shell.get() == b"hello"
            os.kill(shell.pid_of_server, signal.SIGTERM)
            assert shell.wait() == 0


def test_what_is_no_socket_is_refused_in_one_line(tmp_path):
    write_service(tmp_path)
    with open(os.devnull) as nowhere, activated(tmp_path, nowhere) as server:
        assert server.wait() == 2
        assert server.output.startswith("baseplate-serve: LISTEN_FDS: descriptor 3 is no socket")
        assert server.output.count("\n") == 1


@pytest.fixture
def notify_socket(tmp_path):
    """What systemd gives to a service of Type=notify; reading it never waits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify.sock"))
        sock.setblocking(False)
        yield sock


def received(sock):
    try:
        return sock.recv(4096).decode()
    except BlockingIOError:
        return None


def test_systemd_is_told_once_a_connection_would_be_served(tmp_path, notify_socket):
    """Units that come After= it connect the moment that it is READY."""
    write_service(tmp_path, server="factory = baseplate_serve.wsgi\ndrain_time = 10 minutes", code=GATED)
    with serve(tmp_path, environ={"NOTIFY_SOCKET": notify_socket.getsockname()}) as server:
        server.wait_until_logged("is being loaded")
        assert received(notify_socket) is None
        (tmp_path / "go").touch()
        assert wait_for(lambda: received(notify_socket), "a word to systemd") == "READY=1"
        assert server.get() == b"False"
        server.signal(signal.SIGTERM)
        assert wait_for(lambda: received(notify_socket), "another word") == "STOPPING=1"
        assert server.get() == b"True"  # from the first moment of the drain
        assert server.stop() == 0
    assert received(notify_socket) is None


def test_systemd_is_not_told_of_an_application_that_fails_to_load(tmp_path, notify_socket):
    write_service(tmp_path, code="raise RuntimeError('no database')")
    with serve(tmp_path, environ={"NOTIFY_SOCKET": notify_socket.getsockname()}) as server:
        assert server.wait() == 1
    assert received(notify_socket) is None


SERVER = "factory = baseplate_serve.wsgi"
BLOCKING = """
    import os, pathlib

    def make_app(config):
        return app

    def app(environ, start_response):
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/fork":
            if not (pid := os.fork()):
                import gevent
                gevent.sleep(1)
                os._exit(0)
            return [str(pid).encode()]
        pathlib.Path("blocked").touch()
        while not os.path.exists("go"):
            pass  # the hub doesn't run
        return [b"done"]
"""


def watched(folder, notify_socket, *, pid="$$", usec="200000"):
    """A server whose watchdog bites after 0.2 s; WATCHDOG_PID is its own unless *pid* says otherwise."""
    script = ["sh", "-c", f'WATCHDOG_PID={pid} exec "$@"', "sh"]
    environ = {"NOTIFY_SOCKET": notify_socket.getsockname(), "WATCHDOG_USEC": usec}
    command = command_line("--bind", "127.0.0.1:0", "app.ini")
    return ServerProcess(folder, command=[*script, *command], environ=environ)


def everything(sock):
    """What has arrived since the last look."""
    return [*iter(lambda: received(sock), None)]


def test_the_watchdog_is_fed_from_ready_to_the_end(tmp_path, notify_socket):
    """In the drain and until the last reply, too: they may last longer than WatchdogSec=."""
    write_service(tmp_path, server=f"{SERVER}\ndrain_time = 10 minutes", code=GATED)
    with watched(tmp_path, notify_socket) as server:
        server.wait_until_logged("is being loaded")
        assert received(notify_socket) is None
        (tmp_path / "go").touch()
        assert wait_for(lambda: received(notify_socket), "a word to systemd") == "READY=1"
        for _ in range(3):
            assert wait_for(lambda: received(notify_socket), "its food") == "WATCHDOG=1"
        server.signal(signal.SIGTERM)
        wait_for(lambda: received(notify_socket) == "STOPPING=1", "the drain")
        for _ in range(3):
            assert wait_for(lambda: received(notify_socket), "its food") == "WATCHDOG=1"
        assert server.stop() == 0


def test_a_blocked_hub_does_not_feed_the_watchdog(tmp_path, notify_socket):
    """A process that only looks alive is replaced."""
    write_service(tmp_path, server=SERVER, code=BLOCKING)
    with watched(tmp_path, notify_socket) as server, socket.socket() as client:
        client.connect(server.wait_until_ready())
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        wait_for((tmp_path / "blocked").exists, "the handler blocks")
        assert "WATCHDOG=1" in everything(notify_socket)
        notify_socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            notify_socket.recv(100)
        (tmp_path / "go").touch()
        notify_socket.settimeout(DEADLINE_S)
        assert notify_socket.recv(100) == b"WATCHDOG=1"
        assert server.stop() == 0


def test_what_blocked_it_is_in_the_log(tmp_path):
    """systemd ends what doesn't feed its watchdog by SIGABRT; the unit has PYTHONFAULTHANDLER=1 for that."""
    write_service(tmp_path, server=SERVER, code=BLOCKING)
    with serve(tmp_path, environ={"PYTHONFAULTHANDLER": "1"}) as server, socket.socket() as client:
        client.connect(server.wait_until_ready())
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        wait_for((tmp_path / "blocked").exists, "the handler blocks")
        server.signal(signal.SIGABRT)
        assert server.wait() == -signal.SIGABRT
        assert re.search(r'File ".*/application.py", line \d+ in app', server.output)


def test_a_forked_child_does_not_feed_the_watchdog(tmp_path, notify_socket):
    """With NotifyAccess=all it would keep a blocked parent alive."""
    write_service(tmp_path, server=SERVER, code=BLOCKING)
    with watched(tmp_path, notify_socket) as server:
        child = int(server.get("/fork"))
        server.signal(signal.SIGSTOP)
        wait_for(lambda: state(server.process.pid) == "T", "the parent sleeps")
        everything(notify_socket)
        wait_for(lambda: state(child) == "Z", "the child has run for a second, and ended")
        assert everything(notify_socket) == []
        server.signal(signal.SIGCONT)
        assert server.stop() == 0


def state(pid):
    """One letter: 'T' stopped, 'Z' ended and not waited for."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def test_a_watchdog_of_another_process_is_not_fed(tmp_path, notify_socket):
    """WATCHDOG_PID: a wrapper's, which feeds it itself."""
    write_service(tmp_path, server=SERVER)
    with watched(tmp_path, notify_socket, pid="1") as server:
        server.wait_until_ready()
        assert server.get() == b"hello"
        assert server.stop() == 0
    assert everything(notify_socket) == ["READY=1", "STOPPING=1"]


def test_a_watchdog_without_a_time_is_refused_in_one_line(tmp_path, notify_socket):
    write_service(tmp_path, server=SERVER)
    with watched(tmp_path, notify_socket, usec="soon") as server:
        assert server.wait() == 2
        assert server.output == "baseplate-serve: WATCHDOG_USEC: expected a number from systemd, got 'soon'\n"


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="it comes with systemd")
def test_systemds_own_tool_starts_it_with_the_first_connection(tmp_path):
    write_service(tmp_path, code=HELLO)
    path = tmp_path / "server.sock"
    given = f"--setenv=PYTHONPATH={environment()['PYTHONPATH']}"
    command = ["systemd-socket-activate", f"--listen={path}", given, *command_line("app.ini")]
    with ServerProcess(tmp_path, command=command) as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            wait_for(lambda: client.connect_ex(str(path)) == 0, "systemd listens")
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").read().endswith(b"hello")
        server.wait_until_logged(r"listening on \S+ \(systemd\)")
        assert server.stop() == 0
        assert path.exists()
