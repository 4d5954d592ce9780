"""``/metrics``: alone, and for workers that share a directory."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import gevent
import prometheus_client
import pytest

from baseplate_serve._metrics import exporter as module
from baseplate_serve._metrics.exporter import DEFAULT_ENDPOINT, make_exporter
from baseplate_serve.config import Endpoint
from baseplate_serve.errors import EndpointError, UsageError
from deadline import DEADLINE_S, wait_for

LOCAL = Endpoint("127.0.0.1:0")
REMEDY = "set metrics.endpoint in the server section to another address, or metrics.enabled = false"


@pytest.fixture
def exporter():
    """A started exporter of this process' own registry."""
    exporter = make_exporter({}, LOCAL, einhorn_worker=False)
    exporter.start()
    yield exporter
    exporter.stop()


def ask(address, request="GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n"):
    """What the exporter replies to *request*, until it closes."""
    with connect(address) as client:
        client.sendall(request.encode())
        with client.makefile("rb") as reply:
            return reply.read().decode()


def connect(address):
    family = (
        socket.AF_UNIX
        if isinstance(address, str)
        else socket.AF_INET6
        if ":" in address[0]
        else socket.AF_INET
    )
    client = socket.socket(family)
    client.settimeout(DEADLINE_S)
    client.connect(address)
    return client


def samples(text):
    """name{labels} -> value, as Prometheus' text format has them."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, _, value in lines if re.match("[a-z_]+({.*})?$", name)}


# --- alone -----------------------------------------------------------------------------------------------


def test_the_default_is_port_6060():
    assert str(DEFAULT_ENDPOINT) == "0.0.0.0:6060"


def test_a_metric_in_the_default_registry_appears_without_configuration(exporter):
    counter = prometheus_client.Counter("appears", "An application's own.")
    try:
        counter.inc(3)
        reply = ask(exporter.address)
        counter.inc()
        again = ask(exporter.address)
    finally:
        prometheus_client.REGISTRY.unregister(counter)
    assert reply.startswith("HTTP/1.1 200 OK\r\n")
    assert samples(reply)["appears_total"] == 3
    assert samples(again)["appears_total"] == 4


def test_the_library_s_own_application_answers(exporter):
    """OpenMetrics, compression, name[]= and what else it learns come for free."""
    with urlopen(f"http://127.0.0.1:{exporter.address.port}/metrics?name[]=python_info") as reply:
        assert reply.headers["Content-Type"].startswith("text/plain; version=")
        assert list(samples(reply.read().decode())) == [
            next(iter(samples(ask(exporter.address, PYTHON_INFO))))
        ]


PYTHON_INFO = "GET /metrics?name[]=python_info HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics/x", "/favicon.ico", "/Metrics"])
def test_every_other_path_is_not_found(exporter, path):
    reply = ask(exporter.address, f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
    assert reply.startswith("HTTP/1.1 404 Not Found\r\n")
    assert reply.endswith("\r\n\r\nNot found: metrics are at /metrics\n")


def test_a_connection_is_closed_after_its_scrape(exporter):
    """Otherwise an idle one would have to be waited for when the process stops."""
    for path in ("/metrics", "/nothing"):
        head = ask(exporter.address, f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").partition("\r\n\r\n")[0]
        assert head.lower().count("connection: close") == 1


def test_the_logs_are_those_of_the_library_s_name(exporter, caplog):
    with caplog.at_level(logging.DEBUG, "baseplate_serve.metrics"):
        ask(exporter.address)
        ask(exporter.address, "nonsense\r\n\r\n")
    levels = {(record.name, record.levelname, "GET /metrics" in record.message) for record in caplog.records}
    assert ("baseplate_serve.metrics", "DEBUG", True) in levels
    assert ("baseplate_serve.metrics", "ERROR", False) in levels


@pytest.mark.parametrize("endpoint", ["127.0.0.1:0", "[::1]:0", "localhost:0", "{}/metrics.sock"])
def test_the_real_address_is_known_and_logged(endpoint, tmp_path, caplog):
    exporter = make_exporter({}, Endpoint(endpoint.format(tmp_path)), einhorn_worker=False)
    with caplog.at_level(logging.INFO, "baseplate_serve.metrics"):
        exporter.start()
    try:
        assert f"metrics on {exporter.address}" in caplog.messages
        assert ":0" not in str(exporter.address)
        assert "python_info" in ask(exporter.address)
    finally:
        exporter.stop()
    assert list(tmp_path.iterdir()) == []


def test_several_workers_share_the_port(exporter):
    second = make_exporter({}, Endpoint(str(exporter.address)), einhorn_worker=False)
    second.start()
    assert second.address == exporter.address
    second.stop()
    assert "python_info" in ask(exporter.address)


# --- clients that do nothing -----------------------------------------------------------------------------


def test_a_silent_client_disturbs_no_scrape_and_no_stop(exporter):
    with connect(exporter.address) as silent:
        assert "python_info" in ask(exporter.address)
        began = time.monotonic()
        exporter.stop()
        assert time.monotonic() - began < module.STOP_S / 2
        assert silent.recv(1) == b""


@pytest.mark.parametrize(
    "opening",
    [b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost:", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"],
)
def test_a_client_that_never_finishes_is_hung_up_on(exporter, opening, monkeypatch):
    monkeypatch.setattr(module, "CONNECTION_S", 0.05)
    with connect(exporter.address) as client, client.makefile("rb") as reply:
        client.sendall(opening)
        reply.read()  # returns: the exporter closed the connection


class Waiting:
    """In place of the library's application: answers when told to."""

    def __init__(self):
        self.asked = gevent.event.Event()
        self.answer = gevent.event.Event()

    def __call__(self, environ, start_response):
        self.asked.set()
        self.answer.wait()
        start_response("200 OK", [])
        return [b"answered"]


