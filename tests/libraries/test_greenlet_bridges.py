"""Libraries that run synchronous code in raw greenlets under a task: SQLAlchemy's bridge, and greenback.

Such a greenlet has for a parent whichever greenlet of the loop made it.  When its code blocks in gevent, the
loop goes on elsewhere, and the parent may be in the middle of something when the child is resumed or ends."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
import time

import gevent
import gevent.lock
import greenback
import pytest
from sqlalchemy.util import await_only, greenlet_spawn

from loops import Gate, in_each_way, on_hub

pytestmark = pytest.mark.usefixtures(in_each_way.__name__)
who = contextvars.ContextVar("who")


async def echo(value):
    """Comes back after a turn or two of the loop, with what it was given."""
    for _ in range(value % 3):
        await asyncio.sleep(0)
    return value


async def with_sqlalchemy(function, *args):
    return await greenlet_spawn(function, await_only, *args)


async def with_greenback(function, *args):
    await greenback.ensure_portal()
    return function(greenback.await_, *args)


async def with_greenback_later(function, *args):
    """Not in the task's first step."""
    await asyncio.sleep(0)
    return await with_greenback(function, *args)


BRIDGES = pytest.mark.parametrize("bridged", [with_sqlalchemy, with_greenback, with_greenback_later])


@BRIDGES
@on_hub
async def test_sync_code_awaits(bridged):
    def work(wait_for):
        return [wait_for(echo(number)) for number in range(10)]

    assert await bridged(work) == [*range(10)]


@BRIDGES
@pytest.mark.parametrize("ends_with", ["result", "error", "block"])
@on_hub
async def test_sync_code_awaits_once(bridged, ends_with):
    """And then ends: not by switching to anybody by name, and its task is elsewhere by then."""

    def work(wait_for):
        value = wait_for(echo(2))
        if ends_with == "error":
            raise LookupError("from inside")
        if ends_with == "block":
            time.sleep(0.001)
        return value

    if ends_with == "error":
        with pytest.raises(LookupError, match="from inside"):
            await bridged(work)
    else:
        assert await bridged(work) == 2


@BRIDGES
@on_hub
async def test_sync_code_that_blocks_lets_other_tasks_go_on(bridged):
    gate = Gate()

    def work(wait_for):
        before = wait_for(echo(1))
        gate.wait_in_gevent()
        return before, wait_for(echo(2))

    task = asyncio.create_task(bridged(work))
    for _ in range(5):
        await asyncio.sleep(0)
    gate.open()
    assert await task == (1, 2)


@BRIDGES
@on_hub
async def test_sync_code_is_in_its_task(bridged):
    """After a blocking call, too, the running loop and the current task are the caller's."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def work(wait_for):
        seen = []
        for block in (lambda: None, lambda: time.sleep(0.001), lambda: wait_for(echo(2))):
            block()
            # greenback has its portal's greenlet: what it calls there sees the loop as the task does.
            seen.append((asyncio.current_task(), asyncio.get_running_loop()))
        return seen

    assert await bridged(work) == [(task, loop)] * 3
    assert asyncio.current_task() is task


@BRIDGES
@on_hub
async def test_plain_greenlets_see_no_loop_meanwhile(bridged):
    gate, seen = Gate(), []

    def look():
        seen.append(asyncio._get_running_loop())
        gate.open()

    def work(wait_for):
        gevent.spawn(look)
        gate.wait_in_gevent()

    await bridged(work)
    assert seen == [None]


@BRIDGES
@on_hub
async def test_an_exception_of_the_sync_code_is_the_callers(bridged):
    def work(wait_for):
        time.sleep(0.001)
        wait_for(echo(1))
        raise LookupError("from inside")

    with pytest.raises(LookupError, match="from inside"):
        await bridged(work)


@BRIDGES
@on_hub
async def test_cancelled_in_an_await_of_the_sync_code(bridged):
    ended = []

    def work(wait_for):
        time.sleep(0.001)
        try:
            wait_for(asyncio.Event().wait())
        finally:
            time.sleep(0.001)
            ended.append("cleaned up")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await bridged(work)
    assert ended == ["cleaned up"]
    await asyncio.sleep(0)


@BRIDGES
@on_hub
async def test_a_timeout_while_the_sync_code_blocks(bridged):
    """It ends at its next await, and nothing is left for what follows."""

    def work(wait_for):
        time.sleep(0.03)
        wait_for(asyncio.Event().wait())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bridged(work)
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


@BRIDGES
@on_hub
async def test_context_variables_belong_to_the_task(bridged):
    def work(wait_for, name):
        who.set(name)
        time.sleep(0.001)
        wait_for(echo(2))
        time.sleep(0.001)
        return who.get()

    names = [f"task {number}" for number in range(30)]
    assert await asyncio.gather(*(bridged(work, name) for name in names)) == names


@BRIDGES
@pytest.mark.parametrize("seed", range(3))
@on_hub
async def test_many_in_parallel_that_block_and_await_in_any_order(bridged, seed):
    """Children are resumed while their parents are blocked in something else, and end there."""
    lock, once = gevent.lock.BoundedSemaphore(2), threading.Lock()
    chance = random.Random(seed)
    plans = [[chance.choice("aasslt") for _ in range(10)] for _ in range(40)]

    def work(wait_for, number, plan):
        result = []
        for step, what in enumerate(plan):
            value = number * 100 + step
            if what == "a":
                value = wait_for(echo(value))
            elif what == "s":
                time.sleep(0.0002 * (value % 4))
            elif what == "l":
                with lock:
                    gevent.sleep(0)
            else:
                with once:
                    value = wait_for(echo(value))  # holds a lock of threads over an await
            result.append(value)
        return result

    async def bystander():
        """Hands off by itself, so that its runner is blocked when others want it."""
        for _ in range(60):
            gevent.sleep(0)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(bystander())
        tasks = [group.create_task(bridged(work, number, plan)) for number, plan in enumerate(plans)]
    for number, task in enumerate(tasks):
        assert task.result() == [number * 100 + step for step in range(10)]


@BRIDGES
@on_hub
async def test_a_parent_that_is_blocked_when_its_child_ends(bridged):
    """Finding a way home: the runner that made the child sits in another task's blocking call."""
    child_gate, parent_gate, order = Gate(), Gate(), []

    def work(wait_for):
        wait_for(echo(2))  # the child is suspended, its runner goes on with others
        child_gate.wait_in_gevent()
        order.append("child")
        return "result"

    async def blocks_its_runner():
        child_gate.open()
        parent_gate.wait_in_gevent()
        order.append("parent")

    async def frees_it(task):
        await task
        parent_gate.open()

    task = asyncio.create_task(bridged(work))
    blocked = [asyncio.create_task(blocks_its_runner()) for _ in range(3)]
    await asyncio.gather(frees_it(task), *blocked)
    assert await task == "result"
    assert order == ["child", *["parent"] * 3]


@on_hub
async def test_one_bridge_inside_the_other():
    """greenback's portal first: opened below SQLAlchemy's, it would come between that and its parent."""

    def inner(wait_for):
        time.sleep(0.001)
        return wait_for(echo(1)) + 1

    def outer(wait_for):
        time.sleep(0.001)
        value = wait_for(with_sqlalchemy(inner)) + 1
        time.sleep(0.001)
        return value

    assert await asyncio.gather(*(with_greenback(outer) for _ in range(20))) == [3] * 20
