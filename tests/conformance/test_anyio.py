"""Anyio's own tests, with our loop under its asyncio backend and everything patched.

A failure that isn't in `known_anyio` is an error, and so is one of those that passes.
"""

import importlib.metadata
import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from known_anyio import KNOWN, LEFT_OUT
from workers import ended, here, run_worker

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(HERE, "..", "..", ".cache")
PART_S = 200
SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in every 3.11
FIRST_PART = ["test_sockets.py", "test_taskgroups.py", "streams"]  # half of the time that it takes
PARTS = {
    "sockets, streams and tasks": [f"tests/{each}" for each in FIRST_PART],
    "the rest": ["tests", *(f"--ignore=tests/{each}" for each in FIRST_PART)],
}


def names(test):
    """Those under which it may be listed."""
    return {test, test.partition("[")[0]}


def belongs(test, part):
    return test.startswith(tuple(FIRST_PART)) == (part != "the rest")


def source():
    """The archive that the installed anyio was made of; downloaded once."""
    version = importlib.metadata.version("anyio")
    archive = os.path.join(CACHE, f"anyio-{version}.tar.gz")
    if not os.path.exists(archive):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "anyio"]
        done = subprocess.run(
            [*pip, "--dest", CACHE, f"anyio=={version}"], capture_output=True, text=True, check=False
        )
        if not os.path.exists(archive):
            pytest.fail(f"could not download anyio's tests: {done.stderr}", pytrace=False)
    return archive


@pytest.fixture(scope="session")
def suite(tmp_path_factory):
    """A directory with anyio's tests and their configuration, without anyio: that is the installed one."""
    directory = tmp_path_factory.mktemp("anyio")
    with tarfile.open(source()) as archive:
        for member in archive.getmembers():
            member.name = member.name.partition("/")[2]
            if member.name == "pyproject.toml" or member.name.startswith("tests/"):
                archive.extract(member, directory, **SAFELY)
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
    failed = {test: text for test, text in failures.items() if text}
    unknown = "\n\n".join(f"{test}\n{text}" for test, text in failed.items() if not names(test) & known)
    assert not unknown, unknown
    passed = {test for test in failures.keys() - failed.keys() if names(test) & known}
    absent = known - {name for test in failures for name in names(test)}
    assert not passed | absent, f"listed as failing, and not failing: {passed | absent}"
