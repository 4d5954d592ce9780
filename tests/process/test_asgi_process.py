"""ASGI applications and the process around them: start-up, ready, stop."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import gevent
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from deadline import DEADLINE_S, wait_for
from processes import environment, serve, write_service

pytestmark = pytest.mark.process

LIFESPAN = """
    import asyncio, logging

    log = logging.getLogger(__name__)

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            log.info("starting up")
            await asyncio.sleep(0.1)
            {started}
            await receive()
            log.info("shutting down")
            await send({{"type": "lifespan.shutdown.complete"}})
            return
        names = f"{{scope['client']}} {{scope['server']}}".encode()
        await send({{"type": "http.response.start", "status": 200}})
        await send({{"type": "http.response.body", "body": names}})

    def make_app(config):
        return app
"""
COMPLETE = 'await send({"type": "lifespan.startup.complete"})'
FAILED = 'await send({"type": "lifespan.startup.failed", "message": "no database"}); return'


def service(tmp_path, started=COMPLETE):
    code = LIFESPAN.format(started=started)
    write_service(tmp_path, server="factory = baseplate_serve.wsgi\nstop_timeout = 5", code=code)


def test_ready_is_after_start_up_and_shutdown_is_last(tmp_path):
    service(tmp_path)
    with serve(tmp_path) as server:
        server.wait_until_ready()
        server.wait_until_logged("starting up")
        assert server.stop() == 0
        steps = [m for m in server.messages if "up" in m or "listening" in m or "down" in m or "stopped" in m]
    order = [next(n for n, m in enumerate(steps) if word in m) for word in ("starting up", "listening on")]
    assert order == sorted(order)
    assert "shutting down" in "".join(steps)
    assert steps.index(next(m for m in steps if "shutting down" in m)) < len(steps) - 1


@pytest.mark.parametrize("how", [FAILED, 'raise SystemExit("no database")'], ids=["it says so", "sys.exit"])
def test_a_failed_start_up_ends_the_process_with_its_message(tmp_path, how):
    service(tmp_path, how)
    with serve(tmp_path) as server:
        assert server.process.wait(20) == 1
        assert server.output.endswith("baseplate-serve: the application's start-up failed: no database\n")
        assert "Traceback" not in server.output


@pytest.mark.parametrize("busy", ["await asyncio.sleep(60)", "while True: pass"], ids=["waits", "computes"])
def test_a_stop_during_start_up_ends_the_process_at_once(tmp_path, busy):
    """The signal may come while the application's own code runs, and raises in it."""
    service(tmp_path, busy)
    with serve(tmp_path) as server:
        server.wait_until_logged("starting up")
        assert server.stop() == 0
        assert server.messages[-1] == "stopped while the application was being loaded"


def test_a_unix_socket(tmp_path):
    service(tmp_path)
    path = str(tmp_path / "s")
    with serve(tmp_path, bind=path) as server:
        server.wait_until_logged("listening on")
        connection = http.client.HTTPConnection("unix")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(path)
        connection.request("GET", "/")
        assert connection.getresponse().read().decode() == f"None {[path, None]}"
        connection.close()
        assert server.stop() == 0


ECHO = """
    import asyncio, logging

    log = logging.getLogger(__name__)

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while (message := await receive())["type"] == "websocket.receive":
                await asyncio.sleep(0.001)
                await send({**message, "type": "websocket.send"})
            log.info("told of %s", message["code"])
        except OSError as error:  # in the middle of an echo
            log.info("told of %s", error)

    def make_app(config):
        return app
"""


def test_websockets_in_use_are_told_1012_and_their_applications_too(tmp_path):
    """So that clients connect again, to another worker; nothing else comes between two messages."""
    count = 20
    write_service(
        tmp_path, server="factory = baseplate_serve.wsgi\nstop_timeout = 10\ndrain_time = 0.5", code=ECHO
    )

    def talk(client):
        """The code that it is closed with; every message before that has its echo."""
        for number in range(1_000_000):
            try:
                client.send(str(number))
                assert client.recv(DEADLINE_S) == str(number)
            except ConnectionClosed as closed:
                return number, closed.rcvd.code
        return None

    with serve(tmp_path) as server, ExitStack() as stack:
        host, port = server.wait_until_ready()
        address = f"ws://{host}:{port}/"
        clients = [stack.enter_context(connect(address, compression=None)) for _ in range(count)]
        talks = [gevent.spawn(talk, client) for client in clients]
        server.signal(signal.SIGTERM)
        outcomes = [each.get(timeout=DEADLINE_S) for each in talks]
        assert server.wait() == 0
        assert [code for _, code in outcomes] == [1012] * count
        assert min(messages for messages, _ in outcomes) > 10  # the drain was under load
        told = [message for message in server.messages if message.startswith("told of")]
        assert len([message for message in told if "1012" in message]) == count
        assert server.messages[-1] == "stopped (last reply sent)"
        assert "Traceback" not in server.output


HELD = """
    import time
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    def endpoint(request):
        print("in a thread of anyio's", flush=True)
        time.sleep(60)
        return PlainTextResponse("late")

    def make_app(config):
        return Starlette(routes=[Route("/", endpoint)])
"""


def test_a_synchronous_endpoint_that_does_not_end_does_not_hold_the_process(tmp_path):
    """It runs in a thread, which Python would wait for."""
    write_service(tmp_path, code=HELD)
    with serve(tmp_path) as server, socket.create_connection(server.wait_until_ready()) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        wait_for(lambda: "in a thread" in server.output)
        assert server.stop() == 0
        assert "leaves; threads: ['AnyIO worker thread']" in server.output


def run_to_its_end(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize(
    "held_by",
    [
        "threading.Thread(target=time.sleep, args=(60,)).start()",
        "atexit.register(time.sleep, 60)",
        "atexit.register(monkey.get_original('time', 'sleep'), 60)",
    ],
    ids=["a thread", "at exit", "at exit, without the hub"],
)
def test_nothing_holds_a_process_that_has_stopped(held_by):
    code = f"""
from baseplate_serve._command.patch import patch; patch()
import atexit, sys, threading, time
from gevent import monkey
from baseplate_serve._command.leave import leave_within
{held_by}
print("said before")
leave_within(0.2, 3)
"""
    began_at = time.monotonic()
    ended = run_to_its_end(code)
    assert time.monotonic() - began_at < DEADLINE_S / 2
    assert ended.returncode == 3
    assert ended.stdout == "said before\n"
    assert ended.stderr.startswith("baseplate-serve: has not ended by itself in 0.2 s, leaves; threads: [")


def test_a_process_that_ends_by_itself_is_left_alone():
    code = "from baseplate_serve._command.leave import leave_within; leave_within(60, 3)"
    ended = run_to_its_end(code)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_reader_who_does_not_read_holds_no_process_that_has_stopped():
    """What is left in our buffers would have to wait for it."""
    code = "from baseplate_serve._command.leave import leave_within; print(1); leave_within(0.2, 3)"
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as stdout:
        os.set_blocking(writer, False)
        while True:
            try:
                os.write(writer, bytes(4096))
            except BlockingIOError:
                break
        os.set_blocking(writer, True)
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env=environment() | {"PYTHONUNBUFFERED": ""},  # print() must not wait itself
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            timeout=DEADLINE_S,
            check=False,
        )
    assert ended.returncode == 3
