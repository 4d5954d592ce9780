"""Streams, datagrams and files: asyncio's transports, with coroutines that block on their way."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import asynccontextmanager, closing, suppress

import gevent
import gevent.socket
import pytest

from certificates import client_context, server_context
from loops import on_hub

MEGABYTE = bytes(range(256)) * 4096


async def echo(reader, writer):
    """Send everything back, until the other side has sent its last."""
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()


async def round_trip(reader, writer, data=MEGABYTE, *, half_close=True):
    """Write and read at the same time: *data* is more than the sockets hold."""

    async def write():
        for start in range(0, len(data), 50_000):
            writer.write(data[start : start + 50_000])
            await writer.drain()
        if half_close:
            writer.write_eof()

    _, echoed = await asyncio.gather(write(), reader.readexactly(len(data)))
    writer.close()
    await writer.wait_closed()
    return echoed


@asynccontextmanager
async def listening(start, *where, handle=echo, **options):
    """The address of a server; at the end it waits for its handlers, which it doesn't before Python 3.12."""
    handlers = []

    async def handle_and_remember(reader, writer):
        handlers.append(asyncio.current_task())
        with closing(writer):
            await handle(reader, writer)
        with suppress(ConnectionError):  # a client that broke off
            await writer.wait_closed()

    async with await start(handle_and_remember, *where, **options) as server:
        yield server.sockets[0].getsockname()
        await asyncio.gather(*handlers)


@asynccontextmanager
async def serving(handle=echo, **options):
    """The port of a server on TCP."""
    async with listening(asyncio.start_server, "127.0.0.1", 0, handle=handle, **options) as address:
        yield address[1]


@on_hub
async def test_tcp():
    async with serving() as port:
        assert await round_trip(*await asyncio.open_connection("localhost", port)) == MEGABYTE


@on_hub
async def test_many_connections_with_handlers_that_block():
    async def handle(reader, writer):
        line = await reader.readline()
        time.sleep(0.005)
        writer.write(line)

    async def ask(number, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"%d\n" % number)
        answer = int(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return answer

    async with serving(handle, backlog=200) as port:
        answers = await asyncio.gather(*(ask(number, port) for number in range(100)))
    assert answers == [*range(100)]


@on_hub
async def test_a_blocking_client_in_a_greenlet():
    def client(port):
        with gevent.socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            sender = gevent.spawn(connection.sendall, MEGABYTE)
            received = bytearray()
            while len(received) < len(MEGABYTE):
                received += connection.recv(65536)
            sender.get()
        return bytes(received)

    async with serving() as port:
        greenlets = [gevent.spawn(client, port) for _ in range(5)]
        gevent.joinall(greenlets, raise_error=True)
    assert all(greenlet.value == MEGABYTE for greenlet in greenlets)


@pytest.mark.parametrize("ask_client", [False, True], ids=["server's certificate", "both certificates"])
@on_hub
async def test_tls(ask_client):
    context = server_context(ask_client=ask_client)
    async with serving(ssl=context) as port:
        streams = await asyncio.open_connection("localhost", port, ssl=client_context(show=ask_client))
        assert streams[1].get_extra_info("cipher")
        assert await round_trip(*streams, half_close=False) == MEGABYTE


@on_hub
async def test_tls_from_an_unknown_authority():
    async with serving(ssl=server_context()) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("localhost", port, ssl=ssl.create_default_context())


@on_hub
async def test_tls_to_a_blocking_server():
    """asyncio's TLS, in memory, against gevent's TLS, on a socket, in the same thread."""
    context = server_context()

    def serve(listener):
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as tls:
            received = 0
            while received < len(MEGABYTE):
                piece = tls.recv(65536)
                received += len(piece)
                tls.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = gevent.spawn(serve, listener)
        port = listener.getsockname()[1]
        streams = await asyncio.open_connection("localhost", port, ssl=client_context())
        assert await round_trip(*streams, half_close=False) == MEGABYTE
        server.get(timeout=20)


@on_hub
async def test_tls_started_in_the_middle():
    async def handle(reader, writer):
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go ahead\n")
        await writer.drain()
        await writer.start_tls(server_context())
        await echo(reader, writer)

    async with serving(handle) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go ahead\n"
        await writer.start_tls(client_context(), server_hostname="localhost")
        assert await round_trip(reader, writer, half_close=False) == MEGABYTE


@on_hub
async def test_a_unix_socket(tmp_path):
    async with listening(asyncio.start_unix_server, tmp_path / "socket"):
        assert await round_trip(*await asyncio.open_unix_connection(tmp_path / "socket")) == MEGABYTE


class Collector(asyncio.DatagramProtocol):
    """Puts what arrives into a queue, and answers when it is told to."""

    def __init__(self, *, answers=False):
        self.answers = answers
        self.heard = asyncio.Queue()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.heard.put_nowait(data)
        if self.answers:
            self.transport.sendto(data[::-1], address)


@on_hub
async def test_udp():
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(lambda: Collector(answers=True), ("127.0.0.1", 0))
    address = server.get_extra_info("sockname")
    client, collector = await loop.create_datagram_endpoint(Collector, remote_addr=address)
    for number in range(50):
        client.sendto(b"%02d" % number)
        if number % 10 == 0:
            time.sleep(0.001)
    assert [await collector.heard.get() for _ in range(50)] == [
        (b"%02d" % number)[::-1] for number in range(50)
    ]
    client.close()
    server.close()


@on_hub
async def test_unix_datagrams(tmp_path):
    loop = asyncio.get_running_loop()
    path = str(tmp_path / "datagrams")
    server, collector = await loop.create_datagram_endpoint(Collector, path, family=socket.AF_UNIX)
    client, _ = await loop.create_datagram_endpoint(Collector, remote_addr=path, family=socket.AF_UNIX)
    for word in (b"alpha", b"beta"):
        client.sendto(word)
        assert await collector.heard.get() == word
    client.close()
    server.close()


@on_hub
async def test_a_file_is_sent(tmp_path):
    (tmp_path / "file").write_bytes(MEGABYTE)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        received = asyncio.create_task(reader.readexactly(len(MEGABYTE)))
        with open(tmp_path / "file", "rb") as file:
            sent = await asyncio.get_running_loop().sendfile(writer.transport, file, fallback=False)
        assert sent == len(MEGABYTE)
        assert await received == MEGABYTE
        writer.close()
        await writer.wait_closed()


@on_hub
async def test_plain_sockets():
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        sender = asyncio.create_task(loop.sock_sendall(left, MEGABYTE))
        received = bytearray()
        while len(received) < len(MEGABYTE):
            received += await loop.sock_recv(right, 65536)
            if len(received) % 7 == 0:
                gevent.sleep(0)
        await sender
    assert received == MEGABYTE


@on_hub
async def test_a_reader_is_cancelled_and_the_connection_lives():
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await reader.readline()
        assert await round_trip(reader, writer) == MEGABYTE


@pytest.mark.parametrize("direction", ["reader", "writer"])
@on_hub
async def test_a_closed_socket_can_still_be_removed(direction):
    """Anyio closes its UNIX sockets first; the descriptor may be another one's by then."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with theirs:
        getattr(loop, f"add_{direction}")(ours, pytest.fail, "called for a closed socket")
        ours.close()
        assert getattr(loop, f"remove_{direction}")(ours)
        with pytest.raises(ValueError, match="file descriptor"):
            getattr(loop, f"remove_{direction}")(ours)
        await asyncio.sleep(0.01)
