"""The command serves: where, what, and how it is seen."""

from __future__ import annotations

import errno
import json
import logging
import os
import pty
import re
import socket
import stat
import subprocess
import sys

import pytest
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.transport.THeaderTransport import THeaderClientType
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport

from deadline import DEADLINE_S, wait_for
from processes import HELLO, ServerProcess, command_line, environment, run_to_end, serve, write_service
from testing_idl import Testing

pytestmark = pytest.mark.process

SHOW_CONFIG = """
    import json

    def make_app(config):
        def app(environ, start_response):
            start_response("200 OK", [])
            return [json.dumps(config).encode()]
        return app
"""
MODULES = """
    import sys

    def make_app(config):
        def app(environ, start_response):
            start_response("200 OK", [])
            return [" ".join(sys.modules).encode()]
        return app
"""
NOT_FOR_ALL = {  # what a service loads if it has a use for it
    "asyncio", "compat", "wsproto", "objgraph", "httptools", "thrift", "baseplate_serve.wsgi",
    "baseplate_serve.thrift", "baseplate_serve._command.check", "baseplate_serve._monitors.blocked_hub",
    "baseplate_serve._monitors.connection_pool", "baseplate_serve._monitors.gc_timing",
    "baseplate_serve._monitors.refcycle",
}  # fmt: skip


def test_version_names_the_program():
    ended = run_to_end(".", "--version")
    assert re.fullmatch(r"baseplate-serve \d+\.\d+\.\d+\n", ended.stdout)
    assert ended.returncode == 0


def test_help_names_every_option():
    ended = run_to_end(".", "--help")
    for option in ("--debug", "--reload", "--app-name", "--server-name", "--bind", "--check", "app.ini"):
        assert option in ended.stdout
    assert ended.returncode == 0


# --- where --------------------------------------------------------------------------------------------


def test_a_unix_socket_is_served_and_its_file_removed(tmp_path):
    """A file that stays behind makes the next health check wait for nobody."""
    write_service(tmp_path)
    with serve(tmp_path, bind="./server.sock") as server:
        assert server.get_from_file() == b"hello"
        assert stat.S_ISSOCK((tmp_path / "server.sock").stat().st_mode)
        assert server.stop() == 0
    assert not (tmp_path / "server.sock").exists()


