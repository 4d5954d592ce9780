"""``factory = baseplate_serve.thrift``: the gevent Thrift server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baseplate_serve._drop_in import observers
from baseplate_serve._servers.thrift.methods import bridge
from baseplate_serve._servers.thrift.server import ThriftServer
from baseplate_serve._settings.read import parse_settings
from baseplate_serve.errors import ApplicationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["make_server"]


def make_server(server_config: Mapping[str, str], listener: Any, app: Any) -> ThriftServer:
    """A server for the processor *app* on the listening socket *listener*; not started.

    *server_config* is the file's server section.  A processor needs nothing but ``process(iprot,
    oprot)``; handler methods of generated ones may be coroutine functions.  Raises `UsageError` for a wrong
    option, `ApplicationError` for what is no processor.
    """
    settings = parse_settings(server_config)
    if not callable(getattr(app, "process", None)):
        raise ApplicationError(f"the thrift server needs a TProcessor, the factory returned {app!r}")
    server = ThriftServer(listener, app, settings, around_connection=observers.rpc_attributes(app))
    if bridge(app):
        from baseplate_serve._servers.coroutines import Coroutines  # noqa: PLC0415 (likewise)
        from compat import StepGreenlet  # noqa: PLC0415 (imports asyncio)

        server.coroutines = Coroutines()
        server.spawn_in(StepGreenlet)
    return server
