"""pywsgi's side of a connection: the requests that are for WSGI applications, in a greenlet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent.event import Event
from gevent.pywsgi import WSGIHandler

if TYPE_CHECKING:
    from collections.abc import Callable


class Turns:
    """Passes a connection to and fro between the loop and a greenlet with pywsgi's handler.

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
    _app: Any = None

    def handle_one_request(self) -> Any:
        self._app = self.turns.next_app()
        return None if self._app is None else super().handle_one_request()

    def run_application(self) -> None:
        self.application = self._app
        super().run_application()
