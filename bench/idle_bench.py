"""Memory: what an idle connection costs a server, after a request."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import http_bench
import thrift_bench
from compare import Plan, Table
from contestant import LoadFailed
from idle_clients import HTTP, THRIFT, idle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contestant import Contestant

CONNECTIONS = 1000
RATIO = 2  # column
# Those close what is idle or accept fewer, on purpose.
LEFT_OUT = (http_bench.LIMIT, http_bench.KERNEL_LIMIT, "gunicorn -k gthread", "waitress", "hypercorn")


def title_of(kind: str) -> str:
    return f"{kind}, memory of {CONNECTIONS:,} idle connections"


def tables(plan: Plan) -> Iterator[Table]:
    """One for HTTP, one for Thrift."""
    http = [http_bench.contestant(name, None) for name in http_bench.SERVERS if not name.startswith(LEFT_OUT)]
    thrift = [
        thrift_bench.contestant(name, None, "a void call", "header")
        for name, (framings, _) in thrift_bench.SERVERS.items()
        if "header" in framings
    ]
    for kind, contestants, exchange in (("HTTP", http, HTTP), ("Thrift", thrift, THRIFT)):
        if plan.wants(title_of(kind)):
            yield Table(title_of(kind), ("", "kB each", "ratio"), rows(contestants, exchange, plan.rounds))


def rows(contestants: list[Contestant], exchange: tuple[bytes, bytes], rounds: int) -> list[tuple[str, ...]]:
    """Kilobytes of resident memory that each connection adds, and the ratio to the first contestant's."""
    found: list[tuple[str, ...]] = []
    base = None
    for contestant in contestants:
        try:
            each = statistics.median(_cost_kb(contestant, exchange) for _ in range(rounds))
        except LoadFailed as reason:
            found.append((contestant.name, str(reason), ""))
            continue
        base = base or each
        found.append((contestant.name, f"{each:.1f}", f"{each / base:.2f}"))
    return found


def _cost_kb(contestant: Contestant, exchange: tuple[bytes, bytes]) -> float:
    with contestant as server, idle(server, CONNECTIONS, exchange) as each:
        return each
