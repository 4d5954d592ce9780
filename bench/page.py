"""docs/performance.md: what is between its markers is written here, the rest by hand."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from contestant import Window

if TYPE_CHECKING:
    from compare import Plan, Table

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_CIRCUMSTANCES = re.compile(r"([0-9-]{10}), .*--rounds ([0-9]+) --seconds ([0-9.]+)'`").match


def markdown(table: Table) -> str:
    """*table* as a terminal and as a browser show it."""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(table.columns))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        " | ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in (table.columns, rule, *table.rows)
    ]
    return f"### {table.title}\n\n" + "".join(f"| {line} |\n" for line in lines)


@dataclass
class Shown:
    """A table of the page."""

    measured: str  # when, and how long
    rows: dict[str, list[str]] = field(default_factory=dict)  # cells, by the first of them

    def number(self, row: str, column: int) -> float:
        """The figure there.  Raises: KeyError where there is no such row, ValueError where there is none."""
        return float(self.rows[row][column])


def tables(page: str) -> dict[str, Shown]:
    """What `circumstances` and `markdown` have written into *page*, by the tables' titles."""
    found: dict[str, Shown] = {}
    measured = title = ""
    for line in page.splitlines():
        if when := _CIRCUMSTANCES(line):
            measured = f"{when[1]}, {when[2]} x {when[3]} s"
        elif line.startswith("#"):
            title = line.removeprefix("### ") if line.startswith("### ") else ""
        elif title and line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if title not in found:
                found[title] = Shown(measured)
            elif set(cells[0]) != {"-"}:
                found[title].rows[cells[0]] = cells
    return found


def circumstances(name: str, plan: Plan) -> str:
    """When, where and how it was measured."""
    today = datetime.now(UTC).date().isoformat()
    return (
        f"{today}, {_processor()}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}, gevent {version('gevent')}: "
        f"`make bench ARGS='{name} --rounds {plan.rounds} --seconds {plan.seconds:g}'`{_disturbed()}"
    )


def _disturbed() -> str:
    if not Window.measured_s:
        return ""
    part = Window.disturbed_s / Window.measured_s / (os.cpu_count() or 1)
    Window.measured_s = Window.disturbed_s = 0.0
    return f"; other programs had {part:.0%} of the machine's CPU time meanwhile"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return re.sub(r"\(R\)|\(TM\)", "", line.partition(":")[2]).strip()
    return platform.machine()


def write(name: str, text: str) -> None:
    """Put *text* between the markers of *name*.  Raises: SystemExit where the page has none."""
    begin, end = f"<!-- {name}: written by make bench -->\n", f"<!-- {name}: end -->\n"
    page = PAGE.read_text()
    if begin not in page or end not in page:
        raise SystemExit(f"{PAGE} has no place for {name!r}")
    before, _, rest = page.partition(begin)
    PAGE.write_text(before + begin + "\n" + text + "\n" + end + rest.partition(end)[2])
