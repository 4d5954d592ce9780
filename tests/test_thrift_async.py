"""Thrift handlers with coroutine functions, over real sockets."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import socket
import time
from contextlib import contextmanager

import gevent
import pytest
from gevent.event import Event
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException
from thrift.TMultiplexedProcessor import TMultiplexedProcessor

from baseplate_serve import thrift
from baseplate_serve._logs.trace import current_request_headers
from baseplate_serve._servers.coroutines import Coroutines
from baseplate_serve._servers.thrift.methods import Bridge
from deadline import DEADLINE_S, wait_for
from testing_idl import Testing
from testing_idl.ttypes import Item, Refused
from thrift_harness import DIALECTS, Handler, HeaderProcessor, client, in_background

variable = contextvars.ContextVar("variable", default="unset")


def logged(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)

    return call


class AsyncHandler(Handler):
    """Some of the methods as coroutine functions; `ping`, `headers` and `bad_result` are the old ones."""

    def __init__(self):
        super().__init__()
        self.ended = []
        self.at_once = 0

    async def echo(self, text):
        variable.set(text)
        await asyncio.sleep(0.001)
        assert variable.get() == text
        return await self.same(text)

    async def same(self, text):
        return text

    @logged
    async def items(self, count):
        return [Item(id=n, name=f"item {n}", tags=[]) for n in range(count)]

    async def block(self, name):
        self.at_once += 1
        self.began.set()
        try:
            if name == "hub":
                self.release.wait()
            while not self.release.is_set():
                await asyncio.sleep(0.001)
            return f"late, {name}"
        finally:
            self.at_once -= 1
            await asyncio.sleep(0)
            self.ended.append(name)

    async def refuse(self, why):
        await asyncio.sleep(0)
        raise Refused(why)

    async def fail(self):
        raise RuntimeError("a bug in the coroutine")

    async def note(self, text):
        await asyncio.sleep(0)
        self.notes.append(text)


@pytest.fixture
def handler():
    return AsyncHandler()


@contextmanager
def serving(processor, stop_timeout="5 seconds"):
    listener = socket.create_server(("127.0.0.1", 0))
    server = thrift.make_server({"factory": "", "stop_timeout": stop_timeout}, listener, processor)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_coroutine_functions_beside_ordinary_methods(handler, dialect):
    with serving(HeaderProcessor(handler)) as server, client(server, dialect) as calls:
        calls.ping()
        assert calls.echo("hello") == "hello"
        assert [item.name for item in calls.items(2)] == ["item 0", "item 1"]
        with pytest.raises(Refused, match="not today"):
            calls.refuse("not today")
        calls.note("one way")
        assert calls.echo("again") == "again"
        wait_for(lambda: handler.notes == ["one way"])


def test_an_undeclared_exception_is_this_calls_alone(handler, caplog):
    with serving(Testing.Processor(handler)) as server, client(server) as calls:
        with pytest.raises(TApplicationException):
            calls.fail()
        assert calls.echo("on") == "on"
    assert "a bug in the coroutine" in caplog.text


def test_many_calls_in_flight(handler):
    with serving(Testing.Processor(handler)) as server:

        def call(name):
            with client(server) as calls:
                return calls.block(name)

        waiting = [in_background(call, f"{n}") for n in range(50)]
        wait_for(lambda: handler.at_once == 50)
        handler.release.set()
        assert [each.get(timeout=DEADLINE_S) for each in waiting] == [f"late, {n}" for n in range(50)]


def test_a_gevent_call_in_a_coroutine_suspends_that_call_only(handler):
    with serving(Testing.Processor(handler)) as server, client(server) as one, client(server) as other:
        waiting = in_background(one.block, "hub")
        wait_for(handler.began.is_set)
        assert other.echo("meanwhile") == "meanwhile"
        handler.release.set()
        assert waiting.get(timeout=DEADLINE_S) == "late, hub"


def test_multiplexed_and_wrapped(handler):
    class Logged:
        """A processor around another."""

        def __init__(self, inner):
            self.inner = inner

        def process(self, iprot, oprot):
            return self.inner.process(iprot, oprot)

    multiplexed = TMultiplexedProcessor()
    multiplexed.registerProcessor("one", Testing.Processor(handler))
    multiplexed.registerProcessor("two", Testing.Processor(Handler()))
    with serving(Logged(multiplexed)) as server, client(server) as calls:
        for service in ("one", "two"):
            named = Testing.Client(TMultiplexedProtocol(calls.protocol, service))
            assert named.echo(service) == service


def test_inherited_services():
    class More(Testing.Processor):
        """As the compiler makes it for `service More extends Testing`."""

    with serving(More(AsyncHandler())) as server, client(server) as calls:
        assert calls.echo("inherited") == "inherited"


def test_what_a_processor_sets_is_seen_in_the_coroutine_and_by_the_processor_afterwards(handler):
    """Instrumented processors put their spans and request contexts into variables."""
    seen = []

    class Setting(Testing.Processor):
        def process(self, iprot, oprot):
            variable.set("the processor's")
            result = super().process(iprot, oprot)
            seen.append(("after", variable.get()))
            return result

    async def note(text):
        seen.append(("coroutine", variable.get()))
        await asyncio.sleep(0)
        seen.append(("and later", variable.get()))
        variable.set(text)

    handler.note = note
    with serving(Setting(handler)) as server, client(server) as calls:
        calls.note("the coroutine's")
        calls.ping()  # when it is answered, the note, which isn't, is over
    assert seen[:3] == [
        ("coroutine", "the processor's"),
        ("and later", "the processor's"),
        ("after", "the coroutine's"),
    ]


def test_the_requests_headers_are_visible_in_the_coroutine(handler):
    seen = []

    async def ping():
        await asyncio.sleep(0)
        seen.append(current_request_headers.get()("trace"))

    handler.ping = ping
    with serving(HeaderProcessor(handler)) as server, client(server) as calls:
        calls.protocol.trans.set_header(b"Trace", b"1234")
        calls.ping()
    assert seen == ["1234"]


def test_a_sync_method_waits_for_a_coroutine(handler):
    import compat

    handler.ping = lambda: handler.notes.append(compat.wait(handler.same("bridged")))
    with serving(Testing.Processor(handler)) as server, client(server) as calls:
        calls.ping()
    assert handler.notes == ["bridged"]


def test_what_is_left_at_stop_timeout_is_cancelled_and_cleans_up(handler, caplog):
    with serving(Testing.Processor(handler), stop_timeout="10 milliseconds") as server:
        with client(server) as calls:
            waiting = in_background(calls.block, "cut off")
            wait_for(handler.began.is_set)
            server.stop()
            with pytest.raises(Exception):  # noqa: B017 (whatever a client makes of it)
                waiting.get(timeout=DEADLINE_S)
        assert handler.ended == ["cut off"]
    assert "stop_timeout is over, cut off: call of 'block'" in caplog.text


def test_tasks_in_the_background_are_cancelled_last(handler):
    ended = Event()

    async def background():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.001)
            ended.set()

    async def ping():
        handler.task = asyncio.get_running_loop().create_task(background())
        await asyncio.sleep(0)

    handler.ping = ping
    with serving(Testing.Processor(handler)) as server, client(server) as calls:
        calls.ping()
    assert ended.is_set()
    assert server.coroutines.loop.is_closed()


def test_a_task_that_does_not_end_is_left_behind(caplog):
    async def stubborn():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if let_go.is_set():
                    raise

    let_go = Event()
    coroutines = Coroutines()
    task = coroutines.loop.create_task(stubborn(), name="stubborn")
    gevent.sleep(0.01)
    began = time.monotonic()
    coroutines.stop(0.05)
    assert time.monotonic() - began < DEADLINE_S
    assert [r.levelno for r in caplog.records if "left behind" in r.message] == [logging.ERROR]
    let_go.set()
    coroutines.stop(DEADLINE_S)
    assert task.cancelled()


def test_a_handler_without_coroutine_functions_is_left_alone():
    handler = Handler()
    processor = Testing.Processor(handler)
    with serving(processor) as server:
        assert processor._handler is handler
        assert server.coroutines is None
    with serving(Testing.Processor(AsyncHandler())) as server:
        assert isinstance(server.processor._handler, Bridge)
