"""`baseplate.server.runtime_monitor`: the monitors are the command's, for every server."""

from __future__ import annotations

from typing import Any

from baseplate_serve._drop_in import observers

__all__ = ["start"]


def start(server_config: dict[str, str], application: Any, pool: Any) -> None:
    """Tell the command's monitors which *pool* of greenlets a server's connections are in, or None.

    The two other arguments are what the command knows already.
    """
    del server_config, application
    observers.connections_are_in(pool)
