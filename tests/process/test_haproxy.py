"""Behind the real HAProxy: workers are replaced under load, and who the client is survives."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TFramedTransport, TMemoryBuffer

from baseplate_serve.health import BaseplateServiceV2
from baseplate_serve.health.ttypes import IsHealthyProbe, IsHealthyRequest
from deadline import wait_for
from haproxy import EXAMPLE, HAPROXY, HaProxy, Wrk
from load import ThriftLoad
from processes import ServerProcess, command_line, environment, serve, write_service
from programs import needs

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(120),
    needs("haproxy", HAPROXY),
]

WORKERS = (1, 2, 3, 4)
ROUNDS = 3
# A second SIGTERM ends the drain, as soon as HAProxy has noticed: on a busy machine, too. With AS_DEPLOYED
# in the environment checks and drain take the times that the examples give them, some three minutes.
AS_DEPLOYED = "AS_DEPLOYED" in os.environ
STOPPING = f"drain_time = {'10 seconds' if AS_DEPLOYED else '1 minute'}\nstop_timeout = 30 seconds"

HTTP = """
    import json, time
    from baseplate.server import SERVER_STATE

    def make_app(config):
        return app

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/health":
            assert environ["QUERY_STRING"] == "type=1"
            start_response("503 Leaving" if SERVER_STATE.shutting_down else "200 OK", [])
            return [b"{}"]
        if environ["PATH_INFO"] != "/who":
            time.sleep(0.03)  # there is always something in flight
        start_response("200 OK", [])
        names = "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme"
        return [json.dumps([environ[name] for name in names]).encode()]
