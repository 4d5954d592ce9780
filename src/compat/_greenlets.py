"""From a coroutine: await a greenlet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import greenlet

if TYPE_CHECKING:
    import gevent


async def result_of(awaited: gevent.Greenlet[..., Any]) -> Any:
    """Wait until the greenlet has ended; what it returned, or raised, with its traceback.

    Cancelled, it kills the greenlet and waits until that has ended, its `finally` blocks run; cancelled
    again, it leaves it to itself.  A greenlet that somebody else killed raises its `GreenletExit` here. The
    greenlet has the context it was spawned with.  The current task is as ever.

    Switches: as every `await` does; no greenlet is switched to from here.
    """
    try:
        await _end_of(awaited)
    except asyncio.CancelledError:
        awaited.kill(block=False)
        await _end_of(awaited)
        raise
    result = awaited.get(block=False)
    if isinstance(result, greenlet.GreenletExit):
        raise result
    return result


async def _end_of(awaited: gevent.Greenlet[..., Any]) -> None:
    if awaited.ready():
        return
    ended = asyncio.get_running_loop().create_future()

    def tell(_: object) -> None:  # in the hub
        if not ended.done():
            ended.set_result(None)

    awaited.rawlink(tell)
    try:
        await ended
    finally:
        awaited.unlink(tell)
