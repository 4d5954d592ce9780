"""Run gevent's own tests of pywsgi, with our server and handler in the place of pywsgi's.

    pywsgi_worker.py RESULTS HANDLER LEFT_OUT

HANDLER is one of `HANDLERS`.  LEFT_OUT are names of classes with commas between, that aren't run.

RESULTS gets a JSON line when a test begins and one when it has ended; the last one tells how many of our
handlers were made.
"""

import json
import logging
import os
import socket
import sys
import unittest

import gevent.tests.test__pywsgi as suite  # patches the standard library
from gevent import pywsgi

from baseplate_serve._lifecycle.connections import Connection
from baseplate_serve._servers.graceful import GracefulServer
from baseplate_serve._servers.http import strict
from baseplate_serve._servers.http.body import Body
from baseplate_serve._servers.http.handler import surround
from baseplate_serve._servers.http.head import Head
from baseplate_serve._servers.http.inbound import Inbound
from baseplate_serve._servers.http.server import HttpServer
from baseplate_serve._servers.http.strict import StrictHandler
from baseplate_serve._settings.options import ServerSettings
from baseplate_serve._settings.patience import HTTP

made = []  # our handlers


class AsTheSuiteWants:
    """Reports errors where the suite looks for them: to the hub, as pywsgi does."""

    _log_error = pywsgi.WSGIHandler._log_error
    log_request = pywsgi.WSGIHandler.log_request

    def __init__(self, *args):
        made.append(type(self).__name__)
        super().__init__(*args)


class Strict(AsTheSuiteWants, StrictHandler):
    ApplicationError = suite.ExpectedAssertionError


class Own(AsTheSuiteWants, pywsgi.WSGIHandler):
    """An application's own, which the server surrounds."""


HANDLERS = {"strict": Strict, "own": Own}


class Server(GracefulServer, pywsgi.WSGIServer):
    """Ours, with pywsgi's arguments."""

    serve = HttpServer.serve
    serve_with = HttpServer.serve_with

    def __init__(self, listener, application, handler_class=None, **pywsgis):
        listener = self.get_listener(listener, 16, socket.AF_INET6 if ":" in listener[0] else socket.AF_INET)
        ours = {"settings": ServerSettings(), "patience": HTTP, "max_concurrency": None}
        handler = surround(handler_class or Own)
        super().__init__(listener, **ours, application=application, handler_class=handler, **pywsgis)


class HostlessHead(Head):
    """Many requests of the suite have no Host, and test something else."""

    __slots__ = ()

    def _check_host(self, host):
        if host is not None:
            super()._check_host(host)


class File:
    def __init__(self, file):
        self.recv = file.read


def body(rfile, *, content_length, chunked_input):
    inbound = Inbound(File(rfile))
    inbound.serve(Connection(None, ("", 0)))
    return Body(inbound, length=None if chunked_input else content_length or 0, limit=None)


def take_pywsgis_place(handler):
    logging.getLogger("baseplate_serve.wsgi").setLevel(logging.DEBUG)  # accesses are logged there
    logging.getLogger("baseplate_serve.wsgi").propagate = False
    logging.getLogger("baseplate_serve.wsgi").addHandler(logging.NullHandler())
    pywsgi.WSGIServer = Server
    suite.TestCase.handler_class = suite.BadRequestTests.handler_class = handler
    if handler is Strict:
        strict.Head = HostlessHead
        suite.Input = body


class Recorder(unittest.TestResult):
    failed = None  # how the present test failed

    def __init__(self, results):
        super().__init__()
        self.results = results

    def write(self, **line):
        print(json.dumps(line), file=self.results, flush=True)

    def startTest(self, test):  # noqa: N802 (unittest's)
        super().startTest(test)
        self.failed = None
        self.write(begins=name_of(test))

    def stopTest(self, test):  # noqa: N802 (unittest's)
        super().stopTest(test)
        self.write(test=name_of(test), failed=self.failed)

    def addFailure(self, test, err):  # noqa: N802 (unittest's)
        super().addFailure(test, err)
        self.failed = self._exc_info_to_string(err, test)

    addError = addFailure  # noqa: N815 (likewise)


def name_of(test):
    return ".".join(test.id().split(".")[-2:])


def tests_of(found):
    for each in found:
        if isinstance(each, unittest.TestSuite):
            yield from tests_of(each)
        else:
            yield each


def main(path, handler, left_out):
    take_pywsgis_place(HANDLERS[handler])
    found = unittest.defaultTestLoader.loadTestsFromModule(suite)
    wanted = [test for test in tests_of(found) if type(test).__name__ not in left_out]
    with open(path, "w") as results:
        recorder = Recorder(results)
        unittest.TestSuite(wanted).run(recorder)
        recorder.write(handlers=made.count(HANDLERS[handler].__name__), ran=recorder.testsRun)
    os._exit(0)  # a suite may leave threads and children behind


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [*filter(None, sys.argv[3].split(","))])
