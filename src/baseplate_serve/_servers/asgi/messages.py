"""The messages of a WebSocket, from their pieces to the application."""

from __future__ import annotations

from collections import deque
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsproto.events import Message

AHEAD_MAX = 32  # messages that wait for the application


class Messages:
    """What the application is still to receive, at first that a client connects.

    *limit*: bytes of a message, and of all that wait, with what has come of the next one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._whole: deque[tuple[dict[str, Any], int]] = deque([({"type": "websocket.connect"}, 0)])
        self._waiting = 0  # bytes of them
        # What has come of the next one, text as UTF-8.  A list of its pieces could cost many times as much:
        # there may be as many as the client likes.  io.StringIO is such a list, too.
        self._part: BytesIO | None = None
        self._part_size = 0

    def __bool__(self) -> bool:
        return bool(self._whole)

    @property
    def full(self) -> bool:
        """Whether the application must take one before there may be more."""
        waiting = len(self._whole)
        return waiting >= AHEAD_MAX or (waiting > 0 and self._waiting + self._part_size >= self._limit)

    def add(self, piece: Message[Any]) -> bool:
        """Add a *piece* of a message; False if that is now too large, and is dropped."""
        data: Any = piece.data
        text = isinstance(data, str)
        encoded = data.encode() if text else data
        part, size = self._part, self._part_size + len(encoded)
        too_large = size > self._limit
        if not too_large and not piece.message_finished:
            if part is None:
                part = self._part = BytesIO()
            part.write(encoded)
            self._part_size = size
            return True
        self._part, self._part_size = None, 0
        if too_large:
            return False
        if part is not None:
            part.write(encoded)
            data = part.getvalue().decode() if text else part.getvalue()
        self._whole.append(({"type": "websocket.receive", "text" if text else "bytes": data}, size))
        self._waiting += size
        return True

    def take(self) -> dict[str, Any]:
        """The next one.  Raises: IndexError if there is none."""
        message, size = self._whole.popleft()
        self._waiting -= size
        return message
