"""What coroutines are written with: timeouts, groups, threads, runners, while some block in gevent."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import sys
import textwrap
import time

import gevent
import gevent.lock
import pytest

from compat import new_event_loop
from deadline import DEADLINE_S
from loops import Gate, on_hub
from processes import environment

name = contextvars.ContextVar("name", default="nobody")


@on_hub
async def test_a_timeout_ends_a_wait():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    assert asyncio.current_task().cancelling() == 0


@on_hub
async def test_a_timeout_over_a_blocking_call_ends_the_block_at_its_next_await():
    """A call that blocks in gevent cannot be interrupted by asyncio's means; what follows it can."""
    reached = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            time.sleep(0.05)
            reached.append("after the call")
            await asyncio.sleep(DEADLINE_S)
            reached.append("after the await")
    assert reached == ["after the call"]
    await asyncio.sleep(0)  # no stray CancelledError
    assert asyncio.current_task().cancelling() == 0


@on_hub
async def test_a_timeout_that_passes_in_the_last_blocking_call_is_no_error_of_what_follows():
    """The scope is left without an await: the step after it must not be cancelled for it."""
    try:
        async with asyncio.timeout(0.01):
            time.sleep(0.05)
    except TimeoutError:
        pass
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


@on_hub
async def test_a_group_cancels_the_others_when_one_fails():
    gate = Gate()
    seen = []

    async def blocks():
        gate.wait_in_gevent()
        seen.append("woken")
        await asyncio.sleep(DEADLINE_S)

    async def waits():
        try:
            await asyncio.sleep(DEADLINE_S)
        finally:
            gate.open()

    async def fails():
        await asyncio.sleep(0)
        raise ValueError

    with pytest.raises(ExceptionGroup) as failure:
        async with asyncio.TaskGroup() as group:
            for work in (blocks, waits, fails):
                group.create_task(work())
    assert failure.group_contains(ValueError)
    assert seen == ["woken"]
    await asyncio.sleep(0)


@on_hub
async def test_a_group_whose_own_body_blocks_is_cancelled_by_its_child():
    gate = Gate()

    async def fails():
        asyncio.get_running_loop().call_later(0.01, gate.open)
        raise ValueError

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await asyncio.sleep(0)
            gate.wait_in_gevent()
            await asyncio.sleep(DEADLINE_S)
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


@on_hub
async def test_a_hundred_tasks_sleep_together():
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(sleeps_in_gevent(0.05))
    assert time.monotonic() - began < 100 * 0.05 / 4


async def sleeps_in_gevent(seconds):
    time.sleep(seconds)


@on_hub
async def test_asyncio_and_gevent_locks_side_by_side():
    """Whoever blocks on gevent's lock while holding asyncio's must not stop whoever holds gevent's."""
    ours, theirs = gevent.lock.BoundedSemaphore(1), asyncio.Lock()
    counted = 0

    async def count(times):
        nonlocal counted
        for _ in range(times):
            async with theirs:
                with ours:
                    before = counted
                    gevent.sleep(0)
                    await asyncio.sleep(0)
                    counted = before + 1

    await asyncio.gather(*(count(25) for _ in range(8)))
    assert counted == 200


@on_hub
async def test_a_thread_sees_the_context_of_its_caller():
    async def one(who):
        name.set(who)
        await asyncio.sleep(0)
        return await asyncio.to_thread(name.get)

    whos = [f"caller {number}" for number in range(50)]
    assert await asyncio.gather(*map(one, whos)) == whos
    assert await asyncio.to_thread(name.get) == "nobody"


@on_hub
async def test_a_context_variable_survives_a_blocking_call():
    async def one(who):
        name.set(who)
        time.sleep(0.001)
        await asyncio.sleep(0)
        time.sleep(0.001)
        return name.get()

    whos = [f"task {number}" for number in range(50)]
    assert await asyncio.gather(*map(one, whos)) == whos


@on_hub
async def test_an_exception_of_a_thread_is_the_callers():
    def fails():
        raise LookupError("in the thread")

    with pytest.raises(LookupError, match="in the thread"):
        await asyncio.to_thread(fails)


def test_a_runner_keeps_its_loop_and_its_context():
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(set_name("kept"))
        assert runner.run(get_name()) == "kept"
    assert name.get() == "nobody"


async def set_name(value):
    name.set(value)


async def get_name():
    return name.get()


def test_runners_in_many_greenlets_at_once():
    """Each greenlet of a thread may run a loop of its own, as each thread may elsewhere."""

    async def main(number):
        await asyncio.sleep(0.001)
        time.sleep(0.001)
        return asyncio.get_running_loop(), number

    def run(number):
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            loop, answer = runner.run(main(number))
            assert loop is runner.get_loop()
            return answer

    greenlets = [gevent.spawn(run, number) for number in range(20)]
    gevent.joinall(greenlets, raise_error=True)
    assert [greenlet.value for greenlet in greenlets] == [*range(20)]


SIGNALLED = """
    from gevent import monkey
    monkey.patch_all()
    import asyncio, os, signal, sys, time
    from compat import new_event_loop

    async def main():
        loop, seen = asyncio.get_running_loop(), asyncio.Queue()
        for number in (signal.SIGUSR1, signal.SIGTERM):
            loop.add_signal_handler(number, seen.put_nowait, number.name)
        print("ready", flush=True)
        {blocking}
        print(await seen.get(), await seen.get(), flush=True)
        assert loop.remove_signal_handler(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
"""


@pytest.mark.parametrize("blocking", ["", "asyncio.create_task(asyncio.sleep(0)); time.sleep(0.01)"])
@on_hub
async def test_signal_handlers(blocking):
    """In a process of its own, for a signal is the whole process's."""
    program = textwrap.dedent(SIGNALLED.format(blocking=blocking))
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=environment(), stdout=pipe
    )
    assert await child.stdout.readline() == b"ready\n"
    os.kill(child.pid, signal.SIGUSR1)
    await asyncio.sleep(0)
    child.terminate()
    assert sorted((await child.stdout.readline()).split()) == [b"SIGTERM", b"SIGUSR1"]
    assert await child.wait() == -signal.SIGTERM


def test_sigint_interrupts_a_runner():
    """The runner's own handler of SIGINT cancels the main task; the caller gets KeyboardInterrupt."""
    ended = []

    async def main():
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(DEADLINE_S)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())
    assert ended == ["cancelled"]
