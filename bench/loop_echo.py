"""Echo servers over TCP: with streams, and with a protocol.  The client is a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from loop_contestants import loop_factory
from loop_measure import CORES, Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    Serve = Callable[["Open"], Coroutine[Any, Any, asyncio.Server]]

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "loop_client.py")


class Open:
    """How many connections the client has yet to close."""

    def __init__(self, connections: int) -> None:
        self.left = connections
        self.none_left = asyncio.Event()

    def one_less(self) -> None:
        self.left -= 1
        if not self.left:
            self.none_left.set()


async def streams(connections: Open) -> asyncio.Server:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
        writer.close()
        connections.one_less()

    return await asyncio.start_server(echo, "127.0.0.1", 0)


async def protocol(connections: Open) -> asyncio.Server:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.write = transport.write

        def data_received(self, data: bytes) -> None:
            self.write(data)

        def connection_lost(self, _error: Exception | None) -> None:
            connections.one_less()

    return await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)


def echo(serve: Serve, connections: int) -> Callable[[str, float], Figures]:
    """What measures a contestant that serves so many *connections*."""

    def measure(name: str, seconds: float) -> Figures:
        # Before the loop runs: starting a process is no part of what is measured.
        client = subprocess.Popen(
            [sys.executable, CLIENT, str(connections), str(seconds), str(CORES[-1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert client.stdin is not None  # noqa: S101 (a pipe)
        to_client = client.stdin.fileno()

        async def serve_until_closed() -> float:
            still_open = Open(connections)
            server = await serve(still_open)
            cpu = time.process_time()
            os.write(to_client, b"%d\n" % server.sockets[0].getsockname()[1])
            await still_open.none_left.wait()
            cpu = time.process_time() - cpu
            server.close()
            return cpu

        with asyncio.Runner(loop_factory=loop_factory(name)) as runner:
            cpu = runner.run(serve_until_closed())
        output, _ = client.communicate()
        if client.returncode:
            sys.exit(f"the client ended with status {client.returncode}")
        outcome = json.loads(output)
        return Figures(outcome["elapsed_s"] / outcome["counted"] * 1e6, cpu / outcome["all"] * 1e6)

    return measure
