"""The load of the echo scenarios, in a process of its own: it knows nothing of loops.

loop_client.py CONNECTIONS SECONDS CORE: the port comes on standard input, the outcome goes to standard output
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time

MESSAGE = b"0123456789abcdef" * 4
WARM_S = 0.2
STALLED_S = 5  # for a reply


def main() -> None:
    connections, seconds = int(sys.argv[1]), float(sys.argv[2])
    os.sched_setaffinity(0, {int(sys.argv[3])})
    port = int(sys.stdin.readline())
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel's timeout: for Python's own there is a poll() before every call.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STALLED_S, 0))
    try:
        warm, _ = drive(socks, WARM_S)
        counted, elapsed_s = drive(socks, seconds)
    except BlockingIOError:
        sys.exit("the server stalled")
    print(json.dumps({"counted": counted, "elapsed_s": elapsed_s, "all": warm + counted}))
    for sock in socks:
        sock.close()


def drive(socks: list[socket.socket], seconds: float) -> tuple[int, float]:
    """One message under way in each connection; the replies and the time they took.

    They are read in turn, without asking which have come: where a client is slower than the server, it is
    the client that is measured.
    """
    calls = [(sock.send, sock.recv) for sock in socks]
    for send, _ in calls:
        send(MESSAGE)
    rounds = 0
    begin = time.perf_counter()
    while time.perf_counter() < begin + seconds:
        for send, recv in calls:
            if recv(4096) != MESSAGE:
                sys.exit("a reply that is none")
            send(MESSAGE)
        rounds += 1
    elapsed_s = time.perf_counter() - begin
    for _, recv in calls:
        if recv(4096) != MESSAGE:
            sys.exit("a reply that is none")
    return rounds * len(socks), elapsed_s


if __name__ == "__main__":
    main()
