"""What goes to a client: at once where it takes it, else as it does."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baseplate_serve._lifecycle.connections import Connection


class ClientGone(OSError):
    """What `send` raises once the client has gone."""

    def __init__(self, why: str = "the client has gone") -> None:
        super().__init__(why)


class Outbox:
    """The sending side of *connection*, *raw* being below gevent's socket."""

    def __init__(self, raw: Any, loop: Any, connection: Connection) -> None:
        self.raw = raw
        self._connection = connection
        self.loop = loop
        self._fd = raw.fileno()
        self._closed = False
        self._ready: asyncio.Future[None] | None = None  # while the loop watches the descriptor
        self._sending: asyncio.Lock | None = None  # once the client has taken less than there was

    async def write(self, data: bytes) -> None:
        """Suspends while the client takes less than there is.  Raises: ClientGone."""
        self._connection.tally.sent += len(data)
        if self._sending is not None:
            async with self._sending:
                await self._write_all(memoryview(data))
            return
        try:
            sent = self.raw.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ClientGone from error
        if sent < len(data):
            self._sending = asyncio.Lock()
            async with self._sending:
                await self._write_all(memoryview(data)[sent:])

    def close(self) -> None:
        """Before the socket is closed: who is in `write` finds the client gone.  Switches: no."""
        self._closed = True
        if self._ready is not None:
            self._unwatch(self._ready)

    async def _write_all(self, data: memoryview) -> None:
        try:
            while data:
                self._connection.send_since = monotonic()  # of each piece: slow is not stalled
                await self._takes_more()
                try:
                    data = data[self.raw.send(data) :]
                except BlockingIOError:
                    continue
        except OSError as error:
            raise ClientGone from error
        finally:
            self._connection.send_since = None

    async def _takes_more(self) -> None:
        if not self._closed:
            ready = self._ready = self.loop.create_future()
            self.loop.add_writer(self._fd, ready.set_result, None)
            try:
                await ready
            finally:
                if self._ready is ready:
                    self._unwatch(ready)
        if self._closed:
            raise ClientGone

    def _unwatch(self, ready: asyncio.Future[None]) -> None:
        self._ready = None
        self.loop.remove_writer(self._fd)  # before it is closed: libev aborts where it meets a closed one
        if not ready.done():
            ready.set_result(None)
