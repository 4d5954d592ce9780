"""From greenlets to coroutines and back, and the hand-off.

asyncio's own column is no bridge but a limit: see each function.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from loop_contestants import ASYNCIO_GEVENT, GREENLET, OURS, result_of, wait
from loop_measure import Figures, repeat, repeat_in_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

AT_ONCE = 64
TASKS_ALLOWED = 5  # a bridge may cost as much as so many tasks


async def _ready() -> None:
    pass


async def _suspends_once() -> None:
    await asyncio.sleep(0)


def wait_ready(name: str, seconds: float) -> Figures:
    """A greenlet waits for a coroutine that never suspends."""
    return _wait(name, seconds, _ready)


def wait_suspending(name: str, seconds: float) -> Figures:
    """A greenlet waits for a coroutine that suspends once."""
    return _wait(name, seconds, _suspends_once)


def wait_in_step_greenlet(name: str, seconds: float) -> Figures:
    """A `compat.StepGreenlet` waits for a coroutine that never suspends."""
    if name == OURS:
        import compat  # noqa: PLC0415 (not in the process of a loop that has nothing to do with it)

        compat.attached_loop()
        return _wait(name, seconds, _ready, compat.StepGreenlet)
    return _wait(name, seconds, _ready)


def _wait(
    name: str, seconds: float, function: Callable[[], Coroutine[Any, Any, None]], kind: Any = None
) -> Figures:
    if name not in (OURS, ASYNCIO_GEVENT):
        return _limit(name, seconds, function)
    import gevent  # noqa: PLC0415 (not in the process of a loop that has nothing to do with it)

    call = wait(name)

    def work(n: int) -> None:
        for _ in range(n):
            call(function)

    figures: Figures = (kind or gevent.Greenlet).spawn(repeat, work, seconds).get()
    return figures


def _limit(name: str, seconds: float, function: Callable[[], Coroutine[Any, Any, None]]) -> Figures:
    """Five times: call a function, make a task, run it to its end.  That the end is noticed is left out."""

    def called() -> None:
        pass

    async def work(n: int) -> None:
        loop = asyncio.get_running_loop()
        for begin in range(0, n, AT_ONCE):
            for _ in range(min(AT_ONCE, n - begin) * TASKS_ALLOWED):
                called()
                task = loop.create_task(function())
            await task  # the last one: the others have ended before it

    return repeat_in_loop(name, work, seconds)


def result(name: str, seconds: float) -> Figures:
    """A coroutine awaits a function that runs elsewhere: in a greenlet, or with asyncio's own in a thread."""

    def called() -> None:
        pass

    async def in_thread(n: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(n):
            await loop.run_in_executor(None, called)

    if name not in (OURS, ASYNCIO_GEVENT):
        return repeat_in_loop(name, in_thread, seconds)
    import gevent  # noqa: PLC0415 (as above)

    await_greenlet = result_of(name)

    async def in_greenlet(n: int) -> None:
        for _ in range(n):
            await await_greenlet(gevent.spawn(called))

    return repeat_in_loop(name, in_greenlet, seconds)


def hand_off(name: str, seconds: float) -> Figures:
    """A call that blocks in gevent, in a task; or in a plain greenlet."""
    import gevent  # noqa: PLC0415 (as above)

    def work(n: int) -> None:
        for _ in range(n):
            gevent.sleep(0)

    if name == GREENLET:
        return repeat(lambda n: gevent.spawn(work, n).get(), seconds)

    async def task(n: int) -> None:
        work(n)

    return repeat_in_loop(name, task, seconds)


def hand_off_crowd(name: str, seconds: float) -> Figures:
    """The same in many at once, each of them blocking ten times."""
    import gevent  # noqa: PLC0415 (as above)

    times = 10

    def block(n: int) -> None:
        for _ in range(n):
            gevent.sleep(0)

    def counts(n: int) -> list[int]:
        return [times] * (n // times) + [n % times]

    if name == GREENLET:
        return repeat(lambda n: gevent.joinall([gevent.spawn(block, c) for c in counts(n)]), seconds)

    async def task(n: int) -> None:
        block(n)

    async def crowd(n: int) -> None:
        await asyncio.gather(*(task(c) for c in counts(n)))

    return repeat_in_loop(name, crowd, seconds)
