"""What the monitors see and tell."""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import gc
import logging
import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from math import isnan
from time import perf_counter

import gevent
import gevent.pool
import gevent.threadpool
import greenlet
import httpx
import pytest
from gevent import monkey
from gevent.event import Event
from gevent.pywsgi import WSGIHandler
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

import asgi_harness
import compat
import thrift_harness
from baseplate_serve import monitoring, wsgi
from baseplate_serve._lifecycle.connections import Connection, Connections
from baseplate_serve._lifecycle.tally import DURATIONS_MAX, Tally
from baseplate_serve._metrics import declared
from baseplate_serve._metrics.declared import METRICS, RuntimeMetrics
from baseplate_serve._monitors import monitors as monitors_module
from baseplate_serve._monitors import refcycle
from baseplate_serve._monitors.blocked_hub import UNSEEN, BlockedHubMonitor
from baseplate_serve._monitors.choose import monitors_for
from baseplate_serve._monitors.concurrency import ConcurrencyMonitor
from baseplate_serve._monitors.connection_pool import ConnectionPoolMonitor
from baseplate_serve._monitors.coroutines import LoopMonitor
from baseplate_serve._monitors.gc_stats import GcStatsMonitor
from baseplate_serve._monitors.gc_timing import GcTimingMonitor
from baseplate_serve._monitors.lag import LagMonitor
from baseplate_serve._monitors.monitor import Monitor
from baseplate_serve._monitors.monitors import Monitors, heard_of
from baseplate_serve._monitors.refcycle import RefCycleMonitor
from baseplate_serve._monitors.requests import RequestMonitor
from baseplate_serve._settings.options import ServerSettings
from deadline import DEADLINE_S, wait_for

real_sleep = monkey.get_original("time", "sleep")  # blocks the whole thread, which nobody has patched


