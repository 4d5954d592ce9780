"""What machines do to a server: descriptors, disks and output run out, processes die or stop, clocks jump."""

from __future__ import annotations

import glob
import os
import resource
import signal
import socket
import urllib.request

import gevent
import pytest

from deadline import DEADLINE_S, wait_for
from load import HttpLoad, ThriftLoad
from processes import HELLO, serve, serve_with_mounts, write_service
from programs import needs, needs_namespaces
from test_handler_faults import KINDS, ask, start

pytestmark = pytest.mark.process

ECHO = """
    from testing_idl import Testing

    class Handler:
        def echo(self, text):
            return text

    def make_app(config):
        return Testing.Processor(Handler())
"""
HELLO_ASGI = """
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})

    def make_app(config):
        return app
"""
SERVICES = {"wsgi": HELLO, "asgi": HELLO_ASGI, "thrift": ECHO}


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))


@pytest.mark.parametrize("kind", KINDS)
def test_descriptors_run_out_and_come_back(tmp_path, kind):
    """Clients wait in the queue meanwhile; the log says so once, not for every one of them."""
    start(tmp_path, kind).__exit__()  # writes the service
    with serve(tmp_path, preexec_fn=few_descriptors) as server:
        address = server.wait_until_ready()
        clients = [socket.create_connection(address) for _ in range(100)]
        server.wait_until_logged(r"no connection can be accepted \(Too many open files\), \d+ are open")
        waiting = gevent.spawn(ask, kind, address, "x")
        gevent.sleep(0.5)  # it tries some more times
        assert not waiting.ready()
        for client in clients:
            client.close()
        assert waiting.get(timeout=DEADLINE_S) == "fine"
        assert server.stop() == 0
        assert len([message for message in server.messages if "can be accepted" in message]) == 1
        assert [line for line in server.output.splitlines() if not line.startswith("{")] == []


@pytest.mark.parametrize("closed", [(1, 2), (0, 1, 2)])
def test_closed_standard_streams_become_nobodys(tmp_path, closed):
    """Else their numbers are given to sockets: what a library writes to standard error reaches a client."""

    def close():
        for fd in closed:
            os.close(fd)

    write_service(tmp_path, server="factory = baseplate_serve.wsgi")
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        address = holder.getsockname()
        with serve(tmp_path, bind="{}:{}".format(*address), preexec_fn=close) as server:
            wait_for(lambda: _serves(address), "it serves")
            for fd in closed:
                assert os.readlink(f"/proc/{server.process.pid}/fd/{fd}") == os.devnull
            assert server.stop() == 0


def _serves(address):
    try:
        with urllib.request.urlopen("http://{}:{}/".format(*address), timeout=DEADLINE_S) as reply:
            return reply.read() == b"hello"
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["wsgi", "asgi", "thrift"])
def test_a_killed_worker_costs_its_own_requests_alone(tmp_path, kind):
    """kill -9, or the kernel's out-of-memory killer; the others on the port go on."""
    factory = "baseplate_serve.thrift" if kind == "thrift" else "baseplate_serve.wsgi"
    write_service(tmp_path, server=f"factory = {factory}", code=SERVICES[kind])
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        address = holder.getsockname()
        bind = "{}:{}".format(*address)
        with serve(tmp_path, bind=bind) as doomed, serve(tmp_path, bind=bind) as other:
            doomed.wait_until_ready()
            other.wait_until_ready()
            clients = 8
            load = (
                ThriftLoad(address, clients)
                if kind == "thrift"
                else HttpLoad(address, clients, keep_alive=False)
            )

            def replies():
                return len(load.replies) if kind == "thrift" else load.replies

            def lost():
                return load.reconnects if kind == "thrift" else len(load.failures)

            wait_for(lambda: replies() > 300, "there is load")
            assert lost() == 0
            doomed.signal(signal.SIGKILL)
            doomed.wait()
            before = replies()
            wait_for(lambda: replies() > before + 300, "the load goes on")
            at_once = lost()
            assert at_once <= 2 * clients  # in a connection, or in its queue
            before = replies()
            wait_for(lambda: replies() > before + 300, "and on")
            load.stop()
            assert lost() == at_once
            if kind == "thrift":
                assert load.wrong == []
            assert other.stop() == 0


HTTP_HALVES = (b"GET /x HTTP/1.1\r\n", b"Host: x\r\n\r\n")
THRIFT_HALVES = (  # echo("x"), framed
    b"\0\0\0\x19\x80\x01\0\x01\0\0\0\x04echo",
    b"\0\0\0\0\x0b\0\x01\0\0\0\x01x\0",
)


