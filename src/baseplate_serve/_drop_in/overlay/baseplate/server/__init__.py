"""``baseplate.server`` under our command.

What the server, and services' own code, use of it is ours.  A name that is not here is fetched from the
installed package's own module, `original`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from baseplate_serve._settings.ini import EnvironmentInterpolation
from baseplate_serve.state import SERVER_STATE, ServerLifecycle, ServerState

if TYPE_CHECKING:
    from types import ModuleType

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


def _load_original() -> ModuleType:
    """The installed package's ``baseplate/server/__init__.py``, as a module of another name."""
    for folder in __path__[1:]:
        file = Path(folder) / "__init__.py"
        spec = spec_from_file_location("baseplate.server.original", file)
        if spec is None or spec.loader is None:
            continue
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    raise AttributeError("the baseplate package is not installed")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    original = sys.modules.get("baseplate.server.original") or _load_original()
    if name == "original":
        return original
    return getattr(original, name)
