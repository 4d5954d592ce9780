"""What a client has sent and nobody has taken yet: a file for pywsgi, awaitable for coroutines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent.socket import wait

from baseplate_serve._servers.asgi.head import HeadTooLarge
from baseplate_serve._servers.asgi.news import News

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_MAX = 64 * 1024  # bytes of a request's head
AHEAD_MAX = 64 * 1024  # bytes that are received before anybody asks for them
PIECE = 64 * 1024


class Inbox:
    """The receiving side of one connection.

    Greenlets call `head`, `read` and `readline`, which wait.  While a coroutine has the connection, between
    `watch` and `unwatch`, the loop receives, up to AHEAD_MAX bytes ahead, and notices when the client goes.
    """

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.buffer = bytearray()
        self.ended = False  # the client sends no more, or is gone
        self.closed = False  # for pywsgi: a file has that
        self._served = False  # there was a request before
        self._watching = self._full = False
        self._loop: Any = None
        self._raw: Any = None
        self._news = News()
        self._gone: Callable[[], None] | None = None

    # For greenlets

    def head(self, began: Callable[[], None]) -> bytes | None:
        """A request's head, with its empty line, left in the buffer; None at the end of the stream.

        Calls *began* with the first bytes.  Raises: HeadTooLarge, OSError.  Switches: yes.
        """
        told = False
        searched = 0
        if self._served and not self.buffer:
            wait(self.sock._read_event)  # noqa: SLF001 (to try first costs an exception each time)
        self._served = True
        while True:
            if self.buffer:
                if not told:
                    began()
                    told = True
                end = self.buffer.find(b"\r\n\r\n", searched)
                if end >= 0:
                    return bytes(self.buffer[: end + 4])
                searched = max(0, len(self.buffer) - 3)
                if searched > HEAD_MAX:
                    raise HeadTooLarge
            if not self._receive():
                return None

    def read(self, size: int) -> bytes:
        """Exactly *size* bytes; fewer at the end of the stream.  Switches: yes."""
        while len(self.buffer) < size and self._receive():
            pass
        return self.take(size)

    def readline(self, limit: int = -1) -> bytes:
        """A line with its end, *limit* bytes at most.  Switches: yes."""
        while (end := self.buffer.find(b"\n")) < 0 and not 0 <= limit <= len(self.buffer):
            if not self._receive():
                break
        size = end + 1 if end >= 0 else len(self.buffer)
        return self.take(size if limit < 0 else min(size, limit))

    def close(self) -> None:
        self.closed = True

    def take(self, size: int) -> bytes:
        """Up to *size* bytes of those that are here.  Switches: no."""
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        if self._full and len(self.buffer) < AHEAD_MAX:
            self._full = False
            self._loop.add_reader(self._raw.fileno(), self._readable)
        return taken

    def _receive(self) -> bool:
        if self.ended:
            return False
        data = self.sock.recv(PIECE)
        self.ended = not data
        self.buffer += data
        return bool(data)

    # For coroutines

    def watch(self, loop: Any, gone: Callable[[], None]) -> None:
        """Receive in *loop* from now on; call *gone* at the end of the stream.  Switches: no."""
        if self._watching:
            return
        self._watching = True
        self._loop, self._raw, self._gone = loop, self.sock._sock, gone  # noqa: SLF001 (past gevent: it must not wait)
        if self.ended:
            loop.call_soon(gone)
        elif len(self.buffer) >= AHEAD_MAX:
            self._full = True
        else:
            loop.add_reader(self._raw.fileno(), self._readable)

    def unwatch(self) -> None:
        """Leave what comes to the greenlet."""
        if self._watching:
            self._watching = self._full = False
            if self._raw.fileno() >= 0:
                self._loop.remove_reader(self._raw.fileno())

    async def more(self) -> None:
        """Wait until there is more, or no more to come, or `wake`."""
        await self._news.wait(self._loop)

    def wake(self) -> None:
        """Let those who wait in `more` look again.  Switches: no."""
        self._news.wake()

    def _readable(self) -> None:
        try:
            data = self._raw.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.buffer += data
        if not data:
            self.ended = True
            self.unwatch()
        elif len(self.buffer) >= AHEAD_MAX:
            self._full = True
            self._loop.remove_reader(self._raw.fileno())
        self.wake()
        if self.ended and self._gone is not None:
            self._gone()
