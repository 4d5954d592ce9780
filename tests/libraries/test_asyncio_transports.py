"""Stream transports, where ours differ from asyncio's within: what is received, sent and watched."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

import gevent
import pytest
from gevent.event import Event

from asgi_harness import everything
from deadline import DEADLINE_S, wait_for
from loops import on_hub, within_deadline


class Heard(asyncio.Protocol):
    """Keeps what it received, and what it lost the connection with."""

    def __init__(self):
        self.data = bytearray()
        self.ended = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        self.changed.set()

    def connection_lost(self, error):
        self.ended.set_result(error)

    async def until(self, expected):
        async with asyncio.timeout(DEADLINE_S):
            while self.data != expected:
                assert expected.startswith(self.data)
                self.changed.clear()
                await self.changed.wait()


async def connected(protocol_class=Heard):
    """A protocol over its transport, and the socket at the other end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(DEADLINE_S)
    _, protocol = await asyncio.get_running_loop().connect_accepted_socket(protocol_class, ours)
    return protocol, theirs


PIECES = [b"small", b"", bytes(300_000), bytearray(b"a bytearray"), memoryview(os.urandom(500_000)), b"last"]


@on_hub
async def test_what_is_written_arrives_in_order_whoever_reads_slowly():
    protocol, theirs = await connected()
    with theirs:
        begun = b""
        for piece in PIECES:
            protocol.transport.write(piece)
            # Room for the next one, before the loop has noticed.
            begun += theirs.recv(100_000, socket.MSG_DONTWAIT) if piece else b""
        assert protocol.transport.get_write_buffer_size()
        protocol.transport.write_eof()
        reading = gevent.spawn(everything, theirs)
        theirs.shutdown(socket.SHUT_WR)
        assert await within_deadline(protocol.ended) is None
        reading.join(DEADLINE_S)
        assert begun + reading.value == b"".join(PIECES)


@on_hub
async def test_a_write_that_is_none():
    protocol, theirs = await connected()
    with theirs:
        for none in ("text", 1, None):
            with pytest.raises(TypeError, match="bytes-like"):
                protocol.transport.write(none)
        protocol.transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            protocol.transport.write(b"late")
        protocol.transport.close()
        assert await within_deadline(protocol.ended) is None
        assert everything(theirs) == b""


@pytest.mark.parametrize("first", ["a write", "a read"])
@on_hub
async def test_a_connection_that_is_reset(first):
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport, protocol = await loop.create_connection(Heard, *listener.getsockname())
        theirs, _ = listener.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if first == "a write":
            transport.pause_reading()
        theirs.close()
        if first == "a write":
            transport.write(b"x" * 1000)
        assert isinstance(await within_deadline(protocol.ended), ConnectionError)
        transport.write(b"nobody hears this")


@on_hub
async def test_lines_that_nobody_hears():
    """Written between the loss of the connection and the moment the protocol is told of it."""
    protocol, theirs = await connected()
    with theirs:
        protocol.transport.writelines([b"heard", bytearray(b" too")])
        protocol.transport.abort()
        protocol.transport.writelines([b"nobody hears", b" this"])
        assert await within_deadline(protocol.ended) is None
        await asyncio.sleep(0.001)  # a poll
        assert everything(theirs) == b"heard too"


@on_hub
async def test_reading_is_paused_and_goes_on():
    """While it is paused nothing is received, whatever was queued when that was said."""

    class OneAtATime(Heard):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    protocol, theirs = await connected(OneAtATime)
    with theirs:
        for number in range(1, 4):
            theirs.send(b"x")
            await protocol.until(b"x" * number)
            theirs.send(b"y")
            await asyncio.sleep(0.002)
            assert protocol.data == b"x" * number
            protocol.transport.resume_reading()
            protocol.transport.pause_reading()
            protocol.transport.resume_reading()
            await protocol.until(b"x" * number + b"y")
            protocol.data[-1:] = b""
            protocol.transport.resume_reading()
        protocol.transport.close()


