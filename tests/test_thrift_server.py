"""The Thrift server over real sockets: every dialect, every way a request or a client can fail."""

from __future__ import annotations

import logging
import re
import socket
import struct
import sys
from datetime import timedelta

import gevent
import pytest
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException, TMessageType
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport.THeaderTransport import THeaderClientType
from thrift.transport.TTransport import TMemoryBuffer, TTransportException

from deadline import DEADLINE_S, wait_for
from testing_idl import Testing
from testing_idl.ttypes import Refused
from thrift_harness import DIALECTS, HEADERS, Handler, HeaderProcessor, client, in_background, serving

EVERY_DIALECT = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture
def handler():
    return Handler()


@pytest.fixture
def server(handler):
    with serving(HeaderProcessor(handler)) as running:
        yield running


@EVERY_DIALECT
def test_a_client_of_every_dialect_is_served(server, handler, dialect):
    with client(server, dialect) as calls:
        for _ in range(3):  # many calls on one connection
            calls.ping()
            assert calls.echo("smörgås" * 10) == "smörgås" * 10
            assert [item.name for item in calls.items(20)] == [f"item {n}" for n in range(20)]
        calls.note("one way")
        assert calls.echo("after it") == "after it"
        assert handler.notes == ["one way"]


def test_the_time_of_every_request_is_told_where_somebody_asks(server):
    with client(server, "header") as calls:
        for _ in range(3):
            calls.ping()
    wait_for(lambda: not len(server.connections))
    assert len(server.connections.tally.take().durations) == 3
    assert not server.connections.tally.take().durations


@EVERY_DIALECT
def test_a_long_message_arrives_whole_both_ways(server, dialect):
    """Longer than any read and than the socket's buffers."""
    text = "x" * 3_000_000
    with client(server, dialect) as calls:
        assert calls.echo(text) == text


class Counting:
    """A client's connection that sends *message*; counts who holds it, now and when it is asked for more."""

    def __init__(self, message):
        self.message = message
        self.holders = []

    def recv(self, _most):
        self.holders.append(sys.getrefcount(self.message))
        return self.message if len(self.holders) == 1 else b""

    def send(self, data):
        return len(data)

    def shutdown(self, _how):
        pass

    close = list


@pytest.mark.parametrize("client_type", [HEADERS[0], THeaderClientType.FRAMED_BINARY])
def test_an_idle_connection_keeps_nothing_of_its_last_message(server, client_type):
    """Thousands wait for hours, each after another call."""
    buffer = TMemoryBuffer()
    protocol = THeaderProtocol(buffer, (client_type,))
    if client_type == HEADERS[0]:
        protocol.set_header(b"name", b"x" * 1000)
    Testing.Client(protocol).send_echo("x" * 1000)
    connection = Counting(buffer.getvalue())
    server.handle(connection, ("127.0.0.1", 1))
    before, after = connection.holders
    assert after == before


@EVERY_DIALECT
def test_a_failing_handler_costs_its_call_alone(server, dialect):
    with client(server, dialect) as calls:
        with pytest.raises(Refused, match="declared"):
            calls.refuse("declared")
        with pytest.raises(TApplicationException) as undeclared:
            calls.fail()
        assert undeclared.value.type == TApplicationException.INTERNAL_ERROR
        assert calls.echo("alive") == "alive"


@EVERY_DIALECT
def test_a_failure_that_generated_code_lets_pass_is_answered_too(server, dialect, caplog):
    """A handler's own Thrift client raises TTransportException: Apache's servers drop our client for it."""
    with client(server, dialect) as calls:
        for _ in range(2):
            with pytest.raises(TApplicationException) as failed:
                calls.fail_downstream()
            assert failed.value.type == TApplicationException.INTERNAL_ERROR
        with pytest.raises(TApplicationException):
            calls.bad_result()  # a result that cannot be encoded, half written by then
        assert calls.echo("alive") == "alive"
    assert "the handler's own client failed" in caplog.text


def test_a_handler_that_exits_costs_its_call_alone(server, handler):
    """Written for the command line once; gevent would carry the SystemExit to the main greenlet."""
    handler.ping = lambda: sys.exit("usage: ...")
    with client(server) as calls:
        with pytest.raises(TApplicationException):
            calls.ping()
        assert calls.echo("alive") == "alive"


