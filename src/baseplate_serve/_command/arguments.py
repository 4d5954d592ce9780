"""The command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from baseplate_serve import __version__, config
from baseplate_serve._settings.command_line import OneLineParser

if TYPE_CHECKING:
    from collections.abc import Sequence


def _endpoint(text: str) -> config.EndpointConfiguration:
    try:
        return config.Endpoint(text)
    except ValueError:
        expected = "expected host:port, [::1]:port or the path of a unix socket"
        raise argparse.ArgumentTypeError(f"{text!r}: {expected}") from None


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, checked.  Exits with status 2 and one line when they are wrong."""
    parser = OneLineParser(
        prog="baseplate-serve",
        description="Serve the Thrift or WSGI application that an INI file names.",
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="log at DEBUG, show every warning")
    parser.add_argument(
        "--reload", action="store_true", help="restart when code or the file changes (development only)"
    )
    parser.add_argument(
        "--app-name", default="main", metavar="NAME", help="serve [app:NAME] of the file (default: main)"
    )
    parser.add_argument(
        "--server-name", default="main", metavar="NAME", help="with [server:NAME] (default: main)"
    )
    parser.add_argument(
        "--bind",
        type=_endpoint,
        default=config.Endpoint("localhost:9090"),
        metavar="ENDPOINT",
        help="host:port, [::1]:port or the path of a unix socket (default: localhost:9090); "
        "ignored when Einhorn or systemd passes a socket",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="import both factories without calling them, say what would be served, bind nothing",
    )
    parser.add_argument("--version", action="version", version=f"baseplate-serve {__version__}")
    parser.add_argument("config_file", metavar="app.ini", help="the INI file")
    return parser.parse_args(argv)
