"""gevent's own tests of pywsgi, with our server and handler in the place of pywsgi's.

A failure that isn't in `known_pywsgi` is an error, and so is one of those that passes.
"""

import os

import pytest

from known_pywsgi import KNOWN, LEFT_OUT
from workers import ended, here, run_worker

WORKER = os.path.join(os.path.dirname(__file__), "pywsgi_worker.py")
SUITE_S = 90


@pytest.mark.timeout(SUITE_S + 10)
def test_the_suite_passes_on_our_handler(tmp_path):
    left_out = ",".join(here(LEFT_OUT))
    lines, printed = run_worker("pywsgi", tmp_path, SUITE_S, lambda results: [WORKER, results, left_out])
    failures = ended("pywsgi", lines, printed, "handler")
    assert len(failures) > 100, "gevent has these tests in its wheel"
    failed = {test: text for test, text in failures.items() if text}
    unknown = "\n\n".join(f"{test}\n{text}" for test, text in failed.items() if test not in here(KNOWN))
    assert not unknown, unknown
    assert here(KNOWN) <= failed.keys(), f"listed as failing, and not failing: {here(KNOWN) - failed.keys()}"
