"""/metrics of real server processes."""

from __future__ import annotations

import http.client
import re
import urllib.request
from contextlib import ExitStack

import gevent
import pytest

from deadline import wait_for
from processes import serve, write_service

pytestmark = pytest.mark.process

COUNTING = """
    import gevent
    from prometheus_client import Counter

    calls = Counter("my_calls", "an application's own metric, in the default registry")

    def make_app(config):
        def app(environ, start_response):
            calls.inc()
            if environ["PATH_INFO"] == "/slow":
                gevent.sleep(1000)
            start_response("200 OK", [])
            return [b"hello"]
        return app
"""
SERVER = "factory = baseplate_serve.wsgi\nmetrics.endpoint = 127.0.0.1:0"


def metrics_of(server):
    """Name to value, summed over labels."""
    where = server.wait_until_logged(r"metrics on (\S+)").group(1)
    with urllib.request.urlopen(f"http://{where}/metrics", timeout=20) as reply:
        text = reply.read().decode()
    found = {}
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        found[name] = found.get(name, 0) + float(value)
    return found


def test_an_applications_own_metrics_appear_with_no_configuration(tmp_path):
    write_service(tmp_path, server=SERVER, code=COUNTING)
    with serve(tmp_path) as server:
        server.get()
        assert metrics_of(server)["my_calls_total"] == 1
        assert server.stop() == 0


def test_connections_and_requests_in_flight_are_shown(tmp_path):
    """What the operator asks first: is it busy, and with how many clients."""
    write_service(tmp_path, server=SERVER, code=COUNTING)
    with serve(tmp_path) as server:
        address = server.wait_until_ready()
        idle, busy = http.client.HTTPConnection(*address), http.client.HTTPConnection(*address)
        idle.request("GET", "/")
        idle.getresponse().read()
        busy.request("GET", "/slow")

        def shown():
            metrics = metrics_of(server)
            return (metrics["runtime_open_connections"], metrics["runtime_active_requests"]) == (2, 1)

        wait_for(shown, "two connections, one request")
        assert server.stop() == 0  # stop_timeout is absent: the slow one is cut off
        idle.close()
        busy.close()


def test_any_worker_answers_for_all_and_restarts_add_up(tmp_path):
    """Four workers, each restarted, under one directory: totals are right and files do not pile up."""
    write_service(tmp_path, server=SERVER, code=COUNTING)
    shared = tmp_path / "metrics"
    shared.mkdir()
    environ = {"PROMETHEUS_MULTIPROC_DIR": str(shared)}
    calls = 0
    files = []
    for _ in range(2):
        with ExitStack() as stack:
            workers = [stack.enter_context(serve(tmp_path, environ=environ)) for _ in range(4)]
            for worker in workers:
                worker.get()
                calls += 1
            assert metrics_of(workers[0])["my_calls_total"] == calls
            files.append(len(list(shared.glob("*.db"))))
            for worker in workers:
                worker.signal(15)
            assert [worker.wait() for worker in workers] == [0] * 4
    assert files[0] == files[1]


def test_a_cut_off_request_is_counted(tmp_path):
    """In the worker's file: the next worker of the slot shows it."""
    write_service(tmp_path, server=SERVER, code=COUNTING)
    shared = tmp_path / "metrics"
    shared.mkdir()
    environ = {"PROMETHEUS_MULTIPROC_DIR": str(shared)}
    with serve(tmp_path, environ=environ) as server:
        host, port = server.wait_until_ready()
        slow = http.client.HTTPConnection(host, port)
        slow.request("GET", "/slow")
        wait_for(lambda: metrics_of(server).get("my_calls_total"), "the request has begun")
        assert server.stop() == 0
        slow.close()
    with serve(tmp_path, environ=environ) as successor:
        assert metrics_of(successor)["runtime_requests_abandoned_total"] == 1
        assert successor.stop() == 0


def test_an_application_may_start_baseplates_exporter_once_more(tmp_path):
    """By the name that it has in Baseplate, which would bind the port again and reset every metric."""
    code = COUNTING.replace(
        "def make_app(config):",
        """def make_app(config):
        from baseplate.lib.config import Endpoint
        from baseplate.server import prometheus

        prometheus.start_prometheus_exporter(Endpoint("127.0.0.1:0"))  # the very one that runs
        prometheus.start_prometheus_exporter(Endpoint("localhost:0"))  # another address
        assert prometheus.worker_id()
""",
    )
    write_service(tmp_path, server=SERVER, code=code)
    with serve(tmp_path) as server:
        server.get()
        server.wait_until_logged(r"metrics on (\S+)", times=2)
        assert sum(message.startswith("metrics on") for message in server.messages) == 2
        assert metrics_of(server)["my_calls_total"] == 1
        assert server.stop() == 0


def test_metrics_can_be_off(tmp_path):
    """And then prometheus_client is not even imported."""
    code = """
        import sys

        def make_app(config):
            def app(environ, start_response):
                start_response("200 OK", [])
                return [str("prometheus_client" in sys.modules).encode()]
            return app
    """
    write_service(tmp_path, server="factory = baseplate_serve.wsgi\nmetrics.enabled = false", code=code)
    with serve(tmp_path) as server:
        assert server.get() == b"False"
        gevent.idle()
        assert "metrics on" not in server.output
        assert server.stop() == 0


@pytest.mark.parametrize("wrong", ["/nowhere/at/all", "/etc/hostname"])
def test_a_shared_directory_that_is_none_is_a_fault_of_the_environment(tmp_path, wrong):
    write_service(tmp_path, server=SERVER)
    with serve(tmp_path, environ={"PROMETHEUS_MULTIPROC_DIR": wrong}) as server:
        assert server.wait() == 2
        assert server.output.count("\n") == 1
        assert "expected an existing writable directory" in server.output


def test_without_prometheus_monitors_go_on_where_somebody_hears_of_them(tmp_path):
    code = """
        from gevent import monkey

        def make_app(config):
            block = monkey.get_original("time", "sleep")
            def app(environ, start_response):
                block(0.2)
                start_response("200 OK", [])
                return [b"hello"]
            return app
    """
    options = "metrics.enabled = false\nmonitoring.blocked_hub = 50 milliseconds\nmonitoring.gc.timing = true"
    write_service(tmp_path, server=f"factory = baseplate_serve.wsgi\n{options}", code=code)
    with serve(tmp_path) as server:
        server.wait_until_logged(r"monitoring\.gc\.timing cannot be shown: metrics\.enabled is false")
        server.get()
        stack = server.wait_until_logged(r"(?s)the hub was blocked for 0\.\d+ s by .*").group()
        assert "in app" in stack
        assert server.stop() == 0