@pytest.mark.parametrize("kind", ["wsgi", "asgi", "thrift"])
def test_who_was_stopped_reads_before_it_judges(tmp_path, kind):
    """SIGSTOP, a laptop's lid, a frozen container: the client was not slow, we were."""
    first, rest = THRIFT_HALVES if kind == "thrift" else HTTP_HALVES
    timeout = "body_timeout = 1 second" if kind == "thrift" else "head_timeout = 1 second"
    with start(tmp_path, kind, timeout) as server:
        address = server.wait_until_ready()
        with socket.create_connection(address) as client:
            client.settimeout(DEADLINE_S)
            client.sendall(first)
            gevent.sleep(0.2)  # the request has begun
            server.signal(signal.SIGSTOP)
            client.sendall(rest)
            gevent.sleep(1.5)  # the timeout passes
            server.signal(signal.SIGCONT)
            assert b"fine" in client.recv(4096)
            client.sendall(first + rest)
            assert b"fine" in client.recv(4096)  # neither late nor on its way out
        assert not [message for message in server.messages if "is over" in message]
        assert ask(kind, address, "x") == "fine"
        assert server.stop() == 0


FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")


@needs("libfaketime", FAKETIME)
@pytest.mark.parametrize(
    ("kind", "jump"),
    [
        ("wsgi", "+2d"),
        ("wsgi", "-2d"),
        ("thrift", "+2d"),
        ("thrift", "-2d"),
        ("asgi", "+2d"),
    ],
)
def test_a_clock_that_jumps_moves_no_deadline(tmp_path, kind, jump):
    """NTP's first correction, or a machine that was migrated: timeouts are by the monotonic clock."""
    rate = tmp_path / "rate"
    rate.write_text("+0")
    start(tmp_path, kind, "stop_timeout = 400 milliseconds\nidle_timeout = 1 minute").__exit__()
    environ = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME_TIMESTAMP_FILE": str(rate),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with serve(tmp_path, environ=environ) as server:
        address = server.wait_until_ready()
        with socket.create_connection(address) as idle:
            assert ask(kind, address, "x") == "fine"
            sleeping = gevent.spawn(ask, kind, address, "sleep")
            server.wait_until_logged("^sleeping$")
            rate.write_text(jump)
            assert ask(kind, address, "x") == "fine"
            idle.setblocking(False)
            with pytest.raises(BlockingIOError):
                idle.recv(1)
            began = gevent.get_hub().loop.now()
            assert server.stop() == 0
            assert gevent.get_hub().loop.now() - began < DEADLINE_S / 2
        days = {record["timestamp"][:10] for record in server.records}
        assert len(days) == 2  # the clock has jumped indeed
        assert sleeping.get(timeout=DEADLINE_S) in ("refused", "disconnected")


MANY_METRICS = """
    from prometheus_client import Counter

    FILLED = Counter("filled", "as long as their label", ["filling"])

    def make_app(config):
        def app(environ, start_response):
            for number in range(100):
                FILLED.labels(environ["PATH_INFO"] + "x" * 200 + str(number)).inc()
            start_response("200 OK", [])
            return [b"hello"]
        return app
"""


@needs_namespaces
@pytest.mark.parametrize("size_kib", [0, 16, 192, 1024], ids=lambda size: f"{size} KiB")
def test_a_full_disk_costs_metrics_and_no_worker(tmp_path, size_kib):
    """prometheus_client writes through memory: where the disk is full, that ends the process (SIGBUS)."""
    server = "factory = baseplate_serve.wsgi\nmetrics.endpoint = 127.0.0.1:0"
    write_service(tmp_path, server=server, code=MANY_METRICS)
    (tmp_path / "metrics").mkdir()
    mount = f"mount -t tmpfs -o size={size_kib or 16}k tmpfs metrics"
    if not size_kib:
        mount += "; dd if=/dev/zero of=metrics/full bs=4k 2>/dev/null || true"
    with serve_with_mounts(tmp_path, mount, environ={"PROMETHEUS_MULTIPROC_DIR": "metrics"}) as running:
        running.wait_until_ready()
        for number in range(20):
            assert running.get(f"/{number}") == b"hello"
        said = [message for message in running.messages if "No space left" in message]
        assert 1 <= len(said) <= 4  # one for each kind of metric
        where = running.wait_until_logged(r"metrics on (\S+)").group(1)
        with urllib.request.urlopen(f"http://{where}/metrics", timeout=DEADLINE_S) as reply:
            assert ("filled_total" in reply.read().decode()) == (size_kib >= 192)
        assert running.stop() == 0
