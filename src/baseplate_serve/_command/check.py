"""--check: import what the file names, say what would be served, bind nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baseplate_serve._command.application import load_app_factory, load_server_factory, placed
from baseplate_serve._servers.entrance import Entrance
from baseplate_serve._settings.read import own_server

if TYPE_CHECKING:
    from baseplate_serve._settings.ini import IniFile
    from baseplate_serve._settings.options import ServerSettings
    from baseplate_serve.config import EndpointConfiguration


def check(file: IniFile, settings: ServerSettings, endpoint: EndpointConfiguration) -> int:
    """Import both factories and print what would be served; the factories are not called.

    Raises `ServeError` for what is wrong.  Returns the exit status 0.
    """
    load_server_factory(file)
    with placed(file):
        if own_server(file.server["factory"]) == "wsgi":
            from baseplate_serve.wsgi import handler_class  # noqa: PLC0415 (a Thrift service needs no HTTP)

            handler_class(settings.handler)
        Entrance(settings, [])
    load_app_factory(file)
    print(f"{file.filename}: ok")
    print(f"  [{file.app_section}] {file.app['factory']}")
    print(f"  [{file.server_section}] {file.server['factory']} on {endpoint}")
    drain = f"drain {settings.drain_time}" if settings.drain_time else "no drain"
    finish = f"at most {settings.stop_timeout} for requests in flight" if settings.stop_timeout else "at once"
    print(f"  stop: {drain}, then {finish}")
    print(f"  metrics: {settings.metrics_endpoint if settings.metrics_enabled else 'off'}")
    return 0
