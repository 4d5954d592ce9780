"""``baseplate-healthcheck`` against services that are real, broken, silent, or something else altogether."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import gevent
import pytest
from gevent.pywsgi import WSGIServer
from gevent.server import StreamServer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thrift.protocol.THeaderProtocol import THeaderProtocolFactory
from thrift.Thrift import TApplicationException, TProcessor
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TTransportException

from baseplate_serve import health, healthcheck
from baseplate_serve._sockets import client
from baseplate_serve.health import BaseplateServiceV2
from baseplate_serve.health.ttypes import IsHealthyProbe
from baseplate_serve.healthcheck import main, run_healthchecks
from programs import needs

HEALTH = Path(health.__file__).parent
COMPILER = shutil.which("thrift")
needs_compiler = needs("the Thrift compiler", COMPILER)

IPV4, IPV6, UNIX = "127.0.0.1", "::1", "unix"


# --- services to ask -------------------------------------------------------------------------------------


class Handler:
    """Answers `answer`, or raises it, and remembers which probes it was asked."""

    def __init__(self, answer: object = True):  # noqa: FBT002 (an answer, no switch)
        self.answer = answer
        self.asked = []

    def is_healthy(self, request):
        self.asked.append(request.probe)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class NoMethods(BaseplateServiceV2.Processor):
    """The processor of a service that extends nothing."""

    def __init__(self):
        super().__init__(Handler())
        self._processMap.clear()


def speaking_thrift(processor: TProcessor):
    """What a StreamServer calls to serve *processor* as Apache Thrift's own servers do."""

    def serve(connection, _address):
        transport = TSocket()
        transport.setHandle(connection)
        protocol = THeaderProtocolFactory().getProtocol(transport)
        try:
            while True:
                processor.process(protocol, protocol)
        except TTransportException:
            pass  # the client has gone, or speaks something else
        finally:
            transport.close()

    return serve


