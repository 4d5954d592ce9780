"""What a few bytes may cost: no more memory than they are, no deeper stack, in any dialect or codec."""

from __future__ import annotations

import itertools
import logging
import socket
import struct
import sys
import time
import tracemalloc
import zlib
from contextlib import suppress

import pytest
import thrift.protocol
from thrift.protocol import fastbinary
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TMessageType, TType
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID
from thrift.transport.TTransport import TMemoryBuffer

from baseplate_serve._servers.thrift import decode
from baseplate_serve._servers.thrift.decode import Decode, deepest, is_bounded
from baseplate_serve._servers.thrift.header import MalformedMessage, undo_transforms
from deadline import DEADLINE_S
from testing_idl import Testing
from testing_idl.ttypes import Refused
from thrift_harness import DIALECTS, Handler, client, serving

BINARY, COMPACT = THeaderSubprotocolID.BINARY, THeaderSubprotocolID.COMPACT


@pytest.fixture(params=["C codec", "C codec of before 0.25", "no C codec"])
def codec(request, monkeypatch):
    """The ways in which a struct is read; the second knows no limits, and sees no message that needs some."""
    if request.param == "no C codec":
        monkeypatch.setitem(sys.modules, "thrift.protocol.fastbinary", None)
        monkeypatch.delattr(thrift.protocol, "fastbinary")
    elif request.param == "C codec of before 0.25":
        monkeypatch.setattr(decode, "is_bounded", lambda codec: False)
    return request.param


@pytest.fixture
def server(codec):
    with serving(Testing.Processor(Handler())) as running:
        yield running


def binary(name, args):
    return b"\x80\x01\x00\x01" + struct.pack("!i", len(name)) + name + b"\0\0\0\1" + args


def compact(name, args):
    return b"\x82\x21\x01" + bytes([len(name)]) + name + args


def framed(message):
    return struct.pack("!I", len(message)) + message


