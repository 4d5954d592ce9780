"""What a client has sent and nobody has taken yet: awaitable for coroutines, a file for pywsgi."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from baseplate_serve._servers.asgi.news import News
from baseplate_serve._servers.http.handover import Raw
from baseplate_serve._servers.http.inbound import look_at_part

if TYPE_CHECKING:
    from collections.abc import Callable

    from baseplate_serve._lifecycle.connections import Connection
    from baseplate_serve._servers.http.limits import Limits

AHEAD_MAX = 64 * 1024  # bytes that are received before anybody asks for them, beside those of a head
PIECE = 64 * 1024


class Inbox:
    """The receiving side of *connection*; *raw* is below gevent's *sock*, and doesn't wait.

    The loop receives, some bytes ahead, and calls `changed` when something came or the client
    has gone.  Between `pause` and `resume` it doesn't: then a greenlet reads, as from a file.
    """

    def __init__(self, sock: Any, raw: Any, loop: Any, connection: Connection, limits: Limits) -> None:
        self.sock = sock
        self._connection = connection
        self.buffer = bytearray()
        self.ended = False  # the client sends no more, or is gone
        self.closed = False  # for pywsgi: a file has that
        self.upgraded = False  # by a 101, under pywsgi: what comes is no body, and may take its time
        self.handed_over = False  # the application has the socket
        self.changed: Callable[[], None] = _nobody
        self._raw = raw
        self._fd = raw.fileno()
        self._loop = loop
        self._paused = True
        self._reading = False  # the loop watches the descriptor
        self._searched = 0  # bytes of the buffer that hold no end of a head
        self._looked = False  # at the request line
        self._limits = limits
        self._ahead_max = limits.head + AHEAD_MAX
        self._news = News()

    # For the loop

    def resume(self) -> None:
        """Receive from now on.  Switches: no."""
        self._paused = False
        self._watch()

    def pause(self) -> None:
        """Leave what comes to a greenlet; or to nobody, before the socket is closed.  Switches: no."""
        self._paused = True
        self._watch()

    def head(self, look: Callable[[bytes], object]) -> bytes | None:
        """A request's head, with its empty line, left in the buffer; None when it hasn't arrived whole.

        *look* gets the request line where that arrives before the rest.  Raises: Refused.  Switches: no.
        """
        buffer = self.buffer
        if not self._searched:
            if buffer[:1] == b"\r":
                if len(buffer) < 3:
                    return None
                if buffer[1] == 10:
                    del buffer[:2]  # RFC 9112 §2.2: an empty line before a request line is ignored
            self._looked = False
        end = buffer.find(b"\r\n\r\n", self._searched)
        if end >= 0:
            self._searched = 0
            return bytes(buffer[: end + 4])
        self._looked = look_at_part(buffer, self._searched, None if self._looked else look, self._limits)
        self._searched = max(0, len(buffer) - 3)
        return None

    def take(self, size: int) -> bytes:
        """Up to *size* bytes of those that are here.  Switches: no."""
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        if not self._reading:
            self._watch()
        return taken

    async def more(self) -> None:
        """Wait until there is more, or no more to come, or `wake`."""
        await self._news.wait(self._loop)

    def wake(self) -> None:
        """Let those who wait in `more` look again.  Switches: no."""
        self._news.wake()

    def _watch(self) -> None:
        """Have the loop watch the descriptor, or not, whichever is due."""
        due = not self._paused and not self.ended and len(self.buffer) < self._ahead_max
        if due is not self._reading:
            self._reading = due
            if due:
                self._loop.add_reader(self._fd, self._readable)
            else:
                self._loop.remove_reader(self._fd)

    def _readable(self) -> None:
        try:
            data = self._raw.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.buffer += data
        self._connection.tally.received += len(data)
        if not data:
            self.ended = True
            self._watch()
        elif len(self.buffer) >= self._ahead_max:
            self._watch()
        self._news.wake()
        self.changed()

    # For greenlets

    def read(self, size: int = -1) -> bytes:
        """Exactly *size* bytes; fewer at the end of the stream, all if *size* is negative.  Switches: yes."""
        while not 0 <= size <= len(self.buffer) and self._receive():
            pass
        return self.take(len(self.buffer) if size < 0 else size)

    def readline(self, limit: int = -1) -> bytes:
        """A line with its end, *limit* bytes at most.  Switches: yes."""
        while (end := self.buffer.find(b"\n")) < 0 and not 0 <= limit <= len(self.buffer):
            if not self._receive():
                break
        size = end + 1 if end >= 0 else len(self.buffer)
        return self.take(size if limit < 0 else min(size, limit))

    @property
    def raw(self) -> Raw:
        return Raw(self)

    def close(self) -> None:
        self.closed = True

    def _receive(self) -> bool:
        if self.ended:
            return False
        self._connection.body_since = None if self.upgraded else monotonic()
        try:
            data = self.sock.recv(PIECE)
        finally:
            self._connection.body_since = None
        self._connection.tally.received += len(data)
        self.ended = not data
        self.buffer += data
        return bool(data)


def _nobody() -> None:
    pass
