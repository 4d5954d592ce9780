"""The WSGI side of a connection: the requests that are for WSGI applications, in a greenlet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent.event import Event
from gevent.pywsgi import WSGIHandler

from baseplate_serve._servers.http.inbound import Inbound
from baseplate_serve._servers.http.strict import StrictHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from baseplate_serve._servers.asgi.inbox import Inbox
    from baseplate_serve._servers.http.limits import Limits


class Turns:
    """Passes a connection to and fro between the loop and a greenlet with a WSGI handler.

    The greenlet begins with the connection's first request for a WSGI application, and is parked while
    other requests are served.
    """

    def __init__(self, spawn: Callable[[], None], over: Callable[[], None]) -> None:
        self._spawn = spawn  # a greenlet that calls `next_app` until that returns None
        self._over = over  # called when a request has been served
        self._app: Any = None
        self._come = Event()
        self._spawned = self._serving = False

    def give(self, app: Any) -> None:
        """The greenlet's turn: a request for *app*; None: there are no more.  Switches: no."""
        self._app = app
        self._come.set()
        if app is not None and not self._spawned:
            self._spawned = True
            self._spawn()

    def next_app(self) -> Any:
        """In the greenlet: the application of the next request, or None.  Switches: yes."""
        if self._serving:
            self._over()
        self._serving = True
        self._come.wait()
        self._come.clear()
        return self._app


class AsgiHandler(WSGIHandler):
    """Stands before the class that serves a WSGI request, and tells it when, and for which application."""

    turns: Turns  # set by the connection
    rfile: Any
    _app: Any = None

    def handle_one_request(self) -> Any:
        self._app = self.turns.next_app()
        return None if self._app is None else super().handle_one_request()

    def run_application(self) -> None:
        self.application = self._app
        super().run_application()

    def finalize_headers(self) -> None:
        super().finalize_headers()
        self.rfile.upgraded = self.connection_upgraded


class Lent(Inbound):
    """What a client sends, during the handler's turn: at first what is in *inbox*, with a whole head."""

    __slots__ = ("_inbox",)

    def __init__(self, sock: Any, inbox: Inbox) -> None:
        super().__init__(sock)
        self._inbox = inbox

    def head(self, _limits: Limits, _look: Callable[[bytes], object]) -> bytes:
        """A request's head, which the loop has found and judged.  Switches: no."""
        head, empty_line, self.buffer = self._inbox.take(len(self._inbox.buffer)).partition(b"\r\n\r\n")
        return head + empty_line

    def give_back(self) -> None:
        """The loop's turn: what is left may be the next request.  Switches: no."""
        self._inbox.buffer[:] = self.buffer


class LentHandler(StrictHandler):
    """Our own handler, one request a turn."""

    _inbound: Lent

    def __init__(self, sock: Any, address: Any, server: Any, rfile: Inbox) -> None:
        super().__init__(sock, address, server, Lent(sock, rfile))

    def handle_one_request(self) -> Any:
        again = super().handle_one_request()
        self._inbound.give_back()
        return again
