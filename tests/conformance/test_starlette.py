"""Starlette's own tests, with a client that asks our server over real sockets in the place of TestClient.

A failure that isn't in `known_starlette` is an error, and so is one of those that passes.
"""

import os

import pytest

from known_starlette import KNOWN, LEFT_OUT
from workers import compare, ended, here, run_worker, unpack_tests

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "starlette_worker.py")
SUITE_S = 150
FEWEST = 450


@pytest.mark.timeout(SUITE_S + 60)
def test_the_suite_passes_over_our_server(tmp_path):
    unpack_tests("starlette", tmp_path)
    left_out = [f"--{'deselect' if '::' in each else 'ignore'}=tests/{each}" for each in here(LEFT_OUT)]
    lines, printed = run_worker(
        "starlette", tmp_path, SUITE_S, lambda results: [WORKER, tmp_path, results, "tests", *left_out]
    )
    failures = ended("starlette", lines, printed, "server")
    assert len(failures) > FEWEST, printed
    compare(failures, here(KNOWN))
