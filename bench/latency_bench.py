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
            yield Table(title, COLUMNS, [*_rows(contestants, exchange, plan)])


def _rows(
    contestants: list[Contestant], exchange: tuple[bytes, bytes], plan: Plan
) -> Iterator[tuple[str, ...]]:
    """One for each; and ours, the second, at the rate of the first: what whoever leaves that one gets."""
    first_rate = None
    for number, contestant in enumerate(contestants):
        found = _row(contestant, exchange, plan, None)
        first_rate = found if number == 0 else first_rate
        yield _shown(contestant.name, found)
        if number == 1 and isinstance(first_rate, list):
            name = f"... at the rate of {contestants[0].name}"
            yield _shown(name, _row(contestant, exchange, plan, first_rate[0]))


def _shown(name: str, found: list[float] | str) -> tuple[str, ...]:
    if isinstance(found, str):
        return (name, found, "", "", "")
    rate, *times = found
    return (name, f"{rate / 1000:.1f}", *(f"{seconds * 1000:.2f}" for seconds in times))


def _row(
    contestant: Contestant, exchange: tuple[bytes, bytes], plan: Plan, rate: float | None
) -> list[float] | str:
    """Medians of what `_measure` finds; or why there is nothing to be found."""
    try:
        rounds = [_measure(contestant, exchange, plan.seconds, rate) for _ in range(plan.rounds)]
    except LoadFailed as reason:
        return str(reason)
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def _measure(
    contestant: Contestant, exchange: tuple[bytes, bytes], seconds: float, rate: float | None
) -> tuple[float, float, float, float]:
    """The rate, and three quantiles in seconds, at *rate*; None: at so much of its own peak."""
    with contestant as server:
        rate = rate or server.load(seconds).rate * OF_PEAK
        took = sorted(latencies(server.port, exchange, rate, seconds))
    p50, p99, p999 = (took[int(len(took) * part)] for part in (0.5, 0.99, 0.999))
    return len(took) / seconds, p50, p99, p999