class Shown:
    """Metrics in a registry of their own, and what they show."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.metrics = RuntimeMetrics(self.registry)

    def __call__(self, name, **labels):
        """The sum of the samples of *name* with these labels; None if there are none."""
        found = [
            sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None


@pytest.fixture
def shown():
    return Shown()


# --- the declarations -------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100), max_size=50))
def test_many_values_at_once_are_what_each_would_have_been(values):
    shown = Shown()
    shown.metrics.observe_all(values, declared.REQUEST_DURATION)
    registry = CollectorRegistry()
    one_by_one = Histogram("x", "x", registry=registry, buckets=declared.REQUEST_DURATION.buckets)
    for value in values:
        one_by_one.observe(value)
    buckets = [sample for sample in next(iter(registry.collect())).samples if sample.name == "x_bucket"]
    assert len(buckets) == len(declared.REQUEST_DURATION.buckets) + 1
    for bucket in buckets:
        assert shown("runtime_request_duration_seconds_bucket", **bucket.labels) == bucket.value
    assert shown("runtime_request_duration_seconds_count") == len(values)
    assert shown("runtime_request_duration_seconds_sum") == pytest.approx(sum(values))


def test_names_are_prometheus_and_unique():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric.name.startswith("runtime_")
        assert metric.says.endswith(".")
        assert metric.answers.endswith("?")
        if metric.kind == "histogram":
            assert metric.name.endswith("_seconds")


# --- running them -----------------------------------------------------------------------------------------


class Recorder:
    """A metrics client as Baseplate's: keeps what it is told."""

    def __init__(self):
        self.told = []
        self.namespace = b"service"
        self.base_tags = {}

    def batch(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass

    def gauge(self, name, tags=None):
        return Told(self, name, tags)

    timer = gauge


class Told:
    def __init__(self, recorder, name, tags):
        self.tell = lambda value: recorder.told.append((name, tags, value))
        self.replace = self.send = self.tell


def test_a_monitor_that_fails_is_off_from_then_on_and_said_once(shown, caplog):
    class Fails(Monitor):
        stopped = 0

        def collect(self, metrics):
            raise RuntimeError("no such thing")

        def stop(self):
            self.stopped += 1

    class Counts(Monitor):
        collected = 0

        def collect(self, metrics):
            self.collected += 1

    counts = Counts()
    fails = Fails()
    monitors = Monitors([fails, counts], shown.metrics)
    monitors.start()
    monitors.collect()
    monitors.stop()
    assert counts.collected == 3
    assert fails.stopped == 1
    assert caplog.text.count("Fails failed and is off from now on") == 1


def test_the_defaults_are_those_of_baseplates_documentation():
    chosen = monitors_for(ServerSettings(), object(), pool=None, reporters={})
    names = [type(monitor).__name__ for monitor in chosen]
    assert names == ["PhaseMonitor", "LagMonitor", "LoopMonitor", "GcStatsMonitor"]
    with thrift_harness.serving(thrift_harness.HeaderProcessor(thrift_harness.Handler())) as server:
        chosen = monitors_for(ServerSettings(), server, pool=None, reporters={})
        names = [type(monitor).__name__ for monitor in chosen]
    assert names == [
        "PhaseMonitor",
        "LagMonitor",
        "LoopMonitor",
        "RequestMonitor",
        "ConcurrencyMonitor",
        "GcStatsMonitor",
    ]


EVERY = dataclasses.replace(
    ServerSettings(),
    blocked_hub=timedelta(seconds=1),
    connection_pool=True,
    gc_timing=True,
    gc_refcycle="/nowhere",
)


@pytest.mark.parametrize(
    ("settings", "client", "heard", "unheard"),
    [
        (ServerSettings(), None, [], None),
        (EVERY, None, ["RefCycle", "BlockedHub"], "monitoring.connection_pool, monitoring.gc.timing"),
        (EVERY, object(), ["ConnectionPool", "GcStats", "GcTiming", "RefCycle", "BlockedHub"], None),
    ],
)
def test_without_prometheus_there_are_the_log_and_baseplates_metrics_client(
    caplog, settings, client, heard, unheard
):
    """What was switched on, and nobody hears of, is said once; what the defaults switch on is not."""
    chosen = heard_of(monitors_for(settings, object(), pool=None, reporters={}), client)
    assert [type(monitor).__name__.removesuffix("Monitor") for monitor in chosen] == heard
    said = [
        record.getMessage().partition(" cannot be shown: metrics.enabled")[0] for record in caplog.records
    ]
    assert said == ([unheard] if unheard else [])


def test_without_prometheus_its_library_is_not_imported_and_a_blockage_is_logged():
    code = """
import datetime, logging, sys, time
from gevent import monkey
real_sleep = time.sleep
monkey.patch_all()
import gevent
from baseplate_serve._metrics.nowhere import NoMetrics
from baseplate_serve._monitors import blocked_hub, lag, monitors
logging.basicConfig(format="%(message)s", stream=sys.stdout)
blocked = blocked_hub.BlockedHubMonitor(datetime.timedelta(milliseconds=100))
running = monitors.Monitors([blocked, lag.LagMonitor()], NoMetrics())
running.start()
gevent.spawn(real_sleep, 0.3).join()
running.stop()
assert "prometheus_client" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "the hub was blocked for 0." in done.stdout


def test_a_metrics_client_that_fails_is_said_once_and_asked_again(shown, caplog, monkeypatch):
    """Whatever it raises: its transport may be anybody's."""
    asked = []

    class Client:
        def batch(self):
            asked.append(1)
            raise (RuntimeError if len(asked) < 3 else OSError)("no such host")

    monkeypatch.setattr(monitors_module, "REPORT_S", 0.001)
    monitors = Monitors([Monitor()], shown.metrics, Client())
    monitors.start()
    wait_for(lambda: len(asked) > 3, "it is asked again and again")
    monitors.stop()
    assert caplog.text.count("Baseplate's metrics client fails, and is asked again") == 1


# --- Baseplate's ------------------------------------------------------------------------------------------


def block_the_hub():
    real_sleep(0.5)


def hold_the_gil():
    ctypes.PyDLL(None).usleep(500_000)


def wait_for_quick_coroutines():
    async def quick():
        pass

    end = perf_counter() + 0.5
    while perf_counter() < end:
        compat.wait(quick())


def switch_past_the_hub():
    def comes_back():
        while True:
            parent.switch()

    parent = greenlet.getcurrent()
    other = greenlet.greenlet(comes_back)
    end = perf_counter() + 0.5
    while perf_counter() < end:
        other.switch()


def block_in_a_coroutine():
    async def blocks():
        block_the_hub()

    compat.wait(blocks())


@contextmanager
def watching_the_hub(**limit):
    monitor = BlockedHubMonitor(timedelta(**limit))
    monitor.start()
    yield monitor
    monitor.stop()
    loops = getattr(gevent.get_hub(), "event_loops", None)
    if loops is not None and loops.attached is not None:
        loop = loops.attached
        loop.detach()
        loop.close()


@pytest.mark.parametrize(
    ("blocks", "where"),
    [
        (block_the_hub, "in block_the_hub"),
        (hold_the_gil, f"in hold_the_gil|{UNSEEN}"),
        (wait_for_quick_coroutines, "File "),  # somewhere between here and asyncio
        (switch_past_the_hub, "in switch_past_the_hub|in comes_back"),
        (block_in_a_coroutine, "in block_the_hub"),
    ],
)
@pytest.mark.parametrize("limit_ms", [50, 450])  # many looks fall into it, or one
def test_a_blockage_is_told_with_its_duration_and_its_stack(shown, caplog, blocks, where, limit_ms):
    with watching_the_hub(milliseconds=limit_ms) as monitor:
        gevent.sleep(0.01)  # in the hub before and after: what runs in between is one blockage
        gevent.spawn(blocks).join()
        monitor.collect(shown.metrics)
    records = [record for record in caplog.records if record.name == "baseplate_serve.monitoring"]
    long = [record for record in records if record.args[0] >= 0.5]
    assert 1 <= len(long) <= 3  # three where the machine is slow
    if limit_ms == 50:
        assert re.search(where, caplog.text)
    assert shown("runtime_hub_blocked_seconds_count") == len(records)
    assert 0.5 <= shown("runtime_hub_blocked_seconds_sum") < 5
    batch = Recorder()
    monitor.report(batch)
    assert [name for name, _, _ in batch.told] == ["hub_blocked"] * len(records)


def test_waiting_is_no_blockage(shown, caplog):
    """The hub waits for a minute, then somebody runs for a moment, into which a look falls."""
    now = [1000.0]
    monitor = BlockedHubMonitor(timedelta(seconds=10), clock=lambda: now[0])
    monitor.start()

    def runs(seconds):
        now[0] += seconds
        monitor.look()

    def wait(seconds):
        gevent.get_hub().loop.run_callback(lambda: now.__setitem__(0, now[0] + seconds))
        gevent.sleep(0)

    for _ in range(3):
        wait(60)
        gevent.spawn(runs, 9).join()
    monitor.collect(shown.metrics)
    assert caplog.records == []
    gevent.spawn(runs, 10).join()
    monitor.collect(shown.metrics)
    monitor.stop()
    assert "the hub was blocked for 10.000 s by Greenlet-" in caplog.text
    assert "in runs" in caplog.text


def test_who_traces_greenlets_too_is_told_as_before():
    seen = []
    before = greenlet.settrace(lambda event, greenlets: seen.append(event))
    try:
        with watching_the_hub(seconds=10):
            gevent.sleep(0)
        assert seen[:2] == ["switch", "switch"]
        seen.clear()
        gevent.sleep(0)
        assert seen[:2] == ["switch", "switch"]
    finally:
        greenlet.settrace(before)


def test_gc_stats(shown):
    gc.collect()
    monitor = GcStatsMonitor()
    monitor.collect(shown.metrics)
    assert shown("runtime_gc", statistic="collections", generation="2", PID=str(os.getpid())) >= 1
    batch = Recorder()
    monitor.report(batch)
    assert ("gc.uncollectable", {"generation": 0}, 0) in batch.told


def test_gc_timing(shown):
    monitor = GcTimingMonitor()
    monitor.start()
    gc.collect()
    monitor.stop()
    gc.collect()
    monitor.collect(shown.metrics)
    assert shown("runtime_gc_duration_seconds_count", generation="2") == 1
    assert shown("runtime_gc_duration_seconds_sum", generation="2") > 0
    batch = Recorder()
    monitor.report(batch)
    assert [name for name, _, _ in batch.told] == ["gc.elapsed"]


class Node:
    pass


def test_reference_cycles_are_drawn(shown, tmp_path, caplog, capfd):
    monitor = RefCycleMonitor(str(tmp_path))
    gc.collect()
    monitor.start()
    try:
        assert not gc.isenabled()
        node = Node()
        node.itself = node
        del node
        drawn = monitor.look()
        again = monitor.look()
    finally:
        monitor.stop()
    assert gc.isenabled()
    assert gc.garbage == []
    with open(drawn, "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    assert "freed by garbage collection alone: 1 objects" in caplog.text
    assert again is None, "what was found is freed"
    assert capfd.readouterr() == ("", "")


def make_garbage():
    node = Node()
    node.itself = node


@pytest.fixture
def dot(tmp_path, monkeypatch):
    """A program of that name, in place of graphviz's, that does what its caller writes; it is always time."""

    def write(script):
        file = tmp_path / "dot"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(refcycle, "EVERY_S", 0.0)
    return write


def test_a_drawing_keeps_no_other_monitor_waiting_and_ends_with_them(shown, tmp_path, dot):
    """`dot` may take ten seconds."""
    dot(f"echo $$ > {tmp_path}/pid\nexec sleep 1000")
    monitors = Monitors([RefCycleMonitor(str(tmp_path))], shown.metrics)
    monitors.start()

    def drawing():
        make_garbage()
        monitors.collect()
        return (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()

    pid = int(wait_for(drawing, "it draws"))
    monitors.stop()
    assert gc.isenabled()

    def ended():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True

    wait_for(ended, "the drawing has ended")


def test_a_forked_child_leaves_its_parents_drawing_alone(tmp_path):
    monitor = RefCycleMonitor(str(tmp_path))
    drawing = monitor._looking = gevent.spawn(gevent.sleep, 1000)
    gevent.idle()
    monitor.leave_to_parent()
    gevent.idle()
    assert not drawing.dead
    monitor.stop()
    drawing.join(DEADLINE_S)
    assert drawing.dead


def test_a_drawing_that_fails_is_said_once(shown, tmp_path, dot, caplog):
    dot("exit 1")
    monitors = Monitors([RefCycleMonitor(str(tmp_path))], shown.metrics)
    monitors.start()

    def said():
        make_garbage()
        monitors.collect()
        return "RefCycleMonitor failed and is off from now on" in caplog.text

    wait_for(said, "it is said")
    monitors.stop()
    assert gc.isenabled()


def test_an_application_without_garbage_collection_stays_without(tmp_path):
    monitor = RefCycleMonitor(str(tmp_path))
    gc.disable()
    try:
        monitor.start()
        monitor.stop()
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("directory", "remedy"),
    [("no/such", "is no writable directory; make it"), (".", "install graphviz")],
)
def test_what_refcycle_needs_is_said_once(shown, monkeypatch, caplog, directory, remedy):
    monkeypatch.setenv("PATH", "")
    monitors = Monitors([RefCycleMonitor(directory)], shown.metrics)
    monitors.start()
    monitors.collect()
    monitors.stop()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert remedy in caplog.text
    assert gc.isenabled()


# --- ours -------------------------------------------------------------------------------------------------


def test_lag(shown):
    monitor = LagMonitor()
    monitor.start()
    gevent.sleep(0.01)
    real_sleep(0.3)  # over the time that it is due
    gevent.sleep(0.01)
    monitor.collect(shown.metrics)
    monitor.stop()
    assert 1 <= shown("runtime_hub_lag_seconds_count") <= 3  # three where the machine is slow
    assert 0.1 < shown("runtime_hub_lag_seconds_sum") < 2


def test_a_thrift_servers_requests(shown, caplog):
    handler = thrift_harness.Handler()
    with thrift_harness.serving(thrift_harness.HeaderProcessor(handler)) as server:
        monitor = RequestMonitor(server)
        with thrift_harness.client(server) as client:
            for _ in range(3):
                client.ping()
            with pytest.raises(Exception, match="Internal error"):
                client.fail()
        with socket.create_connection(server.address) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            sock.recv(100)
        wait_for(lambda: len(server.connections) == 0, "both have left")
        monitor.collect(shown.metrics)
    assert shown("runtime_requests_total", outcome="ok") == 3
    assert shown("runtime_requests_total", outcome="error") == 1
    assert shown("runtime_requests_total", outcome="lost") == 0
    assert shown("runtime_connections_refused_total", reason="malformed") == 1
    assert shown("runtime_request_duration_seconds_count") == 4
    assert shown("runtime_received_bytes_total") > 4 * 30
    assert shown("runtime_sent_bytes_total") > 4 * 30


async def asgi_app(scope, receive, send):
    if scope["path"] == "/fail":
        raise RuntimeError("as it should")
    if scope["path"] == "/hang":
        await receive()
        await receive()
        return
    status = 503 if scope["path"] == "/503" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"0123456789"})


