"""Memory: what an idle keep-alive connection costs a server, after a request."""

from __future__ import annotations

import resource
import socket
import statistics
from typing import TYPE_CHECKING

from http_bench import SERVERS, contestant

if TYPE_CHECKING:
    from contestant import Contestant

CONNECTIONS = 1000
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# Those close what is idle or accept fewer, on purpose.
LEFT_OUT = ("limit", "gunicorn -k gthread", "waitress", "hypercorn")


def show(rounds: int) -> None:
    """Print a table: kilobytes of resident memory for each of 1,000 idle connections over none."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"\nHTTP, memory of {CONNECTIONS} idle keep-alive connections\n")
    print(f"{'':46} {'kB each':>8} {'ratio':>6}")
    base = None
    for name in SERVERS:
        if name.startswith(LEFT_OUT):
            continue
        each = statistics.median(measure(contestant(name, lambda _port, _s: (1, 1.0))) for _ in range(rounds))
        base = base or each
        print(f"{name:46} {each:8.1f} {each / base:6.2f}")


def measure(server: Contestant) -> float:
    """Kilobytes for each connection.  Raises: OSError if the server closes one."""
    with server:
        for sock in [answered(server.port) for _ in range(20)]:
            sock.close()  # what the first requests load is not what a connection costs
        before = server.rss_kb()
        idle = [answered(server.port) for _ in range(CONNECTIONS)]
        after = server.rss_kb()
        for sock in idle:
            sock.close()
    return (after - before) / CONNECTIONS


def answered(port: int) -> socket.socket:
    """A connection that has had a reply."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(REQUEST)
    received = b""
    while not received.endswith(b"hello"):
        piece = sock.recv(4096)
        if not piece:
            raise OSError("the server closed a keep-alive connection")
        received += piece
    return sock
