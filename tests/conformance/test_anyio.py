"""Anyio's own tests, with our loop under its asyncio backend and everything patched.

A failure that isn't in `known_anyio` is an error, and so is one of those that passes.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from known_anyio import KNOWN, LEFT_OUT
from workers import compare, ended, here, run_worker, unpack_tests

HERE = os.path.dirname(os.path.abspath(__file__))
PART_S = 200
FIRST_PART = ["test_sockets.py", "test_taskgroups.py", "streams"]  # half of the time that it takes
PARTS = {
    "sockets, streams and tasks": [f"tests/{each}" for each in FIRST_PART],
    "the rest": ["tests", *(f"--ignore=tests/{each}" for each in FIRST_PART)],
}


def belongs(test, part):
    return test.startswith(tuple(FIRST_PART)) == (part != "the rest")


@pytest.fixture(scope="session")
def suite(tmp_path_factory):
    """A directory with anyio's tests and their configuration."""
    directory = tmp_path_factory.mktemp("anyio")
    unpack_tests("anyio", directory)
    return directory


def run(part, suite, directory):
    worker = os.path.join(HERE, "anyio_worker.py")
    left_out = [f"--deselect=tests/{test}" for test in here(LEFT_OUT)]
    arguments = ["compat:HubEventLoop", *PARTS[part], *left_out]
    return run_worker(part, directory, PART_S, lambda results: [worker, suite, results, *arguments])


@pytest.fixture(scope="session")
def runs(suite, tmp_path_factory):
    """A future for each part; they run side by side."""
    directory = tmp_path_factory.mktemp("anyio_results")
    with ThreadPoolExecutor(len(PARTS)) as pool:
        yield {part: pool.submit(run, part, suite, directory) for part in PARTS}


@pytest.mark.timeout(10 * 60)
@pytest.mark.parametrize("part", PARTS)
def test_the_suite_passes_on_our_loop(part, runs):
    failures = ended(part, *runs[part].result())
    known = {test for test in here(KNOWN) if belongs(test, part)}
    compare(failures, known)
