"""Thrift: a void call over 16 connections, header protocol; frames encoded beforehand."""

from __future__ import annotations

import selectors
import socket
import struct
import time

from contestant import PYTHON, Contestant

TITLE = "Thrift, void call, 16 connections, header protocol"
CONNECTIONS = 16
MESSAGE = bytes.fromhex("80010001 00000004 70696e67 00000001 00")
HEADER = struct.pack("!HHiHBBBB", 0x0FFF, 0, 1, 1, 0, 0, 0, 0)
FRAME = struct.pack("!I", len(HEADER) + len(MESSAGE)) + HEADER + MESSAGE


def ping(port: int, seconds: float) -> tuple[int, float]:
    """Call for *seconds*; the replies and the time they took."""
    selector = selectors.DefaultSelector()
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(FRAME)
        selector.register(sock, selectors.EVENT_READ, sock)
    replies = 0
    begin = time.perf_counter()
    while (now := time.perf_counter()) < begin + seconds:
        for key, _ in selector.select(1):
            data = key.data.recv(4096)
            if len(data) < 4 or len(data) != 4 + struct.unpack_from("!I", data)[0]:
                raise SystemExit(f"a reply that is none: {data!r}")
            replies += 1
            key.data.sendall(FRAME)
    for sock in socks:
        sock.close()
    return replies, now - begin


def contestants() -> list[Contestant]:
    """The first is what others are compared with."""
    return [
        Contestant(
            "Apache header transport on gevent", [PYTHON, "servers.py", "thrift-apache", "{port}"], ping
        ),
        Contestant(
            "baseplate-serve (thrift)",
            [PYTHON, "-m", "baseplate_serve", "--bind", "127.0.0.1:{port}", "thrift.ini"],
            ping,
        ),
        Contestant(
            "... with a coroutine function",
            [PYTHON, "-m", "baseplate_serve", "--bind", "127.0.0.1:{port}", "thrift_async.ini"],
            ping,
        ),
    ]
