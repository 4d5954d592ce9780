"""A handler that does what none should costs its own request: WSGI, ASGI, Thrift and async Thrift."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
import threading

import gevent
import pytest
from thrift.Thrift import TApplicationException
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TTransportException

from deadline import DEADLINE_S, wait_for
from misdeeds import MISDEEDS
from processes import serve, serve_with_mounts, write_service
from programs import needs_namespaces
from test_metrics import metrics_of
from testing_idl import Testing
from thrift_harness import DIALECTS

pytestmark = pytest.mark.process

KINDS = ["wsgi", "asgi", "thrift", "async_thrift"]
FOR_EVER = {"fork_and_stay", "spin", "sleep", "hang_in_native_threads", "resolve", "leak"}
HARMLESS = {"fork", "fork_and_return", "block"}  # the caller gets its reply
KILLED = {"raise_greenlet_exit", "kill_itself"}  # a Thrift connection ends with its greenlet


def start(folder, kind, server="", app="", environ=None):
    factory = "baseplate_serve.thrift" if "thrift" in kind else "baseplate_serve.wsgi"
    write_service(
        folder,
        server=f"factory = {factory}\n{server}",
        app=f"factory = misdeeds:make_{kind}\n{app}",
        code="",
    )
    return serve(folder, environ=environ)


class Client:
    """One connection."""

    def __init__(self, kind, address):
        self._is_thrift = "thrift" in kind
        if self._is_thrift:
            self._connection = TSocket(*address)
            self._connection.setTimeout(DEADLINE_S * 1000)
            self._connection.open()
            self._thrift = Testing.Client(DIALECTS["header"](self._connection))
        else:
            self._connection = http.client.HTTPConnection(*address, timeout=DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_exc_info):
        self._connection.close()

    def ask(self, what):
        """What a client that asks for *what* gets: the text, 'refused' or 'disconnected'."""
        return self._call(what) if self._is_thrift else self._get(what)

    def _call(self, what):
        try:
            return self._thrift.echo(what)
        except TApplicationException as error:
            return "refused" if error.type == TApplicationException.INTERNAL_ERROR else repr(error)
        except TTransportException:
            return "disconnected"

    def _get(self, what):
        try:
            self._connection.request("GET", f"/{what}")
            response = self._connection.getresponse()
            body = response.read().decode()
        except http.client.RemoteDisconnected:
            return "disconnected"
        return body if response.status == 200 else "refused"


def ask(kind, address, what):
    """Likewise, over a connection of its own."""
    with Client(kind, address) as client:
        return client.ask(what)


def children_of(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.split()


@pytest.mark.parametrize("kind", KINDS)
def test_a_misdeed_costs_its_request_alone(tmp_path, kind):
    """One client gets an error, everybody else is served; the log tells, and nothing is printed past it."""
    with start(tmp_path, kind, app="memory = 600_000_000") as server:
        address = server.wait_until_ready()
        for name in (name for name in MISDEEDS if name not in FOR_EVER):
            reported = len([record for record in server.records if record["level"] == "ERROR"])
            answered = ask(kind, address, name)
            assert ask(kind, address, "alive") == "fine", name
            if name in HARMLESS:
                assert answered == "fine", name
                continue
            assert answered == "refused" or ("thrift" in kind and name in KILLED), (name, answered)
            if name not in KILLED:
                wait_for(
                    lambda before=reported: (
                        len([record for record in server.records if record["level"] == "ERROR"]) == before + 1
                    ),
                    f"{name} is logged once",
                )
        wait_for(lambda: not children_of(server.process.pid), "the forked children are gone")
        assert server.stop() == 0
        assert [line for line in server.output.splitlines() if not line.startswith("{")] == []


@pytest.mark.parametrize("kind", ["wsgi", "asgi", "thrift"])
def test_a_forked_child_that_stays_is_no_server(tmp_path, kind):
    """It has copies of all that serves: nobody may notice."""
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    options = "idle_timeout = 500 milliseconds\nmetrics.endpoint = 127.0.0.1:0"
    with start(tmp_path, kind, options, environ={"PROMETHEUS_MULTIPROC_DIR": str(metrics)}) as server:
        address = server.wait_until_ready()
        us = str(server.process.pid)
        with Client(kind, address) as kept:
            assert [kept.ask("alive") for _ in range(20)] == ["fine"] * 20
            assert ask(kind, address, "fork_and_stay") == "fine"
            asked = 21
            # For longer than connections may be idle, and than a monitor takes to look.
            while server.messages.count("the child works on") < 30:
                assert (kept.ask("who"), ask(kind, address, "who")) == (us, us)
                asked += 2
                gevent.sleep(0.02)
            wait_for(lambda: metrics_of(server)["runtime_requests_total"] >= asked, "all are counted")
            assert metrics_of(server)["runtime_requests_total"] == asked
        [child] = children_of(server.process.pid)
        assert server.stop() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        works_on = server.messages.count("the child works on") + 1
        wait_for(
            lambda: server.messages.count("the child works on") > works_on, "it hears of no stop but its own"
        )
        os.kill(int(child), signal.SIGTERM)
        wait_for(lambda: not is_alive(child), "it has ended")


def is_alive(pid):
    """Not ended, whether anybody waits for it or not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kind", ["wsgi", "asgi", "thrift"])
