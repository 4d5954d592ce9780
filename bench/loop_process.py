"""One contestant in one scenario, in this process; what loop.py starts.

loop_process.py CONTESTANT SCENARIO [SECONDS] [--profile]
"""

from __future__ import annotations

import sys

from loop_contestants import PATCHED, loop_factory

if sys.argv[1] in PATCHED:
    from gevent import monkey

    monkey.patch_all()

import cProfile
import gc
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
    # What is imported lives for ever.  A collection that looks at it takes the longer the more a contestant
    # imports, or an application does: a tenth of the time of `gather` with ours on 3.11.
    loop_factory(name)
    gc.collect()
    gc.freeze()
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
