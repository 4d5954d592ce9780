"""Latency: how long a request takes at 70 % of the rate that the server reaches at most."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import http_bench
import thrift_bench
from compare import Plan, Table
from contestant import LoadFailed
from idle_clients import HTTP, THRIFT
from paced import CONNECTIONS, latencies
from thrift_calls import CALLS, FRAMINGS
from thrift_load import calls
from wrk import wrk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contestant import Contestant

OF_PEAK = 0.7
COLUMNS = ("", "k requests/s", "p50 ms", "p99 ms", "p99.9 ms")
HTTP_SERVERS = (
    http_bench.PYWSGI,
    http_bench.OURS,
    "gunicorn -k gevent",
    "gunicorn -k asgi",
    "uvicorn --http h11 --loop asyncio",
    http_bench.UVICORN_FAST,
    "granian --interface wsgi",
    http_bench.LIMIT,
)
THRIFT_SERVERS = (
    thrift_bench.THEIRS,
    thrift_bench.OURS,
    "Apache TThreadedServer",
    thrift_bench.LIMIT,
)


def tables(plan: Plan) -> Iterator[Table]:
    """One for HTTP, one for Thrift."""
    load = wrk(connections=CONNECTIONS)
    http = [http_bench.contestant(name, load) for name in HTTP_SERVERS]
    load = calls(CALLS["a void call"], FRAMINGS["header"], CONNECTIONS)
    thrift = [thrift_bench.contestant(name, load, "a void call", "header") for name in THRIFT_SERVERS]
    for kind, contestants, exchange in (("HTTP", http, HTTP), ("Thrift", thrift, THRIFT)):
        title = f"{kind}, latency at {OF_PEAK:.0%} of the peak, {CONNECTIONS} connections"
        if plan.wants(title):
            yield Table(title, COLUMNS, [_row(contestant, exchange, plan) for contestant in contestants])


def _row(contestant: Contestant, exchange: tuple[bytes, bytes], plan: Plan) -> tuple[str, ...]:
    try:
        rounds = [_measure(contestant, exchange, plan.seconds) for _ in range(plan.rounds)]
    except LoadFailed as reason:
        return (contestant.name, str(reason), "", "", "")
    rate, *times = (statistics.median(column) for column in zip(*rounds, strict=True))
    return (contestant.name, f"{rate / 1000:.1f}", *(f"{seconds * 1000:.2f}" for seconds in times))


def _measure(
    contestant: Contestant, exchange: tuple[bytes, bytes], seconds: float
) -> tuple[float, float, float, float]:
    """The rate, and three quantiles in seconds."""
    with contestant as server:
        peak = server.load(seconds).rate
        took = sorted(latencies(server.port, exchange, peak * OF_PEAK, seconds))
    p50, p99, p999 = (took[int(len(took) * part)] for part in (0.5, 0.99, 0.999))
    return len(took) / seconds, p50, p99, p999