def wsgi_app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("as it should")
    start_response("503 No" if environ["PATH_INFO"] == "/503" else "200 OK", [("Content-Length", "10")])
    return [b"0123456789"]


class OwnHandler(WSGIHandler):
    pass


@contextmanager
def serving(kind, app):
    if kind == "asgi":
        with asgi_harness.serving(app) as server:
            yield server
        return
    config = {"factory": "", "stop_timeout": "5"}
    if kind == "own handler":
        config["handler"] = f"{__name__}:OwnHandler"
    server = wsgi.make_server(config, socket.create_server(("127.0.0.1", 0)), app)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["asgi", "wsgi", "own handler"])
def http_server(request):
    with serving(request.param, asgi_app if request.param == "asgi" else wsgi_app) as server:
        yield server


def test_an_http_servers_requests(shown, http_server, caplog):
    caplog.set_level(logging.CRITICAL)
    monitor = RequestMonitor(http_server)
    for path in ("/", "/", "/503", "/fail"):
        httpx.get(asgi_harness.url(http_server, path), headers={"Connection": "close"})
    with asgi_harness.connected(http_server) as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        asgi_harness.everything(sock)
    wait_for(lambda: len(http_server.connections) == 0, "all have left")
    monitor.collect(shown.metrics)
    assert shown("runtime_requests_total", outcome="ok") == 2
    assert shown("runtime_requests_total", outcome="error") == 2
    assert shown("runtime_requests_total", outcome="lost") == 0
    assert shown("runtime_connections_refused_total", reason="malformed") == 1
    assert shown("runtime_request_duration_seconds_count") == 4
    assert shown("runtime_received_bytes_total") > 200
    assert shown("runtime_sent_bytes_total") > 200