"""
THRIFT = """
    import os, time
    from baseplate.server import SERVER_STATE
    from baseplate_serve.health import BaseplateServiceV2
    from baseplate_serve.health.ttypes import IsHealthyProbe
    from testing_idl import Testing

    class Handler:
        def __init__(self):
            self.begun = os.open("begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def is_healthy(self, request):
            return request.probe != IsHealthyProbe.READINESS or not SERVER_STATE.shutting_down

        def echo(self, text):
            os.write(self.begun, f"{text}\\n".encode())
            time.sleep(0.03)
            return text

    class Processor(Testing.Processor):
        def __init__(self, handler):
            super().__init__(handler)
            self._processMap |= BaseplateServiceV2.Processor(handler)._processMap

    def make_app(config):
        return Processor(Handler())
"""


def example(folder):
    """The example's configuration, with our sockets, and checks that come more often."""
    text = EXAMPLE.read_text()
    for old, new in [
        (":8080", "{http}"),
        (":9090", "{thrift}"),
        ("/run/notes", str(folder / "http")),
        ("/run/greeter", str(folder / "thrift")),
        ("maxconn 10000", "maxconn 100"),
        ("inter 1s fall 1 rise 2", "inter 1s fall 1 rise 2" if AS_DEPLOYED else "inter 100ms fall 1 rise 1"),
    ]:
        assert old in text
        text = text.replace(old, new)
    return text


def services(folder):
    """The folders of the two services behind `example`."""
    both = {
        "http": (f"factory = baseplate_serve.wsgi\nforwarded.from = unix\n{STOPPING}", HTTP),
        "thrift": (f"factory = baseplate_serve.thrift\nproxy_protocol.from = unix\n{STOPPING}", THRIFT),
    }
    for name, (server, code) in both.items():
        (folder / name).mkdir()
        write_service(folder / name, server=server, code=code)
    return {name: folder / name for name in both}


def replace(haproxy, running, start):
    """Stop a worker of each service once HAProxy sends it nothing new; then have HAProxy take the next."""
    for (name, number), worker in running.items():
        worker.signal(signal.SIGTERM)
        if not AS_DEPLOYED:
            haproxy.wait_until(f"{name}_workers", f"worker{number}", "DOWN")
            worker.signal(signal.SIGTERM)
    for (name, number), worker in running.items():
        assert worker.wait() == 0
        start(name, number)
    for name, number in running:
        haproxy.wait_until(f"{name}_workers", f"worker{number}", "UP")


@pytest.mark.timeout(400 if AS_DEPLOYED else 120)
@needs("wrk", shutil.which("wrk"))
def test_no_request_is_lost_while_all_workers_are_replaced_three_times(tmp_path):
    """wrk's requests, by HTTP, and Thrift calls, by TCP: with the configuration that the example shows."""
    folders = services(tmp_path)
    running = {}
    with ExitStack() as stack:

        def start(name, number):
            running[name, number] = stack.enter_context(
                serve(folders[name], bind=str(folders[name] / f"{number}.sock"))
            )

        for name in folders:
            for number in WORKERS:
                start(name, number)
        for worker in running.values():
            worker.wait_until_ready()
        haproxy = stack.enter_context(HaProxy(tmp_path, example(tmp_path), "http", "thrift"))
        for name, number in running:
            haproxy.wait_until(f"{name}_workers", f"worker{number}", "UP")

        wrk = Wrk(haproxy.addresses["http"])
        calls = ThriftLoad(haproxy.addresses["thrift"], 16)
        for _ in range(ROUNDS):
            for number in WORKERS:
                replace(haproxy, {(name, number): running[name, number] for name in folders}, start)
        calls.stop()
        found = wrk.stop()

        print(found, f"{len(calls.answered)} Thrift calls, {calls.reconnects} connections anew")
        assert int(re.search(r"(\d+) requests in", found).group(1)) > 500
        assert "errors" not in found  # of sockets
        assert "Non-2xx" not in found
        for column in ("econ", "eresp", "wretr", "wredis"):  # nor did HAProxy have to help
            assert haproxy.total("http_workers", column) == 0, column
        # What had begun was answered; whose connection went before it had, called again.
        assert len(calls.answered) > 500
        assert not calls.wrong
        assert set((folders["thrift"] / "begun").read_text().splitlines()) == calls.answered


@pytest.mark.skipif(not shutil.which("einhorn"), reason="einhorn is not installed (gem install einhorn)")
@needs("wrk", shutil.which("wrk"))
def test_einhorn_replaces_its_workers_three_times_behind_haproxy(tmp_path):
    """They share one listener, whose queue outlives them: nobody need be told that one leaves, so that they
    don't drain; and a check that any of them may answer must not ask whether it is ready."""
    write_service(tmp_path, server="factory = baseplate_serve.wsgi\nstop_timeout = 20 seconds", code=HTTP)
    with socket.create_server(("127.0.0.1", 0)) as free:
        bind = "{}:{}".format(*free.getsockname())
    line = (EXAMPLE.parent / "einhorn.sh").read_text().replace("\\\n", " ").splitlines()[-1]
    line = line.replace("0.0.0.0:9090", bind).replace("/run/notes/", "").partition("baseplate-serve")[0]
    einhorn = shlex.split(line)[1:]  # exec
    configuration = f"""
        defaults
            mode http
            timeout connect 5s
            timeout client 20s
            timeout server 20s
        listen http
            bind {{http}}
            option httpchk GET /health?type=1
            server einhorn {bind} check inter 100ms
    """
    with ServerProcess(tmp_path, command=[*einhorn, *command_line("app.ini")]) as master:

        def acknowledged(times):
            wait_for(lambda: master.output.count("Received a manual ACK") == times, f"{times} are up")

        acknowledged(len(WORKERS))
        with HaProxy(tmp_path, configuration, "http") as haproxy:
            wrk = Wrk(haproxy.addresses["http"])
            for count in range(1, ROUNDS + 1):
                master.signal(signal.SIGHUP)
                acknowledged(len(WORKERS) * (count + 1))
                left = len(WORKERS) * count
                wait_for(
                    lambda left=left: master.messages.count("stopped (last reply sent)") == left, "leaving"
                )
            found = wrk.stop()
            print(found)
            assert "errors" not in found
            assert "Non-2xx" not in found
            for column in ("econ", "eresp", "wretr", "wredis"):
                assert haproxy.total("http", column) == 0, column
        master.signal(signal.SIGTERM)
        assert master.wait() == 0


def stopped(server):
    return server.messages.count("stopped (last reply sent)")


def who(haproxy, frontend="http", headers=()):
    """Where the client connects from, and what the application is told of it."""
    client = http.client.HTTPConnection(
        *haproxy.addresses[frontend], timeout=20, source_address=("127.0.0.77", 0)
    )
    client.connect()
    mine = client.sock.getsockname()
    client.request("GET", "/who", headers=dict(headers))
    told = json.loads(client.getresponse().read())
    client.close()
    return mine, told


@pytest.mark.parametrize("header", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("bind", ["127.0.0.1:0", "worker.sock"], ids=["port", "file"])
def test_haproxys_proxy_header_and_ours_agree(tmp_path, header, bind):
    """Its checks send one, too, on behalf of nobody: without it they would be turned away."""
    write_service(
        tmp_path, server="factory = baseplate_serve.wsgi\nproxy_protocol.from = 127.0.0.1, unix", code=HTTP
    )
    with serve(tmp_path, bind=bind if ":" in bind else str(tmp_path / bind)) as worker:
        address = worker.wait_until_ready()
        name = f"unix@{address}" if isinstance(address, str) else f"127.0.0.1:{address[1]}"
        configuration = f"""
            defaults
                timeout connect 5s
                timeout client 20s
                timeout server 20s
            listen tcp
                bind {{tcp}}
                option httpchk GET /health?type=1
                server worker {name} {header} check inter 100ms check-send-proxy
        """
        with HaProxy(tmp_path, configuration, "tcp") as haproxy:
            haproxy.wait_until("tcp", "worker", "UP")
            mine, told = who(haproxy, "tcp")
            assert told == [*map(str, mine), "http"]


def test_who_the_client_is_arrives_by_haproxys_headers(tmp_path):
    """Its own word counts, not the client's."""
    folders = services(tmp_path)
    with serve(folders["http"], bind=str(folders["http"] / "1.sock")) as worker:
        worker.wait_until_ready()
        with HaProxy(tmp_path, example(tmp_path), "http", "thrift") as haproxy:
            forged = {
                "X-Forwarded-For": "203.0.113.9",
                "X-Forwarded-Proto": "https",
                "Forwarded": "for=203.0.113.9",
            }
            haproxy.wait_until("http_workers", "worker1", "UP")
            for number in WORKERS[1:]:
                haproxy.wait_until("http_workers", f"worker{number}", "DOWN")
            for headers in ({}, forged):
                mine, told = who(haproxy, "http", headers)
                assert told == [mine[0], "0", "http"]


def test_baseplate_healthcheck_is_a_check_of_haproxys(tmp_path):
    """A process for each check, with whatever `baseplate-healthcheck` can do: TLS, Thrift's headers."""
    write_service(tmp_path, server=f"factory = baseplate_serve.thrift\n{STOPPING}", code=THRIFT)
    check = tmp_path / "check"
    # $3, $4: the server's address and port.
    check.write_text(f"""#!/bin/sh
PYTHONPATH={environment()["PYTHONPATH"]} exec {sys.executable} -m baseplate_serve.healthcheck thrift "$3:$4"
""")
    check.chmod(0o700)
    with serve(tmp_path) as worker:
        port = worker.wait_until_ready()[1]
        configuration = f"""
                external-check
                insecure-fork-wanted
            defaults
                timeout connect 5s
                timeout client 20s
                timeout server 20s
            listen thrift
                bind {{thrift}}
                option external-check
                external-check command {check}
                server worker 127.0.0.1:{port} check inter 1s fall 1 rise 1
        """
        with HaProxy(tmp_path, configuration, "thrift") as haproxy:
            haproxy.wait_until("thrift", "worker", "UP")
            worker.signal(signal.SIGTERM)
            haproxy.wait_until("thrift", "worker", "DOWN")
            assert haproxy.row("thrift", "worker")["check_code"] == "1"
            assert worker.stop() == 0


def test_the_examples_bytes_are_what_a_thrift_client_sends():
    """And what a service answers that is ready."""
    sent, answered = (
        bytes.fromhex(found) for found in re.findall(r"tcp-check .*binary ([0-9a-f]+)", EXAMPLE.read_text())
    )

    def framed(write):
        memory = TMemoryBuffer()
        write(TBinaryProtocol(TFramedTransport(memory)))
        return memory.getvalue()

    request = IsHealthyRequest(probe=IsHealthyProbe.READINESS)
    assert framed(lambda protocol: BaseplateServiceV2.Client(protocol).send_is_healthy(request)) == sent

    class Ready:
        def is_healthy(self, _request):
            return True

    asked = TBinaryProtocol(TFramedTransport(TMemoryBuffer(sent)))
    reply = framed(lambda protocol: BaseplateServiceV2.Processor(Ready()).process(asked, protocol))
    assert answered in reply
    assert f"min-recv {len(reply)} " in EXAMPLE.read_text()


def test_haproxy_accepts_the_example():
    checked = subprocess.run([HAPROXY, "-c", "-f", EXAMPLE], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