def in_header(protocol_id, message, transforms=b"\0"):
    head = bytes([protocol_id]) + transforms
    head += b"\0" * (-len(head) % 4)
    return framed(b"\x0f\xff\0\0\0\0\0\1" + struct.pack("!H", len(head) // 4) + head + message)


# A message in every dialect, from its name and its arguments in both encodings.
SENT = {
    "header": lambda name, args, _: in_header(BINARY, binary(name, args)),
    "header compact": lambda name, _, args: in_header(COMPACT, compact(name, args)),
    "header zlib": lambda name, args, _: in_header(BINARY, zlib.compress(binary(name, args)), b"\1\1"),
    "framed binary": lambda name, args, _: framed(binary(name, args)),
    "framed compact": lambda name, _, args: framed(compact(name, args)),
    "unframed binary": lambda name, args, _: binary(name, args),
    "unframed compact": lambda name, _, args: compact(name, args),
}
TWO_BILLION = struct.pack("!i", 2_000_000_000)
TWO_BILLION_VARINT = b"\x80\xa8\xd6\xb9\x07"
DEPTH = 300_000  # in compact, some 3 times as deep as the stack allows
# Arguments in both encodings, for a method that takes a string or one that is not there.
HOSTILE = {
    "a string": (b"\x0b\0\1" + TWO_BILLION, b"\x18" + TWO_BILLION_VARINT),
    "a string of another field": (b"\x0b\0\x09" + TWO_BILLION, b"\x98" + TWO_BILLION_VARINT),
    "a list of structs": (b"\x0f\0\x09\x0c" + TWO_BILLION, b"\x99\xfc" + TWO_BILLION_VARINT),
    "a set of numbers": (b"\x0e\0\x09\x08" + TWO_BILLION, b"\x9a\xf5" + TWO_BILLION_VARINT),
    "a list of nothing": (b"\x0f\0\x09\x01" + TWO_BILLION, b"\x99\xf0" + TWO_BILLION_VARINT),
    "a list of no known type": (b"\x0f\0\x09\x63" + b"\0\0\0\1", b"\x99\x1f"),
    "a map": (b"\x0d\0\x09\x08\x0b" + TWO_BILLION, b"\x9b" + TWO_BILLION_VARINT + b"\x58"),
    "a string of negative length": (b"\x0b\0\1\xff\xff\xff\xff", b"\x18\xff\xff\xff\xff\x0f"),
    "a list of negative length": (b"\x0f\0\x09\x08\xff\xff\xff\xff", b"\x99\xf5\xff\xff\xff\xff\x0f"),
    "a field of no known type": (b"\x63\0\x09", b"\x9f"),
    "a number without end": (b"\x08\0\x09\0", b"\x95" + b"\xff" * 20),
    "structs in structs": (b"\x0c\0\x09" * DEPTH, b"\x9c" + b"\x1c" * DEPTH),
    "lists in lists": (
        b"\x0f\0\x09" + b"\x0f\0\0\0\1" * DEPTH,
        b"\x99" + b"\x19" * DEPTH,
    ),
    "maps in maps": (
        b"\x0d\0\x09" + b"\x03\x0d\0\0\0\1\7" * DEPTH,
        b"\x9b" + b"\1\x3b\7" * DEPTH,
    ),
}


@pytest.mark.parametrize("dialect", SENT)
def test_what_hostile_arguments_announce_costs_what_they_are(server, caplog, dialect):
    """Twenty bytes that announce two billion elements cost twenty bytes: a line, and their connection."""
    allowed = 4_000_000 if "zlib" in dialect else 1_000_000  # the message, and copies of it
    methods = b"echo", b"ping", b"no_such_method"
    for method, (name, arguments) in itertools.product(methods, HOSTILE.items()):
        sent = SENT[dialect](method, *arguments)
        caplog.clear()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            with socket.create_connection(server.address) as sock:
                sock.settimeout(DEADLINE_S)
                with suppress(ConnectionResetError):  # the rest of what is unframed is not read any more
                    sock.sendall(sent)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):  # perhaps an answer, then the end
                        pass
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < allowed + 10 * len(sent), (method, name)
        logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert not any(record.exc_info for record in logged), (method, name)
        assert len(logged) <= 1, (method, name)  # none where the client left first
    with client(server) as calls:
        assert calls.echo("alive") == "alive"


class ReadsLists:
    """A method whose argument is a list of structs."""

    def process(self, iprot, oprot):
        name, _, sequence_id = iprot.readMessageBegin()
        arguments = Testing.items_result()
        arguments.read(iprot)
        iprot.readMessageEnd()
        oprot.writeMessageBegin(name, TMessageType.REPLY, sequence_id)
        Testing.echo_result(success=str(len(arguments.success))).write(oprot)
        oprot.writeMessageEnd()
        oprot.trans.flush()


@pytest.mark.parametrize("dialect", SENT)
def test_a_list_that_the_service_knows_costs_what_has_come_of_it(codec, caplog, dialect):
    """The codec makes room for it before it reads the first element."""
    with serving(ReadsLists()) as server:
        for count, varint in (
            (TWO_BILLION, TWO_BILLION_VARINT),
            (struct.pack("!i", 90_000_000), b"\x80\x95\xf5*"),
        ):
            sent = SENT[dialect](b"items", b"\x0f\0\0\x0c" + count, b"\x09\0\xfc" + varint)
            tracemalloc.start()
            try:
                with socket.create_connection(server.address) as sock:
                    sock.settimeout(DEADLINE_S)
                    sock.sendall(sent)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 1_000_000
        assert not any(record.exc_info for record in caplog.records)
        sent = SENT[dialect](b"items", b"\x0f\0\0\x0c\0\0\0\2\0\0\0", b"\x09\0\x2c\0\0\0")
        with socket.create_connection(server.address) as sock:
            sock.settimeout(DEADLINE_S)
            sock.sendall(sent)
            assert b"items" in sock.recv(65536)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_large_and_honest_is_served(server, dialect):
    """More elements, and more bytes that look like containers, than an old codec is trusted with."""
    with client(server, dialect) as calls:
        assert calls.echo("\f\r\x0e\x0f{}[]" * 10_000) == "\f\r\x0e\x0f{}[]" * 10_000
        calls.protocol.writeMessageBegin("ping", TMessageType.CALL, 5)
        calls.protocol.writeStructBegin("ping_args")
        calls.protocol.writeFieldBegin("unknown", TType.LIST, 9)
        calls.protocol.writeListBegin(TType.STRUCT, 5000)
        for _ in range(5000):
            calls.protocol.writeStructBegin("outer")
            calls.protocol.writeFieldBegin("inner", TType.STRUCT, 1)
            calls.protocol.writeStructBegin("inner")
            calls.protocol.writeFieldStop()
            calls.protocol.writeStructEnd()
            calls.protocol.writeFieldEnd()
            calls.protocol.writeFieldStop()
            calls.protocol.writeStructEnd()
        calls.protocol.writeListEnd()
        calls.protocol.writeFieldEnd()
        calls.protocol.writeFieldStop()
        calls.protocol.writeStructEnd()
        calls.protocol.writeMessageEnd()
        calls.protocol.trans.flush()
        calls.recv_ping()
        calls.protocol.writeMessageBegin("no_such_method", TMessageType.CALL, 6)
        Testing.echo_args(text="x" * 1000).write(calls.protocol)
        calls.protocol.writeMessageEnd()
        calls.protocol.trans.flush()
        assert calls.protocol.readMessageBegin() == ("no_such_method", TMessageType.EXCEPTION, 6)
        refused = TApplicationException()
        refused.read(calls.protocol)
        assert refused.type == TApplicationException.UNKNOWN_METHOD


def test_the_codec_that_is_installed_is_tried_out():
    """Not by the number of its release: `thrift` and `thrift-unofficial` write over one another."""
    limited = hasattr(thrift.protocol.TProtocol.TProtocolBase, "DEFAULT_RECURSION_DEPTH")
    for codec in (fastbinary.decode_binary, fastbinary.decode_compact):
        assert is_bounded(codec) <= limited


@pytest.mark.parametrize("encoding", [BINARY, COMPACT])
@pytest.mark.parametrize("shape", ["structs in structs", "lists in lists", "maps in maps"])
def test_no_nesting_escapes_the_count(encoding, shape):
    message = HOSTILE[shape][encoding == COMPACT]
    assert deepest(message, encoding) >= DEPTH


def test_a_struct_that_is_made_when_it_is_read_is_returned(codec):
    """Immutable ones are; generated code hands their class over instead of an object."""
    buffer = TMemoryBuffer(b"\x0b\0\1\0\0\0\3why\0")
    protocol = THeaderProtocol(buffer, (THeaderClientType.HEADERS,))._protocol
    protocol.trans = buffer
    buffer.whole_message, buffer.protocol_id = buffer.getvalue(), BINARY
    read = Decode(protocol)(None, protocol, [Refused, Refused.thrift_spec])
    assert read == Refused("why")


@pytest.mark.parametrize("size", [1_000_000, 40_000_000])
def test_a_bomb_may_grow_a_hundredfold_or_to_a_mebibyte(size):
    bomb = zlib.compress(b"\0" * size)  # to a thousandth
    limit = max(100 * len(bomb), 1024 * 1024)
    tracemalloc.start()
    try:
        if size <= limit:
            assert len(undo_transforms(bomb, (1,), limit=100_000_000)) == size
        else:
            with pytest.raises(MalformedMessage, match="when decompressed") as raised:
                undo_transforms(bomb, (1,), limit=100_000_000)
            assert raised.value.type == TProtocolException.SIZE_LIMIT
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * limit


def test_an_unknown_method_with_a_million_arguments_is_skipped_soon(codec):
    """Its client waits for the answer, and everybody else with it."""
    with serving(Testing.Processor(Handler())) as server:
        sent = framed(
            binary(b"no_such_method", b"\x0f\0\1\x03" + struct.pack("!i", 500_000) + b"\0" * 500_001)
        )
        with socket.create_connection(server.address) as sock:
            sock.settimeout(DEADLINE_S)
            began = time.monotonic()
            sock.sendall(sent)
            assert sock.recv(4)
            assert time.monotonic() - began < DEADLINE_S / 2
