"""CPython's own asyncio tests, with our loop in the place of the selector loop and everything patched.

A failure that isn't in `known_cpython` is an error, and so is one of those that passes.
"""

import importlib.util
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from known_cpython import KNOWN, LEFT_OUT, NO_LOOP
from workers import PYTHON, ended, here, run_worker

MODULE_S = 200
MODULES = [
    "test_events", "test_subprocess", "test_tasks", "test_streams", "test_unix_events", "test_ssl",
    "test_sslproto", "test_sendfile", "test_sock_lowlevel", "test_server", "test_buffered_proto",
    "test_taskgroups", "test_timeouts", "test_waitfor", "test_runners", "test_locks", "test_queues",
    "test_threads", "test_futures", "test_context", "test_pep492",
]  # fmt: skip  # the longest first: they run side by side
if sys.version_info >= (3, 12):
    MODULES.append("test_eager_task_factory")


MODULES = [module for module in MODULES if module not in here(NO_LOOP)]


def run(module, directory):
    worker = os.path.join(os.path.dirname(__file__), "cpython_worker.py")
    lists = [",".join(here(LEFT_OUT)), ",".join(here(KNOWN))]
    return run_worker(module, directory, MODULE_S, lambda results: [worker, module, results, *lists])


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
    failures = ended(module, *runs[module].result())
    failed = {test: text for test, text in failures.items() if text}
    known = {test for test in here(KNOWN) if test.startswith(f"{module}.")}
    unknown = "\n\n".join(f"{test}\n{text}" for test, text in failed.items() if test not in known)
    assert not unknown, unknown
    assert known <= failed.keys(), f"listed as failing, and not failing: {known - failed.keys()}"
