"""One client: its requests are told apart in the loop, and each goes to its application."""

from __future__ import annotations

import logging
import socket
from contextvars import Context
from typing import TYPE_CHECKING, Any

from baseplate_serve._logs.trace import current_request_headers, from_pairs
from baseplate_serve._servers.asgi.handler import Turns
from baseplate_serve._servers.asgi.head import Request, RequestHead
from baseplate_serve._servers.asgi.http import Exchange
from baseplate_serve._servers.asgi.inbox import Inbox
from baseplate_serve._servers.asgi.outbox import Outbox
from baseplate_serve._servers.asgi.scope import address_of, scope_of, tls_of
from baseplate_serve._servers.graceful import CLEAN_UP_S
from baseplate_serve._servers.http.handler import describe
from baseplate_serve._servers.http.refusal import FAILED, Refused, answer_to
from baseplate_serve._sockets.shut import say_goodbye, shut
from baseplate_serve.state import SERVER_STATE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from baseplate_serve._lifecycle.connections import Connection
    from baseplate_serve._servers.asgi.server import AsgiServer
    from baseplate_serve._servers.asgi.websocket import WebSocket

log = logging.getLogger("baseplate_serve.asgi")


class AsgiConnection:
    """Serves one connection, without a greenlet of its own, from `start` until it closes itself.

    Everything here runs in the loop, and nothing waits.
    """

    def __init__(self, server: AsgiServer, sock: Any, address: Any, tracked: Connection) -> None:
        self._server = server
        self._sock = sock
        self._address = address
        self._raw = _below(sock)
        self.loop: Any = server.coroutines.loop
        self.tracked = tracked
        tracked.describe = self.describe
        self.inbox = Inbox(sock, self._raw, self.loop, self.tracked, server.limits)
        self.outbox = Outbox(self._raw, self.loop, self.tracked)
        self.name = self.tracked.peer
        self.client = address_of(address)
        self._tls = None if server.entrance.tls is None else tls_of(sock)
        self._scheme = "http" if self._tls is None else "https"
        self.server = address_of(self._raw.getsockname())
        self.limits = server.limits
        self.settings = server.settings
        self._head = RequestHead(server.limits)
        self._request: Request | None = None  # the last one
        self._serving: Exchange | WebSocket | None = None
        self._turns: Turns | None = None  # once there was a request for a WSGI application
        self._handler: Any = None
        self._closed = False

    def start(self) -> None:
        """Serve.  Switches: no."""
        self.inbox.changed = self._look
        self.inbox.resume()

    def cut_off(self) -> None:
        """End what is in flight: its task is cancelled and the connection closes after that.

        a WSGI request's greenlet is left to the server.  Switches: no.
        """
        if self._serving is not None:
            self._serving.cut_off()
        elif self._handler is None:
            self._close()

    # Requests

    def _look(self) -> None:
        """Serve the next request, if its head has arrived."""
        inbox, tracked = self.inbox, self.tracked
        if inbox.buffer and tracked.began_at is None:
            tracked.began()
        try:
            head = inbox.head(self._head.look)
            if head is not None:
                tracked.head_since = None
                self._dispatch(head, self._head.request(head))
            elif inbox.ended:
                self._end_of_stream()
            elif inbox.buffer and tracked.head_since is None:
                tracked.head_since = tracked.began_at
        except Refused as error:
            log.warning("%s sent what is no request, disconnected: %s", self.name, error)
            tracked.refused("malformed")
            self.refuse(error)
            self._close()
        except Exception:  # a bug of ours, of which nobody else would tell the client
            log.exception("%s failed", self.describe())
            self.refuse(FAILED)
            self.answered(failed=True)
            self._close()

    def _end_of_stream(self) -> None:
        if self.tracked.timed_out == "head_timeout":
            self.refuse(Refused("the head took too long", 408))
        self._close()

    def origin(self, request: Request) -> tuple[list[Any] | None, str]:
        """The client's address and the scheme that it used, as ASGI wants them."""
        forwarded = self._server.forwarded
        if forwarded is None or not forwarded.believes(self._address):
            return self.client, self._scheme
        host, scheme = forwarded.origin(request.headers)
        return self.client if host is None else [host, 0], scheme or self._scheme

    def _dispatch(self, head: bytes, request: Request) -> None:
        path = request.path
        prefix, app, lifespan = self._server.find(path)
        if lifespan is None:
            self._give(app)
            return
        self.inbox.take(len(head))
        self._request = request
        scope = scope_of(request, path, self, prefix)
        if self._tls is not None:
            scope["extensions"] = {"tls": self._tls}
        if lifespan.state:
            scope["state"] = lifespan.state.copy()
        if request.is_websocket:
            from baseplate_serve._servers.asgi.websocket import WebSocket  # noqa: PLC0415 (few need it)

            self._serving = WebSocket(self, head, request, app, scope)
        else:
            self._serving = Exchange(self, request, app, scope)
        self._serving.start()

    def answered(self, *, failed: bool) -> None:
        """The reply to what is served has been handed to the kernel.  Switches: no."""
        self.tracked.ended(failed=failed)

    def over(self, *, reusable: bool) -> None:
        """What was served is over; the connection may be used again, or closes.  Switches: no."""
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s over", self.name, self.describe())
        self._serving = None
        if not reusable:
            self._close()
            return
        self.inbox.changed = self._look
        if self.inbox.buffer or self.inbox.ended:
            self._look()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.inbox.changed = _ignore
        self.inbox.pause()
        self.outbox.close()
        if self._turns is not None:
            self._turns.give(None)
        say_goodbye(self._sock)
        # What was sent and not read makes the kernel break the connection, and our last words may be lost.
        shut(self._raw, socket.SHUT_WR)
        try:
            self._raw.recv(16384)
        except OSError as error:
            log.debug("%s: %s", self.name, error)
        self._sock.close()
        self._server.forget(self)

    # Requests for WSGI applications

    def _give(self, app: Any) -> None:
        self.inbox.pause()
        self.inbox.changed = _ignore
        if self._turns is None:
            self._turns = Turns(
                lambda: self._server.spawn(self._serve_wsgi),
                lambda: self.loop.call_soon(self._take_back),
            )
        self._turns.give(app)

    def _serve_wsgi(self) -> None:
        """In a greenlet."""
        handler = self._handler = self._server.make_handler(self._sock, self._address, self.inbox)
        handler.turns = self._turns
        try:
            self._server.serve_with(handler, self.tracked)
        finally:
            self._handler = None
            self._close()

    def _take_back(self) -> None:
        if not self._closed:
            self.inbox.changed = self._look
            self.inbox.resume()
            if self.inbox.buffer or self.inbox.ended:
                self._look()

    # What exchanges and WebSockets need

    @property
    def leaving(self) -> bool:
        """Whether the connection closes after the response."""
        return SERVER_STATE.shutting_down or self.tracked.leaving

    def start_task(self, coro: Coroutine[Any, Any, None], scope: dict[str, Any]) -> asyncio.Task[None]:
        """A task for a request, tracked.

        It has no context variables but the one that log lines take their trace from.  Switches: no.
        """
        context = Context()
        context.run(current_request_headers.set, from_pairs(scope["headers"]))
        task: asyncio.Task[None] = self.loop.create_task(coro, context=context)
        self._server.tasks.add(task)
        return task

    def task_over(self, task: Any) -> None:
        """Says a task of `start_task` as its last word: a callback of the task's would cost 1 µs more."""
        self._server.tasks.discard(task)

    def close_after(self, task: asyncio.Task[None]) -> None:
        """Close once *task*, which is cancelled, has cleaned up; it has CLEAN_UP_S for that."""
        too_late = self.loop.call_later(CLEAN_UP_S, self._give_up)

        def ended(_: object) -> None:
            too_late.cancel()
            self.task_over(task)  # one that was cancelled before its first step has no last word
            self._close()

        task.add_done_callback(ended)

    def _give_up(self) -> None:
        log.error("%s was cancelled and does not end", self.describe())
        self._close()

    def refuse(self, refused: Refused) -> None:
        """Answer with the server's own words, after which the connection closes.  Switches: no."""
        if self.outbox.broken:
            return
        try:
            self._raw.send(answer_to(refused, bodiless=self._head.method == "HEAD"))
        except OSError as error:
            log.debug("%s: %s", self.name, error)

    def describe(self) -> str:
        """``GET /path``: no query (it may hold secrets), no control characters (they come from the wire)."""
        if self._handler is not None and self._serving is None:
            return describe(self._handler)
        request = self._request
        if request is None:
            return "a request"
        path = request.raw_path.decode("latin-1")
        return f"{request.method} {path}".encode("unicode_escape").decode("ascii")


def _below(sock: Any) -> Any:
    """What is below gevent's *sock*, and doesn't wait."""
    if hasattr(sock, "_sslobj"):
        from baseplate_serve._sockets.tls import NonBlocking  # noqa: PLC0415 (few need it)

        return NonBlocking(sock)
    return sock._sock  # noqa: SLF001 (it has no other name)


def _ignore() -> None:
    pass
