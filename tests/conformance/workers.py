"""Other people's suites in processes of their own: start one, and read what it wrote."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile

import pytest

CACHE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".cache")
SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in every 3.11
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


def unpack_tests(package, directory):
    """The tests of *package* and their configuration, without the package: that is the installed one."""
    with tarfile.open(_source(package)) as archive:
        for member in archive.getmembers():
            member.name = member.name.partition("/")[2]
            if member.name == "pyproject.toml" or member.name.startswith("tests/"):
                archive.extract(member, directory, **SAFELY)


def _source(package):
    """The archive that the installed *package* was made of; downloaded once."""
    version = importlib.metadata.version(package)
    archive = os.path.join(CACHE, f"{package}-{version}.tar.gz")
    if not os.path.exists(archive):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package]
        done = subprocess.run(
            [*pip, "--dest", CACHE, f"{package}=={version}"], capture_output=True, text=True, check=False
        )
        if not os.path.exists(archive):
            pytest.fail(f"could not download the tests of {package}: {done.stderr}", pytrace=False)
    return archive


def compare(failures, known):
    """Fails for a test that failed and isn't *known*, and for one that is and didn't fail.

    A test is known with its parameters, or without, for all of them.
    """
    failed = {test: text for test, text in failures.items() if text}
    unknown = "\n\n".join(f"{test}\n{text}" for test, text in failed.items() if not names(test) & known)
    assert not unknown, unknown
    passed = {test for test in failures.keys() - failed.keys() if names(test) & known}
    absent = known - {name for test in failures for name in names(test)}
    assert not passed | absent, f"listed as failing, and not failing: {passed | absent}"


def names(test):
    """Those under which it may be listed."""
    return {test, test.partition("[")[0]}
