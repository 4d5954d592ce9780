"""`wsgi.input.raw`: by it WebSocket libraries take a connection over.

In pywsgi the input of an upgrade is a buffered file.  Libraries (simple-websocket, and so flask-sock) look
below it for the socket, and from then on read and write by themselves.
"""

from __future__ import annotations

from socket import MSG_PEEK
from typing import Any


class Raw:
    """What is below *inbound*, an `Inbound` or an `Inbox`, as far as anybody looks."""

    def __init__(self, inbound: Any) -> None:
        self._inbound = inbound

    @property
    def _sock(self) -> Any:
        """The socket, gevent's.  Whoever asks for it answers the request, or not."""
        inbound = self._inbound
        inbound.handed_over = True
        return EarlySocket(inbound, inbound.sock) if inbound.buffer else inbound.sock


class EarlySocket:
    """gevent's *sock*, but what arrived with the head comes first; pywsgi's file keeps that to itself.

    `select` and the like know nothing of it: a client that is right sends nothing before it has its answer.
    """

    def __init__(self, inbound: Any, sock: Any) -> None:
        self._inbound = inbound
        self._early_sock = sock

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not self._inbound.buffer:
            data: bytes = self._early_sock.recv(size, flags)
            return data
        return self._early(size, flags)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        if not self._inbound.buffer:
            return int(self._early_sock.recv_into(buffer, size, flags))
        data = self._early(size or len(buffer), flags)
        buffer[: len(data)] = data
        return len(data)

    def _early(self, size: int, flags: int) -> bytes:
        if flags & MSG_PEEK:
            return bytes(self._inbound.buffer[:size])
        data: bytes = self._inbound.take(size)
        return data

    def dup(self) -> EarlySocket:
        return EarlySocket(self._inbound, self._early_sock.dup())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._early_sock, name)
