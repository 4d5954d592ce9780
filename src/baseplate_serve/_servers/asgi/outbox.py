"""What goes to a client: at once where it takes it, else as it does."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baseplate_serve._lifecycle.connections import Connection

PIECE = 256 * 1024  # bytes; a client that takes that many is not stalled


class ClientGone(OSError):
    """What `send` raises once the client has gone."""

    def __init__(self, why: str = "the client has gone") -> None:
        super().__init__(why)


class Outbox:
    """The sending side of *connection*, *raw* being the socket beneath gevent's."""

    def __init__(self, raw: Any, loop: Any, connection: Connection) -> None:
        self.raw = raw
        self._connection = connection
        self.loop = loop
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

    async def _write_all(self, data: memoryview) -> None:
        try:
            for at in range(0, len(data), PIECE):
                self._connection.send_since = monotonic()
                await self.loop.sock_sendall(self.raw, data[at : at + PIECE])
        except OSError as error:
            raise ClientGone from error
        finally:
            self._connection.send_since = None
