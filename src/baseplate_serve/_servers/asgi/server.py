"""The HTTP server for ASGI applications, or for some beside WSGI applications."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import compat
from baseplate_serve._lifecycle.connections import Connection
from baseplate_serve._servers.asgi.cancel import cancel_unshielded
from baseplate_serve._servers.asgi.connection import AsgiConnection
from baseplate_serve._servers.asgi.handler import AsgiHandler, LentHandler
from baseplate_serve._servers.asgi.lifespan import Lifespan
from baseplate_serve._servers.coroutines import Coroutines
from baseplate_serve._servers.graceful import CLEAN_UP_S, LAST_S
from baseplate_serve._servers.http.server import HttpServer
from baseplate_serve._servers.http.strict import StrictHandler
from baseplate_serve.asgi import Mount, is_asgi, unmarked

if TYPE_CHECKING:
    from collections.abc import Callable

    from gevent.pywsgi import WSGIHandler

    from baseplate_serve._servers.asgi.inbox import Inbox
    from baseplate_serve._settings.options import ServerSettings


class AsgiServer(HttpServer):
    """Serves *app*, an ASGI application or a `Mount`.

    Every ASGI application has its lifespan: `start` waits for its start-up, `stop` for its shutdown, after
    the last request's task.
    """

    coroutines: Coroutines

    def __init__(
        self, listener: Any, app: Any, settings: ServerSettings, handler_class: type[WSGIHandler]
    ) -> None:
        kind = LentHandler if handler_class is StrictHandler else handler_class
        kind = type(kind.__name__, (AsgiHandler, kind), {"__module__": kind.__module__})
        self.settings = settings
        # Connections are no greenlets here, so that the pool of greenlets cannot count them.
        self._max_connections = settings.max_concurrency
        super().__init__(listener, app, replace(settings, max_concurrency=None), kind)
        self.full = self._full  # type: ignore[method-assign] # where gevent puts its pool's
        self.coroutines = Coroutines()
        self.tasks: set[asyncio.Task[None]] = set()  # of requests; some go on after their response
        self._open: set[AsgiConnection] = set()
        self._mount = app if isinstance(app, Mount) else Mount({}, asgi=app)
        apps = [unmarked(each) for _, each in self._mount.routes if is_asgi(each)]
        self._lifespans = {id(each): Lifespan(each, self.coroutines.loop) for each in apps}

    def find(self, path: str) -> tuple[str, Any, Lifespan | None]:
        """The prefix, the application and its lifespan; None for the lifespan of a WSGI application."""
        prefix, app = self._mount.find(path)
        app = unmarked(app)
        return prefix, app, self._lifespans.get(id(app))

    def start(self) -> None:
        started: list[Lifespan] = []
        try:
            for lifespan in self._lifespans.values():
                lifespan.start()
                started.append(lifespan)
            super().start()
        except BaseException:
            for lifespan in reversed(started):
                lifespan.stop(CLEAN_UP_S)
            raise

    # Connections

    def do_handle(self, sock: Any, address: Any) -> None:
        """A client has connected.  Called in the hub."""
        tracked = Connection(sock, address)
        self.connections.add(tracked)
        if self.entrance.is_open:
            self._start(sock, address, tracked)
        else:
            self._greenlets.spawn(self._enter, sock, address, tracked)

    def _start(self, sock: Any, address: Any, tracked: Connection) -> None:
        connection = AsgiConnection(self, sock, address, tracked)
        self._open.add(connection)
        connection.start()

    def _enter(self, sock: Any, address: Any, tracked: Connection) -> None:
        """In a greenlet."""
        entered = None
        try:
            entered = self.entrance.enter(sock, address, tracked)
        finally:
            if entered is None:
                tracked.sock.close()
                self._gone(tracked)
        if entered is not None:
            self._start(*entered, tracked)

    def _gone(self, tracked: Connection) -> None:
        self.connections.discard(tracked)
        self._start_accepting_if_started()  # type: ignore[attr-defined] # the stubs don't have it

    def forget(self, connection: AsgiConnection) -> None:
        """*connection* is closed.  Switches: no."""
        self._open.discard(connection)
        self._gone(connection.tracked)

    def _full(self) -> bool:
        return self._max_connections is not None and len(self.connections) >= self._max_connections

    def make_handler(self, sock: Any, address: Any, inbox: Inbox) -> Any:
        """A handler for a connection's WSGI requests, which reads from *inbox*."""
        return self.handler_class(sock, address, self, rfile=inbox)  # type: ignore[call-arg] # no stub has it

    def spawn(self, function: Callable[[], None]) -> None:
        """Call *function* in a greenlet that `stop` kills if it must."""
        self._greenlets.spawn(function)

    # Stopping

    def _end(self) -> None:
        for connection in tuple(self._open):
            connection.cut_off()
        super()._end()
        self.connections.none_left.wait(self.clean_up_left_s)

    def _cut_off(self) -> None:
        super()._cut_off()
        self._end_tasks()
        for lifespan in reversed(self._lifespans.values()):
            lifespan.stop(max(LAST_S, self.clean_up_left_s))

    def _end_tasks(self) -> None:
        """What goes on after its response gets the rest of the time, then it is cancelled."""
        if not self.tasks or self.coroutines.loop.is_closed():
            return
        for timeout in (max(0.0, self.deadline - monotonic()), max(LAST_S, self.clean_up_left_s)):
            _, left = compat.wait(asyncio.wait(self.tasks, timeout=timeout), loop=self.coroutines.loop)
            for task in left:
                cancel_unshielded(task)
            if not left:
                return
