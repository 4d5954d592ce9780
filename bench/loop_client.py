"""The load of the echo scenarios, in a process of its own: it knows nothing of loops.

loop_client.py CONNECTIONS SECONDS CORE: the port comes on standard input, the outcome goes to standard output
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time

MESSAGE = b"0123456789abcdef" * 4
WARM_S = 0.2
STALLED_S = 5.0  # for a reply


def main() -> None:
    connections, seconds = int(sys.argv[1]), float(sys.argv[2])
    os.sched_setaffinity(0, {int(sys.argv[3])})
    port = int(sys.stdin.readline())
    socks = [socket.create_connection(("127.0.0.1", port), STALLED_S) for _ in range(connections)]
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    drive = one if connections == 1 else many
    warm, _ = drive(socks, WARM_S)
    counted, elapsed_s = drive(socks, seconds)
    print(json.dumps({"counted": counted, "elapsed_s": elapsed_s, "all": warm + counted}))
    for sock in socks:
        sock.close()


def one(socks: list[socket.socket], seconds: float) -> tuple[int, float]:
    """Ping-pong; the replies and the time they took."""
    (sock,) = socks
    replies = 0
    begin = time.perf_counter()
    while (now := time.perf_counter()) < begin + seconds:
        sock.sendall(MESSAGE)
        check(sock.recv(4096))
        replies += 1
    return replies, now - begin


def many(socks: list[socket.socket], seconds: float) -> tuple[int, float]:
    """One message under way in each connection; the replies and the time they took."""
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ)
            sock.sendall(MESSAGE)
        replies = 0
        begin = now = time.perf_counter()
        waiting = len(socks)
        while waiting:
            events = selector.select(STALLED_S)
            if not events:
                sys.exit("the server stalled")
            for key, _ in events:
                sock: socket.socket = key.fileobj
                check(sock.recv(4096))
                replies += 1
                if now < begin + seconds:
                    sock.sendall(MESSAGE)
                else:
                    waiting -= 1
            now = time.perf_counter()
    return replies, now - begin


def check(reply: bytes) -> None:
    if reply != MESSAGE:
        sys.exit(f"a reply that is none: {reply!r}")


if __name__ == "__main__":
    main()
