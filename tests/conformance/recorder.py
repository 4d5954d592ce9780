"""What a worker that runs somebody's pytest suite tells whoever started it."""

import json


class Recorder:
    """A pytest plugin: writes to *results* what begins, and what it ended with."""

    def __init__(self, results):
        self.results = results
        self.failed = self.skipped = None  # the present test's

    def write(self, **line):
        print(json.dumps(line), file=self.results, flush=True)

    def pytest_collectreport(self, report):
        if report.failed:
            self.write(test=report.nodeid, failed=report.longreprtext)

    def pytest_runtest_logstart(self, nodeid):
        self.failed = self.skipped = None
        self.write(begins=name_of(nodeid))

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed = "\n".join([self.failed or "", report.longreprtext, report.capstderr])
        if report.skipped:
            self.skipped = str(report.longrepr)

    def pytest_runtest_logfinish(self, nodeid):
        self.write(test=name_of(nodeid), failed=self.failed, skipped=self.skipped)


def name_of(nodeid):
    return nodeid.removeprefix("tests/")
