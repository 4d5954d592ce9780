"""``/metrics``: what Prometheus scrapes.

Alone, a process shows its own default registry.  Workers that share ``PROMETHEUS_MULTIPROC_DIR`` share the
port, too: the kernel gives a scrape to any of them, and any of them answers for all.
"""

from __future__ import annotations

import glob
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gevent import get_hub
from gevent.pool import Pool
from gevent.pywsgi import LoggingLogAdapter, WSGIHandler, WSGIServer

from baseplate_serve._lifecycle.forked import in_children, silence
from baseplate_serve._metrics.slot import Slot, forget_the_dead, take_slot, wanted_slot
from baseplate_serve._sockets.bind import BACKLOG, OwnListener, bind
from baseplate_serve._sockets.shut import shut
from baseplate_serve.config import Endpoint, EndpointConfiguration, InternetAddress
from baseplate_serve.errors import EndpointError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("baseplate_serve.metrics")

DEFAULT_ENDPOINT: Final = Endpoint("0.0.0.0:6060")
PATH = "/metrics"
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
CONNECTION_S = 30.0  # connect, ask, be answered: Prometheus itself gives up after 10 s by default
STOP_S = 1.0  # what scrapes that run may take when the process stops

_TURN_OFF = "metrics.enabled = false"


def make_exporter(
    environ: Mapping[str, str], endpoint: EndpointConfiguration, *, einhorn_worker: bool
) -> Exporter:
    """The exporter for this process; call it before anybody makes a metric, the application above all.

    Where *environ* names a directory, takes a slot in it and makes prometheus_client write there, in the
    whole process and for good; *environ* must be ``os.environ`` then, which prometheus_client reads.
    Raises `UsageError`: the directory or the slot's name is wrong, or an Einhorn worker has none.
    """
    # Imported late: with metrics.enabled = false nobody pays for prometheus_client.
    import prometheus_client  # noqa: PLC0415 (see above)

    shared = environ.get(DIRECTORY)
    if shared is None:
        if einhorn_worker:
            raise UsageError(
                f"{DIRECTORY} is not set: Einhorn's workers answer for each other on one port, by files; "
                f"set it to an existing writable directory, or {_TURN_OFF} in the server section"
            )
        return Exporter(endpoint, prometheus_client.make_wsgi_app(), slot=None)

    directory = _shared_directory(shared)
    wanted = wanted_slot(environ, einhorn_worker=einhorn_worker)
    try:
        slot = take_slot(directory, wanted)
    except OSError as error:
        raise UsageError(
            f"{DIRECTORY} = {shared!r}: cannot be used: {error.strerror}: {error.filename or 'flock'}"
        ) from error
    _write_under(slot)
    return Exporter(endpoint, _all_workers(directory), slot=slot)


def _shared_directory(text: str) -> Path:
    if not os.path.isdir(text) or not os.access(text, os.R_OK | os.W_OK | os.X_OK):
        raise UsageError(f"{DIRECTORY} = {text!r}: expected an existing writable directory")
    if glob.escape(text) != text:
        # prometheus_client globs with it, and would show nothing.
        raise UsageError(f"{DIRECTORY} = {text!r}: expected a directory without any of *?[ in its name")
    return Path(text).absolute()


def _write_under(slot: Slot) -> None:
    """From now on, metrics that this process makes are written to *slot*'s files."""
    from prometheus_client import values  # noqa: PLC0415 (as in make_exporter)

    from baseplate_serve._metrics.room import RoomyFile  # noqa: PLC0415 (likewise)

    values.MmapedDict = RoomyFile  # type: ignore[attr-defined] # before any is opened
    # Its documented way to have names that are not pids.
    values.ValueClass = values.MultiProcessValue(slot.name)  # type: ignore[no-untyped-call]