def test_the_file_of_a_server_that_crashed_is_replaced(tmp_path):
    """kill -9 leaves it behind; a restart must not need somebody to remove it."""
    write_service(tmp_path)
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(tmp_path / "server.sock"))
    with serve(tmp_path, bind="./server.sock") as server:
        assert server.get_from_file() == b"hello"


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6_is_served(tmp_path):
    write_service(tmp_path)
    with serve(tmp_path, bind="[::1]:0") as server:
        host, port = server.wait_until_ready()
        assert host == "::1"
        with socket.create_connection((host, port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").read().endswith(b"hello")
        assert server.stop() == 0


# --- what ---------------------------------------------------------------------------------------------


def test_other_sections_can_be_served(tmp_path):
    """One file, several applications and servers: --app-name, --server-name."""
    write_service(tmp_path, code=SHOW_CONFIG)
    with (tmp_path / "app.ini").open("a") as file:
        file.write("[server:queue]\nfactory = baseplate_serve.wsgi\nmetrics.enabled = false\n")
        file.write("[app:other]\nfactory = application\nwho = other\n")
    with serve(tmp_path, "--app-name", "other", "--server-name", "queue") as server:
        assert json.loads(server.get())["who"] == "other"
        assert server.stop() == 0


def test_the_application_sees_its_section_expanded(tmp_path):
    """Secrets and addresses come from the environment; the application never reads it itself."""
    write_service(
        tmp_path,
        app="factory = application\nplain = 100 %\nexpanded = $WHERE/${WHAT}.sock\nunset = $NO_SUCH_NAME",
        code=SHOW_CONFIG,
    )
    with serve(tmp_path, environ={"WHERE": "/run", "WHAT": "db"}) as server:
        assert json.loads(server.get()) == {
            "factory": "application",
            "plain": "100 %",
            "expanded": "/run/db.sock",
            "unset": "$NO_SUCH_NAME",
        }


def test_the_current_directory_is_importable(tmp_path):
    """A service is started from its checkout, by a console script, which does not put it on the path."""
    write_service(tmp_path)
    with serve(tmp_path, python=(sys.executable, "-P")) as server:
        assert server.get() == b"hello"


def test_a_third_partys_server_is_started_with_its_options_and_stopped(tmp_path):
    """baseplate's own queue consumer is one: an object with `start` and `stop`, and options of its own."""
    code = """
        import json, logging

        def make_app(config):
            return "the application"

        def make_consumer(config, listener, app):
            return Consumer(config, listener.getsockname()[0], app)

        class Consumer:
            def __init__(self, *arguments):
                self.arguments = arguments

            def start(self):
                logging.getLogger("consumer").info("consumes %s", json.dumps(self.arguments))

            def stop(self):
                logging.getLogger("consumer").info("has stopped")
    """
    write_service(
        tmp_path,
        server="factory = application:make_consumer\nmax_concurrency = 3\nqueue.prefetch = 10",
        code=code,
    )
    with serve(tmp_path) as server:
        consumed = server.wait_until_logged("consumes (.*)").group(1)
        server.wait_until_ready()
        assert server.stop() == 0
        assert "has stopped" in server.messages
    config, host, app = json.loads(consumed)
    assert config["queue.prefetch"] == "10"
    assert config["max_concurrency"] == "3"
    assert (host, app) == ("127.0.0.1", "the application")


def test_a_synchronous_wsgi_service_loads_what_it_uses(tmp_path):
    """It would pay memory and start-up time for the rest; metrics are on, as by default."""
    write_service(
        tmp_path,
        server="factory = baseplate_serve.wsgi\nmetrics.endpoint = 127.0.0.1:0",
        code=MODULES,
    )
    with serve(tmp_path) as server:
        assert NOT_FOR_ALL & {*server.get().decode().split()} == {"httptools", "baseplate_serve.wsgi"}


def test_a_synchronous_thrift_service_loads_what_it_uses(tmp_path):
    code = """
        import sys
        from testing_idl import Testing

        class Handler:
            def echo(self, text):
                return " ".join(sys.modules)

        def make_app(config):
            return Testing.Processor(Handler())
    """
    write_service(
        tmp_path, server="factory = baseplate_serve.thrift\nmetrics.endpoint = 127.0.0.1:0", code=code
    )
    with serve(tmp_path) as server:
        transport = TSocket(*server.wait_until_ready())
        transport.open()
        protocol = THeaderProtocol(TBufferedTransport(transport), (THeaderClientType.HEADERS,))
        loaded = {*Testing.Client(protocol).echo("").split()}
        assert NOT_FOR_ALL & loaded == {"thrift", "baseplate_serve.thrift"}
        transport.close()


# --- what is seen of it -------------------------------------------------------------------------------

CHATTY = """
    import logging, warnings

    log = logging.getLogger("chatty")

    def make_app(config):
        log.debug("a detail")
        log.info("two\\nlines", extra={"shard": 7})
        warnings.warn("old habits", FutureWarning)
        return lambda environ, start_response: start_response("200 OK", []) and [] or []
"""


def test_a_log_collector_gets_one_json_object_a_line(tmp_path):
    """Standard output is no terminal under Kubernetes; a record of two lines must stay one."""
    write_service(tmp_path, code=CHATTY)
    with serve(tmp_path) as server:
        server.wait_until_ready()
        assert server.stop() == 0
        records = [json.loads(line) for line in server.output.splitlines()]
    [chat] = [record for record in records if record["name"] == "chatty"]
    assert chat["message"] == "two\nlines"
    assert chat["level"] == "INFO"
    assert chat["shard"] == 7
    assert any("old habits" in record["message"] for record in records)


def test_a_person_at_a_terminal_gets_text(tmp_path):
    write_service(tmp_path)
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        command_line("--bind", "127.0.0.1:0", "app.ini"), cwd=tmp_path, env=environment(), stdout=its_end
    )
    os.close(its_end)
    os.set_blocking(terminal, False)
    seen = b""

    def shown():
        nonlocal seen
        try:
            seen += os.read(terminal, 4096)
        except BlockingIOError:
            return None
        return re.search(rb"(?m)^[\d: ,-]+ INFO +baseplate_serve: listening on 127\.0\.0\.1:\d+ ", seen)

    try:
        wait_for(shown, "a line of text on the terminal")
        assert b"{" not in seen
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


@pytest.mark.parametrize("arguments", [(), ("--debug",)], ids=["as usual", "--debug"])
def test_details_are_logged_with_debug_only(tmp_path, arguments):
    write_service(tmp_path, code=CHATTY)
    with serve(tmp_path, *arguments) as server:
        server.wait_until_ready()
        assert server.stop() == 0
        levels = {json.loads(line)["level"] for line in server.output.splitlines()}
        assert ("a detail" in server.messages) == bool(arguments)
    assert (logging.getLevelName(logging.DEBUG) in levels) == bool(arguments)


def test_the_files_own_loggers_override_ours(tmp_path):
    """Existing files configure logging the standard library's way."""
    write_service(tmp_path)
    with (tmp_path / "app.ini").open("a") as file:
        file.write(
            "[loggers]\nkeys = root\n[logger_root]\nlevel = INFO\nhandlers = console\n"
            "[handlers]\nkeys = console\n"
            "[handler_console]\nclass = StreamHandler\nargs = (sys.stdout,)\nformatter = own\n"
            "[formatters]\nkeys = own\n[formatter_own]\nformat = OWN %(message)s\n"
        )
    with serve(tmp_path) as server:
        wait_for(lambda: "OWN listening on 127.0.0.1:" in server.output, "a line in the file's own format")
        assert server.stop() == 0
        assert all(line.startswith("OWN ") for line in server.output.splitlines())


def test_a_closed_standard_output_is_no_matter(tmp_path):
    """Some supervisors start their services with it closed (`>&-`)."""
    write_service(tmp_path, code=HELLO + "\n    print('printed')\n")
    command = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command_line("--bind", "./server.sock", "app.ini")]
    with ServerProcess(tmp_path, command=command) as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            wait_for(lambda: connects(client, tmp_path / "server.sock"), "it serves")
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").read().endswith(b"hello")
        assert server.stop() == 0


def connects(client, path):
    return client.connect_ex(str(path)) == 0
