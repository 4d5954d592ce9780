"""``baseplate.server`` under our command.

What the server, and services' own code, use of it is ours.  A name that is not here is fetched from the
installed package's own module.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NoReturn

from baseplate_serve._drop_in.finder import original_server
from baseplate_serve._settings.ini import EnvironmentInterpolation
from baseplate_serve.state import SERVER_STATE, ServerLifecycle, ServerState

__all__ = [
    "SERVER_STATE",
    "EnvironmentInterpolation",
    "ServerLifecycle",
    "ServerState",
    "configure_tracing",
    "load_app_and_run_server",
]


def load_app_and_run_server() -> NoReturn:
    """What Baseplate's own script calls: run our command with the same arguments."""
    # Our command is above everything else, this module among it.
    sys.exit(import_module("baseplate_serve.__main__").main())


def configure_tracing() -> None:
    """Called by Baseplate's own script.  Our command does it itself, if the application uses Baseplate."""


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        original = original_server()
    except ModuleNotFoundError:
        raise AttributeError(f"module 'baseplate.server' has no attribute {name!r}") from None
    return getattr(original, name)
