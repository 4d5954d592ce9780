"""Signals, as platforms and people send them."""

from __future__ import annotations

import http.client
import signal

import pytest

from deadline import DEADLINE_S
from processes import serve, write_service

pytestmark = pytest.mark.process

STOP_SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2]
SLOWLY = "factory = baseplate_serve.wsgi\ndrain_time = 10 minutes\nstop_timeout = 10 minutes"

# /forever never ends; / says whether the application knows that its server is leaving.
LONG = """
    import atexit, logging, time
    from baseplate.server import SERVER_STATE

    log = logging.getLogger("long")

    def make_app(config):
        atexit.register(log.info, "atexit has run")
        return app

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/forever":
            waits_for_the_database()
        start_response("200 OK", [])
        return [str(SERVER_STATE.shutting_down).encode()]

    def waits_for_the_database():
        log.info("has begun")
        try:
            time.sleep(3600)
        finally:
            log.info("finally has run")
"""


def ask(server, path="/"):
    """The body and the header Connection of a reply, over a connection of its own that would be kept."""
    connection = http.client.HTTPConnection(*server.wait_until_ready(), timeout=DEADLINE_S)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.read().decode(), reply.headers["Connection"]
    finally:
        connection.close()


@pytest.fixture
def forever():
    """Begins a request that never ends, and waits until it is being served."""
    clients = []

    def begin(server, path="/forever"):
        clients.append(http.client.HTTPConnection(*server.wait_until_ready(), timeout=DEADLINE_S))
        clients[-1].request("GET", path)
        server.wait_until_logged("has begun")

    yield begin
    for client in clients:
        client.close()


# --- stop ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", STOP_SIGNALS, ids=lambda signum: signum.name)
def test_each_stop_signal_stops_with_status_0(tmp_path, signum):
    """Kubernetes and systemd, people, and Einhorn mean the same; 0 because it was asked for."""
    write_service(tmp_path, code=LONG)
    with serve(tmp_path) as server:
        assert ask(server) == ("False", None)
        server.signal(signum)
        assert server.wait() == 0
        assert f"draining ({signum.name})" in server.messages
        assert server.messages[-1] == "atexit has run"
        assert "Traceback" not in server.output


def test_a_draining_server_still_accepts_and_says_that_it_leaves(tmp_path):
    """Clients and load balancers need time to notice; those who are late must not be turned away."""
    write_service(tmp_path, server=SLOWLY, code=LONG)
    with serve(tmp_path) as server:
        assert ask(server) == ("False", None)
        server.signal(signal.SIGTERM)
        server.wait_until_logged("draining")
        assert ask(server) == ("True", "close")


def test_each_further_stop_signal_skips_a_phase(tmp_path, forever):
    """Whoever insists gets the process to end, step by step, and clean-up still runs."""
    write_service(tmp_path, server=SLOWLY, code=LONG)
    with serve(tmp_path) as server:
        forever(server)
        server.signal(signal.SIGTERM)
        server.wait_until_logged("draining")
        server.signal(signal.SIGINT)
        server.wait_until_logged("finishing")
        assert "finally has run" not in server.messages
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert server.messages[-1] == "atexit has run"
        assert "finally has run" in server.messages
        assert any("cut off: GET /forever" in message for message in server.messages)


def test_a_repeated_sigusr2_changes_nothing(tmp_path):
    """Einhorn sends it again and again to workers that it waits for."""
    write_service(tmp_path, server=SLOWLY, code=LONG)
    with serve(tmp_path) as server:
        server.wait_until_ready()
        server.signal(signal.SIGUSR2)
        server.wait_until_logged("draining")
        for _ in range(5):
            server.signal(signal.SIGUSR2)
            assert ask(server) == ("True", "close")
        server.signal(signal.SIGTERM)  # somebody insists, and this one counts
        assert server.wait() == 0
        phases = [message for message in server.messages if message.startswith(("draining", "finishing"))]
        assert phases == ["draining (SIGUSR2)", "finishing (SIGTERM)"]


def test_a_signal_wakes_the_hub(tmp_path):
    """Python only notes a signal.  One that comes just before the hub goes to sleep would be noticed with the
    next client, which a server that is to stop may never have: seen here, about one stop in fifty.  That
    moment cannot be hit on purpose, so this asks whether anything is there to wake the hub.
    """
    code = """
        import signal

        def app(environ, start_response):
            start_response("200 OK", [])
            fd = signal.set_wakeup_fd(-1)
            signal.set_wakeup_fd(fd)
            return [str(fd >= 0).encode()]

        def make_app(config):
            return app
    """
    write_service(tmp_path, code=code)
    with serve(tmp_path) as server:
        assert ask(server)[0] == "True"
        assert server.stop() == 0


def test_clean_up_runs_although_three_signals_come_at_once(tmp_path, forever):
    """Ctrl-C, Ctrl-C, Ctrl-C: whoever is that impatient still wants the database's locks released."""
    code = LONG.replace('log.info("has begun")', 'log.info("has begun"); insist()').replace(
        "def app(",
        "def insist():\n        for _ in range(3):\n            signal.raise_signal(15)\n\n    def app(",
    )
    write_service(tmp_path, server=SLOWLY, code=code.replace("import atexit,", "import signal, atexit,"))
    with serve(tmp_path) as server:
        forever(server)
        assert server.wait() == 0
        assert "finally has run" in server.messages
        assert any("cut off: GET /forever" in message for message in server.messages)


