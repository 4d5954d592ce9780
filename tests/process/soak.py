"""Mixed load for a long time, and nothing may grow: memory, descriptors, greenlets, tasks, watchers, files.

    python tests/process/soak.py [SECONDS]

A WSGI, an ASGI and a Thrift server each get good clients and bad ones: that come and go, send half a request,
leave in the middle of a response, reset their connection, send garbage.  Beside each, another worker with the
same metrics directory is replaced again and again.  Ends with 1 if something has grown.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    from os.path import dirname

    folder = dirname(__file__)
    sys.path[:0] = [folder, dirname(folder), dirname(folder) + "/gen"]

import json
import os
import random
import socket
import struct
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import gevent
from thrift.Thrift import TException
from thrift.transport.TSocket import TSocket

from deadline import wait_for
from processes import ServerProcess, write_service
from testing_idl import Testing
from thrift_harness import DIALECTS

CLIENTS = 6  # of each server, at a time
KINDS = {"wsgi": "wsgi", "asgi": "wsgi", "thrift": "thrift"}
OPTIONS = """
stop_timeout = 5 seconds
metrics.endpoint = 127.0.0.1:0
monitoring.gc.timing = true
idle_timeout = 20 seconds
"""
# More than this is growth; of everything else, more than 0.
ALLOWED = {
    "memory_kib": 6 * 1024,
    "objects": 500,
}
UPGRADE = (
    b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
WORD = b"\x81\x85\0\0\0\0hello"  # a masked frame of text
HALVES = [  # of requests; then the client goes
    b"",
    b"G",
    b"GET / HTTP/1.1\r\nHost:",
    b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
    b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
    b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5,
    b"\x16\x03\x01\x02\x00\x01",
    b"\0\0\0\x10\x80\x01\0\1",
    b"\0\0\0\x10\x0f\xff\0\0",
    b"\x80\x01\0\1\0\0\0\4ec",
    b"\xff" * 20,
    UPGRADE,
    UPGRADE + WORD,
    UPGRADE + WORD[:4],
    UPGRADE + b"\xff" * 8,
]


def connected(address):
    sock = socket.create_connection(address, timeout=20)
    return closing(sock), sock


def send_half(address):
    manager, sock = connected(address)
    with manager:
        sock.sendall(random.choice(HALVES))
        if random.random() < 0.5:
            sock.settimeout(0.02)
            with suppress(TimeoutError):
                sock.recv(1000)
        if random.random() < 0.5:  # a reset
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def get(address, path="/"):
    manager, sock = connected(address)
    with manager:
        body = b"x" * random.randrange(100_000) if path == "/body" else b""
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode() + body)
        reply = bytearray()
        while piece := sock.recv(65536):
            reply += piece
    return bytes(reply)


def fetch(address):
    path = random.choice(["/", "/", "/sleep", "/large", "/body", "/fail"])
    status = b"HTTP/1.1 500" if path == "/fail" else b"HTTP/1.1 200"
    assert get(address, path).startswith(status), path


def keep_alive(address):
    manager, sock = connected(address)
    with manager:
        for _ in range(20):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            reply = b""
            while b"hello" not in reply:
                piece = sock.recv(65536)
                if not piece:
                    return  # a worker that is being replaced
                reply += piece


def talk(address):
    manager, sock = connected(address)
    with manager:
        sock.sendall(UPGRADE)
        sock.recv(4096)
        for _ in range(5):
            sock.sendall(WORD)
            if not sock.recv(4096):
                return
        if random.random() < 0.5:
            sock.sendall(b"\x88\x82\0\0\0\0\x03\xe8")  # a close, 1000
            sock.recv(4096)


def call(address):
    transport = TSocket(*address)
    transport.setTimeout(20_000)
    transport.open()
    with closing(transport):
        client = Testing.Client(random.choice(list(DIALECTS.values()))(transport))
        for _ in range(random.randrange(1, 10)):
            choice = random.randrange(6)
            if choice == 0:
                assert len(client.items(20)) == 20
            elif choice == 1:
                client.note("one way")
            elif choice == 2:
                with suppress(TException):
                    client.fail()
            else:
                assert client.echo("x" * random.randrange(3000)) is not None


def call_for_counts(address):
    transport = TSocket(*address)
    transport.open()
    with closing(transport):
        return json.loads(Testing.Client(DIALECTS["header"](transport)).echo("counts"))


CLIENTS_OF = {
    "wsgi": [fetch, keep_alive, send_half],
    "asgi": [fetch, keep_alive, send_half, talk],
    "thrift": [call, call, send_half],
}


class Soak:
    """The servers of one kind: one that stays, one that is replaced, and their clients."""

    def __init__(self, kind, folder, stack):
        self.kind = kind
        self.folder = folder / kind
        self.metrics = self.folder / "metrics"
        self.done = self.broken = self.replaced = 0
        self._stack = stack
        self._stopped = True
        self._running = []
        self.metrics.mkdir(parents=True)
        holder = stack.enter_context(socket.socket())  # a port that stays ours
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        self.shared = holder.getsockname()
        self.lasting = self._serve("127.0.0.1:0")
        self.address = self.lasting.wait_until_ready()

    def _serve(self, bind):
        write_service(
            self.folder,
            server=f"factory = baseplate_serve.{KINDS[self.kind]}\n{OPTIONS}",
            app=f"factory = soak_service:make_{self.kind}",
            code="",
        )
        environ = {"PROMETHEUS_MULTIPROC_DIR": str(self.metrics)}
        return self._stack.enter_context(
            ServerProcess(self.folder, "--bind", bind, "app.ini", environ=environ)
        )

    def begin(self):
        self._stopped = False
        clients = [gevent.spawn(self._client, self.address) for _ in range(CLIENTS)]
        self._running = [*clients, gevent.spawn(self._replace)]

    def end(self):
        """Returns when all clients have gone."""
        self._stopped = True
        gevent.joinall(self._running, raise_error=True)

    def _client(self, address):
        while not self._stopped:
            self._be_one(address)

    def _be_one(self, address):
        try:
            random.choice(CLIENTS_OF[self.kind])(address)
            self.done += 1
        except (OSError, TException):
            if address == self.address:
                raise
            self.broken += 1  # its worker left

    def _replace(self):
        while not self._stopped:
            worker = self._serve("{}:{}".format(*self.shared))
            worker.wait_until_ready()
            for _ in range(30):
                self._be_one(self.shared)
            assert worker.stop() == 0
            worker.log.unlink()
            self.replaced += 1

    def counts(self):
        """While nobody is connected."""
        ask = call_for_counts if self.kind == "thrift" else _counts_by_http
        settled = []

        def settle():
            settled.append(ask(self.address))
            return len(settled) > 1 and settled[-1]["descriptors"] <= min(s["descriptors"] for s in settled)

        gevent.sleep(0.5)
        wait_for(settle, "descriptors settle")
        files = len(os.listdir(self.metrics))
        return {**settled[-1], "metrics files": files}


def _counts_by_http(address):
    return json.loads(_body(get(address, "/counts")))


def _body(reply):
    """Of a response with its length or in one chunk."""
    head, _, body = reply.partition(b"\r\n\r\n")
    return body.split(b"\r\n")[1] if b"chunked" in head.lower() else body


def run(seconds, report=print):
    """What has grown in *seconds*: texts, none if all is well."""
    first, last = {}, {}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        soaks = [Soak(kind, Path(folder), stack) for kind in KINDS]
        end = time.monotonic() + seconds
        lap = max(3.0, seconds / 12)
        laps = 0
        while laps < 3 or time.monotonic() < end:
            laps += 1
            for soak in soaks:
                soak.begin()
            gevent.sleep(min(lap, max(1.0, end - time.monotonic())))
            for soak in soaks:
                soak.end()
            for soak in soaks:
                found = soak.counts()
                report(f"{soak.kind:7}{soak.done:8} clients {soak.replaced:4} workers replaced, {found}")
                if laps < 3:
                    first[soak.kind] = found  # warm
                last[soak.kind] = found
    return [
        f"{kind}: {what} {first[kind][what]} -> {last[kind][what]}"
        for kind in KINDS
        for what in first[kind]
        if last[kind][what] - first[kind][what] > ALLOWED.get(what, 0)
    ]


if __name__ == "__main__":
    has_grown = run(float(sys.argv[1]) if len(sys.argv) > 1 else 1800.0)
    print("\n".join(has_grown) or "nothing has grown")
    sys.exit(1 if has_grown else 0)
