"""Connections that have had a reply and wait."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from contestant import LoadFailed
from thrift_calls import CALLS, FRAMINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contestant import Contestant

# What a client sends, and what the reply ends with.
HTTP = (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"hello")
THRIFT = (FRAMINGS["header"].wrap(CALLS["a void call"].request), CALLS["a void call"].reply)


@contextmanager
def idle(server: Contestant, count: int, exchange: tuple[bytes, bytes]) -> Iterator[float]:
    """Meanwhile *server* has *count* idle connections; kilobytes of resident memory that each has cost.

    Raises: LoadFailed if one was closed.
    """
    for sock in [answered(server.port, *exchange) for _ in range(20)]:
        sock.close()  # what the first requests load is not what a connection costs
    before = server.rss_kb()
    socks = [answered(server.port, *exchange) for _ in range(count)]
    try:
        yield (server.rss_kb() - before) / count
        for sock in socks:
            sock.setblocking(False)
            try:
                sock.recv(1)
            except BlockingIOError:
                continue
            raise LoadFailed("closes idle connections")
    finally:
        for sock in socks:
            sock.close()


def answered(port: int, request: bytes, end: bytes) -> socket.socket:
    """A connection on which a reply came that has this *end*."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(request)
    received = b""
    while not received.endswith(end):
        piece = sock.recv(4096)
        if not piece:
            raise LoadFailed("closes keep-alive connections")
        received += piece
    return sock