def test_a_signal_while_the_interpreter_ends_is_too_late(tmp_path):
    """Einhorn and people repeat themselves; a clean stop must not be reported as a death by signal."""
    code = """
        import os, signal

        class SignalsAtTheEnd:
            os, signal = os, signal  # the module's names are gone by then

            def __del__(self):
                for signum in (self.signal.SIGUSR2, self.signal.SIGTERM):
                    self.os.kill(self.os.getpid(), signum)

        at_the_end = SignalsAtTheEnd()

        def make_app(config):
            return print
    """
    write_service(tmp_path, code=code)
    with serve(tmp_path) as server:
        server.wait_until_ready()
        assert server.stop() == 0


LOADING = {
    "sleeping": "time.sleep(3600)",
    "computing": "while True: pass",
    "in a greenlet": "gevent.spawn(time.sleep, 3600).join()",
    "in a native thread": "gevent.get_hub().threadpool.apply(native_sleep, (1,))",
}


@pytest.mark.parametrize("wait", LOADING.values(), ids=LOADING)
def test_a_stop_while_loading_ends_at_once(tmp_path, wait):
    """Nobody is being served yet, and a rollout that was cancelled should not wait for caches to fill."""
    code = f"""
        import atexit, logging, time
        import gevent, gevent.monkey

        native_sleep = gevent.monkey.get_original("time", "sleep")

        def make_app(config):
            atexit.register(logging.getLogger().info, "atexit has run")
            try:
                logging.getLogger().info("has begun")
                {wait}
            finally:
                logging.getLogger().info("finally has run")
    """
    write_service(tmp_path, code=code)
    with serve(tmp_path) as server:
        server.wait_until_logged("has begun")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "finally has run" in server.messages
        assert "atexit has run" in server.messages
        assert "Traceback" not in server.output


def test_a_stop_while_a_module_is_imported_ends_at_once(tmp_path):
    write_service(tmp_path, code="import logging, time\nlogging.info('has begun')\ntime.sleep(3600)")
    with serve(tmp_path) as server:
        server.wait_until_logged("has begun")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "Traceback" not in server.output


# --- SIGUSR1 ------------------------------------------------------------------------------------------


def test_sigusr1_shows_where_everything_is(tmp_path, forever):
    """A service hangs in production: which requests, since when, and what are they waiting for?"""
    write_service(tmp_path, code=LONG)
    with serve(tmp_path) as server:
        forever(server)
        server.signal(signal.SIGUSR1)
        requests = server.wait_until_logged(r"(?s)1 requests in flight(.*)").group(1)
        stacks = server.wait_until_logged(r"(?s)\d+ greenlets\n(.*)").group(1)
        assert "GET /forever from 127.0.0.1:" in requests
        assert "waits_for_the_database" in stacks
        assert ask(server) == ("False", None)  # and it serves on


def test_sigusr1_finds_a_loop_that_never_ends(tmp_path, forever):
    """The hub is blocked, nothing else runs: the signal's handler itself must show the loop."""
    code = """
        import logging

        def make_app(config):
            return app

        def app(environ, start_response):
            spins()

        def spins():
            logging.info("has begun")
            while True:
                pass
    """
    write_service(tmp_path, code=code)
    with serve(tmp_path) as server:
        forever(server)
        server.signal(signal.SIGUSR1)
        stack = server.wait_until_logged("(?s)SIGUSR1 interrupted:(.*)").group(1)
        assert "in spins" in stack


def test_the_applications_own_handlers_win(tmp_path):
    """Services have put these signals to their own use: reopening logs, dumping caches."""
    code = """
        import logging, signal

        def make_app(config):
            for signum in (signal.SIGUSR1, signal.SIGUSR2):
                signal.signal(signum, lambda signum, frame: logging.info("got %d", signum))
            return app

        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"serves on"]
    """
    write_service(tmp_path, code=code)
    with serve(tmp_path) as server:
        server.wait_until_ready()
        for signum in (signal.SIGUSR1, signal.SIGUSR2):
            server.signal(signum)
            server.wait_until_logged(f"got {signum}")
        assert ask(server)[0] == "serves on"
        assert not any("draining" in message or "SIGUSR1" in message for message in server.messages)
        assert server.stop() == 0


# --- children -----------------------------------------------------------------------------------------


def test_a_child_that_ends_before_anybody_looks_is_waited_for(tmp_path):
    """The first of the process: gevent listens for ended children only once it has one to watch."""
    write_service(
        tmp_path,
        code="""
            import os, time
            import gevent.os

            def fork_slowly():
                pid = gevent.os.fork_gevent()
                if pid:
                    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is still there
                return pid

            def make_app(config):
                def app(environ, start_response):
                    pid = gevent.os.fork_and_watch(fork=fork_slowly)
                    if pid == 0:
                        os._exit(3)
                    _, status = os.waitpid(pid, 0)
                    start_response("200 OK", [])
                    return [b"%d" % os.waitstatus_to_exitcode(status)]
                return app
        """,
    )
    with serve(tmp_path) as server:
        assert server.get() == b"3"
