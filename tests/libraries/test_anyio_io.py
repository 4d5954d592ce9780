"""anyio's sockets, processes and signals on our loop, in short."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener, TLSStream

from certificates import client_context, server_context
from compat import new_event_loop
from processes import environment

pytestmark = pytest.mark.anyio  # anyio's own plugin runs the coroutines
DATA = bytes(range(256)) * 2000


@pytest.fixture
def anyio_backend():
    return "asyncio", {"loop_factory": new_event_loop}


async def echo(stream):
    async with stream:
        async for piece in stream:
            await stream.send(piece)


async def receive_all(stream, size):
    received = bytearray()
    while len(received) < size:
        received += await stream.receive()
    return bytes(received)


async def round_trip(stream):
    async with stream, anyio.create_task_group() as group:
        group.start_soon(stream.send, DATA)
        return await receive_all(stream, len(DATA))


async def serve_and_ask(listener, connect):
    """Five connections at once to an echo behind *listener*."""
    echoed = []

    async def ask():
        echoed.append(await round_trip(await connect()))

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, echo)
        async with anyio.create_task_group() as askers:
            for _ in range(5):
                askers.start_soon(ask)
        group.cancel_scope.cancel()
    assert echoed == [DATA] * 5


def port_of(listener):
    return listener.extra(anyio.abc.SocketAttribute.local_port)


async def test_tcp():
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    await serve_and_ask(listener, lambda: anyio.connect_tcp("127.0.0.1", port_of(listener)))


async def test_happy_eyeballs():
    """A name with several addresses of which the first may not be listened on."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    await serve_and_ask(listener, lambda: anyio.connect_tcp("localhost", port_of(listener)))


async def test_unix(tmp_path):
    listener = await anyio.create_unix_listener(tmp_path / "socket")
    await serve_and_ask(listener, lambda: anyio.connect_unix(tmp_path / "socket"))


async def test_tls():
    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = plain.extra(anyio.abc.SocketAttribute.local_port)
    listener = TLSListener(plain, server_context(), standard_compatible=False)
    connect = lambda: anyio.connect_tcp(  # noqa: E731 (a coroutine function of no arguments)
        "localhost", port, ssl_context=client_context(), tls_standard_compatible=False
    )
    await serve_and_ask(listener, connect)


async def test_tls_over_a_stream_that_was_plain():
    async def handle(stream):
        assert await stream.receive() == b"STARTTLS"
        await stream.send(b"go ahead")
        await echo(await TLSStream.wrap(stream, ssl_context=server_context(), standard_compatible=False))

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, handle)
            plain = await anyio.connect_tcp("127.0.0.1", port_of(listener))
            await plain.send(b"STARTTLS")
            assert await plain.receive() == b"go ahead"
            tls = await TLSStream.wrap(
                plain, hostname="localhost", ssl_context=client_context(), standard_compatible=False
            )
            assert await round_trip(tls) == DATA
            group.cancel_scope.cancel()


async def test_udp():
    async with await anyio.create_udp_socket(local_host="127.0.0.1") as server:
        port = server.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.create_connected_udp_socket("127.0.0.1", port) as client:
            for word in (b"alpha", b"beta"):
                await client.send(word)
                data, (host, from_port) = await server.receive()
                time.sleep(0.001)
                await server.sendto(data[::-1], host, from_port)
                assert await client.receive() == word[::-1]


async def test_unix_datagrams(tmp_path):
    async with await anyio.create_unix_datagram_socket(local_path=tmp_path / "server") as server:
        async with await anyio.create_connected_unix_datagram_socket(tmp_path / "server") as client:
            await client.send(b"alpha")
            assert (await server.receive())[0] == b"alpha"


async def test_waiting_for_a_plain_socket():
    left, right = socket.socketpair()
    with left, right:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.wait_readable, right)
            await anyio.wait_writable(left)
            left.send(b"x")
        assert right.recv(1) == b"x"


async def test_a_process_from_end_to_end():
    result = await anyio.run_process(["cat"], input=DATA)
    assert result.stdout == DATA
    with pytest.raises(subprocess.CalledProcessError):
        await anyio.run_process("exit 3")


async def test_a_process_with_streams():
    async with await anyio.open_process(["cat"]) as process:
        await process.stdin.send(b"alpha")
        assert await process.stdout.receive() == b"alpha"
        await process.stdin.aclose()
        assert await process.wait() == 0


async def test_a_cancelled_process_is_killed():
    process = None
    with anyio.move_on_after(1):
        async with await anyio.open_process(["sleep", "60"]) as process:
            await process.wait()
    assert process.returncode == -signal.SIGKILL


SIGNALLED = """
    from gevent import monkey
    monkey.patch_all()
    import signal, time
    import anyio
    from compat import new_event_loop

    async def main():
        with anyio.open_signal_receiver(signal.SIGUSR1, signal.SIGTERM) as signals:
            print("ready", flush=True)
            time.sleep(0.01)
            async for number in signals:
                print(number.name, flush=True)
                if number is signal.SIGTERM:
                    return

    anyio.run(main, backend_options={"loop_factory": new_event_loop})
"""


async def test_a_signal_receiver():
    """In a process of its own, for a signal is the whole process's."""
    program = textwrap.dedent(SIGNALLED)
    async with await anyio.open_process(
        [sys.executable, "-c", program], env=environment(), stderr=None
    ) as child:
        said = BufferedByteReceiveStream(child.stdout)
        assert await said.receive_until(b"\n", 100) == b"ready"
        for number in (signal.SIGUSR1, signal.SIGTERM):
            os.kill(child.pid, number)
            assert await said.receive_until(b"\n", 100) == number.name.encode()
        assert await child.wait() == 0