def test_a_running_scrape_may_end_when_the_process_stops(exporter):
    exporter._metrics = metrics = Waiting()
    scrape = gevent.spawn(ask, exporter.address)
    assert metrics.asked.wait(DEADLINE_S)
    stop = gevent.spawn(exporter.stop)
    wait_for(lambda: exporter._server is None, "the stop")
    metrics.answer.set()
    assert scrape.get(timeout=DEADLINE_S).endswith("answered")
    stop.get(timeout=DEADLINE_S)


def test_a_scrape_that_does_not_end_is_not_waited_for(exporter, monkeypatch):
    monkeypatch.setattr(module, "STOP_S", 0.01)
    exporter._metrics = metrics = Waiting()
    scrape = gevent.spawn(ask, exporter.address)
    assert metrics.asked.wait(DEADLINE_S)
    gevent.spawn(exporter.stop).get(timeout=DEADLINE_S)
    metrics.answer.set()
    assert scrape.get(timeout=DEADLINE_S) == ""


def test_stop_is_idempotent_and_may_come_before_start(exporter):
    address = exporter.address
    exporter.stop()
    exporter.stop()
    with socket.socket() as client:
        assert client.connect_ex(address) == errno.ECONNREFUSED
    make_exporter({}, LOCAL, einhorn_worker=False).stop()


# --- errors ----------------------------------------------------------------------------------------------


def test_a_port_in_use_is_an_error_that_names_the_option_to_change():
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = Endpoint(f"127.0.0.1:{other.getsockname()[1]}")
        exporter = make_exporter({}, endpoint, einhorn_worker=False)
        with pytest.raises(EndpointError) as caught:
            exporter.start()
        exporter.stop()
    assert str(caught.value) == f"metrics: {endpoint}: cannot be bound: Address already in use; {REMEDY}"
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    "endpoint",
    ["no-such-host.invalid:6060", "a..b:6060", "192.0.2.1:6060", "/no/such/folder/sock", "/" + "x" * 200],
)
def test_an_address_that_cannot_be_bound_is_an_error_of_one_line(endpoint):
    exporter = make_exporter({}, Endpoint(endpoint), einhorn_worker=False)
    with pytest.raises(EndpointError) as caught:
        exporter.start()
    message = str(caught.value)
    assert message.startswith(f"metrics: {endpoint}: ")
    assert message.endswith(f"; {REMEDY}")
    assert "\n" not in message
    assert "None" not in message
    with pytest.raises(RuntimeError):
        exporter.address  # noqa: B018 (a property)


@pytest.mark.parametrize("name", ["", "missing", "file"])
def test_the_directory_must_exist(name, tmp_path):
    (tmp_path / "file").touch()
    value = str(tmp_path / name) if name else ""
    with pytest.raises(UsageError) as caught:
        make_exporter({"PROMETHEUS_MULTIPROC_DIR": value}, LOCAL, einhorn_worker=False)
    assert (
        str(caught.value) == f"PROMETHEUS_MULTIPROC_DIR = {value!r}: expected an existing writable directory"
    )
    assert caught.value.exit_status == 2


def test_a_directory_that_the_library_would_take_for_a_pattern_is_refused(tmp_path):
    folder = tmp_path / "metrics[1]"
    folder.mkdir()
    with pytest.raises(UsageError, match="without any of"):
        make_exporter({"PROMETHEUS_MULTIPROC_DIR": str(folder)}, LOCAL, einhorn_worker=False)


def test_a_directory_that_cannot_be_locked_is_refused(tmp_path):
    (tmp_path / "slots.lock").mkdir()
    with pytest.raises(UsageError) as caught:
        make_exporter({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}, LOCAL, einhorn_worker=False)
    assert str(caught.value).startswith(f"PROMETHEUS_MULTIPROC_DIR = {str(tmp_path)!r}: cannot be used: ")


def test_a_worker_of_einhorn_needs_a_directory():
    with pytest.raises(UsageError, match=r"^PROMETHEUS_MULTIPROC_DIR is not set: .*metrics.enabled = false"):
        make_exporter({}, LOCAL, einhorn_worker=True)