def answering(status="200 OK", body=b"{}", asked=None):
    """A WSGI application with one answer, which appends the URLs it is asked to *asked*."""

    def app(environ, start_response):
        if asked is not None:
            asked.append((environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_HOST"]))
        start_response(status, [("Content-Type", "text/plain")])
        return [body]

    return app


def sending(data: bytes, *, after_request=True):
    """What sends *data* whatever it is asked, and closes."""

    def serve(connection, _address):
        if after_request:
            connection.recv(65536)
        connection.sendall(data)

    return serve


def silent(_connection, _address):
    gevent.sleep(3600)


def dripping(connection, _address):
    """Each byte well within any timeout for one read; the whole never complete."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        gevent.sleep(0.01)


@pytest.fixture
def start(tmp_path):
    """``start(what, kind, where)`` serves it and returns the endpoint to ask; all is stopped after the test.

    *what* is a processor for the kind "thrift", an application for "wsgi", else a StreamServer's handle.
    """
    with ExitStack() as stack:

        def serve(what, kind="stream", where=IPV4):
            if where == UNIX:
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(str(tmp_path / "service.sock"))
                endpoint = str(tmp_path / "service.sock")
            else:
                listener = socket.socket(socket.AF_INET6 if where == IPV6 else socket.AF_INET)
                listener.bind((where, 0))
                port = listener.getsockname()[1]
                endpoint = f"[::1]:{port}" if where == IPV6 else f"{where}:{port}"
            listener.listen()
            stack.enter_context(closing(listener))
            if kind == "wsgi":
                server = WSGIServer(listener, what, log=None, error_log=None)
            else:
                server = StreamServer(listener, speaking_thrift(what) if kind == "thrift" else what)
            server.start()
            stack.callback(server.stop, timeout=0)
            return endpoint

        yield serve


@pytest.fixture
def complaint(capsys):
    """``complaint(*argv)`` is the one line of a check that failed, without who said it."""

    def run(*argv):
        assert main(argv) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.endswith("\n")
        assert err.count("\n") == 1
        assert err.isprintable() or err[:-1].isprintable()
        who = f"baseplate-healthcheck: {argv[0]} service at "
        assert err.startswith(who)
        return err[len(who) : -1]

    return run


def refused_endpoint() -> str:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((IPV4, 0))
        return f"{IPV4}:{probe.getsockname()[1]}"


# --- healthy ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [IPV4, IPV6, UNIX])
@pytest.mark.parametrize(
    ("argv", "probe"),
    [
        pytest.param([], IsHealthyProbe.READINESS, id="readiness-by-default"),
        pytest.param(["--probe", "readiness"], IsHealthyProbe.READINESS, id="readiness"),
        pytest.param(["--probe", "liveness"], IsHealthyProbe.LIVENESS, id="liveness"),
        pytest.param(["--probe=startup"], IsHealthyProbe.STARTUP, id="startup"),
    ],
)
class TestAHealthyService:
    def test_is_asked_by_thrift(self, start, capsys, where, argv, probe):
        handler = Handler()
        endpoint = start(BaseplateServiceV2.Processor(handler), "thrift", where)

        assert main(["thrift", endpoint, *argv]) == 0

        assert capsys.readouterr() == ("OK!\n", "")
        assert handler.asked == [probe]

    def test_is_asked_by_http(self, start, capsys, where, argv, probe):
        """With the probe's number, as Baseplate's own command does."""
        asked = []
        endpoint = start(answering(asked=asked), "wsgi", where)

        assert main(["wsgi", endpoint, *argv]) == 0

        assert capsys.readouterr() == ("OK!\n", "")
        assert asked == [("/health", f"type={probe}", "localhost" if where == UNIX else endpoint)]


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "299 Fine"])
def test_any_2xx_with_json_is_healthy(start, capsys, status):
    endpoint = start(answering(status, b'"anything"'), "wsgi")
    assert main(["wsgi", endpoint]) == 0


def test_a_name_is_asked_at_each_of_its_addresses(start, capsys, monkeypatch):
    """``localhost`` is ::1 first on many hosts, and a service may listen on 127.0.0.1 alone."""
    endpoint = start(answering(), "wsgi")
    port = int(endpoint.rpartition(":")[2])
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, **kind: [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 1, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (IPV4, port)),
        ],
    )

    assert main(["wsgi", f"a.name:{port}"]) == 0


def test_no_host_is_this_one(start, capsys):
    """An endpoint of a service that listens on every interface may be handed over as it stands."""
    handler = Handler()
    endpoint = start(BaseplateServiceV2.Processor(handler), "thrift")
    assert main(["thrift", endpoint.removeprefix(IPV4)]) == 0


def test_the_numbers_of_probes_are_those_of_the_idl():
    names = {name.lower(): number for name, number in IsHealthyProbe._NAMES_TO_VALUES.items()}
    assert healthcheck.PROBES == names == {"readiness": 1, "liveness": 2, "startup": 3}


# --- unhealthy, or not to be reached ---------------------------------------------------------------------

THRIFT_FAILURES = [
    pytest.param(Handler(answer=False), "it answered that it is unhealthy", id="unhealthy"),
    pytest.param(Handler(ValueError()), "it answered with an error: Internal error", id="handler-raises"),
    pytest.param(Handler(answer=None), "is_healthy failed: unknown result", id="no-answer"),
    pytest.param(
        Handler(TApplicationException(TApplicationException.UNKNOWN, "database\nis \x1b[31mgone")),
        "it answered with an error: database is [31mgone",
        id="error-of-two-lines",
    ),
]


@pytest.mark.parametrize(("handler", "reason"), THRIFT_FAILURES)
def test_a_thrift_service_that_fails(start, complaint, handler, reason):
    endpoint = start(BaseplateServiceV2.Processor(handler), "thrift")
    line = complaint("thrift", endpoint)
    assert line.startswith(f"{endpoint}, readiness: ")
    assert line.endswith(reason)


def test_a_thrift_service_without_is_healthy(start, complaint):
    endpoint = start(NoMethods(), "thrift")
    line = complaint("thrift", endpoint)
    assert "Unknown function is_healthy (does the service extend BaseplateServiceV2" in line


HTTP_FAILURES = [
    pytest.param("503 Service Unavailable", b"", "HTTP status 503 Service Unavailable", id="503"),
    pytest.param(
        "503 Service Unavailable",
        b'{\n  "database": "gone"\n}\r\n',
        'HTTP status 503 Service Unavailable: { "database": "gone" }',
        id="503-with-reason",
    ),
    pytest.param("404 Not Found", b"\xff" * 5000, f"HTTP status 404 Not Found: {'�' * 200}", id="404-long"),
    pytest.param("301 Moved Permanently", b"{}", "HTTP status 301 Moved Permanently: {}", id="redirect"),
    pytest.param("200 OK", b"healthy", "HTTP status 200, but no JSON: 'healthy'", id="not-json"),
    pytest.param("204 No Content", b"", "HTTP status 204, but no JSON: ''", id="no-content"),
    pytest.param("200 OK", b'"\xff"', "but no JSON: '\"�\"'", id="not-utf-8"),
    pytest.param("200 OK", b"[" * 200_000, f"but no JSON: '{'[' * 200}'", id="nested-too-deep"),
]


@pytest.mark.parametrize(("status", "body", "reason"), HTTP_FAILURES)
def test_an_http_service_that_fails(start, complaint, status, body, reason):
    endpoint = start(answering(status, body), "wsgi")
    line = complaint("wsgi", endpoint, "--probe", "liveness")
    assert line.startswith(f"{endpoint}, liveness: ")
    assert line.endswith(reason)


NOT_HTTP = [
    pytest.param(sending(b""), "closed the connection without a reply; is it an HTTP service?", id="closes"),
    pytest.param(sending(b"220 mail\r\n"), "its reply is not HTTP: BadStatusLine('220 mail", id="smtp"),
    pytest.param(
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"),
        "its reply is not HTTP: IncompleteRead(2 bytes read, 7 more expected)",
        id="cut-off",
    ),
]


@pytest.mark.parametrize(("serve", "reason"), NOT_HTTP)
def test_what_is_no_http_service(start, complaint, serve, reason):
    assert reason in complaint("wsgi", start(serve))


def test_a_thrift_service_asked_as_http(start, complaint):
    endpoint = start(BaseplateServiceV2.Processor(Handler()), "thrift")
    line = complaint("wsgi", endpoint)
    # Closing with bytes unread makes it a reset, or not, as the kernel got round to it.
    assert line.endswith(("without a reply; is it an HTTP service?", "Connection reset by peer"))


def test_an_http_service_asked_as_thrift(start, complaint):
    line = complaint("thrift", start(answering(), "wsgi"))
    assert line.endswith("its reply is not in Thrift's header protocol: Frame was too large.")


def test_what_hangs_up_on_thrift(start, complaint):
    line = complaint("thrift", start(sending(b"\0\0\1\0")))
    assert line.endswith("it closed the connection before a complete reply; is it a Thrift service?")


@pytest.mark.parametrize("kind", ["thrift", "wsgi"])
class TestEitherKind:
    def test_refused(self, complaint, kind):
        endpoint = refused_endpoint()
        assert complaint(kind, endpoint) == f"{endpoint}, readiness: Connection refused"

    def test_a_unix_socket_that_is_missing(self, complaint, kind, tmp_path):
        path = str(tmp_path / "absent.sock")
        assert complaint(kind, path) == f"{path}, readiness: No such file or directory"

    def test_a_path_that_is_too_long(self, complaint, kind):
        assert complaint(kind, f"/{'x' * 200}").endswith(": AF_UNIX path too long")

    def test_a_name_that_does_not_resolve(self, complaint, kind):
        assert ": cannot resolve 'nowhere.invalid': " in complaint(kind, "nowhere.invalid:9090")

    def test_the_endpoint_defaults_to_localhost_9090(self, complaint, monkeypatch, kind):
        def refuse(connection, address):
            raise ConnectionRefusedError(111, f"refused at port {address[1]}")

        monkeypatch.setattr(client._Connection, "connect", refuse)
        assert complaint(kind) == "localhost:9090, readiness: refused at port 9090"

    @pytest.mark.parametrize("where", [IPV4, UNIX])
    def test_silence_ends_at_the_timeout(self, start, complaint, kind, where):
        endpoint = start(silent, where=where)
        assert complaint(kind, endpoint, "--timeout", "0.05").endswith("no complete reply within 0.05 s")


def test_the_timeout_is_for_the_whole_check(start, complaint):
    """A service that always has one more byte to send is not healthy."""
    line = complaint("wsgi", start(dripping), "--timeout=200 milliseconds")
    assert line.endswith("no complete reply within 0.2 s")


def test_the_kernel_s_own_timeout_keeps_its_words(complaint, monkeypatch):
    def give_up(connection, address):
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr(client._Connection, "connect", give_up)
    assert complaint("wsgi").endswith("readiness: Connection timed out")


# A reply in the header protocol, so that what is made up below gets past the frame.
FRAMED = b"\x0f\xff\0\0\0\0\0\0\0\1\0\0\0\0"


@pytest.mark.parametrize("kind", ["thrift", "wsgi"])
def test_no_reply_makes_a_traceback(kind):
    @settings(max_examples=150, deadline=None)
    @given(st.binary(max_size=60), st.sampled_from([b"", FRAMED, FRAMED + b"\x80\1\0\2", FRAMED[:9]]))
    @example(b"", b"\0\0\0")  # a frame too short for what must be in it
    @example(b"\xff", b"")
    def check(data, opening):
        payload = opening + data
        if kind == "thrift":
            payload = len(payload).to_bytes(4, "big") + payload
        else:
            payload = b"HTTP/1.1 200 OK\r\n" + payload
        server = StreamServer((IPV4, 0), sending(payload))
        server.start()
        try:
            assert main([kind, f"{IPV4}:{server.server_port}", "--timeout", "5"]) == 1
        finally:
            server.stop(timeout=0)

    check()


# --- the command line ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param([], "required: {thrift,wsgi}", id="nothing"),
        pytest.param(["grpc"], "invalid choice: 'grpc'", id="kind"),
        pytest.param(["thrift", "localhost"], "'localhost': no port specified", id="no-port"),
        pytest.param(["thrift", "::1:9090"], "'::1:9090': more than one colon", id="no-brackets"),
        pytest.param(["wsgi", "h:port"], "'h:port': expected a port from 0 to 65535", id="port"),
        pytest.param(["wsgi", ""], "'': no endpoint specified", id="empty"),
        pytest.param(["wsgi", "--probe", "death"], "invalid choice: 'death'", id="probe"),
        pytest.param(["wsgi", "--timeout", "soon"], "'soon': expected a duration", id="timeout"),
        pytest.param(["wsgi", "--timeout", "0"], "'0': expected more than 0 seconds", id="no-timeout"),
        pytest.param(["wsgi", "--timeout=-1"], "'-1': expected more than 0 seconds", id="negative-timeout"),
        pytest.param(["wsgi", "--timeout", "inf"], "'inf': expected a duration", id="infinite-timeout"),
        pytest.param(["wsgi", "--timeout", "2 days"], "and at most a day", id="long-timeout"),
    ],
)
def test_wrong_usage_ends_with_status_2(capsys, argv, message):
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_help_tells_the_defaults(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    for default in ("localhost:9090", "readiness", "30"):
        assert f"(default: {default})" in out


def test_the_name_that_baseplate_s_script_calls(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["baseplate-healthcheck", "wsgi", refused_endpoint()])
    with pytest.raises(SystemExit) as exit_:
        run_healthchecks()
    assert exit_.value.code == 1


# What a probe costs, every few seconds, on each pod.
IMPORTS = """
import sys
from baseplate_serve.healthcheck import main
status = main([{kind!r}, {endpoint!r}])
for name in ("gevent", "thrift", "http.client", "asyncio", "prometheus_client"):
    if name in sys.modules:
        print(name)
"""


@pytest.mark.process
class TestAProcess:
    @staticmethod
    def run(*argv):
        return subprocess.run([sys.executable, *argv], check=False, capture_output=True, text=True)

    @pytest.mark.parametrize("kind", ["thrift", "wsgi"])
    def test_of_the_module(self, start, kind):
        asked = Handler()
        endpoint = start(BaseplateServiceV2.Processor(asked) if kind == "thrift" else answering(), kind)
        done = self.run("-W", "error", "-m", "baseplate_serve.healthcheck", kind, endpoint)
        assert (done.returncode, done.stdout, done.stderr) == (0, "OK!\n", "")

    @pytest.mark.parametrize("kind", ["thrift", "wsgi"])
    def test_of_the_module_that_fails(self, kind):
        endpoint = refused_endpoint()
        done = self.run("-m", "baseplate_serve.healthcheck", kind, endpoint)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"baseplate-healthcheck: {kind} service at {endpoint}, readiness: Connection refused\n"
        )

    def test_asked_for_a_name_that_cannot_be_one(self):
        """Here, because gevent's resolver, which the command does not use, prints a traceback of its own."""
        done = self.run("-m", "baseplate_serve.healthcheck", "wsgi", f"{'x' * 70}:9090")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert f"cannot resolve '{'x' * 70}': " in done.stderr

    @pytest.mark.parametrize(("kind", "needed"), [("thrift", "thrift"), ("wsgi", "http.client")])
    def test_imports_what_it_needs_and_no_more(self, start, kind, needed):
        endpoint = start(BaseplateServiceV2.Processor(Handler()) if kind == "thrift" else answering(), kind)
        done = self.run("-c", IMPORTS.format(kind=kind, endpoint=endpoint))
        assert (done.stdout.split(), done.stderr) == (["OK!", needed], "")


# --- the IDL ---------------------------------------------------------------------------------------------


def without_version(source: str) -> list[str]:
    return [line for line in source.splitlines() if not line.startswith("# Autogenerated by Thrift Compiler")]


@needs_compiler
def test_the_generated_code_is_what_the_compiler_writes(tmp_path):
    subprocess.run([COMPILER, "--gen", "py", "-out", tmp_path, HEALTH / "health.thrift"], check=True)

    fresh = {path.name: without_version(path.read_text()) for path in tmp_path.glob("*/health/*.py")}
    ours = {path.name: without_version(path.read_text()) for path in HEALTH.glob("*.py")}

    assert ours == fresh
    assert sorted(path.name for path in HEALTH.iterdir() if path.is_file()) == sorted(
        [*fresh, "health.thrift"]
    )


@needs_compiler
def test_a_service_may_extend_ours(start, capsys, tmp_path, monkeypatch):
    """Given an IDL that includes ours, when it is compiled and served, then it answers health checks."""
    idl = tmp_path / "extending.thrift"
    idl.write_text(
        'include "health.thrift"\n'
        "namespace py extending\n"
        "service Extending extends health.BaseplateServiceV2 { string greet(1: string name) }\n"
    )
    subprocess.run([COMPILER, "--gen", "py", "-I", HEALTH, "-out", tmp_path, idl], check=True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(os, "getcwd", lambda: str(tmp_path))  # nothing of it is found by accident
    from extending import Extending

    handler = Handler()
    endpoint = start(Extending.Processor(handler), "thrift")

    assert main(["thrift", endpoint, "--probe", "startup"]) == 0
    assert handler.asked == [IsHealthyProbe.STARTUP]
    assert importlib.util.find_spec("extending.ttypes") is not None


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="nothing"),
        pytest.param(["http"], id="unknown kind"),
        pytest.param(["thrift", "no-port"], id="no endpoint"),
        pytest.param(["thrift", "--probe", "life"], id="unknown probe"),
    ],
)
def test_a_wrong_command_line_takes_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        healthcheck.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
