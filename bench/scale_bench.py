"""Scale: 100 busy connections alone, and the same beside 10,000 idle ones."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import http_bench
import thrift_bench
from compare import Plan, Table
from contestant import Contestant, LoadFailed
from idle_clients import HTTP, THRIFT, idle
from thrift_calls import CALLS, FRAMINGS
from thrift_load import calls
from wrk import wrk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contestant import Measured

IDLE = 10_000
BUSY = 100
UVICORN = f"{http_bench.UVICORN_FAST} --timeout-keep-alive 600"  # it closes idle connections after 5 s
COLUMNS = ("", "CPU µs alone", "beside", "ratio", "k requests/s alone", "beside", "ratio", "kB each idle")
RATIOS = (3, 6)  # columns


def title_of(kind: str) -> str:
    return f"{kind}, {BUSY} busy connections beside {IDLE:,} idle ones"


def tables(plan: Plan) -> Iterator[Table]:
    """One for HTTP, one for Thrift."""
    load = wrk(connections=BUSY)
    uvicorn = http_bench.contestant(http_bench.UVICORN_FAST, load)
    http = [
        http_bench.contestant(http_bench.PYWSGI, load),
        http_bench.contestant(http_bench.OURS, load),
        Contestant(UVICORN, [*uvicorn.command, "--timeout-keep-alive", "600"], load),
    ]
    load = calls(CALLS["a void call"], FRAMINGS["header"], BUSY)
    thrift = [
        thrift_bench.contestant(name, load, "a void call", "header")
        for name in (thrift_bench.THEIRS, thrift_bench.OURS)
    ]
    for kind, contestants, exchange in (("HTTP", http, HTTP), ("Thrift", thrift, THRIFT)):
        if plan.wants(title_of(kind)):
            yield _table(title_of(kind), contestants, exchange, plan)


def _table(title: str, contestants: list[Contestant], exchange: tuple[bytes, bytes], plan: Plan) -> Table:
    table = Table(title, COLUMNS, [])
    for contestant in contestants:
        try:
            rounds = [_measure(contestant, exchange, plan.seconds) for _ in range(plan.rounds)]
        except LoadFailed as reason:
            table.rows.append((contestant.name, str(reason), *[""] * 6))
            continue
        cost, cost_beside = (statistics.median(r[n].cost_us for r in rounds) for n in (0, 1))
        rate, rate_beside = (statistics.median(r[n].rate for r in rounds) for n in (0, 1))
        each_kb = statistics.median(r[2] for r in rounds)
        table.rows.append(
            (
                contestant.name,
                f"{cost:.1f}",
                f"{cost_beside:.1f}",
                f"{cost / cost_beside:.2f}",
                f"{rate / 1000:.1f}",
                f"{rate_beside / 1000:.1f}",
                f"{rate_beside / rate:.2f}",
                f"{each_kb:.1f}",
            )
        )
    return table


def _measure(
    contestant: Contestant, exchange: tuple[bytes, bytes], seconds: float
) -> tuple[Measured, Measured, float]:
    with contestant as server:
        before = server.load(seconds)
        with idle(server, IDLE, exchange) as each_kb:
            return before, server.load(seconds), each_kb
