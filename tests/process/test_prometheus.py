"""What the real Prometheus sees of four workers that share one metrics port."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from deadline import wait_for
from processes import serve, write_service
from test_metrics import COUNTING

pytestmark = pytest.mark.process

WORKERS = 4
CALLS = 5  # of each worker, each time
EVERY_MONITOR = """
monitoring.blocked_hub = 100 milliseconds
monitoring.connection_pool = true
monitoring.gc.timing = true
"""


def test_totals_stay_right_while_workers_restart_and_are_killed(tmp_path):
    """No worker's count is lost or seen twice, and what lives is what is shown as living."""
    with ExitStack() as stack:
        port = stack.enter_context(shared_port())
        service(tmp_path, port)
        workers = [start(stack, tmp_path) for _ in range(WORKERS)]
        calls = call_each(workers)
        ask = stack.enter_context(prometheus(tmp_path, port))
        wait_for(lambda: ask("sum(my_calls_total)") == [calls], "all are counted")
        wait_for(lambda: ask('sum(runtime_requests_total{outcome="ok"})') == [calls], "ours count them, too")

        killed, restarted, *others = workers
        killed.signal(signal.SIGKILL)
        killed.wait()
        restarted.signal(signal.SIGTERM)
        calls += call_each(others)
        assert restarted.wait() == 0
        workers = [*others, start(stack, tmp_path), start(stack, tmp_path)]
        calls += call_each(workers)

        wait_for(lambda: ask("sum(my_calls_total)") == [calls], "all are counted, those of the dead, too")
        wait_for(lambda: ask('sum(runtime_requests_total{outcome="ok"})') == [calls], "by ours, too")
        living = sorted(str(worker.process.pid) for worker in workers)
        wait_for(
            lambda: ask("runtime_open_connections", "PID") == living, "the living are shown, and no other"
        )
        outcomes = ["abandoned", "error", "lost", "ok"]
        wait_for(lambda: ask("runtime_requests_total", "outcome") == outcomes, "each is one series")
        # Of all scrapes since it began: no total ever fell, and none was another series for a while.
        for total in ("my_calls_total", "runtime_requests_total", "runtime_request_duration_seconds_count"):
            assert set(ask(f"resets({total}[1h])")) == {0}
            series = len(outcomes) if total == "runtime_requests_total" else 1
            assert ask(f"count(count_over_time({total}[1h]))") == [series]


def test_promtool_has_nothing_to_say(tmp_path):
    with ExitStack() as stack:
        port = stack.enter_context(shared_port())
        service(tmp_path, port)
        for multiprocess in (False, True):
            worker = start(stack, tmp_path, multiprocess=multiprocess)
            call_each([worker])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as reply:
                page = reply.read()
            assert b"runtime_requests_total" in page
            done = subprocess.run(
                [found("promtool"), "check", "metrics"],
                input=page,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            assert (done.stdout.decode(), done.returncode) == ("", 0)
            assert worker.stop() == 0


def service(folder, port):
    server = f"factory = baseplate_serve.wsgi\nmetrics.endpoint = 127.0.0.1:{port}\n{EVERY_MONITOR}"
    write_service(folder, server=server, code=COUNTING)
    (folder / "shared").mkdir()


def start(stack, folder, *, multiprocess=True):
    environ = {"PROMETHEUS_MULTIPROC_DIR": str(folder / "shared")} if multiprocess else None
    return stack.enter_context(serve(folder, environ=environ))


def call_each(workers):
    """How many calls that were."""
    for worker in workers:
        for _ in range(CALLS):
            worker.get()
    return CALLS * len(workers)


@contextmanager
def shared_port():
    """A free port that stays free for those who share it: this socket is bound and never listens."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def found(program):
    path = shutil.which(program)
    assert path is not None, f"{program} is not installed: apt-get install prometheus"
    return path


@contextmanager
def prometheus(folder, port):
    """Scrapes *port* five times a second; yields what answers queries."""
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: service, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    with open(folder / "prometheus.log", "wb") as log:
        process = subprocess.Popen(
            [
                found("prometheus"),
                "--config.file=prometheus.yml",
                "--web.listen-address=127.0.0.1:0",
                f"--storage.tsdb.path={folder / 'tsdb'}",
            ],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def listening():
        assert process.poll() is None, (folder / "prometheus.log").read_text()
        connections = psutil.Process(process.pid).net_connections("tcp")
        return [c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN]

    try:
        [where] = wait_for(listening, "prometheus listens")
        yield lambda query, label=None: asked(where, query, label)
    finally:
        process.kill()
        process.wait()


def asked(port, query, label=None):
    """The values, or those of *label*, of each series that *query* finds, sorted."""
    url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=20) as reply:
        result = json.load(reply)["data"]["result"]
    return sorted(each["metric"][label] if label else float(each["value"][1]) for each in result)
