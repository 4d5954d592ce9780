"""CPython's own asyncio tests, with our loop in the place of the selector loop and everything patched.

A failure that isn't in `known_cpython` is an error, and so is one of those that passes.
"""

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from known_cpython import KNOWN, LEFT_OUT, NO_LOOP

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
MODULE_S = 200
MODULES = [
    "test_events", "test_subprocess", "test_tasks", "test_streams", "test_unix_events", "test_ssl",
    "test_sslproto", "test_sendfile", "test_sock_lowlevel", "test_server", "test_buffered_proto",
    "test_taskgroups", "test_timeouts", "test_waitfor", "test_runners", "test_locks", "test_queues",
    "test_threads", "test_futures", "test_context", "test_pep492",
]  # fmt: skip  # the longest first: they run side by side
if sys.version_info >= (3, 12):
    MODULES.append("test_eager_task_factory")


def here(listed):
    """The names of those that hold for this Python."""
    return {each.test for each in listed if PYTHON in each.pythons}


MODULES = [module for module in MODULES if module not in here(NO_LOOP)]


def run(module, directory):
    """The lines that the worker wrote, and what it printed."""
    results, printed = directory / f"{module}.jsonl", directory / f"{module}.txt"
    worker = os.path.join(os.path.dirname(__file__), "cpython_worker.py")
    # To a file: what the suite leaves running would keep a pipe open.
    with open(printed, "w") as output:
        try:
            subprocess.run(
                [sys.executable, worker, module, results, ",".join(here(LEFT_OUT)), ",".join(here(KNOWN))],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=MODULE_S,
                cwd=directory,
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"\n{module} was not done after {MODULE_S} seconds", file=output)
    lines = results.read_text().splitlines() if results.exists() else []
    return [json.loads(line) for line in lines], printed.read_text()


@pytest.fixture(scope="session")
def runs(tmp_path_factory, request):
    """A future for each module asked for; as many at a time as there are processors."""
    asked = {
        item.callspec.params["module"]
        for item in request.session.items
        if "module" in getattr(item, "fixturenames", ())
    }
    directory = tmp_path_factory.mktemp("cpython")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {module: pool.submit(run, module, directory) for module in MODULES if module in asked}


@pytest.mark.timeout(15 * 60)
@pytest.mark.parametrize("module", MODULES)
def test_the_suite_passes_on_our_loop(module, runs):
    if importlib.util.find_spec("test.test_asyncio") is None:
        pytest.fail(
            f"no test.test_asyncio here: `apt-get install libpython{PYTHON}-testsuite`, or `make test`"
        )
    lines, printed = runs[module].result()
    begun = [line["begins"] for line in lines if "begins" in line]
    ended = {line["test"]: line["failed"] for line in lines if "test" in line}
    assert begun, f"no test of {module} began:\n{printed}"
    assert "loops" in lines[-1], f"{module} stopped in {begun[-1]}:\n{printed[-4000:]}"
    assert lines[-1]["loops"], f"{module} ran without our loop"
    failed = {test: text for test, text in ended.items() if text}
    known = {test for test in here(KNOWN) if test.startswith(f"{module}.")}
    unknown = "\n\n".join(f"{test}\n{text}" for test, text in failed.items() if test not in known)
    assert not unknown, unknown
    assert known <= failed.keys(), f"listed as failing, and not failing: {known - failed.keys()}"
