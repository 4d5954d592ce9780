"""One contestant in one scenario, in this process; what loop.py starts.

loop_process.py CONTESTANT SCENARIO [SECONDS] [--profile]
"""

from __future__ import annotations

import sys

from loop_contestants import PATCHED

if sys.argv[1] in PATCHED:
    from gevent import monkey

    monkey.patch_all()

import cProfile
import json
import os
import pstats

from loop_measure import CORES
from loop_scenarios import SCENARIOS


def main() -> None:
    name, scenario = sys.argv[1:3]
    profile = "--profile" in sys.argv
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 + profile else 1.0
    os.sched_setaffinity(0, CORES[:1])
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    figures = SCENARIOS[scenario].measure(name, seconds)
    profiler.disable()
    if profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(30)
    print(json.dumps(figures._asdict()))


if __name__ == "__main__":
    main()
