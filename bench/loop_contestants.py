"""Who is measured by loop.py, and how each is called.

What a contestant needs is imported when it is its turn: its process has nothing else in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine

    from gevent import Greenlet

ASYNCIO = "asyncio"
OURS = "ours"
UVLOOP = "uvloop"
ASYNCIO_GEVENT = "asyncio-gevent"
GREENLET = "greenlet"  # no loop at all: a plain greenlet, for what only gevent can be compared with

LOOPS = (ASYNCIO, OURS, UVLOOP, ASYNCIO_GEVENT)
PATCHED = (OURS, ASYNCIO_GEVENT, GREENLET)  # run with the standard library patched by gevent


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the contestant's loop, for `asyncio.Runner`."""
    if name == OURS:
        import compat  # noqa: PLC0415

        return compat.new_event_loop
    if name == UVLOOP:
        import uvloop  # noqa: PLC0415

        return uvloop.new_event_loop
    if name == ASYNCIO_GEVENT:
        import asyncio_gevent  # noqa: PLC0415

        return asyncio_gevent.EventLoop
    import asyncio  # noqa: PLC0415

    return asyncio.SelectorEventLoop


def wait(name: str) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], object]:
    """A function that a greenlet calls with a coroutine function, and that returns when the coroutine has."""
    if name == OURS:
        import compat  # noqa: PLC0415

        compat.attached_loop()
        return lambda function: compat.wait(function())
    import asyncio  # noqa: PLC0415

    import asyncio_gevent  # noqa: PLC0415

    asyncio.set_event_loop_policy(asyncio_gevent.EventLoopPolicy())
    return lambda function: asyncio_gevent.async_to_sync(function)()


def result_of(name: str) -> Callable[[Greenlet[Any, Any]], Awaitable[object]]:
    """A function whose result a coroutine awaits, for a greenlet's."""
    if name == OURS:
        import compat  # noqa: PLC0415

        return compat.result_of
    import asyncio_gevent  # noqa: PLC0415

    return asyncio_gevent.greenlet_to_future
