"""gevent's own tests of pywsgi, with our server and handler in the place of pywsgi's; and with our server and
a handler that an application names.

A failure that isn't in `known_pywsgi` is an error, and so is one of those that passes.
"""

import os

import pytest

from known_pywsgi import KNOWN, KNOWN_OF_OWN, LEFT_OUT
from workers import ended, here, run_worker

WORKER = os.path.join(os.path.dirname(__file__), "pywsgi_worker.py")
SUITE_S = 90


@pytest.mark.timeout(SUITE_S + 10)
@pytest.mark.parametrize(
    ("handler", "known", "left_out"),
    [
        pytest.param("strict", here(KNOWN), here(LEFT_OUT), id="ours"),
        pytest.param("own", here(KNOWN_OF_OWN), set(), id="an application's own"),
    ],
)
def test_the_suite_passes(handler, known, left_out, tmp_path):
    words = [handler, ",".join(left_out)]
    lines, printed = run_worker("pywsgi", tmp_path, SUITE_S, lambda results: [WORKER, results, *words])
    failures = ended("pywsgi", lines, printed, "handler")
    assert len(failures) > 100, "gevent has these tests in its wheel"
    failed = {test: text for test, text in failures.items() if text}
    unknown = "\n\n".join(f"{test}\n{text}" for test, text in failed.items() if test not in known)
    assert not unknown, unknown
    assert known <= failed.keys(), f"listed as failing, and not failing: {known - failed.keys()}"
