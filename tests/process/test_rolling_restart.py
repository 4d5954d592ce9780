"""Four workers on one port are replaced one by one under load, and no request is lost."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import gevent
import pytest

from load import HttpLoad, ThriftLoad
from processes import ServerProcess, write_service

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

WORKERS = 4
STOPPING = "stop_timeout = 10\ndrain_time = 500 milliseconds"
ECHO = """
    from testing_idl import Testing

    class Handler:
        def echo(self, text):
            return text

    def make_app(config):
        return Testing.Processor(Handler())
"""


@pytest.fixture
def port():
    """A port that stays ours: bound, shared, not listening."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def replace_one_by_one(folder, port, workers):
    """Start a successor, wait until it serves, stop its predecessor; for each worker."""
    with ExitStack() as stack:
        running = [stack.enter_context(start(folder, port)) for _ in range(workers)]
        for worker in running:
            worker.wait_until_ready()
        yield
        for old in running:
            stack.enter_context(start(folder, port)).wait_until_ready()
            assert old.stop() == 0
        yield
        gevent.sleep(0.3)  # of load on the successors alone


def start(folder, port):
    return ServerProcess(folder, "--bind", f"127.0.0.1:{port}", "app.ini")


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "connection per request"])
def test_no_http_request_is_lost(tmp_path, port, keep_alive):
    """A new connection for each request is the hard case: the kernel resets what waits in the queue of a
    listener that closes, although the others would take it."""
    write_service(tmp_path, server=f"factory = baseplate_serve.wsgi\n{STOPPING}")
    rollout = replace_one_by_one(tmp_path, port, WORKERS)
    next(rollout)
    load = HttpLoad(("127.0.0.1", port), 20, keep_alive=keep_alive)
    next(rollout)
    load.stop()
    rollout.close()
    assert load.replies > 1000
    assert not load.failures


def test_no_thrift_call_is_lost(tmp_path, port):
    """Clients keep their connections; one that is closed before a reply has begun is opened again."""
    write_service(tmp_path, server=f"factory = baseplate_serve.thrift\n{STOPPING}", code=ECHO)
    rollout = replace_one_by_one(tmp_path, port, WORKERS)
    next(rollout)
    load = ThriftLoad(("127.0.0.1", port), 20)
    next(rollout)
    load.stop()
    rollout.close()
    assert len(load.answered) > 1000
    assert not load.wrong
    assert load.reconnects < 20 * WORKERS * 2  # moved from worker to worker, not in a storm
