"""ASGI applications and the process around them: start-up, ready, stop."""

from __future__ import annotations

import http.client
import socket

import pytest

from processes import serve, write_service

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
