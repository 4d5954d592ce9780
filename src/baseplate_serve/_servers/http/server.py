"""pywsgi's server with tracked connections."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

from gevent.pywsgi import LoggingLogAdapter, WSGIServer

from baseplate_serve._logs.trace import current_request_headers, from_environ
from baseplate_serve._servers.graceful import GracefulServer
from baseplate_serve._servers.http.forwarded import Forwarded
from baseplate_serve._servers.http.handler import ErrorLog, describe, log, surround
from baseplate_serve._servers.http.limits import Limits
from baseplate_serve._servers.http.strict import StrictHandler
from baseplate_serve._settings.patience import HTTP

if TYPE_CHECKING:
    from gevent.pywsgi import WSGIHandler

    from baseplate_serve._lifecycle.connections import Connection
    from baseplate_serve._settings.options import ServerSettings


class HttpServer(GracefulServer, WSGIServer):
    """Serves the WSGI callable *app* with handlers of *handler_class*.

    Accesses are logged at DEBUG, errors at ERROR, and ``wsgi.errors`` goes there too.
    """

    def __init__(
        self,
        listener: Any,
        app: Any,
        settings: ServerSettings,
        handler_class: type[WSGIHandler] = StrictHandler,
    ) -> None:
        self.forwarded = (
            Forwarded(settings.forwarded_from, settings.forwarded_header) if settings.forwarded_from else None
        )
        self.script_name = settings.root_path.encode().decode("latin-1")  # PEP 3333: bytes, as characters
        self.limits = Limits(settings.max_head_size, settings.max_headers, settings.max_body_size)
        super().__init__(
            listener,
            settings=settings,
            patience=HTTP,
            protocols=["http/1.1"],
            max_concurrency=settings.max_concurrency,
            application=app,
            handler_class=handler_class
            if issubclass(handler_class, StrictHandler)
            else surround(handler_class),
            log=LoggingLogAdapter(log, level=logging.DEBUG),
            error_log=ErrorLog(log, level=logging.ERROR),
            environ={
                "wsgi.file_wrapper": FileWrapper,
                "wsgi.url_scheme": "https" if settings.tls_certificate else "http",
            },
        )

    def serve(self, sock: Any, address: Any, connection: Connection) -> None:
        """Switches: yes."""
        handler = self.handler_class(sock, address, self)
        connection.describe = lambda: describe(handler)
        self.serve_with(handler, connection)

    def serve_with(self, handler: Any, connection: Connection) -> None:
        """Serve *connection* with pywsgi's *handler*.  Switches: yes."""
        handler.connection = connection
        # A lambda, as the environ is another one for each request.
        current_request_headers.set(lambda name: from_environ(handler.environ or {})(name))  # noqa: PLW0108
        handler.handle()
