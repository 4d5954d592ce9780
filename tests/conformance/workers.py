"""Other people's suites in processes of their own: start one, and read what it wrote."""

import json
import subprocess
import sys

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def here(listed):
    """The names of those that hold for this Python."""
    return {each.test for each in listed if PYTHON in each.pythons}


def run_worker(part, directory, deadline_s, command):
    """The lines that the worker wrote, and what it printed.  *command* makes its command of their path."""
    results, printed = directory / f"{part}.jsonl", directory / f"{part}.txt"
    # To a file: what the suite leaves running would keep a pipe open.
    with open(printed, "w") as output:
        try:
            subprocess.run(
                [sys.executable, *command(results)],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=deadline_s,
                cwd=directory,
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"\n{part} was not done after {deadline_s} seconds", file=output)
    lines = results.read_text().splitlines() if results.exists() else []
    return [json.loads(line) for line in lines], printed.read_text()


def ended(part, lines, printed, ours="loop"):
    """Each test that has ended, and its failure or None; the worker must have come to its end on *ours*."""
    begun = [line["begins"] for line in lines if "begins" in line]
    assert begun, f"no test of {part} began:\n{printed}"
    assert f"{ours}s" in lines[-1], f"{part} stopped in {begun[-1]}:\n{printed[-4000:]}"
    assert lines[-1][f"{ours}s"], f"{part} ran without our {ours}"
    return {line["test"]: line["failed"] for line in lines if "test" in line}
