"""What tells the server about ASGI applications: `Asgi`, `Mount`.

Imports no asyncio: a synchronous service may be asked whether it is one.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Asgi", "Mount", "is_asgi"]


class Asgi:
    """Marks *app* as an ASGI 3 application where its form doesn't tell: an ordinary function, say, that
    returns the coroutine of another.
    """

    def __init__(self, app: Any) -> None:
        self.app = app


class Mount:
    """Some paths to ASGI applications, all others to a WSGI application.

        Mount({"/api": fastapi_app}, wsgi=old_app)

    A prefix is a path without the last slash; it matches itself and what is below it, the longest first.  An
    ASGI application gets the whole path, and its prefix as ``root_path``, as the specification has it.  A
    prefix may lead to a WSGI application, too.  The default may be an ASGI application: ``Mount({"/old":
    old_app}, asgi=new_app)``.
    """

    def __init__(self, prefixes: Mapping[str, Any], *, wsgi: Any = None, asgi: Any = None) -> None:
        if (wsgi is None) == (asgi is None):
            raise TypeError("Mount needs a default, either wsgi= or asgi=")
        for prefix in prefixes:
            if not prefix.startswith("/") or prefix.endswith("/"):
                raise ValueError(f"a prefix begins with a slash and doesn't end with one, not {prefix!r}")
        by_length = sorted(prefixes.items(), key=lambda pair: len(pair[0]), reverse=True)
        self.routes: list[tuple[str, Any]] = [*by_length, ("", wsgi if asgi is None else Asgi(asgi))]

    def find(self, path: str) -> tuple[str, Any]:
        """The prefix that *path* is under, and its application."""
        for prefix, app in self.routes:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
                return prefix, app
        return self.routes[-1]


def is_asgi(app: Any) -> bool:
    """Whether *app* is an ASGI application: marked, a coroutine function, or called like one."""
    if isinstance(app, Asgi):
        return True
    while isinstance(app, functools.partial):
        app = app.func
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
        return True
    try:
        names = list(inspect.signature(app).parameters)
    except (TypeError, ValueError):
        return False
    return names == ["scope", "receive", "send"]


def unmarked(app: Any) -> Any:
    """The application itself."""
    return app.app if isinstance(app, Asgi) else app