def test_a_loop_that_never_ends_is_interrupted_by_the_third_signal(tmp_path, kind):
    """Nothing runs beside it, no stop_timeout either: without this, only SIGKILL would help."""
    with start(tmp_path, kind, "stop_timeout = 1 second") as server:
        address = server.wait_until_ready()
        asking = threading.Thread(target=ask, args=(kind, address, "spin"), daemon=True)
        asking.start()
        enough = _cpu_seconds(server.process.pid) + 0.3
        wait_for(lambda: _cpu_seconds(server.process.pid) > enough, "it loops")
        server.signal(signal.SIGTERM)

        def interrupted():
            server.signal(signal.SIGTERM)
            gevent.sleep(0.05)  # somebody who presses Ctrl-C again and again
            return [message for message in server.messages if message.startswith("SIGTERM interrupted")]

        [stack] = wait_for(interrupted, "the loop is interrupted")
        assert "in spin" in stack
        assert server.wait() == 0
        asking.join(DEADLINE_S)


def _cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize("kind", ["asgi", "thrift"])
def test_a_leak_costs_requests_when_memory_is_full_and_metrics_tell_it_before(tmp_path, kind):
    """The server doesn't restart for it: whoever limits the memory does."""
    metrics = "metrics.endpoint = 127.0.0.1:0"
    with start(tmp_path, kind, metrics, app="memory = 600_000_000") as server:
        address = server.wait_until_ready()
        before = metrics_of(server)["process_resident_memory_bytes"]
        leaks = 0
        while ask(kind, address, "leak") == "fine":
            leaks += 1
        assert leaks > 3
        assert ask(kind, address, "leak") == "refused"
        assert ask(kind, address, "alive") == "fine"
        assert metrics_of(server)["process_resident_memory_bytes"] > before + (leaks - 1) * (32 << 20)
        assert server.stop() == 0


def resolve_and_stop(server, kind, what):
    """Twelve that ask for *what* and wait for a name, another client who is served meanwhile, and a stop."""
    address = server.wait_until_ready()
    waiting = [threading.Thread(target=ask, args=(kind, address, what), daemon=True) for _ in range(12)]
    for thread in waiting:
        thread.start()
    wait_for(lambda: len([m for m in server.messages if m == "resolving"]) == 12, "all of them resolve")
    assert ask(kind, address, "alive") == "fine"
    server.signal(signal.SIGTERM)
    assert server.wait(9) == 0  # what cannot be interrupted is left behind after 5 seconds, and some
    for thread in waiting:
        thread.join(DEADLINE_S)


def test_names_that_no_server_resolves_keep_nobody_else_waiting(tmp_path):
    """gevent resolves in ten native threads, which nothing can interrupt; no other request needs them."""
    with start(tmp_path, "thrift", "stop_timeout = 100 milliseconds") as server:
        resolve_and_stop(server, "thrift", "hang_in_native_threads")


@needs_namespaces
def test_a_name_server_that_never_answers_keeps_nobody_else_waiting(tmp_path):
    """Likewise, with the resolver itself; for its process, there is no other name server."""
    start(tmp_path, "wsgi", "stop_timeout = 100 milliseconds").__exit__()  # writes the service
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
        try:
            name_server.bind((f"127.{random.randrange(1, 255)}.{random.randrange(255)}.1", 53))
        except PermissionError:
            pytest.skip("the port of name servers is not for this user")
        name_server.settimeout(DEADLINE_S)
        host, _ = name_server.getsockname()
        (tmp_path / "resolv.conf").write_text(f"nameserver {host}\noptions timeout:30 attempts:1\n")
        with serve_with_mounts(tmp_path, "mount --bind resolv.conf /etc/resolv.conf") as server:
            resolve_and_stop(server, "wsgi", "resolve")
        assert b"nobody" in name_server.recv(512)
