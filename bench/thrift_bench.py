"""Thrift: a void call over 16 connections, header protocol; frames encoded beforehand."""

from __future__ import annotations

import os
import select
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
    """Call for *seconds*; the replies and the time they took.

    Calls of the kernel and little else: a load that costs more than the server measures itself.
    """
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    expected = b""
    with select.epoll() as poller:
        for sock in socks:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(FRAME)
            expected = expected or sock.recv(4096)
            poller.register(sock.fileno(), select.EPOLLIN)
        socks[0].sendall(FRAME)
        replies = 0
        poll, read, write = poller.poll, os.read, os.write
        begin = time.perf_counter()
        while (now := time.perf_counter()) < begin + seconds:
            for fd, _ in poll(1):
                if read(fd, 4096) != expected:
                    raise SystemExit("a reply that is none")
                write(fd, FRAME)
                replies += 1
    for sock in socks:
        sock.close()
    if len(expected) < 4 or len(expected) != 4 + struct.unpack_from("!I", expected)[0]:
        raise SystemExit(f"a reply that is none: {expected!r}")
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
