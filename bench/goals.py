"""What the servers are meant to reach, and what docs/performance.md says that they reached.

The figures are read from the page's tables, and nowhere else, so that the goals cannot contradict them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import asgi_bench
import http_bench
import idle_bench
import monitors
import scale_bench
import thrift_bench
from compare import RATIOS, Table

if TYPE_CHECKING:
    from page import Shown


@dataclass(frozen=True)
class Goal:
    """In the table of that *title*: *ours* against *theirs*, *at_least* so many times."""

    title: str
    ours: str
    theirs: str
    at_least: float
    words: str = ""  # for the two, where *theirs* doesn't tell

    def reached(self, table: Shown) -> list[float]:
        """By what it is judged, and by requests/s.  Raises: KeyError, ValueError for no such figure."""
        return [table.number(self.ours, ratio) / table.number(self.theirs, ratio) for ratio in RATIOS]


class Beside(Goal):
    """Ours beside idle connections, against itself without them: ratios that the table has."""

    def reached(self, table: Shown) -> list[float]:
        return [table.number(self.ours, ratio) for ratio in scale_bench.RATIOS]


class Memory(Goal):
    """Of which less is better."""

    def reached(self, table: Shown) -> list[float]:
        ours, theirs = (table.number(name, idle_bench.RATIO) for name in (self.ours, self.theirs))
        return [theirs / ours]


HELLO = http_bench.title_of("hello world, keep-alive")
VOID = thrift_bench.title_of("a void call", "header", 16)
VOID_FRAMED = thrift_bench.title_of("a void call", "framed", 16)
ITEMS = thrift_bench.title_of("20 items", "header", 16)
GOALS = (
    Goal(HELLO, http_bench.OURS, http_bench.PYWSGI, 2.5),
    Goal(HELLO, http_bench.OURS, http_bench.UVICORN_FAST, 1.0),
    Goal(HELLO, http_bench.OURS, http_bench.LIMIT, 0.55),
    Goal(asgi_bench.TITLE, asgi_bench.OURS, asgi_bench.UVICORN_FAST, 0.9),
    Goal(asgi_bench.TITLE, asgi_bench.OURS, asgi_bench.GUNICORN, 1.0),
    Goal(VOID, thrift_bench.OURS, thrift_bench.THEIRS, 1.35),
    Goal(VOID_FRAMED, thrift_bench.OURS, thrift_bench.THEIRS, 1.35),
    Goal(VOID, thrift_bench.OURS, thrift_bench.LIMIT, 0.7),
    Goal(ITEMS, thrift_bench.OURS, thrift_bench.THEIRS, 1.2),
    Goal(VOID, thrift_bench.ASYNC, thrift_bench.OURS, 0.87, "coroutine functions, against ordinary ones"),
    *(
        Goal(monitors.title_of(service), monitors.DEFAULTS, monitors.OFF, 0.97, "the defaults, against none")
        for service in (monitors.HTTP, monitors.THRIFT)
    ),
    *(
        Beside(scale_bench.title_of(kind), ours, f"{ours}, without idle ones", 0.9)
        for kind, ours in (("HTTP", http_bench.OURS), ("Thrift", thrift_bench.OURS))
    ),
    Memory(idle_bench.title_of("HTTP"), http_bench.OURS, http_bench.PYWSGI, 1.0),
)


def table(shown: dict[str, Shown]) -> Table:
    """The goals beside what *shown*, the page's tables by title, says of them."""
    rows = []
    for goal in GOALS:
        what = f"{goal.title}: {goal.words or goal.theirs}"
        least = f"{goal.at_least:g}"
        found = shown.get(goal.title)
        try:
            ratios = goal.reached(found) if found else []
        except (KeyError, ValueError):
            ratios = []
        if found is None or not ratios:
            rows.append((what, least, "", "", "not measured", ""))
            continue
        verdict = "reached" if round(ratios[0], 2) >= goal.at_least else "missed"
        by_rate = f"{ratios[1]:.2f}" if len(ratios) > 1 else ""
        rows.append((what, least, f"{ratios[0]:.2f}", by_rate, verdict, found.measured))
    columns = ("", "goal", "by CPU time or memory", "by requests/s", "", "measured")
    return Table("Ours against", columns, rows)
