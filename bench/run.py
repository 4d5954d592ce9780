"""``make bench``: ours and its peers, in turn, in the same run, as ratios.

The server runs on one core and the load on another; every contestant is measured in each round, and the
median of the rounds is shown.  What is measured whole is written to docs/performance.md, too, and the goals
are made of what that page says then.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
from time import monotonic
from typing import Any

import asgi_bench
import goals
import http_bench
import idle_bench
import latency_bench
import monitors
import page
import scale_bench
import start_bench
import thrift_bench
from compare import Plan

BENCHES: dict[str, Any] = {
    "http": http_bench,
    "asgi": asgi_bench,
    "thrift": thrift_bench,
    "idle": idle_bench,
    "scale": scale_bench,
    "latency": latency_bench,
    "start": start_bench,
    "monitors": monitors,
}


def main() -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", nargs="*", choices=[*BENCHES, []], help="which ones (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load, for each contestant and round")
    parser.add_argument("--only", default="", help="tables with this in their title; nothing is written")
    arguments = parser.parse_args()
    plan = Plan(arguments.rounds, arguments.seconds, arguments.only)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server is left behind
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        parser.error(f"the server has one core and the load another; there is only core {min(cores)} here")
    os.sched_setaffinity(0, {max(cores)})  # the load; servers go to the lowest core
    begin = monotonic()
    shown = 0
    for name in arguments.bench or BENCHES:
        tables = []
        for table in BENCHES[name].tables(plan):
            print(f"\n{page.markdown(table)}", flush=True)
            tables.append(table)
        shown += len(tables)
        if not plan.only:
            texts = [page.circumstances(name, plan) + "\n", *map(page.markdown, tables)]
            page.write(name, "\n".join(texts))
    if not shown:
        parser.error(f"no table has {plan.only!r} in its title")
    if not plan.only:
        reached = page.markdown(goals.table(page.tables(page.PAGE.read_text())))
        print(f"\n{reached}")
        page.write("goals", reached)
    print(f"\n{(monotonic() - begin) / 60:.0f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
