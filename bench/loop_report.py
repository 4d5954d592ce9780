"""What loop.py has found, as tables and as JSON."""

from __future__ import annotations

import platform
import statistics
from dataclasses import dataclass, field
from importlib import metadata
from itertools import groupby
from typing import Any

from loop_contestants import OURS, UVLOOP
from loop_scenarios import SCENARIOS

LABEL, CELL, RATIO = 32, 9, 12
PACKAGES = ("gevent", "greenlet", "uvloop", "asyncio-gevent")


@dataclass
class Outcome:
    """A contestant's figures in a scenario, one of each kind a round; or why there are none."""

    wall_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    failure: str = ""

    def add(self, wall_us: float, cpu_us: float) -> None:
        self.wall_us.append(wall_us)
        self.cpu_us.append(cpu_us)


Found = dict[str, Outcome]  # by contestant; the one to compare with is the first


def ratio(base: list[float], own: list[float]) -> tuple[float, float]:
    """How many times as fast as *base*, and half the range of that over the rounds."""
    ratios = [b / o for b, o in zip(base, own, strict=True)]
    return statistics.median(ratios), (max(ratios) - min(ratios)) / 2


def show(outcomes: dict[str, Found]) -> None:
    """Print a table for each group of contestants, with footnotes."""
    print(versions())
    print("Ratios: times as fast as the first column, ± half their range.  Only they mean something.")
    for contestants, group in groupby(outcomes.items(), key=lambda item: list(item[1])):
        if contestants:
            show_table(contestants, dict(group))


def show_table(contestants: list[str], outcomes: dict[str, Found]) -> None:
    notes: dict[str, int] = {}
    base, *others = contestants
    compared = OURS in contestants and UVLOOP in contestants
    head = f"\n{'µs an operation':{LABEL}}{base:>{CELL}}  "
    head += "".join(f"{name:>{CELL + RATIO}}  " for name in others)
    print(head + ("ours : uvloop" if compared else ""))
    for scenario, found in outcomes.items():
        described = SCENARIOS[scenario]
        for contestant, note in described.notes:
            if contestant in found:
                notes.setdefault(f"{contestant}: {note}", len(notes) + 1)
        for contestant, outcome in found.items():
            if outcome.failure:
                notes.setdefault(f"{contestant}, {scenario}: {outcome.failure}", len(notes) + 1)
        marks = {c: mark(c, scenario, found[c], notes) for c in found}
        show_row(described.title, "wall_us", found, marks, compared=compared)
        if described.shows_cpu:
            show_row("  server's CPU time", "cpu_us", found, marks, compared=compared)
    for note, number in notes.items():
        print(f"  [{number}] {note}")


def mark(contestant: str, scenario: str, outcome: Outcome, notes: dict[str, int]) -> str:
    """The footnotes' numbers for a cell."""
    texts = [f"{contestant}: {note}" for c, note in SCENARIOS[scenario].notes if c == contestant]
    if outcome.failure:
        texts.append(f"{contestant}, {scenario}: {outcome.failure}")
    return "".join(str(notes[text]) for text in texts)


def show_row(title: str, kind: str, found: Found, marks: dict[str, str], *, compared: bool) -> None:
    figures: dict[str, list[float]] = {c: [] if o.failure else getattr(o, kind) for c, o in found.items()}
    base = next(iter(figures.values()))
    row = f"{title:{LABEL}}"
    for number, (contestant, own) in enumerate(figures.items()):
        noted = f"[{marks[contestant]}]" if marks[contestant] else ""
        cell = f"{noted} {statistics.median(own):.2f}" if own else f"{noted} -"
        row += f"{cell:>{CELL}}" + (f"{compare(base, own):>{RATIO}}" if number else "") + "  "
    print(row + (f"{compare(figures[UVLOOP], figures[OURS]):>13}" if compared else ""))


def compare(base: list[float], own: list[float]) -> str:
    if not base or not own:
        return "-"
    times, spread = ratio(base, own)
    return f"{times:.2f} ±{spread:.2f}"


def versions() -> str:
    """What has been measured: the interpreter's and the packages' versions."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def as_json(outcomes: dict[str, Found]) -> dict[str, Any]:
    """Every figure of every round, and the medians."""
    return {
        "measured": versions(),
        "scenarios": {s: {c: _one(o, found) for c, o in found.items()} for s, found in outcomes.items()},
    }


def _one(outcome: Outcome, found: Found) -> dict[str, Any]:
    if outcome.failure:
        return {"failure": outcome.failure}
    base = next(iter(found.values()))
    comparable = not base.failure
    return {
        "wall_us": statistics.median(outcome.wall_us),
        "cpu_us": statistics.median(outcome.cpu_us),
        "ratio": ratio(base.wall_us, outcome.wall_us)[0] if comparable else None,
        "cpu_ratio": ratio(base.cpu_us, outcome.cpu_us)[0] if comparable else None,
        "rounds_wall_us": outcome.wall_us,
        "rounds_cpu_us": outcome.cpu_us,
    }
