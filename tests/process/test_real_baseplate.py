"""Services written for Reddit's `baseplate` 2.7.1, unchanged, beside the installed package from PyPI.

Two virtual environments, in which the two packages were installed in either order: each overwrites the
other's `bin/baseplate-serve`, and `thrift` and `thrift-unofficial` overwrite each other's modules.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from pathlib import Path

import pytest
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.transport.THeaderTransport import THeaderClientType
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport

from baseplate_serve.health import BaseplateServiceV2
from baseplate_serve.health.ttypes import IsHealthyProbe, IsHealthyRequest
from deadline import DEADLINE_S, wait_for
from processes import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.real_baseplate, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
SERVICES = Path(__file__).parent / "baseplate_services"
BASEPLATE = [
    "baseplate[pyramid]==2.7.1",
    "setuptools<81",  # baseplate imports pkg_resources
]
KNOWN_TO_WORK = (3, 13)  # the newest Python that baseplate 2.7.1 was seen to install and import on
NO_SPANS_BEFORE_THE_STOP = {
    "OTEL_BSP_SCHEDULE_DELAY": "600000"
}  # milliseconds; so all go with the last flush
ORDERS = {"ours last": ["baseplate", "ours"], "baseplate last": ["ours", "baseplate"]}


def _digest():
    """Of what an environment is made from: another one is made when it changes."""
    digest = hashlib.sha256(sys.version.encode() + str(BASEPLATE).encode())
    for file in sorted([ROOT / "pyproject.toml", *(ROOT / "src").rglob("*")]):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()


def _pip(python, *arguments):
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode and sys.version_info[:2] > KNOWN_TO_WORK:
        last = done.stdout.strip().splitlines()[-1]
        pytest.skip(f"baseplate 2.7.1 does not install on Python {sys.version.split()[0]}: {last}")
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module", params=ORDERS, ids=lambda order: order.replace(" ", "-"))
def environment(request):
    """The `bin` folder of an environment with both packages, not editable, as users have them."""
    version = "{}.{}".format(*sys.version_info)
    folder = ROOT / ".cache" / f"baseplate-{version}-{request.param.replace(' ', '-')}"
    stamp, python = folder / "stamp", folder / "bin" / "python"
    folder.parent.mkdir(exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held while it is made: two runs may want it at a time
        _make(folder, stamp, python, ORDERS[request.param])
    return folder / "bin"


def _make(folder, stamp, python, order):
    digest = _digest()
    if not stamp.exists():
        venv.create(folder, clear=True, with_pip=True)
    if not stamp.exists() or stamp.read_text() != digest:
        stamp.unlink(missing_ok=True)
        # What both need comes first, so that the two themselves can be laid over each other in order.
        _pip(python, *BASEPLATE, str(ROOT))
        over = ["--force-reinstall", "--no-deps"]
        for name in order:
            if name == "ours":
                _pip(python, *over, "thrift", str(ROOT))
            else:
                _pip(python, *over, "thrift-unofficial", "baseplate==2.7.1")
        stamp.write_text(digest)


@pytest.fixture
def start(environment, tmp_path):
    """Start `baseplate-serve` of the environment for a service of ours."""
    started = []

    def start(service, server, app="", environ=None, interpreter=()):
        (tmp_path / "app.ini").write_text(
            f"[server:main]\n{server}\nmetrics.endpoint = 127.0.0.1:0\n\n"
            f"[app:main]\nfactory = {service}\n{app}\n"
        )
        for file in SERVICES.glob("*.py"):
            (tmp_path / file.name).write_text(file.read_text())
        server = ServerProcess(
            tmp_path,
            command=[*interpreter, environment / "baseplate-serve", "--bind", "127.0.0.1:0", "app.ini"],
            environ={"PYTHONPATH": "", **(environ or {})},
        )
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__()


def metrics_of(server):
    where = server.wait_until_logged(r"metrics on (\S+)").group(1)
    with urllib.request.urlopen(f"http://{where}/metrics", timeout=DEADLINE_S) as reply:
        return reply.read().decode()


def is_healthy(address, probe):
    transport = TBufferedTransport(TSocket(*address))
    transport.open()
    protocol = THeaderProtocol(transport, (THeaderClientType.HEADERS,))
    protocol.set_header(b"User-Agent", b"tests")
    protocol.set_header(b"Trace", b"1234")
    protocol.set_header(b"Span", b"5678")
    protocol.set_header(b"Parent", b"9")
    try:
        return BaseplateServiceV2.Client(protocol).is_healthy(IsHealthyRequest(probe=probe))
    finally:
        transport.close()


def collected_by(environment, folder):
    """A trace collector of the environment: its process, and a function that tells what it has printed."""
    out = folder / "collector.log"
    with open(out, "wb") as log:
        command = [environment / "python", SERVICES / "collector.py"]
        collector = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    return collector, out.read_text


def test_the_environment_is_what_its_name_says(environment, request):
    """Were both orders the same in fact, every other test here would say half of what it seems to."""
    ours_last = request.node.callspec.params["environment"] == "ours last"
    script = (environment / "baseplate-serve").read_text()
    assert ("baseplate_serve" in script) is ours_last
    assert ("load_app_and_run_server" in script) is not ours_last
    # A file of the folder that both packages install: whose it is, by the hash in each one's own record.
    code = """if True:
        import base64, hashlib, importlib.metadata as metadata, thrift.Thrift
        with open(thrift.Thrift.__file__, "rb") as file:
            is_ = base64.urlsafe_b64encode(hashlib.sha256(file.read()).digest()).rstrip(b"=").decode()
        for name in ("thrift", "thrift-unofficial"):
            if [f.hash.value for f in metadata.files(name) if str(f) == "thrift/Thrift.py"] == [is_]:
                print(name)
    """
    owner = subprocess.run([environment / "python", "-c", code], capture_output=True, text=True, check=True)
    assert owner.stdout.split() == ["thrift" if ours_last else "thrift-unofficial"]


def test_options_of_the_interpreter_do_not_bring_the_other_server_back(start, environment):
    """`python -W ignore bin/baseplate-serve`: a supervisor's or a debugging developer's command line."""
    server = start(
        "signal_service",
        "factory = baseplate.server.wsgi",
        interpreter=(environment / "python", "-W", "ignore"),
    )
    server.wait_until_logged(r"listening on \S+ \(bound here\)")
    assert server.stop() == 0


def test_a_coroutine_function_behind_baseplateify_processor(start, environment):
    """The span, the metrics and the context are those of a method that returns."""
    server = start("thrift_service:make_async_processor", "factory = baseplate.server.thrift", "foo = 3")
    address = server.wait_until_ready()
    assert is_healthy(address, IsHealthyProbe.READINESS)
    server.wait_until_logged("span of trace 1234 finished: None")
    steps = [message for message in server.messages if "1234" in message and "finished" not in message]
    assert [re.search("started|in the coroutine", step).group() for step in steps] == [
        "started",
        "in the coroutine",
    ]


def test_a_deeply_nested_message_ends_no_worker(start):
    """`thrift-unofficial` 0.19's codec follows it off the end of the stack; so does `thrift` before 0.24."""
    server = start("thrift_service:make_processor", "factory = baseplate.server.thrift", "foo = 3")
    address = server.wait_until_ready()
    message = b"\x82\x21\x01\x0ais_healthy\x9c" + b"\x1c" * 500_000
    with socket.create_connection(address) as sock:
        sock.sendall(len(message).to_bytes(4, "big") + message)
        assert re.search(rb"nested too deep|recursion depth", sock.recv(4096))
    server.wait_until_logged("no Thrift message, disconnected")
    assert is_healthy(address, IsHealthyProbe.READINESS)
    assert server.stop() == 0


