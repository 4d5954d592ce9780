"""Coroutines that wait until something may have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


class News:
    """`wait` returns at the next `wake`; who waits then looks for itself what is new."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    async def wait(self, loop: Any) -> None:
        """Wait in *loop* for the next `wake`."""
        waiting = loop.create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def wake(self) -> None:
        """In the loop's thread.  Switches: no."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
