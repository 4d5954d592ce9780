"""Contestants under load, in turn, as a table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contestant import LoadFailed

if TYPE_CHECKING:
    from contestant import Contestant, Measured


RATIOS = (2, 4)  # columns of what `compare` makes


@dataclass(frozen=True)
class Plan:
    """How long to measure, and what."""

    rounds: int
    seconds: float  # of load, for each contestant and round
    only: str = ""  # tables with this in their title

    def wants(self, title: str) -> bool:
        return self.only in title


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of which is a name."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def compare(title: str, contestants: list[Contestant], plan: Plan) -> Table:
    """The medians of all rounds; ratios are against the first contestant."""
    measured: dict[str, list[Measured]] = {c.name: [] for c in contestants}
    failed: dict[str, str] = {}
    for _ in range(plan.rounds):
        for contestant in contestants:
            if contestant.name in failed:
                continue
            try:
                with contestant as server:
                    measured[contestant.name].append(server.load(plan.seconds))
            except LoadFailed as reason:
                failed[contestant.name] = str(reason)
    rates = {name: statistics.median(m.rate for m in each) for name, each in measured.items() if each}
    costs = {name: statistics.median(m.cost_us for m in each) for name, each in measured.items() if each}
    base = contestants[0].name
    rows = []
    for name in measured:
        if name in failed:
            rows.append((name, failed[name], "", "", ""))
            continue
        rate, cost = rates[name], costs[name]
        ratios = ("", "") if base in failed else (f"{costs[base] / cost:.2f}", f"{rate / rates[base]:.2f}")
        rows.append((name, f"{cost:.1f}", ratios[0], f"{rate / 1000:.1f}", ratios[1]))
    return Table(title, ("", "CPU µs a request", "ratio", "k requests/s", "ratio"), rows)
