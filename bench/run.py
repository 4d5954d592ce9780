"""``make bench``: ours and its peers, in turn, in the same run, as ratios.

The server runs on one core and the load on another; every contestant is measured in each round, and the
median of the rounds is shown.  Absolute numbers mean nothing on a shared machine: read the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from typing import TYPE_CHECKING, Any

import asgi_bench
import http_bench
import idle_bench
import thrift_bench
from contestant import LoadFailed

if TYPE_CHECKING:
    from contestant import Contestant

Result = tuple[float, float] | str  # what was measured, or why nothing could be
BENCHES: dict[str, Any] = {"http": http_bench, "asgi": asgi_bench, "thrift": thrift_bench}


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", nargs="*", choices=[*BENCHES, "idle", []], help="which ones (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load, for each contestant and round")
    parser.add_argument("--only", default="", help="tables with this in their title")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the load; servers go to the lowest core
    for name in arguments.bench or [*BENCHES, "idle"]:
        if name == "idle":
            idle_bench.show(arguments.rounds)
            continue
        bench = BENCHES[name]
        tables = bench.tables() if hasattr(bench, "tables") else [(bench.TITLE, bench.contestants())]
        for title, contestants in tables:
            if arguments.only in title:
                print(f"\n{title}\n")
                show(measure(contestants, arguments.rounds, arguments.seconds))
    return 0


def measure(contestants: list[Contestant], rounds: int, seconds: float) -> dict[str, Result]:
    """Name to the medians of requests a second and of microseconds of CPU time a request.

    Or to the reason why there are none.
    """
    rates: dict[str, list[float]] = {c.name: [] for c in contestants}
    costs: dict[str, list[float]] = {c.name: [] for c in contestants}
    failed: dict[str, Result] = {}
    for _ in range(rounds):
        for contestant in contestants:
            if contestant.name in failed:
                continue
            try:
                with contestant as server:
                    requests, elapsed_s = server.load(seconds)
                    cpu_s = server.cpu_s()
            except LoadFailed as reason:
                failed[contestant.name] = str(reason)
                continue
            rates[contestant.name].append(requests / elapsed_s)
            costs[contestant.name].append(cpu_s / requests * 1e6)
    return {
        name: failed.get(name) or (statistics.median(rates[name]), statistics.median(costs[name]))
        for name in rates
    }


def show(results: dict[str, Result]) -> None:
    """Print a table; ratios are against the first row."""
    base = next(iter(results.values()))
    if isinstance(base, str):
        print(base)
        return
    print(f"{'':46} {'k req/s':>8} {'ratio':>6} {'CPU µs':>7} {'ratio':>6}")
    for name, result in results.items():
        if isinstance(result, str):
            print(f"{name:46} {result}")
            continue
        rate, cost = result
        print(f"{name:46} {rate / 1000:8.1f} {rate / base[0]:6.2f} {cost:7.1f} {cost / base[1]:6.2f}")


if __name__ == "__main__":
    sys.exit(main())
