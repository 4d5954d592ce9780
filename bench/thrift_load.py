"""Thrift load: one process, frames encoded beforehand, epoll.

Calls of the kernel and little else: a load that costs more than the server measures itself.
"""

from __future__ import annotations

import os
import select
import socket
import time
from typing import TYPE_CHECKING, Self

from contestant import LoadFailed

if TYPE_CHECKING:
    from contestant import Load, Window
    from thrift_calls import Call, Framing

MOST = 65536
OPENING_S = 20.0  # until a new connection has had its reply


def calls(call: Call, framing: Framing, connections: int) -> Load:
    """A load of *call*, always one under way on each of *connections*."""

    def drive(port: int, seconds: float, window: Window) -> int:
        with Clients(port, connections, framing.wrap(call.request)) as clients:
            clients.open(call.reply, framing)
            with window:
                return clients.call_for(seconds)

    return drive


class Clients:
    """*connections* to *port*, which send *frame*."""

    def __init__(self, port: int, connections: int, frame: bytes) -> None:
        self.socks = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(connections)]
        self.frame = frame
        self.poller = select.epoll()
        self.expected = b""  # the reply, which is the same each time
        self.partial: dict[int, bytes] = {}  # by descriptor, replies that have come in part
        for sock in self.socks:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.poller.close()
        for sock in self.socks:
            sock.close()

    def open(self, reply: bytes, framing: Framing) -> None:
        """One call on each connection, checked.  Raises: LoadFailed unless *reply* comes."""
        for sock in self.socks:
            sock.settimeout(OPENING_S)
            sock.sendall(self.frame)
        for sock in self.socks:
            data, message = b"", None
            while message is None:
                try:
                    piece = sock.recv(MOST)
                except TimeoutError:
                    raise LoadFailed(f"no reply in {OPENING_S:.0f} s") from None
                if not piece:
                    raise LoadFailed("the server closed a connection")
                data += piece
                message = framing.unwrap(data, len(reply))
            if message != reply:
                raise LoadFailed(f"a wrong reply: {message!r}")
            self.expected = data
            sock.setblocking(True)
            self.poller.register(sock.fileno(), select.EPOLLIN)

    def call_for(self, seconds: float) -> int:
        """Call on every connection until *seconds* are over; the replies that came."""
        replies = 0
        expected, frame, taken = self.expected, self.frame, self.taken
        poll, read, write, clock = self.poller.poll, os.read, os.write, time.perf_counter
        for sock in self.socks:
            sock.sendall(frame)
        end = clock() + seconds
        while clock() < end:
            for fd, _ in poll(1):
                data = read(fd, MOST)
                if data == expected or taken(fd, data):
                    write(fd, frame)
                    replies += 1
        return replies

    def taken(self, fd: int, data: bytes) -> bool:
        """Whether the reply is whole with *data*.  Raises: LoadFailed if it is a wrong one."""
        whole = self.partial.pop(fd, b"") + data
        if whole == self.expected:
            return True
        if not data or not self.expected.startswith(whole):
            raise LoadFailed(f"a wrong reply, or none: {whole!r}")
        self.partial[fd] = whole
        return False
