"""What goes to a client: at once where it takes it, else as it does."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from baseplate_serve._servers.asgi.news import News

if TYPE_CHECKING:
    from baseplate_serve._lifecycle.connections import Connection


class ClientGone(OSError):
    """What `send` raises once the client has gone."""

    def __init__(self, why: str = "the client has gone") -> None:
        super().__init__(why)


class Outbox:
    """The sending side of *connection*, *raw* being below gevent's socket.

    A write that is cancelled while the client takes its time breaks it: the client would read whatever comes
    next as the rest of that.
    """

    def __init__(self, raw: Any, loop: Any, connection: Connection) -> None:
        self.raw = raw
        self.broken = False  # nothing more can be sent
        self._connection = connection
        self.loop = loop
        self._sending: asyncio.Lock | None = None  # once the client has taken less than there was
        self._room = News()  # the client takes more, or it is too late

    async def write(self, data: bytes) -> None:
        """Suspends while the client takes less than there is.  Raises: ClientGone."""
        self._connection.tally.sent += len(data)
        if self._sending is not None:
            await self._write_rest(self._sending, memoryview(data))
            return
        try:
            sent = self.raw.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.broken = True
            raise ClientGone from error
        if sent < len(data):
            self._sending = asyncio.Lock()
            await self._write_rest(self._sending, memoryview(data)[sent:])

    def close(self) -> None:
        """No more is sent: the socket is about to be closed.  Switches: no."""
        self.broken = True
        self._stop_watching()
        self._room.wake()

    async def _write_rest(self, sending: asyncio.Lock, data: memoryview) -> None:
        try:
            async with sending:
                if self.broken:
                    raise ClientGone("nothing can follow a message that was cut short")
                await self._write_all(data)
        except BaseException:
            self.broken = True
            raise

    async def _write_all(self, data: memoryview) -> None:
        self.loop.add_writer(self.raw.fileno(), self._room.wake)
        try:
            while data:
                self._connection.send_since = monotonic()  # of each piece: slow is not stalled
                await self._room.wait(self.loop)
                try:
                    data = data[self.raw.send(data) :]
                except BlockingIOError:
                    continue
        except OSError as error:
            raise ClientGone from error
        finally:
            self._connection.send_since = None
            self._stop_watching()

    def _stop_watching(self) -> None:
        fd = self.raw.fileno()
        if self._sending is not None and fd >= 0:  # else it is closed, and its number may be another client's
            self.loop.remove_writer(fd)
