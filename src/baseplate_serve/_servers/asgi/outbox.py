"""What goes to a client: at once where it takes it, else as it does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baseplate_serve._lifecycle.tally import Tally


class ClientGone(OSError):
    """What `send` raises once the client has gone."""

    def __init__(self, why: str = "the client has gone") -> None:
        super().__init__(why)


class Outbox:
    """The sending side of one connection, *raw* being the socket beneath gevent's."""

    def __init__(self, raw: Any, loop: Any, tally: Tally) -> None:
        self.raw = raw
        self._tally = tally
        self.loop = loop
        self._sending: asyncio.Lock | None = None  # once the client has taken less than there was

    async def write(self, data: bytes) -> None:
        """Suspends while the client takes less than there is.  Raises: ClientGone."""
        self._tally.sent += len(data)
        if self._sending is not None:
            async with self._sending:
                await self._write_all(data)
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

    async def _write_all(self, data: bytes | memoryview) -> None:
        try:
            await self.loop.sock_sendall(self.raw, data)
        except OSError as error:
            raise ClientGone from error
