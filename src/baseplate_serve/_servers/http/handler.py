"""What every connection's handler does besides what pywsgi's, or the application's own, does.

A handler class that an application names is surrounded: `Tracked` comes before it and sees every
request, `Defaults` comes after it and serves what it does not override.
"""

from __future__ import annotations

import io
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent.pywsgi import LoggingLogAdapter, WSGIHandler
from greenlet import GreenletExit

from baseplate_serve._servers.http.patient import PatientSocket
from baseplate_serve._servers.http.refusal import Refused, answer_to
from baseplate_serve._sockets.shut import say_goodbye
from baseplate_serve.state import SERVER_STATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from baseplate_serve._lifecycle.connections import Connection

log = logging.getLogger("baseplate_serve.wsgi")

PIECE = 256 * 1024  # bytes; a client that takes that many is not stalled


class Tracked(WSGIHandler):
    """Tells `connection` when a request begins and ends, and the client when the server is leaving."""

    connection: Connection  # set by the server before `handle`
    response_headers: list[tuple[bytes, bytes]]  # type: ignore[assignment] # encoded, whatever the stubs say
    _received: PatientSocket | None = None

    def handle(self) -> None:
        rfile: Any = self.rfile
        if isinstance(rfile, io.BufferedReader):
            below = rfile.raw
            self._received = PatientSocket(self.socket, self.connection)
            # The reader stays the same object: an application's handler may have kept it in its `__init__`.
            rfile.__init__(self._received)  # type: ignore[misc] # allowed before anything was read
            below.close()
        super().handle()

    def read_requestline(self) -> str:
        line: str = super().read_requestline()
        if line and self.connection.began_at is None:  # it had come with the request before
            self.connection.began()
        return line

    def read_request(self, raw_requestline: str) -> Any:
        # To pywsgi the end of the stream ends a head, too: a request that lacks headers, perhaps vital ones.
        whole = super().read_request(raw_requestline)
        return whole and not (self._received is not None and self._received.cut_short)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        script_name = getattr(self.server, "script_name", "")
        if script_name:
            environ["SCRIPT_NAME"] = script_name
        forwarded = getattr(self.server, "forwarded", None)
        if forwarded is not None and forwarded.believes(self.client_address):
            forwarded.apply(environ)
        return environ

    def handle_one_response(self) -> None:
        self.connection.head_since = None
        super().handle_one_response()

    def _sendall(self, data: Any) -> None:
        connection = self.connection
        pieces = [data] if len(data) <= PIECE else _pieces(memoryview(data))
        try:
            for piece in pieces:
                connection.send_since = monotonic()
                super()._sendall(piece)  # type: ignore[misc] # likewise
                connection.tally.sent += len(piece)
        finally:
            connection.send_since = None

    def handle_one_request(self) -> Any:
        again = super().handle_one_request()
        connection = self.connection
        if again is None:
            say_goodbye(self.socket)  # pywsgi closes it without
        if isinstance(again, tuple):
            if connection.timed_out:  # pywsgi sees the end of the stream only
                again = ("408", answer_to(Refused("the head took too long", 408), bodiless=False))
            else:
                connection.refused("malformed")
        # pywsgi notes in its status that the reply could not be sent.
        sent = again is True or (self.headers_sent and not str(self.status).startswith("socket error"))
        if sent:
            connection.ended(failed=(self.code or 0) >= 500)
        self.environ = None  # what an application has put into it needn't wait for the next request
        return again

    def finalize_headers(self) -> None:
        super().finalize_headers()
        if self.connection_upgraded:
            self.close_connection = True  # afterwards: what comes is no request
            if self._received is not None:
                self._received.upgraded = True
        elif SERVER_STATE.shutting_down or self.connection.leaving:
            self.close_connection = True
            kept = [pair for pair in self.response_headers if pair[0].lower() != b"connection"]
            self.response_headers = [*kept, (b"Connection", b"close")]


def _pieces(data: memoryview) -> Iterator[memoryview]:
    for at in range(0, len(data), PIECE):
        yield data[at : at + PIECE]


class Defaults(WSGIHandler):
    """pywsgi's handler, with its errors in the log instead of on stderr."""

    def log_request(self) -> None:
        if log.isEnabledFor(logging.DEBUG):  # formatting a line that nobody sees costs 2 µs
            super().log_request()

    def format_request(self) -> str:
        """An access's line, without the query, which may hold secrets."""
        line = self.requestline
        before, _, query = (line or "").partition("?")
        _, space, version = query.rpartition(" ")
        self.requestline = f"{before}{space}{version}" if space else before
        try:
            text: str = super().format_request()
        finally:
            self.requestline = line
        return text

    def _log_error(self, t: type[BaseException], v: BaseException, tb: TracebackType | None) -> None:
        if not issubclass(t, GreenletExit):
            log.error("%s failed", describe(self), exc_info=(t, v, tb))


class ErrorLog(LoggingLogAdapter):
    """``wsgi.errors``: the log, at ERROR.  print() writes its line end by itself; that is no record."""

    def write(self, msg: str) -> None:
        if msg.strip():
            super().write(msg)


def surround(handler_class: type[WSGIHandler]) -> type[WSGIHandler]:
    """*handler_class* between `Tracked` and `Defaults`, under its own name; ours tracks by itself."""
    if issubclass(handler_class, Defaults):
        return handler_class
    bases = (Tracked, Defaults) if handler_class is WSGIHandler else (Tracked, handler_class, Defaults)
    return type(handler_class.__name__, bases, {"__module__": handler_class.__module__})


def describe(handler: WSGIHandler) -> str:
    """``GET /path`` of the request in flight, for logs: no query (it may hold secrets), no control
    characters (they come from the wire).
    """
    method, _, target = (handler.requestline or "a request").partition(" ")
    path = target.partition(" ")[0].partition("?")[0]
    return f"{method} {path}".strip().encode("unicode_escape").decode("ascii")
