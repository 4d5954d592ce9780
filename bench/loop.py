"""``make bench-loop``: our event loop and its peers, in turn, in the same run, as ratios.

A contestant has a process of its own for each scenario and round, and the rounds are interleaved, so that
noise hits all alike.  A ratio says how many times as fast as the first column; it is the median of the
rounds' ratios, and ± half their range.  Microseconds mean nothing on a shared machine: read the ratios.

To look into one contestant in one scenario: ``bench/loop.py --in-process ours sleep0 [--profile]``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from loop_contestants import ASYNCIO_GEVENT, LOOPS
from loop_report import Outcome, as_json, show
from loop_scenarios import SCENARIOS

PROCESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "loop_process.py")
START_S = 20.0  # more than any contestant needs to start, warm up and stop

# asyncio's and our transports receive into 256 KiB each time.  Whether glibc has that much at hand or asks
# the kernel for it, which makes an echo up to four times as long, depends on what else the process has
# allocated: luck.  With the highest limits that glibc raises its own to, it has.  Set them yourself to see
# the other case.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20), **os.environ}


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each contestant, scenario and round")
    parser.add_argument("--only", action="append", choices=SCENARIOS, metavar="NAME", help="a scenario")
    parser.add_argument("--contestant", action="append", choices=LOOPS, help="none but these (default: all)")
    parser.add_argument("--json", action="store_true", help="every round's figures, for programs")
    parser.add_argument("--in-process", nargs=2, metavar=("CONTESTANT", "SCENARIO"))
    parser.add_argument("--profile", action="store_true", help="with --in-process: where the time goes")
    arguments = parser.parse_args()
    if arguments.in_process:
        contestant, scenario = arguments.in_process
        if scenario not in SCENARIOS or contestant not in SCENARIOS[scenario].contestants:
            known = "; ".join(f"{name}: {', '.join(s.contestants)}" for name, s in SCENARIOS.items())
            parser.error(f"--in-process takes one of these contestants and their scenario: {known}")
        options = ["--profile"] if arguments.profile else []
        # Not in the interpreter that parsed this: the standard library is patched first.
        words = command(contestant, scenario, arguments.seconds) + options
        os.execve(sys.executable, words, ENVIRONMENT)  # noqa: S606 (no shell is wanted)
    scenarios = [name for name in SCENARIOS if name in (arguments.only or SCENARIOS)]
    outcomes = measure(scenarios, arguments.contestant, arguments.rounds, arguments.seconds)
    if arguments.json:
        json.dump(as_json(outcomes), sys.stdout, indent=1)
        print()
    else:
        show(outcomes)
    # The peer that cannot do everything is known; whatever else fails is a bug.
    return int(any(o.failure for of in outcomes.values() for name, o in of.items() if name != ASYNCIO_GEVENT))


def command(contestant: str, scenario: str, seconds: float) -> list[str]:
    """What measures one contestant in one scenario."""
    return [sys.executable, PROCESS, contestant, scenario, str(seconds)]


def measure(
    scenarios: list[str], only: list[str] | None, rounds: int, seconds: float
) -> dict[str, dict[str, Outcome]]:
    """Scenario to contestant to what was found in each round."""
    outcomes: dict[str, dict[str, Outcome]] = {
        s: {c: Outcome() for c in SCENARIOS[s].contestants if only is None or c in only or c not in LOOPS}
        for s in scenarios
    }
    for number in range(rounds):
        for scenario, contestants in outcomes.items():
            names = list(contestants)
            turn = number % len(names) if names else 0  # nobody is always the first
            for name in names[turn:] + names[:turn]:
                if not contestants[name].failure:
                    once(contestants[name], name, scenario, seconds)
        if sys.stderr.isatty():
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    return outcomes


def once(outcome: Outcome, name: str, scenario: str, seconds: float) -> None:
    """One round of one contestant in one scenario."""
    deadline_s = START_S + 4 * seconds
    try:
        done = subprocess.run(
            command(name, scenario, seconds),
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        outcome.failure = f"hangs: nothing after {deadline_s:.0f} seconds"
        return
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or [""])[-1]
        outcome.failure = f"fails with status {done.returncode}: {last_line}"
        return
    outcome.add(**json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main())
