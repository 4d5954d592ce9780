"""``factory = baseplate_serve.wsgi``: the HTTP server, for WSGI and ASGI applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent.pywsgi import WSGIHandler

from baseplate_serve._servers.http.server import HttpServer
from baseplate_serve._servers.http.strict import StrictHandler
from baseplate_serve._settings.objects import NameFault, load_object
from baseplate_serve._settings.read import parse_settings
from baseplate_serve.asgi import Mount, is_asgi
from baseplate_serve.errors import ApplicationError, FileError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["make_server"]


def make_server(server_config: Mapping[str, str], listener: Any, app: Any) -> HttpServer:
    """A server for *app* on the listening socket *listener*; not started.

    *app* is a WSGI callable, an ASGI 3 application, or a `baseplate_serve.asgi.Mount` of both.
    *server_config* is the file's server section.  Raises `UsageError` for a wrong option,
    `ApplicationError` for what is neither or a handler that fails to import.
    """
    settings = parse_settings(server_config)
    handler = handler_class(settings.handler)
    server: HttpServer
    if isinstance(app, Mount) or is_asgi(app):
        from baseplate_serve._servers.asgi.server import AsgiServer  # noqa: PLC0415 (imports asyncio)

        server = AsgiServer(listener, app, settings, handler)
    elif callable(app):
        server = HttpServer(listener, app, settings, handler)
    else:
        raise ApplicationError(
            f"the wsgi server needs a WSGI or an ASGI application, the factory returned {app!r}"
        )
    return server


def handler_class(name: str | None) -> type[WSGIHandler]:
    """The class that the option ``handler`` names; our own if it is absent."""
    if name is None:
        return StrictHandler
    try:
        found = load_object(name)
    except NameFault as fault:
        raise FileError(str(fault), option="handler", value=name) from None
    if not (isinstance(found, type) and issubclass(found, WSGIHandler)):
        raise FileError("is no subclass of gevent.pywsgi.WSGIHandler", option="handler", value=name)
    return found