def test_an_unknown_method_is_answered(server):
    with client(server) as calls:
        calls.protocol.writeMessageBegin("no_such_method", TMessageType.CALL, 5)
        Testing.ping_args().write(calls.protocol)
        calls.protocol.writeMessageEnd()
        calls.protocol.trans.flush()
        name, kind, sequence_id = calls.protocol.readMessageBegin()
        assert (name, kind, sequence_id) == ("no_such_method", TMessageType.EXCEPTION, 5)


def test_headers_reach_the_processor_and_its_own_go_out(server):
    with client(server) as calls:
        calls.protocol.set_header(b"Trace", b"1234")
        assert calls.headers() == {"Trace": "1234"}
        assert calls.protocol.get_headers() == {b"served-by": b"tests"}
        assert calls.headers() == {}  # a request's headers are its own


def test_a_compressed_request_is_understood(server):
    with client(server) as calls:
        calls.protocol.add_transform(1)  # zlib
        assert calls.echo("x" * 10_000) == "x" * 10_000


def test_multiplexed_services_share_a_connection(handler):
    processor = TMultiplexedProcessor()
    processor.registerProcessor("testing", Testing.Processor(handler))
    with serving(processor) as server, client(server) as calls:
        one = Testing.Client(TMultiplexedProtocol(calls.protocol, "testing"))
        assert one.echo("hello") == "hello"
        # An unknown service makes the processor raise; Apache's servers drop the connection for it.
        other = Testing.Client(TMultiplexedProtocol(calls.protocol, "nobody"))
        with pytest.raises(TApplicationException) as refused:
            other.echo("hello")
        assert refused.value.type == TApplicationException.PROTOCOL_ERROR
        assert one.echo("alive") == "alive"


class Bare:
    """A processor with nothing but `process`."""

    def process(self, iprot, oprot):
        name, _, sequence_id = iprot.readMessageBegin()
        args = Testing.echo_args()
        args.read(iprot)
        iprot.readMessageEnd()
        if args.text == "raise":
            raise LookupError("by hand")
        oprot.writeMessageBegin(name, TMessageType.REPLY, sequence_id)
        Testing.echo_result(success=args.text).write(oprot)
        oprot.writeMessageEnd()
        oprot.trans.flush()


@EVERY_DIALECT
def test_a_bare_processor_is_enough(dialect):
    with serving(Bare()) as server, client(server, dialect) as calls:
        assert calls.echo("hello") == "hello"
        with pytest.raises(TApplicationException) as failed:
            calls.echo("raise")
        assert failed.value.type == TApplicationException.INTERNAL_ERROR
        assert calls.echo("alive") == "alive"


ELEMENTS = 2_000_000_000
ANNOUNCES_A_LIST = bytes.fromhex("80010001 00000005 6974656d73 00000001 0f 0001 0c") + struct.pack(
    "!I", ELEMENTS
)
ANNOUNCES_A_STRING = bytes.fromhex("80010001 00000004 6563686f 00000001 0b 0001") + struct.pack(
    "!I", ELEMENTS
)


def framed(message):
    return struct.pack("!I", len(message)) + message


MALFORMED = [
    pytest.param(b"GET / HTTP/1.1\r\n\r\n", "neither", id="http"),
    pytest.param(b"\xff" * 32, "neither", id="all ones"),
    pytest.param(
        struct.pack("!I", 2**30) + b"\x0f\xff" + b"\0" * 10, "max_frame_size", id="frame over the limit"
    ),
    pytest.param(framed(ANNOUNCES_A_STRING), "limit", id="two billion bytes of string, framed"),
    pytest.param(framed(ANNOUNCES_A_LIST), "limit|wrong", id="two billion elements, framed"),
    pytest.param(ANNOUNCES_A_STRING, "limit", id="two billion bytes of string, unframed"),
    pytest.param(
        framed(bytes.fromhex("80010001 00000004 6563686f 00000001 0b 0001 0000")), "early|ends", id="cut"
    ),
    pytest.param(
        framed(b"\x80\x01\x00\x01\x7f\xff\xff\xff"), "begins|early|limit", id="name that does not come"
    ),
    pytest.param(framed(b"\x0f\xff" + b"\0" * 3), "fixed part", id="header cut short"),
    pytest.param(
        framed(bytes.fromhex("0fff 0000 00000001 0001 09 00 00 00") + b"x"), "protocol 9", id="protocol"
    ),
]


