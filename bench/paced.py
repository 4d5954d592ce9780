"""A load that does not wait for replies: requests begin at the times of a Poisson process.

A request's time runs from when it should have begun, also if no connection was free then: a server that
stalls is not asked less for it.
"""

from __future__ import annotations

import os
import random
import select
import socket
import time

from contestant import LoadFailed

CONNECTIONS = 32
GIVE_UP_S = 5.0  # without any reply


def latencies(port: int, exchange: tuple[bytes, bytes], rate: float, seconds: float) -> list[float]:
    """Seconds that each request took, *rate* a second on average.

    *exchange* is what is sent, and what the reply ends with.  Raises: LoadFailed.
    """
    socks = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(CONNECTIONS)]
    with select.epoll() as poller:
        for sock in socks:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(True)
            poller.register(sock.fileno(), select.EPOLLIN)
        took = _drive(poller, [sock.fileno() for sock in socks], exchange, rate, seconds)
    for sock in socks:
        sock.close()
    return took


def _drive(
    poller: select.epoll, free: list[int], exchange: tuple[bytes, bytes], rate: float, seconds: float
) -> list[float]:
    request, end_of_reply = exchange
    gap, seeded = 1 / rate, random.Random(1)  # noqa: S311 (no secret)
    poll, read, write, clock = poller.poll, os.read, os.write, time.perf_counter
    took: list[float] = []
    due_at: dict[int, float] = {}  # by descriptor, of the request under way
    partial = dict.fromkeys(free, b"")
    due = begin = last = clock()
    while due < begin + seconds or due_at:
        now = clock()
        while due <= now and free and due < begin + seconds:
            fd = free.pop()
            due_at[fd] = due
            write(fd, request)
            due += seeded.expovariate(1) * gap
        for fd, _ in poll(0):  # without a rest: it has a core of its own, and must be in time
            data = partial[fd] + read(fd, 65536)
            if data == partial[fd]:
                raise LoadFailed("the server closed a connection")
            if not data.endswith(end_of_reply):
                partial[fd] = data
                continue
            partial[fd] = b""
            last = clock()
            took.append(last - due_at.pop(fd))
            free.append(fd)
        if now > last + GIVE_UP_S:
            raise LoadFailed(f"no reply in {GIVE_UP_S:.0f} s")
    return took