@pytest.mark.parametrize(
    ("sent", "outcome"),
    [
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", "malformed"),
        (b"GET / HTTP/1.1\r\nHost:", "lost"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345", "lost"),
    ],
)
@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_a_request_that_has_no_end_is_not_a_request_served(shown, kind, sent, outcome):
    async def reads(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await asgi_app({**scope, "path": "/"}, receive, send)

    def reads_too(environ, start_response):
        environ["wsgi.input"].read()
        return wsgi_app(environ, start_response)

    with serving(kind, reads if kind == "asgi" else reads_too) as server:
        monitor = RequestMonitor(server)
        with asgi_harness.connected(server) as sock:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            asgi_harness.everything(sock)
        wait_for(lambda: len(server.connections) == 0, "it has left")
        monitor.collect(shown.metrics)
    assert shown("runtime_requests_total", outcome="ok") == 0
    assert shown("runtime_requests_total", outcome="error") == 0
    assert shown("runtime_requests_total", outcome="lost") == int(outcome == "lost")
    assert (shown("runtime_connections_refused_total", reason="malformed") or 0) == int(outcome != "lost")


def test_a_request_that_is_cut_off_is_abandoned_and_not_lost_besides(shown):
    """Also where it is looked at in between, while the request cleans up."""
    done = Event()

    def hangs(environ, start_response):
        try:
            Event().wait()
        finally:
            done.wait()

    with serving("wsgi", hangs) as server:
        monitor = RequestMonitor(server)
        with asgi_harness.connected(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            wait_for(server.in_flight, "it is in flight")
            stop = gevent.spawn(server.stop, 0)
            wait_for(lambda: server.abandoned, "it is cut off")
            monitor.collect(shown.metrics)
            done.set()
            stop.join()
            monitor.collect(shown.metrics)
    assert shown("runtime_requests_total", outcome="abandoned") == 1
    assert shown("runtime_requests_total", outcome="lost") == 0
    assert shown("runtime_requests_abandoned_total") == 1


def test_where_nobody_looks_what_is_counted_does_not_pile_up():
    """With metrics off, for as long as the process lives."""
    connection = Connection(None, None)
    connection.tally = Tally()
    for _ in range(DURATIONS_MAX + 10):
        connection.began()
        connection.ended()
    assert len(connection.tally.durations) == DURATIONS_MAX


def test_a_client_that_leaves_before_the_reply_is_a_lost_request(shown):
    with asgi_harness.serving(asgi_app) as server:
        monitor = RequestMonitor(server)
        with asgi_harness.connected(server) as sock:
            sock.sendall(b"GET /hang HTTP/1.1\r\nHost: h\r\n\r\n")
            wait_for(server.in_flight, "it is in flight")
        wait_for(lambda: len(server.connections) == 0, "it has left")
        monitor.collect(shown.metrics)
    assert shown("runtime_requests_total", outcome="lost") == 1
    assert shown("runtime_requests_total", outcome="ok") == 0


def test_the_loop_whoever_has_made_it(shown):
    """A synchronous service that calls `compat.wait` has one, too."""
    monitor = LoopMonitor()
    monitor.collect(shown.metrics)
    assert shown("runtime_loop_tasks") is None

    async def blocks():
        gevent.sleep(0.001)

    async def holds():
        with compat.no_handoff():
            gevent.sleep(0.001)

    async def computes():
        await asyncio.sleep(0)
        real_sleep(compat.attached_loop().slow_callback_duration + 0.01)

    for again in (1, 2):  # the second time with another loop: counters go on
        compat.wait(blocks())
        compat.wait(holds())
        compat.wait(computes())
        loop = compat.attached_loop()
        waiting = [loop.create_task(asyncio.sleep(1000)) for _ in range(3)]
        monitor.collect(shown.metrics)
        monitor.collect(shown.metrics)
        assert shown("runtime_loop_hand_offs_total") == again
        assert shown("runtime_loop_holds_total") == again
        assert again <= shown("runtime_loop_slow_callbacks_total") <= 3 * again  # more on a slow machine
        assert shown("runtime_loop_tasks") == 3
        for task in waiting:
            task.cancel()
        compat.wait(asyncio.wait(waiting))
        monitor.collect(shown.metrics)
        assert shown("runtime_loop_tasks") == 0
        loop.detach()
        loop.close()


def test_connections_and_requests_are_counted_and_not_described(shown, monkeypatch):
    """Ten thousand of them are counted each second."""
    with asgi_harness.serving(asgi_app) as server:
        monitor = ConcurrencyMonitor(server)
        monkeypatch.setattr(Connections, "in_flight", None)
        with asgi_harness.connected(server) as sock, asgi_harness.connected(server):
            sock.sendall(b"GET /hang HTTP/1.1\r\nHost: h\r\n\r\n")

            def both():
                monitor.collect(shown.metrics)
                return (shown("runtime_open_connections"), shown("runtime_active_requests")) == (2, 1)

            wait_for(both, "two connections, one request")
            batch = Recorder()
            monitor.report(batch)
            assert [told for _, _, told in batch.told] == [2, 1]
        wait_for(lambda: len(server.connections) == 0, "they have left")
        monkeypatch.undo()


# --- pools ------------------------------------------------------------------------------------------------


@pytest.fixture
def watched():
    yield
    monitoring._watched.clear()


def nothing():
    pass


def sqlalchemy_engine():
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        "sqlite://", poolclass=sqlalchemy.QueuePool, pool_size=3, max_overflow=2
    )
    connection = engine.connect()

    def end():
        connection.close()
        engine.dispose()

    return engine, end, 5


def async_sqlalchemy_engine():
    from sqlalchemy.ext.asyncio import create_async_engine

    return (
        create_async_engine("postgresql+asyncpg://nobody@localhost/x", pool_size=4, max_overflow=0),
        nothing,
        4,
    )


def sqlalchemy_pool():
    engine, end, limit = sqlalchemy_engine()
    return engine.pool, end, limit


def redis_client():
    import redis

    return redis.Redis(max_connections=7), nothing, 7


def blocking_redis_pool():
    import redis

    return redis.BlockingConnectionPool(max_connections=6), nothing, 6


def async_redis_client():
    import redis.asyncio

    return redis.asyncio.Redis(max_connections=8), nothing, 8


def asyncpg_pool():
    import asyncpg

    return asyncpg.create_pool("postgresql://nobody@localhost/x", min_size=1, max_size=9), nothing, 9


def psycopg_pool():
    import psycopg_pool as library

    return library.ConnectionPool("host=localhost", min_size=1, max_size=11, open=False), nothing, 11


def gevent_pool():
    pool = gevent.pool.Pool(12)
    return pool, pool.spawn(gevent.sleep, 1000).kill, 12


def gevent_threads():
    pool = gevent.threadpool.ThreadPool(13)
    held = monkey.get_original("_thread", "allocate_lock")()
    held.acquire()
    pool.spawn(held.acquire)
    return pool, held.release, 13


@pytest.mark.parametrize(
    ("make", "in_use"),
    [
        (sqlalchemy_engine, 1),
        (async_sqlalchemy_engine, 0),
        (redis_client, 0),
        (blocking_redis_pool, 0),
        (async_redis_client, 0),
        (asyncpg_pool, 0),
        (psycopg_pool, 0),
        (gevent_pool, 1),
        (sqlalchemy_pool, 1),
        (gevent_threads, 1),
    ],
)
@pytest.mark.usefixtures("watched")
def test_pools_that_are_known(shown, make, in_use):
    async def in_loop():
        return make()  # asyncpg wants one

    pool, end, limit = compat.wait(in_loop())
    monitoring.watch_pool("db", pool)
    monitor = ConnectionPoolMonitor({})
    monitor.collect(shown.metrics)
    assert shown("runtime_pool_connections", pool="db", state="in_use") == in_use
    assert shown("runtime_pool_connections", pool="db", state="idle") == 0
    assert shown("runtime_pool_limit", pool="db") == limit
    batch = Recorder()
    monitor.report(batch)
    assert ("pool.in_use", {"client": "db"}, in_use) in batch.told
    end()
    loop = compat.attached_loop()
    loop.detach()
    loop.close()


def test_baseplates_clients_tell_by_themselves():
    def reporter(batch):
        batch.gauge("pool.size").replace(3)
        tags.append(dict(batch.base_tags))

    tags = []
    batch = Recorder()
    ConnectionPoolMonitor({"redis": reporter}).report(batch)
    assert batch.told == [("pool.size", None, 3)]
    assert tags == [{"client": "redis"}]
    assert batch.base_tags == {}


@pytest.mark.usefixtures("watched")
def test_a_pool_that_cannot_be_read_is_said_once_and_asked_again(shown, caplog):
    class Pool(gevent.pool.Pool):
        broken = False

        def __len__(self):
            if self.broken:
                raise RuntimeError("closed")
            return 3

    def reporter(batch):
        raise RuntimeError("not connected")

    pool = Pool(5)
    monitoring.watch_pool("mine", pool)
    monitor = ConnectionPoolMonitor({"mine": reporter})
    monitor.collect(shown.metrics)
    pool.broken = True
    for _ in range(3):
        monitor.collect(shown.metrics)
        batch = Recorder()
        monitor.report(batch)
    assert (batch.told, batch.base_tags) == ([], {})
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["the connection pool of mine cannot be read"] * 2, "a pool and a client may share a name"
    assert isnan(shown("runtime_pool_connections", pool="mine", state="in_use")), "not what it was at last"
    assert isnan(shown("runtime_pool_limit", pool="mine"))
    pool.broken = False
    monitor.collect(shown.metrics)
    assert shown("runtime_pool_connections", pool="mine", state="in_use") == 3
    assert shown("runtime_pool_limit", pool="mine") == 5


@pytest.mark.parametrize("kind", ["NullPool", "StaticPool", "AssertionPool", "SingletonThreadPool"])
@pytest.mark.usefixtures("watched")
def test_a_pool_without_figures_is_said_and_stops_no_application(caplog, kind):
    """SQLite in memory has one, in the tests of most services."""
    import sqlalchemy
    import sqlalchemy.pool

    caplog.set_level(logging.INFO)
    engine = sqlalchemy.create_engine("sqlite://", poolclass=getattr(sqlalchemy.pool, kind))
    monitoring.watch_pool("db", engine)
    assert monitoring.watched_pools() == {}
    assert f"the pool of db, a {kind}, has no figures" in caplog.text
    engine.dispose()


@pytest.mark.parametrize("pool", [object(), [], "redis://localhost"])
def test_what_is_no_pool_is_a_type_error(pool):
    with pytest.raises(TypeError, match="watch_pool knows SQLAlchemy's engines"):
        monitoring.watch_pool("db", pool)
