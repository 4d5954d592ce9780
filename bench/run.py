"""``make bench``: ours and its peers, in turn, in the same run, as ratios.

The server runs on one core and the load on another; every contestant is measured in each round, and the
median of the rounds is shown.  Absolute numbers mean nothing on a shared machine: read the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from typing import TYPE_CHECKING

import asgi_bench
import http_bench
import thrift_bench

if TYPE_CHECKING:
    from contestant import Contestant

BENCHES = {"http": http_bench, "asgi": asgi_bench, "thrift": thrift_bench}


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", nargs="*", choices=[*BENCHES, []], help="which ones (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load, for each contestant and round")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the load; servers go to the lowest core
    for name in arguments.bench or BENCHES:
        bench = BENCHES[name]
        print(f"\n{bench.TITLE}\n")
        show(measure(bench.contestants(), arguments.rounds, arguments.seconds))
    return 0


def measure(contestants: list[Contestant], rounds: int, seconds: float) -> dict[str, tuple[float, float]]:
    """Name to the medians of requests a second and of microseconds of CPU time a request."""
    rates: dict[str, list[float]] = {c.name: [] for c in contestants}
    costs: dict[str, list[float]] = {c.name: [] for c in contestants}
    for _ in range(rounds):
        for contestant in contestants:
            with contestant as server:
                requests, elapsed_s = server.load(seconds)
                rates[contestant.name].append(requests / elapsed_s)
                costs[contestant.name].append(server.cpu_s() / requests * 1e6)
    return {name: (statistics.median(rates[name]), statistics.median(costs[name])) for name in rates}


def show(results: dict[str, tuple[float, float]]) -> None:
    """Print a table; ratios are against the first row."""
    base_rate, base_cost = next(iter(results.values()))
    print(f"{'':42} {'k req/s':>8} {'ratio':>6} {'CPU µs':>7} {'ratio':>6}")
    for name, (rate, cost) in results.items():
        print(f"{name:42} {rate / 1000:8.1f} {rate / base_rate:6.2f} {cost:7.1f} {cost / base_cost:6.2f}")


if __name__ == "__main__":
    sys.exit(main())