@pytest.mark.parametrize("shared_metrics", [False, True], ids=["alone", "shared metrics"])
def test_a_thrift_service(start, environment, tmp_path, shared_metrics):
    """baseplateify_processor, configure_observers, and an is_healthy that reads SERVER_STATE."""
    environ = {}
    if shared_metrics:
        (tmp_path / "metrics").mkdir()
        environ["PROMETHEUS_MULTIPROC_DIR"] = str(tmp_path / "metrics")
    server = start(
        "thrift_service:make_processor",
        "factory = baseplate.server.thrift\ndrain_time = 60 seconds\nstop_timeout = 30",
        "foo = 3",
        environ,
    )
    address = server.wait_until_ready()
    assert is_healthy(address, IsHealthyProbe.READINESS)
    server.wait_until_logged(r"listening on \S+ \(bound here\)")  # ours: Baseplate's says it otherwise
    server.wait_until_logged("asked by b'tests', leaving: False")
    server.wait_until_logged("span of trace 1234 started")
    server.wait_until_logged("span of trace 1234 finished: None")
    assert "thrift_server_requests_total{" in metrics_of(server)
    endpoint = "{}:{}".format(*address)
    checked = subprocess.run(
        [environment / "baseplate-healthcheck", "thrift", endpoint],
        capture_output=True,
        text=True,
        check=True,
    )
    assert checked.stdout == "OK!\n"

    server.signal(signal.SIGTERM)
    server.wait_until_logged("draining")
    assert not is_healthy(address, IsHealthyProbe.READINESS)
    assert is_healthy(address, IsHealthyProbe.LIVENESS)
    server.wait_until_logged("leaving: True")
    with socket.create_connection(address):  # idle
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        # No trace collector listens: Baseplate's exporter would try again for a minute.
        assert time.monotonic() - began < 5


