"""What every asyncio program does: callbacks, steps, tasks, timers, queues.

Each function does *n* operations in the running loop.
"""

from __future__ import annotations

import asyncio

TASKS = 1000  # at a time
TIMERS = 5000  # likewise
TIMERS_WITHIN_S = 0.001  # due while they are being set, so that firing them is work and not waiting
NEVER_S = 30.0


async def call_soon(n: int) -> None:
    """A chain: each callback asks for the next one."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def link(left: int) -> None:
        if left:
            loop.call_soon(link, left - 1)
        else:
            done.set_result(None)

    loop.call_soon(link, n)
    await done


async def sleep0(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def _nothing() -> None:
    pass


async def gather(n: int) -> None:
    """Tasks that end in their first step."""
    for begin in range(0, n, TASKS):
        await asyncio.gather(*(_nothing() for _ in range(min(TASKS, n - begin))))


async def timers_fired(n: int) -> None:
    """Set, in no order, and fired."""
    loop = asyncio.get_running_loop()
    for begin in range(0, n, TIMERS):
        count = left = min(TIMERS, n - begin)
        done = loop.create_future()

        def fire(done: asyncio.Future[None] = done) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set_result(None)

        for i in range(count):
            loop.call_later(i * 7919 % count / count * TIMERS_WITHIN_S, fire)
        await done


async def timers_cancelled(n: int) -> None:
    """Set and cancelled, one in each step: what a timeout costs that doesn't happen."""
    loop = asyncio.get_running_loop()
    for _ in range(n):
        timer = loop.call_later(NEVER_S, _never)
        await asyncio.sleep(0)
        timer.cancel()


def _never() -> None:
    raise AssertionError("a cancelled timer fired")


async def queue(n: int) -> None:
    """Ping-pong between two tasks; one operation is there and back."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def pong() -> None:
        for _ in range(n):
            back.put_nowait(await there.get())

    player = asyncio.create_task(pong())
    for i in range(n):
        there.put_nowait(i)
        await back.get()
    await player