def _all_workers(directory: Path) -> WSGIApplication:
    """Shows what all workers wrote to *directory*."""
    from prometheus_client import CollectorRegistry, make_wsgi_app, multiprocess  # noqa: PLC0415 (same)

    # A registry of its own: this process' part of the default one is among the files already.
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    show: WSGIApplication = make_wsgi_app(registry)  # reads the files anew for each scrape

    def show_the_living(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        forget_the_dead(directory)
        try:
            return show(environ, start_response)
        except FileNotFoundError:
            # A file that was listed went away before it was read: a worker has just taken its slot.
            return show(environ, start_response)

    return show_the_living


def running_exporter() -> Exporter | None:
    """The exporter that this process started first, and has not stopped."""
    return _started[0] if _started else None


_started: list[Exporter] = []


class Exporter:
    """Serves *metrics*, a WSGI application, at ``/metrics`` between `start` and `stop`."""

    def __init__(
        self, endpoint: EndpointConfiguration, metrics: Callable[..., Any], *, slot: Slot | None
    ) -> None:
        self.endpoint = endpoint
        self.slot = slot  # None: nothing is written, the process shows its own registry
        self._metrics = metrics
        self._listener: OwnListener | None = None  # None before start and after stop
        self._server: _ScrapeServer | None = None  # likewise

    @property
    def address(self) -> InternetAddress | str:
        """Where it really listens: the port that was chosen for port 0.  Only while it is started."""
        if self._listener is None:
            raise RuntimeError("the exporter is not started")
        name: Any = self._listener.getsockname()
        return name if isinstance(name, str) else InternetAddress(*name[:2])

    def start(self) -> None:
        """Listen and serve.  Raises `EndpointError`: the address is in use, not permitted, unknown."""
        try:
            self._listener = bind(self.endpoint)
            self._listener.listen(BACKLOG)
        except (EndpointError, OSError, UnicodeError) as error:
            # UnicodeError: a host such as 'a..b', that no name server can be asked for.
            self._close()
            why = error if isinstance(error, EndpointError) else f"{self.endpoint}: {error}"
            raise EndpointError(
                f"metrics: {why}; set metrics.endpoint in the server section to another address, "
                f"or {_TURN_OFF}"
            ) from error
        self._server = _ScrapeServer(self._listener, self._route)
        self._server.start()
        _started.append(self)
        log.info("metrics on %s", self.address)

    def stop(self) -> None:
        """Stop listening, let running scrapes end within a second, take our live gauges back.

        The slot's name stays ours until the process ends, see `Slot.retire`.  Idempotent, and allowed
        without `start`.  Switches: yes, up to a second.
        """
        server, self._server = self._server, None
        if self in _started:
            _started.remove(self)
        if self._listener is not None:
            self._listener.remove_file()
        if server is not None:
            server.stop()
        self._close()
        if self.slot is not None:
            self.slot.retire()

    def also_at(self, endpoint: EndpointConfiguration) -> Exporter:
        """Another one that shows the same at *endpoint*; it holds no slot of its own."""
        return Exporter(endpoint, self._metrics, slot=None)

    def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def _route(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            return self._metrics(environ, start_response)  # type: ignore[no-any-return] # WSGI
        body = f"Not found: metrics are at {PATH}\n".encode()
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [body]


class _OneScrape(WSGIHandler):
    """Answers one request, then closes: the next scrape finds a worker that lives, and no idle connection
    is left when the process stops.
    """

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        others = [header for header in headers if header[0].lower() != "connection"]  # pywsgi's own errors
        return super().start_response(status, [*others, ("Connection", "close")], exc_info)


class _ScrapeServer(WSGIServer):
    """pywsgi with a deadline: who connects and says nothing, or does not read, is hung up on."""

    def __init__(self, listener: socket.socket, application: WSGIApplication) -> None:
        self._clients: set[Any] = set()  # accepted sockets, not closed yet
        self._greenlets = Pool()  # one for each of them; without a limit
        in_children(self, _ScrapeServer._leave_to_parent)
        super().__init__(
            listener,
            application,
            log=LoggingLogAdapter(log, level=logging.DEBUG),
            error_log=LoggingLogAdapter(log, level=logging.ERROR),
            handler_class=_OneScrape,
            spawn=self._greenlets,
        )

    def _leave_to_parent(self) -> None:
        silence(*self._clients)

    def handle(self, sock: Any, address: Any) -> None:  # gevent calls it in a greenlet of its own
        deadline = get_hub().loop.timer(CONNECTION_S)
        deadline.start(shut, sock, socket.SHUT_RDWR)
        self._clients.add(sock)
        try:
            super().handle(sock, address)
        finally:
            self._clients.discard(sock)
            deadline.close()

    def stop(self, timeout: float | None = None) -> None:
        """Close the listener; silent clients go at once, scrapes within *timeout* seconds (`STOP_S`)."""
        self.close()
        for how in (socket.SHUT_RD, socket.SHUT_RDWR):
            for sock in tuple(self._clients):
                shut(sock, how)
            self._greenlets.join(STOP_S if timeout is None else timeout)