def test_a_pyramid_service(start):
    server = start("pyramid_service:make_wsgi_app", "factory = baseplate.server.wsgi")
    assert server.get("/hello/world") == b'{"hello": "world"}'
    assert "http_server_requests_total{" in metrics_of(server)
    assert server.stop() == 0


def test_spans_of_the_last_requests_reach_the_collector(start, environment, tmp_path):
    """The stop waits for no collector that is not there, and still sends what one that is there wants."""
    collector, printed = collected_by(environment, tmp_path)
    try:
        port = wait_for(lambda: re.search(r"port (\d+)\n", printed()), "the collector's port").group(1)
        where = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        server = start(
            "pyramid_service:make_wsgi_app",
            "factory = baseplate.server.wsgi",
            environ={**NO_SPANS_BEFORE_THE_STOP, **where},
        )
        server.get("/hello/world")
        assert "span " not in printed()
        assert server.stop() == 0
        wait_for(lambda: "span " in printed(), "the span of the request")
        assert "the last spans are lost" not in server.output
    finally:
        collector.kill()
        collector.wait()


def test_a_collector_that_accepts_and_says_nothing_does_not_hold_the_process(start):
    """gRPC waits natively: for its ten seconds nothing else in the process would run, no timeout either."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        server = start(
            "pyramid_service:make_wsgi_app",
            "factory = baseplate.server.wsgi\nstop_timeout = 30",
            environ={**NO_SPANS_BEFORE_THE_STOP, **where},
        )
        server.get("/hello/world")
        with socket.create_connection(server.wait_until_ready()):  # idle
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 5
    server_says = [message for message in server.messages if "the last spans are lost" in message]
    assert len(server_says) == 1


def test_a_service_with_its_own_sigusr2(start):
    """Under Baseplate a handler that is installed by the factory replaces the server's."""
    server = start("signal_service", "factory = baseplate.server.wsgi")
    server.wait_until_ready()
    server.signal(signal.SIGUSR2)
    server.wait_until_logged("caches dumped")
    assert server.get() == b"serves on"
    assert server.stop() == 0


def test_a_queue_consumer(start):
    """A third-party factory: its own server, its own options, our life around it."""
    server = start(
        "queue_service:make_consumer_factory",
        "factory = baseplate.server.queue_consumer\nmax_concurrency = 3\nstop_timeout = 10 seconds",
    )
    server.wait_until_logged("handled 19")
    assert b"all good" in server.get("/health")
    assert server.stop() == 0
    assert "pump stopped" in server.messages
    assert sum(message.startswith("handled") for message in server.messages) == 20


EVERY_MONITOR = """
monitoring.blocked_hub = 100 milliseconds
monitoring.connection_pool = true
monitoring.gc.timing = true
"""


def test_process_level_metrics_reach_the_metrics_client(start):
    """Every ten seconds by the clock, as `<namespace>.runtime…`, tagged with host and process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(DEADLINE_S)
        port = statsd.getsockname()[1]
        server = start(
            "thrift_service:make_heavy_processor",
            f"factory = baseplate.server.thrift{EVERY_MONITOR}",
            f"foo = 3\nmetrics.namespace = my_service\nmetrics.endpoint = 127.0.0.1:{port}\n"
            "greeter.endpoint = 127.0.0.1:1",
        )
        assert is_healthy(server.wait_until_ready(), IsHealthyProbe.READINESS)
        blocked = server.wait_until_logged(r"(?s)the hub was blocked for 0\.\d+ s by .*")
        assert "in is_healthy" in blocked.group()
        seconds, lines = [], []

        def reported():
            received = statsd.recv(65536).decode()
            if ".runtime." in received:
                seconds.append(time.time() % 10)
                lines.extend(received.splitlines())
            return ".runtime.hub_blocked" in received

        wait_for(reported, "a report")
    assert min(seconds) < 3  # later by what a slow machine takes
    tags = f",hostname={socket.gethostname()},PID={server.process.pid}"
    values = dict(re.findall(r"^my_service\.runtime\.([^:]+):([^|]+)\|", "\n".join(lines), re.MULTILINE))
    assert {name.replace(tags, "") for name in values} == {
        "open_connections",
        "active_requests",
        "hub_blocked",
        "gc.elapsed",
        *(
            f"gc.{what},generation={n}"
            for what in ("collections", "collected", "uncollectable")
            for n in range(3)
        ),
        "pool.size,client=greeter",
        "pool.in_use,client=greeter",
    }
    assert 200 < float(values["hub_blocked" + tags]) < 5000  # milliseconds
