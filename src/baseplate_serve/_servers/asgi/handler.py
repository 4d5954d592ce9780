"""A connection: which application a request is for, and when the connection may be used again."""

from __future__ import annotations

import logging
from contextvars import Context
from typing import TYPE_CHECKING, Any

from gevent.pywsgi import WSGIHandler

import compat
from baseplate_serve._logs.trace import current_request_headers, from_pairs
from baseplate_serve._servers.asgi.cancel import wait_for_end
from baseplate_serve._servers.asgi.head import BadRequest, Request, parse
from baseplate_serve._servers.asgi.http import Exchange
from baseplate_serve._servers.asgi.inbox import Inbox
from baseplate_serve._servers.asgi.outbox import Outbox
from baseplate_serve._servers.asgi.response import plain
from baseplate_serve._servers.graceful import CLEAN_UP_S
from baseplate_serve.state import SERVER_STATE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from baseplate_serve._lifecycle.connections import Connection

log = logging.getLogger("baseplate_serve.asgi")

ASGI = {"version": "3.0", "spec_version": "2.4"}


class Peer:
    """What a request's task needs of its connection."""

    def __init__(self, handler: AsgiHandler) -> None:
        self._handler = handler
        server: Any = handler.server
        sock: Any = handler.socket
        inbox: Any = handler.rfile
        self.inbox: Inbox = inbox
        self.raw: Any = sock._sock  # noqa: SLF001 (past gevent: it must not wait)
        self.loop = server.coroutines.loop
        self.outbox = Outbox(self.raw, self.loop)
        self._tasks: set[asyncio.Task[None]] = server.tasks
        self.connection: Connection = handler.connection
        self.name = self.connection.peer
        self.client = _address(handler.client_address)
        self.server = _address(self.raw.getsockname())

    @property
    def leaving(self) -> bool:
        """Whether the connection closes after the response."""
        return SERVER_STATE.shutting_down or self.connection.leaving

    def start(self, coro: Coroutine[Any, Any, None], scope: dict[str, Any]) -> asyncio.Task[None]:
        """A task for a request, tracked, which has run up to its first suspension.

        It has no context variables but the one that log lines take their trace from.  Switches: to the task
        and back.
        """
        context = Context()
        context.run(current_request_headers.set, from_pairs(scope["headers"]))
        task = compat.start(coro, context=context, loop=self.loop)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return task

    def wait_for_end(self, task: asyncio.Task[None]) -> None:
        """Give a task that was cancelled the time for its clean-up.  Switches: yes."""
        if not wait_for_end(task, CLEAN_UP_S):
            log.error("%s was cancelled and does not end", self.describe())

    def describe(self) -> str:
        """The request in flight, for logs."""
        return self.connection.describe()

    def write_last(self, data: bytes) -> None:
        """The server's own words, as much as the client takes at once.  Switches: no."""
        try:
            self.raw.send(data)
        except OSError as error:
            log.debug("%s: %s", self.name, error)


class AsgiHandler(WSGIHandler):
    """Serves requests for ASGI applications itself, and leaves the others to the class it stands before."""

    connection: Connection
    _peer: Peer | None = None
    _wsgi_app: Any = None  # whose the request is that pywsgi's handler serves

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        super().__init__(sock, address, server, rfile=Inbox(sock))  # type: ignore[call-arg] # no stub has it

    def handle_one_request(self) -> Any:
        inbox: Any = self.rfile
        try:
            head = inbox.head(self.connection.began)
            if head is None:
                return None
            prefix, app, lifespan = self.server.find(_path_of(head))  # type: ignore[attr-defined] # our server
            if lifespan is None:
                self._wsgi_app = app
                return super().handle_one_request()
            inbox.take(len(head))
            request = parse(head)
        except BadRequest as error:
            return self._refuse(error)
        except OSError:
            return None
        self.requestline = f"{request.method} {request.target.decode('latin-1')}"
        peer = self._peer = self._peer or Peer(self)
        scope = _scope(request, peer, prefix)
        if lifespan.state:
            scope["state"] = lifespan.state.copy()
        if request.is_websocket:
            from baseplate_serve._servers.asgi.websocket import WebSocket  # noqa: PLC0415 (few need it)

            WebSocket(peer, head, app, scope).run()
            return None
        exchange = Exchange(peer, request, app, scope)
        reusable = exchange.run()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s %s", peer.name, peer.describe(), exchange.response.status)
        return reusable or None

    def run_application(self) -> None:
        self.application = self._wsgi_app
        super().run_application()

    def _refuse(self, error: BadRequest) -> None:
        log.warning("%s sent what is no request, disconnected: %s", self.connection.peer, error)
        try:
            self.socket.sendall(plain(error.status, str(error)))
        except OSError as lost:
            log.debug("%s: %s", self.connection.peer, lost)


def _path_of(head: bytes) -> str:
    """The path of a request line, enough to find its application."""
    target = head.partition(b"\r\n")[0].partition(b" ")[2].partition(b" ")[0]
    return target.partition(b"?")[0].decode("latin-1")


def _scope(request: Request, peer: Peer, prefix: str) -> dict[str, Any]:
    websocket = request.is_websocket
    scope = {
        "type": "websocket" if websocket else "http",
        "asgi": ASGI,
        "http_version": f"1.{request.minor}",
        "method": request.method,
        "scheme": "ws" if websocket else "http",
        "path": request.path,
        "raw_path": request.raw_path,
        "query_string": request.query,
        "root_path": prefix,
        "headers": request.headers,
        "client": peer.client,
        "server": peer.server,
    }
    if websocket:
        del scope["method"]
    return scope


def _address(address: Any) -> list[Any] | None:
    """As ASGI wants it: host and port; a unix socket's path and None; None if there is no name."""
    if isinstance(address, tuple):
        return [address[0], address[1]]
    path = address.decode() if isinstance(address, bytes) else address
    return [path, None] if path else None