def test_a_slot_s_name_is_checked_before_anything_is_written(tmp_path):
    environ = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "MULTIPROCESS_WORKER_ID": "a_b"}
    with pytest.raises(UsageError, match=r"^MULTIPROCESS_WORKER_ID = 'a_b': "):
        make_exporter(environ, LOCAL, einhorn_worker=False)
    assert list(tmp_path.iterdir()) == []


# --- real processes --------------------------------------------------------------------------------------

WORKER = """
from gevent import monkey
monkey.patch_all()
import os
from gevent.fileobject import FileObjectPosix
from baseplate_serve._metrics.exporter import make_exporter
from baseplate_serve.config import Endpoint
exporter = make_exporter(os.environ, Endpoint("127.0.0.1:0"), einhorn_worker=False)

from prometheus_client import Counter, Gauge, Histogram
jobs = Counter("jobs", "Done.")
alive = Gauge("alive", "Workers.", multiprocess_mode="livesum")
each = Gauge("each", "In progress, a series each.")
Histogram("sizes", "Of jobs.").observe(1)
jobs.inc()
alive.set(1)
each.inc()
exporter.start()
print(exporter.slot.name(), exporter.address.port, flush=True)
for line in FileObjectPosix(0, "r"):
    if line == "fork\\n":
        if os.fork() == 0:
            jobs.inc(10)
            print(exporter.slot.name(), flush=True)
            os._exit(0)
    if line == "stop\\n":
        exporter.stop()
        jobs.inc(100)   # an atexit handler that counts
        alive.set(1)
        print("stopped", flush=True)
"""


class Worker:
    def __init__(self, directory, wanted):
        environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
        environ.pop("MULTIPROCESS_WORKER_ID", None)
        if wanted is not None:
            environ["MULTIPROCESS_WORKER_ID"] = wanted
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.slot, port = self.hear().split()
        self.address = ("127.0.0.1", int(port))

    def hear(self):
        return self.process.stdout.readline().rstrip("\n")

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def scrape(self):
        return samples(ask(self.address))

    def end(self):
        """Let it exit without a stop, as a crash does."""
        self.process.communicate()

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path):
    """Start a worker that wants *slot* of the test's directory; it has done one job when this returns."""
    workers = []

    def start(slot=None):
        workers.append(Worker(tmp_path, slot))
        return workers[-1]

    yield start
    for worker in workers:
        if worker.process.returncode is None:
            worker.kill()


@pytest.mark.process
def test_any_worker_answers_for_all(start):
    first, second = start(), start()
    assert (first.slot, second.slot) == ("0", "1")
    for worker in (first, second):
        shown = worker.scrape()
        assert (shown["jobs_total"], shown["alive"], shown["sizes_count"]) == (2, 2, 2)
        assert (shown['each{pid="0"}'], shown['each{pid="1"}']) == (1, 1)


@pytest.mark.process
def test_workers_that_die_leave_no_files_behind_and_no_job_is_lost(start, tmp_path):
    """Twenty restarts, every other by kill -9: as many files as after the first."""
    witness = start("witness")
    start("0").kill()
    files = {path.name for path in tmp_path.iterdir()}
    for restart in range(1, 21):
        worker = start("0")
        assert worker.slot == "0"
        shown = witness.scrape()
        assert (shown["alive"], shown["jobs_total"], shown['each{pid="0"}']) == (2, 2 + restart, 1)
        if restart % 2:
            worker.kill()
        else:
            worker.end()
        shown = witness.scrape()
        assert (shown["alive"], shown["jobs_total"], shown["sizes_count"]) == (1, 2 + restart, 2 + restart)
    start("0")
    assert {path.name for path in tmp_path.iterdir()} == files


@pytest.mark.process
def test_a_worker_that_replaces_one_that_still_drains_writes_files_of_its_own(start):
    old = start("0")
    new = start("0")
    assert new.slot == "0-1"
    shown = old.scrape()
    assert (shown["jobs_total"], shown["alive"], shown['each{pid="0-1"}']) == (2, 2, 1)
    old.kill()
    shown = new.scrape()
    assert (shown["jobs_total"], shown["alive"]) == (2, 1)
    assert start("0").slot == "0"


@pytest.mark.process
def test_a_worker_that_stops_is_not_alive_and_what_it_still_counts_counts(start):
    """Its slot stays its own until it is gone: two writers of one file would damage it."""
    witness, worker = start(), start("0-0")
    worker.tell("stop")
    assert worker.hear() == "stopped"
    shown = witness.scrape()
    assert (shown["alive"], shown["jobs_total"]) == (1, 102)
    assert start("0-0").slot == "0-0-1"


@pytest.mark.process
def test_a_forked_child_counts_in_files_of_its_own(start):
    worker = start("0")
    worker.tell("fork")
    assert worker.hear() == "0-1"
    witness = start("witness")
    assert witness.scrape()["jobs_total"] == 12


@pytest.mark.process
def test_without_metrics_nobody_imports_the_library():
    check = "import sys, baseplate_serve._metrics.exporter; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
