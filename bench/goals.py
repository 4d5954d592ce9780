"""What the servers are meant to reach, and what they reached in this run."""

from __future__ import annotations

from dataclasses import dataclass

import http_bench
import scale_bench
import thrift_bench
from compare import Table


@dataclass(frozen=True)
class Goal:
    """In the table of that *title*: *ours* against *theirs*, *at_least* so many times."""

    title: str
    ours: str
    theirs: str
    at_least: float


HELLO = http_bench.title_of("hello world, keep-alive")
VOID = thrift_bench.title_of("a void call", "header", 16)
VOID_FRAMED = thrift_bench.title_of("a void call", "framed", 16)
ITEMS = thrift_bench.title_of("20 items", "header", 16)
GOALS = (
    Goal(HELLO, http_bench.OURS, http_bench.PYWSGI, 2.5),
    Goal(HELLO, http_bench.OURS, http_bench.UVICORN_FAST, 1.0),
    Goal(HELLO, http_bench.OURS, http_bench.LIMIT, 0.55),
    Goal(VOID, thrift_bench.OURS, thrift_bench.THEIRS, 1.35),
    Goal(VOID_FRAMED, thrift_bench.OURS, thrift_bench.THEIRS, 1.35),
    Goal(VOID, thrift_bench.OURS, thrift_bench.LIMIT, 0.7),
    Goal(ITEMS, thrift_bench.OURS, thrift_bench.THEIRS, 1.2),
    *(
        Goal(scale_bench.title_of(kind), ours, scale_bench.alone(ours), 0.9)
        for kind, ours in (("HTTP", http_bench.OURS), ("Thrift", thrift_bench.OURS))
    ),
)


def table(measured: dict[str, Table]) -> Table | None:
    """The goals beside the ratios of *measured*, tables by title; None unless all were measured."""
    if any(goal.title not in measured for goal in GOALS):
        return None
    rows = []
    for goal in GOALS:
        costs, rates = measured[goal.title].costs, measured[goal.title].rates
        if goal.ours not in costs or goal.theirs not in costs:
            rows.append((f"{goal.title}: {goal.theirs}", f"{goal.at_least}", "not measured", ""))
            continue
        by_cost = costs[goal.theirs] / costs[goal.ours]
        by_rate = rates[goal.ours] / rates[goal.theirs]
        rows.append((f"{goal.title}: {goal.theirs}", f"{goal.at_least}", f"{by_cost:.2f}", f"{by_rate:.2f}"))
    return Table("Ours against", ("", "goal", "by CPU time", "by requests/s"), rows)
