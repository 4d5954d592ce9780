"""``baseplate.server.net``"""

from __future__ import annotations

from typing import TYPE_CHECKING

from baseplate_serve._sockets.bind import BACKLOG, bind

if TYPE_CHECKING:
    import socket

    from baseplate_serve.config import EndpointConfiguration

__all__ = ["bind_socket"]


def bind_socket(endpoint: EndpointConfiguration) -> socket.socket:
    """A socket that listens on *endpoint*."""
    listener = bind(endpoint)
    listener.listen(BACKLOG)
    return listener
