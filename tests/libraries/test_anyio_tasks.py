"""anyio's structured concurrency on our loop.  Its own suite is run elsewhere; here gevent is mixed in."""

from __future__ import annotations

import contextvars
import threading
import time

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import gevent
import pytest

from compat import new_event_loop
from deadline import DEADLINE_S
from loops import Gate

BACKEND = ("asyncio", {"loop_factory": new_event_loop})
pytestmark = pytest.mark.anyio  # anyio's own plugin runs the coroutines
name = contextvars.ContextVar("name", default="nobody")


@pytest.fixture
def anyio_backend():
    return BACKEND


async def test_a_failing_child_cancels_its_siblings():
    gate, seen = Gate(), []

    async def blocks():
        gate.wait_in_gevent()
        seen.append("woken")
        await anyio.sleep(DEADLINE_S)
        seen.append("not reached")

    async def fails():
        gevent.spawn_later(0.01, gate.open)
        raise ValueError

    with pytest.raises(ExceptionGroup) as failure:
        async with anyio.create_task_group() as group:
            group.start_soon(blocks)
            await anyio.lowlevel.checkpoint()
            group.start_soon(fails)
    assert failure.group_contains(ValueError)
    assert seen == ["woken"]


async def test_a_child_reports_that_it_has_started():
    async def serve(*, task_status):
        time.sleep(0.001)
        task_status.started("address")
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        assert await group.start(serve) == "address"
        group.cancel_scope.cancel()


async def test_move_on_after_around_a_blocking_call():
    """The call cannot be interrupted; the scope ends at the next await, and nothing leaks out of it."""
    reached = []
    with anyio.move_on_after(0.01) as scope:
        time.sleep(0.04)
        reached.append("after the call")
        await anyio.sleep(DEADLINE_S)
        reached.append("after the await")
    assert scope.cancelled_caught
    assert reached == ["after the call"]
    await anyio.lowlevel.checkpoint()


async def test_move_on_after_around_nothing_but_a_blocking_call():
    with anyio.move_on_after(0.01) as scope:
        time.sleep(0.04)
    assert not scope.cancelled_caught
    await anyio.lowlevel.checkpoint()  # no stray cancellation


async def test_a_cancelled_scope_around_a_block_leaves_the_processor_alone():
    """anyio repeats its cancellation each turn of the loop, while the task doesn't come to hear of it."""
    with anyio.move_on_after(0.01):
        began = time.process_time()
        time.sleep(0.3)
        used = time.process_time() - began
    assert used < 0.1


async def test_a_shielded_scope():
    cleaned = []
    with anyio.move_on_after(0.01) as scope:
        try:
            await anyio.sleep(DEADLINE_S)
        finally:
            with anyio.CancelScope(shield=True):
                time.sleep(0.002)
                await anyio.sleep(0.002)
                cleaned.append("up")
    assert scope.cancelled_caught
    assert cleaned == ["up"]


async def test_a_shield_around_a_blocking_call():
    gate, seen = Gate(), []

    async def shielded():
        with anyio.CancelScope(shield=True):
            gate.wait_in_gevent()
            await anyio.lowlevel.checkpoint()
            seen.append("finished")
        await anyio.sleep(DEADLINE_S)
        seen.append("not reached")

    async with anyio.create_task_group() as group:
        group.start_soon(shielded)
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
        gevent.spawn_later(0.01, gate.open)
    assert seen == ["finished"]


async def test_nested_scopes_with_blocks_between():
    with anyio.move_on_after(DEADLINE_S) as outer:
        for _ in range(20):
            with anyio.move_on_after(0.001) as inner:
                time.sleep(0.002)
                await anyio.sleep(DEADLINE_S)
            assert inner.cancelled_caught
            await anyio.lowlevel.checkpoint()
    assert not outer.cancelled_caught


async def test_locks_streams_and_limits():
    send, receive = anyio.create_memory_object_stream(5)
    lock, limit, got = anyio.Lock(), anyio.CapacityLimiter(3), []

    async def produce(mine, numbers):
        async with mine:
            for number in numbers:
                async with limit:
                    if number % 7 == 0:
                        gevent.sleep(0)
                    await mine.send(number)

    async def consume(mine):
        async with mine:
            async for number in mine:
                async with lock:
                    time.sleep(0)
                    got.append(number)

    async with anyio.create_task_group() as group:
        for worker in range(6):
            group.start_soon(produce, send.clone(), range(worker, 120, 6))
        for _ in range(3):
            group.start_soon(consume, receive.clone())
        send.close()
        receive.close()
    assert sorted(got) == [*range(120)]


async def test_to_a_thread_and_back():
    async def double(number):
        await anyio.lowlevel.checkpoint()
        return number * 2

    def in_thread(number):
        name.set(f"thread {number}")
        return anyio.from_thread.run(double, number), anyio.from_thread.run_sync(name.get)

    name.set("caller")
    results = {}

    async def one(number):
        results[number] = await anyio.to_thread.run_sync(in_thread, number)

    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(one, number)
    assert results == {number: (number * 2, f"thread {number}") for number in range(40)}
    assert name.get() == "caller"


async def test_an_abandoned_thread():
    gate = Gate()
    with anyio.move_on_after(0.02) as scope:
        await anyio.to_thread.run_sync(gate.wait_in_gevent, abandon_on_cancel=True)
    assert scope.cancelled_caught
    gate.open()


@pytest.mark.parametrize("where", ["greenlet", "native thread"])
def test_a_blocking_portal(where):
    """What WSGI middleware and test clients use: a loop elsewhere, calls to it from here."""

    async def double(number):
        await anyio.lowlevel.checkpoint()
        return number * 2

    def call():
        with anyio.from_thread.start_blocking_portal(*BACKEND) as portal:
            futures = [portal.start_task_soon(double, number) for number in range(20)]
            return [future.result(DEADLINE_S) for future in futures], portal.call(
                threading.get_ident
            ) is not None

    run = gevent.spawn(call).get if where == "greenlet" else lambda: gevent.get_hub().threadpool.apply(call)
    assert run() == ([number * 2 for number in range(20)], True)


def test_a_portal_is_called_by_many_greenlets():
    async def double(number):
        time.sleep(0.001)
        return number * 2

    with anyio.from_thread.start_blocking_portal(*BACKEND) as portal:
        greenlets = [gevent.spawn(portal.call, double, number) for number in range(30)]
        gevent.joinall(greenlets, raise_error=True)
    assert [greenlet.value for greenlet in greenlets] == [number * 2 for number in range(30)]
