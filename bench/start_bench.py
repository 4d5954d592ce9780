"""Start-up: from the command to the first reply, and what that costs.

Some listen before they load the application, so that a connection tells nothing.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import http_bench
import thrift_bench
from compare import Plan, Table
from contestant import BASEPLATE, Contestant, LoadFailed
from idle_clients import HTTP, THRIFT, answered

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Start-up, until the first reply"
COLUMNS = ("", "seconds", "ratio", "CPU seconds", "MB")


def tables(plan: Plan) -> Iterator[Table]:
    """One."""
    if plan.wants(TITLE):
        yield Table(TITLE, COLUMNS, [*_rows(plan)])


def _contestants() -> Iterator[tuple[Contestant, tuple[bytes, bytes]]]:
    command = [str(BASEPLATE / "baseplate-serve"), "--bind", "127.0.0.1:{port}", "http_baseplate.ini"]
    yield Contestant("Baseplate 2.7.1, wsgi", command), HTTP
    for name in (http_bench.OURS, "gunicorn -k gevent", http_bench.UVICORN_FAST, http_bench.PYWSGI):
        yield http_bench.contestant(name, None), HTTP
    for name in (thrift_bench.THEIRS, thrift_bench.OURS, "... with coroutine functions"):
        yield thrift_bench.contestant(name, None, "a void call", "header"), THRIFT


def _rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    base = None
    for contestant, exchange in _contestants():
        rounds = []
        try:
            for _ in range(plan.rounds):
                with contestant as server:
                    answered(server.port, *exchange).close()
                    took_s = time.perf_counter() - server.begin
                    rounds.append((took_s, server.cpu_s(), server.rss_kb() / 1000))
        except LoadFailed as reason:
            yield (contestant.name, str(reason), "", "", "")
            continue
        start_s, cpu_s, size_mb = (statistics.median(column) for column in zip(*rounds, strict=True))
        base = base or start_s
        yield (contestant.name, f"{start_s:.2f}", f"{base / start_s:.1f}", f"{cpu_s:.2f}", f"{size_mb:.0f}")
