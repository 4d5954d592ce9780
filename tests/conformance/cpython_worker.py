"""Run one module of CPython's `test.test_asyncio` on our loop.

    cpython_worker.py MODULE RESULTS LEFT_OUT KNOWN

LEFT_OUT and KNOWN are names with commas between: classes that aren't run, and tests that will fail, some of
them by waiting: they get less time.

RESULTS gets a JSON line when a test begins and one when it has ended, so that whoever reads it knows where a
process that hangs stands; the last one tells how many loops were made.
"""

import os
import sys

from gevent import monkey

monkey.patch_all()

import asyncio  # noqa: E402 (the standard library is patched first)
import json  # noqa: E402
import signal  # noqa: E402
import unittest  # noqa: E402

from compat import HubEventLoop  # noqa: E402

TEST_S = 20
KNOWN_S = 4


class Hung(Exception):
    pass


class CountedLoop(HubEventLoop):
    made = 0

    def __init__(self, selector=None):
        CountedLoop.made += 1
        super().__init__(selector)


def take_the_selector_loops_place():
    asyncio.SelectorEventLoop = CountedLoop
    asyncio.unix_events.SelectorEventLoop = CountedLoop
    asyncio.unix_events._UnixDefaultEventLoopPolicy._loop_factory = CountedLoop
    if hasattr(asyncio, "EventLoop"):
        asyncio.EventLoop = CountedLoop


class Recorder(unittest.TestResult):
    failed = None  # how the present test failed

    def __init__(self, results, known):
        super().__init__()
        self.results = results
        self.known = known

    def write(self, **line):
        print(json.dumps(line), file=self.results, flush=True)

    def startTest(self, test):  # noqa: N802 (unittest's)
        super().startTest(test)
        self.failed = None
        self.write(begins=name_of(test))
        signal.signal(signal.SIGALRM, raise_hung)
        signal.alarm(KNOWN_S if name_of(test) in self.known else TEST_S)

    def stopTest(self, test):  # noqa: N802 (unittest's)
        signal.alarm(0)
        super().stopTest(test)
        self.write(test=name_of(test), failed=self.failed)

    def addFailure(self, test, err):  # noqa: N802 (unittest's)
        super().addFailure(test, err)
        self.failed = self._exc_info_to_string(err, test)
        if not isinstance(test, unittest.TestCase):  # a class or module that could not be set up
            self.write(test=name_of(test), failed=self.failed)

    addError = addFailure  # noqa: N815 (likewise)

    def addSubTest(self, test, subtest, err):  # noqa: N802 (unittest's)
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed = self._exc_info_to_string(err, test)


def raise_hung(*_):
    raise Hung("not done in time")


def name_of(test):
    return test.id().removeprefix("test.test_asyncio.")


def tests_of(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests_of(each)
        else:
            yield each


def main(module, path, left_out, known):
    take_the_selector_loops_place()
    found = unittest.defaultTestLoader.loadTestsFromName(f"test.test_asyncio.{module}")
    wanted = [test for test in tests_of(found) if not name_of(test).startswith(left_out)]
    with open(path, "w") as results:
        recorder = Recorder(results, known)
        unittest.TestSuite(wanted).run(recorder)
        recorder.write(loops=CountedLoop.made, ran=recorder.testsRun)
    os._exit(0)  # a suite may leave threads and children behind


if __name__ == "__main__":  # children of multiprocessing import this file, too
    main(*sys.argv[1:3], *(tuple(filter(None, names.split(","))) for names in sys.argv[3:]))
