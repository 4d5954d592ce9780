"""SIGTERM under load: every request that the server had begun gets its complete reply."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
import time

import gevent
import pytest

from deadline import DEADLINE_S, wait_for
from load import ThriftLoad
from processes import serve, write_service
from programs import needs

pytestmark = pytest.mark.process

CONNECTIONS = 50
STOPPING = "stop_timeout = 10\ndrain_time = 1 second"

COUNTING_WSGI = """
    import atexit, json, time

    begun = 0

    def make_app(config):
        def app(environ, start_response):
            global begun
            begun += 1
            time.sleep(0.002)  # long enough that a stop meets requests in flight
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]
        atexit.register(lambda: open("begun.json", "w").write(json.dumps(begun)))
        return app
"""

COUNTING_MOUNT = """
    import asyncio, atexit, json, time
    from baseplate_serve.asgi import Mount

    begun = 0

    def old(environ, start_response):
        global begun
        begun += 1
        time.sleep(0.002)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    async def new(scope, receive, send):
        global begun
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            open("begun.json", "w").write(json.dumps(begun))  # after the last reply
            return
        begun += 1
        await asyncio.sleep(0.001)
        time.sleep(0.001)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hel", "more_body": True})
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"lo"})

    def make_app(config):
        return Mount({"/new": new}, wsgi=old)
"""

ALTERNATE = """
    local turn = 0
    request = function()
      turn = 1 - turn
      return wrk.format('GET', turn == 0 and '/new' or '/')
    end
"""

COUNTING_THRIFT = """
    import atexit, json, time
    from testing_idl import Testing

    begun = []

    class Handler:
        def echo(self, text):
            begun.append(text)
            time.sleep(0.002)
            return text

    def make_app(config):
        atexit.register(lambda: open("begun.json", "w").write(json.dumps(begun)))
        return Testing.Processor(Handler())
"""


@needs("wrk", shutil.which("wrk"))
@pytest.mark.parametrize("code", [COUNTING_WSGI, COUNTING_MOUNT], ids=["wsgi", "wsgi and asgi"])
def test_http_under_wrk_loses_nothing_that_had_begun(tmp_path, code):
    """wrk counts the complete replies, the application counts its calls: they must be equal."""
    write_service(tmp_path, server=f"factory = baseplate_serve.wsgi\n{STOPPING}", code=code)
    with serve(tmp_path) as server:
        host, port = server.wait_until_ready()
        wrk = subprocess.Popen(
            ["wrk", "-t1", f"-c{CONNECTIONS}", "-d4s", "-s", "/dev/stdin", f"http://{host}:{port}/"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        idle = http.client.HTTPConnection(host, port)
        idle.request("GET", "/")
        idle.getresponse().read()
        wrk.stdin.write(
            ALTERNATE + "done = function(summary) io.write('replies ' .. summary.requests .. '\\n') end"
        )
        wrk.stdin.close()
        gevent.sleep(1)  # of load
        assert server.stop() == 0
        output, _ = wrk.communicate()
        idle.close()
    replies = int(output.rpartition("replies ")[2])
    begun = json.loads((tmp_path / "begun.json").read_text())
    assert begun > CONNECTIONS
    assert replies + 1 == begun, output  # and the idle connection's one


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_thrift_loses_nothing_that_had_begun(tmp_path, colour):
    """Each call has a name of its own; whatever the handler has seen, its client has the reply of."""
    code = COUNTING_THRIFT
    if colour == "async":
        code = code.replace("def echo", "async def echo").replace("time.sleep", "await asyncio.sleep")
        code = code.replace("import atexit", "import asyncio, atexit")
    write_service(tmp_path, server=f"factory = baseplate_serve.thrift\n{STOPPING}", code=code)
    with serve(tmp_path) as server:
        load = ThriftLoad(server.wait_until_ready(), CONNECTIONS)
        wait_for(lambda: len(load.answered) > 1000, "the load runs")
        assert server.stop() == 0
        load.stop()
    begun = set(json.loads((tmp_path / "begun.json").read_text()))
    assert begun <= load.answered
    assert not load.wrong


def test_idle_connections_do_not_hold_the_process(tmp_path):
    """Thrift and keep-alive clients sit idle for hours; the last reply is what is waited for."""
    write_service(
        tmp_path,
        server="factory = baseplate_serve.thrift\nstop_timeout = 60",
        code="""
            import time
            from testing_idl import Testing

            class Handler:
                def echo(self, text):
                    time.sleep(float(text))
                    return str(time.monotonic())

            def make_app(config):
                return Testing.Processor(Handler())
        """,
    )
    with serve(tmp_path) as server:
        address = server.wait_until_ready()
        idle = [socket.create_connection(address) for _ in range(20)]
        load = ThriftLoad(address, 1, text="1.0", once=True)
        wait_for(lambda: load.sent, "the request is sent")
        server.wait_until_logged("listening")
        gevent.sleep(0.2)  # it reaches the handler
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        left_at = time.monotonic()
        load.join()
        [reply] = load.replies
        assert (
            left_at - float(reply) < 1.0 + 0.5
        )  # a second after the last reply; and the interpreter's own end
        for sock in idle:
            sock.settimeout(DEADLINE_S)
            assert sock.recv(1) == b""
            sock.close()
