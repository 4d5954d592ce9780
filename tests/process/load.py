"""Loads for tests: many clients at once, each of which knows exactly what it was answered."""

from __future__ import annotations

import http.client
import itertools

import gevent
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.transport.THeaderTransport import THeaderClientType
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport, TTransportException

from testing_idl import Testing


class ThriftLoad:
    """*connections* greenlets that call `echo` in a loop, each over a connection that it keeps.

    A connection that ends before any byte of a reply means that the call had not begun: the client
    connects again and calls anew, under another name.  `wrong` collects everything else."""

    def __init__(self, address, connections, *, text=None, once=False):
        self.address = address
        self.sent = set()
        self.answered = set()
        self.replies = []
        self.wrong = []
        self.reconnects = 0
        self._text = text
        self._once = once
        self._names = itertools.count()
        self._stopped = False
        self._greenlets = [gevent.spawn(self._run) for _ in range(connections)]

    def stop(self):
        """End the load; calls under way end first."""
        self._stopped = True
        self.join()

    def join(self):
        gevent.joinall(self._greenlets, timeout=20)
        self.wrong += [greenlet.exception for greenlet in self._greenlets if greenlet.exception]

    def _run(self):
        while not self._stopped:
            transport = TSocket(*self.address)
            transport.setTimeout(20_000)
            try:
                transport.open()
            except TTransportException:
                self.reconnects += 1
                gevent.sleep(0.01)  # nobody listens: the server has gone
                continue
            protocol = THeaderProtocol(TBufferedTransport(transport), (THeaderClientType.HEADERS,))
            try:
                self._call(Testing.Client(protocol))
            except (TTransportException, OSError):
                self.reconnects += 1
            finally:
                transport.close()
            if self._once:
                return

    def _call(self, client):
        while not self._stopped:
            name = self._text or f"call {next(self._names)}"
            self.sent.add(name)
            reply = client.echo(name)
            self.answered.add(name)
            self.replies.append(reply)
            if self._text is None and reply != name:
                self.wrong.append((name, reply))
            if self._once:
                return


class HttpLoad:
    """*connections* greenlets that fetch `/` in a loop; with *keep_alive* over one connection, as long as
    the server does not ask to close it, else over a new one each time.

    `failures` collects every request that did not get a complete reply."""

    def __init__(self, address, connections, *, keep_alive):
        self.address = address
        self.replies = 0
        self.failures = []
        self._keep_alive = keep_alive
        self._stopped = False
        self._greenlets = [gevent.spawn(self._run) for _ in range(connections)]

    def stop(self):
        self._stopped = True
        gevent.joinall(self._greenlets, timeout=30)

    def _run(self):
        connection = None
        while not self._stopped:
            if connection is None:
                connection = http.client.HTTPConnection(*self.address, timeout=20)
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                body = response.read()
                assert body == b"hello", body
                self.replies += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(repr(error))
                response = None
            if not self._keep_alive or response is None or response.will_close:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()
