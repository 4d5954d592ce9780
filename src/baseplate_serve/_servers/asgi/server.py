"""The HTTP server for ASGI applications, or for some beside WSGI applications."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent.pywsgi import WSGIHandler

import compat
from baseplate_serve._servers.asgi.cancel import cancel_unshielded
from baseplate_serve._servers.asgi.handler import AsgiHandler
from baseplate_serve._servers.asgi.lifespan import Lifespan
from baseplate_serve._servers.coroutines import Coroutines
from baseplate_serve._servers.graceful import CLEAN_UP_S
from baseplate_serve._servers.http.server import HttpServer
from baseplate_serve.asgi import Mount, is_asgi, unmarked

if TYPE_CHECKING:
    from baseplate_serve._settings.options import ServerSettings


class AsgiServer(HttpServer):
    """Serves *app*, an ASGI application or a `Mount`.

    Every ASGI application has its lifespan: `start` waits for its start-up, `stop` for its shutdown, after
    the last request's task.
    """

    def __init__(
        self, listener: Any, app: Any, settings: ServerSettings, handler_class: type[WSGIHandler]
    ) -> None:
        bases = (AsgiHandler,) if handler_class is WSGIHandler else (AsgiHandler, handler_class)
        kind = type(handler_class.__name__, bases, {"__module__": handler_class.__module__})
        super().__init__(listener, app, settings, kind)
        self.coroutines = Coroutines()
        self.tasks: set[asyncio.Task[None]] = set()  # of requests; some go on after their response
        self._mount = app if isinstance(app, Mount) else Mount({}, asgi=app)
        apps = [unmarked(each) for _, each in self._mount.routes if is_asgi(each)]
        self._loop: Any = self.coroutines.loop
        self._lifespans = {id(each): Lifespan(each, self._loop) for each in apps}

    def find(self, path: str) -> tuple[str, Any, Lifespan | None]:
        """The prefix, the application and its lifespan; None for the lifespan of a WSGI application."""
        prefix, app = self._mount.find(path)
        app = unmarked(app)
        return prefix, app, self._lifespans.get(id(app))

    def start(self) -> None:
        for lifespan in self._lifespans.values():
            lifespan.start()
        super().start()

    def _cut_off(self) -> None:
        super()._cut_off()
        self._end_tasks()
        for lifespan in reversed(self._lifespans.values()):
            lifespan.stop(max(CLEAN_UP_S, self.stop_timeout))

    def _end_tasks(self) -> None:
        """What goes on after its response gets the rest of the time, then it is cancelled."""
        if not self.tasks or self._loop.is_closed():
            return
        for timeout in (max(0.0, self.deadline - monotonic()), CLEAN_UP_S):
            _, left = compat.wait(asyncio.wait(self.tasks, timeout=timeout), loop=self._loop)
            for task in left:
                cancel_unshielded(task)
            if not left:
                return