@pytest.mark.parametrize(("sent", "logged"), MALFORMED)
def test_malformed_bytes_cost_their_connection_and_one_line(server, caplog, sent, logged):
    """No traceback for a client's mistake, and nobody else notices."""
    with client(server) as calls, socket.create_connection(server.address) as sock:
        sock.settimeout(DEADLINE_S)
        sock.sendall(sent)
        while sock.recv(65536):  # perhaps an answer, then the end
            pass
        assert calls.echo("alive") == "alive"
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "no Thrift message" in record.getMessage()
    assert not record.exc_info
    assert re.search(logged, record.getMessage())


@EVERY_DIALECT
def test_a_client_that_leaves_in_the_middle_of_a_message_costs_nothing(server, caplog, dialect):
    with client(server, dialect) as calls, client(server, dialect) as leaver:
        leaver.protocol.writeMessageBegin("echo", TMessageType.CALL, 1)
        raw = leaver.protocol.trans
        whole = framed(ANNOUNCES_A_STRING)
        sock = socket.create_connection(server.address)
        sock.sendall(whole[:-10])
        wait_for(lambda: server.in_flight(), "the half frame is seen")
        sock.close()
        del raw
        wait_for(lambda: not server.in_flight(), "the half frame is forgotten")
        assert calls.echo("alive") == "alive"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_idle_connection_is_closed_at_once_and_a_busy_one_gets_its_reply(handler):
    """What Baseplate's server waits its whole stop_timeout for."""
    with serving(HeaderProcessor(handler), stop_timeout=timedelta(seconds=DEADLINE_S)) as server:
        with client(server) as idle, client(server) as busy, client(server) as silent:
            idle.ping()
            late = in_background(busy.block, "world")
            assert handler.began.wait(DEADLINE_S)
            assert [request.description for request in server.in_flight()] == ["call of 'block'"]
            stopping = in_background(server.stop)
            wait_for(lambda: len(server.connections) == 1, "the idle ones are closed")
            with pytest.raises(TTransportException):
                idle.ping()
            assert not stopping.ready()
            handler.release.set()
            assert late.get(timeout=DEADLINE_S) == "late, world"
            stopping.get(timeout=DEADLINE_S)
            assert server.abandoned == 0
            assert silent is not None


def test_what_arrived_before_the_stop_is_answered(handler):
    """A connection counts as idle while its request waits in the kernel: it must not be thrown away."""
    with serving(HeaderProcessor(handler), stop_timeout=timedelta(seconds=DEADLINE_S)) as server:
        with client(server) as calls:
            calls.ping()
            calls.send_echo("just in time")  # in the kernel's buffer: no greenlet has run since
            server.connections.leave()
            assert calls.recv_echo() == "just in time"
            with pytest.raises(TTransportException):
                calls.ping()


def test_what_is_left_after_stop_timeout_is_cut_off_logged_and_counted(handler, caplog):
    with (
        serving(HeaderProcessor(handler), stop_timeout=timedelta(milliseconds=50)) as server,
        client(server) as calls,
    ):
        late = in_background(calls.block, "world")
        assert handler.began.wait(DEADLINE_S)
        server.stop()
        with pytest.raises(TTransportException):
            late.get(timeout=DEADLINE_S)
        assert server.abandoned == 1
    assert "cut off: call of 'block' from 127.0.0.1:" in caplog.text


def test_max_concurrency_bounds_the_connections_accepted(handler):
    with (
        serving(HeaderProcessor(handler), max_concurrency=2) as server,
        client(server) as one,
        client(server) as two,
    ):
        one.ping()
        two.ping()
        with client(server) as three:
            waiting = in_background(three.echo, "my turn")
            gevent.idle()
            assert len(server.connections) == 2
            assert not waiting.ready()
            one.protocol.trans.close()
            assert waiting.get(timeout=DEADLINE_S) == "my turn"


def test_a_silent_client_keeps_nobody_waiting(server):
    with socket.create_connection(server.address), client(server) as calls:
        assert calls.echo("hello") == "hello"
        wait_for(lambda: len(server.connections) == 2, "both are connected")
        assert server.in_flight() == []