@on_hub
async def test_reading_is_paused_and_resumed_by_another_connection_in_the_same_turn():
    """Its event is queued by then, for a handle that is cancelled."""
    connections = []

    class Interferes(Heard):
        def data_received(self, data):
            super().data_received(data)
            for each in connections:
                if each is not self:
                    each.transport.pause_reading()
                    each.transport.resume_reading()

    for _ in range(2):
        protocol, theirs = await connected(Interferes)
        connections.append(protocol)
        protocol.theirs = theirs
    await asyncio.sleep(0)
    for data in (b"a", b"ab"):
        for each in connections:
            each.theirs.send(data[-1:])
        for each in connections:
            await each.until(data)
    for each in connections:
        each.transport.close()
        each.theirs.close()


@on_hub
async def test_a_protocol_is_changed_for_one_with_a_buffer_and_back():
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self, of):
            self.of = of
            self.buffer = bytearray(10)

        def get_buffer(self, _size):
            return self.buffer

        def buffer_updated(self, count):
            self.of.data_received(self.buffer[:count].upper())

    protocol, theirs = await connected()
    with theirs:
        theirs.send(b"plain")
        await protocol.until(b"plain")
        protocol.transport.set_protocol(Buffered(protocol))
        theirs.send(b"through a buffer")
        await protocol.until(b"plainTHROUGH A BUFFER")
        protocol.transport.set_protocol(protocol)
        theirs.send(b"again")
        await protocol.until(b"plainTHROUGH A BUFFERagain")
        protocol.transport.close()


@on_hub
async def test_data_received_that_blocks_is_not_called_meanwhile():
    """The loop waits for it; what comes then is received after it, and the hub doesn't spin."""
    inside, most = 0, 0
    go = Event()

    class Blocks(Heard):
        def data_received(self, data):
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            if data == b"first":
                assert go.wait(DEADLINE_S)
            inside -= 1
            super().data_received(data)

    def feed():
        theirs.send(b"second")
        wait_for(lambda: watch.idle, "the watcher's stop")
        go.set()

    protocol, theirs = await connected(Blocks)
    with theirs:
        await asyncio.sleep(0)
        watch = protocol.transport._watch
        theirs.send(b"first")
        feeding = gevent.spawn_later(0.001, feed)
        await protocol.until(b"firstsecond")
        feeding.get(timeout=DEADLINE_S)
        assert most == 1
        theirs.send(b"third")
        await protocol.until(b"firstsecondthird")
        protocol.transport.close()


@on_hub
async def test_a_number_that_was_another_sockets():
    """In one iteration of the hub both are readable; who is called first lets the other one go."""
    loop = asyncio.get_running_loop()
    pairs = [socket.socketpair() for _ in range(2)]
    called, accepted = [], asyncio.Event()
    theirs = protocol = None

    def readable(mine, other):
        nonlocal theirs
        called.append(mine)
        loop.remove_reader(mine)
        loop.remove_reader(other)
        number = other.fileno()
        other.close()
        new, theirs = socket.socketpair()
        if new.fileno() != number:
            os.dup2(new.fileno(), number)
            new.close()
            new = socket.socket(fileno=number)
        theirs.send(b"hello")
        accepting.append(loop.create_task(accept(new)))

    async def accept(new):
        nonlocal protocol
        _, protocol = await loop.connect_accepted_socket(Heard, new)
        accepted.set()

    accepting = []
    (one, to_one), (two, to_two) = pairs
    loop.add_reader(one, readable, one, two)
    loop.add_reader(two, readable, two, one)
    to_one.send(b"x")
    to_two.send(b"x")
    await within_deadline(accepted.wait())
    await protocol.until(b"hello")
    theirs.send(b" again")
    await protocol.until(b"hello again")
    assert len(called) == 1
    protocol.transport.close()
    for sock in (one, two, to_one, to_two, theirs):
        sock.close()


@on_hub
async def test_a_protocol_that_fails_loses_its_connection_and_no_other():
    class Fails(Heard):
        def data_received(self, _data):
            raise ValueError("no")

    loop = asyncio.get_running_loop()
    complaints = []
    failing, to_failing = await connected(Fails)
    well, to_well = await connected()
    with to_failing, to_well:
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        to_failing.send(b"x")
        to_well.send(b"y")
        assert isinstance(await within_deadline(failing.ended), ValueError)
        await well.until(b"y")
        [complaint] = complaints
        assert "data_received() call failed" in complaint["message"]
        well.transport.close()
