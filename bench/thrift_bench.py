"""Thrift: every server that people put in our place, with the same bare processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compare import Plan, Table, compare
from contestant import BASEPLATE, PYTHON, Contestant
from thrift_calls import CALLS, FRAMINGS
from thrift_load import calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contestant import Load

OURS = "baseplate-serve (thrift)"
ASYNC = "... with coroutine functions"
THEIRS = "Baseplate 2.7.1"
LIMIT = "limit: a gevent socket, constant reply"
KERNEL_LIMIT = "limit: the kernel's socket below it, likewise"
PEERS = [PYTHON, "thrift_peers.py"]
SERVE = [PYTHON, "-m", "baseplate_serve", "--bind", "127.0.0.1:{port}"]
EVERY = ("header", "framed", "unframed")
# Name, which framings it speaks, and command.  The first is what others are compared with.
SERVERS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    THEIRS: (
        EVERY,
        [str(BASEPLATE / "baseplate-serve"), "--bind", "127.0.0.1:{port}", "thrift_baseplate.ini"],
    ),
    OURS: (EVERY, [*SERVE, "thrift.ini"]),
    ASYNC: (EVERY, [*SERVE, "thrift_async.ini"]),
    "Apache TThreadedServer": (EVERY, [*PEERS, "apache-threaded", "{framing}", "{port}"]),
    "Apache TNonblockingServer": (("framed",), [*PEERS, "apache-nonblocking", "{framing}", "{port}"]),
    "thriftpy2 TThreadedServer, Cython": (
        ("framed", "unframed"),
        [*PEERS, "thriftpy2", "{framing}", "{port}"],
    ),
    LIMIT: (EVERY, [*PEERS, "constant", "{framing}", "{port}", "{call}"]),
    KERNEL_LIMIT: (EVERY, [*PEERS, "constant-below", "{framing}", "{port}", "{call}"]),
}
# Call, framing, connections.
CASES = (
    ("a void call", "header", 16),
    ("a void call", "framed", 16),
    ("a void call", "unframed", 16),
    ("a small struct", "header", 16),
    ("20 items", "header", 16),
    ("20 items", "framed", 16),
    ("a void call", "header", 1),
    ("a void call", "header", 256),
    ("a void call", "header", 5000),
)


def title_of(call: str, framing: str, connections: int) -> str:
    return f"Thrift, {call}, {framing}, {connections:,} connection{'s' * (connections > 1)}"


def tables(plan: Plan) -> Iterator[Table]:
    """One for each of `CASES`."""
    for call, framing, connections in CASES:
        title = title_of(call, framing, connections)
        if plan.wants(title):
            load = calls(CALLS[call], FRAMINGS[framing], connections)
            contestants = [
                contestant(name, load, call, framing)
                for name, (framings, _) in SERVERS.items()
                if framing in framings
            ]
            yield compare(title, contestants, plan)


def contestant(name: str, load: Load | None, call: str, framing: str) -> Contestant:
    """The server of that *name* under *load*."""
    words = {"{framing}": framing, "{call}": call}
    return Contestant(name, [words.get(word, word) for word in SERVERS[name][1]], load)
