"""``baseplate.server.einhorn``"""

from __future__ import annotations

import os
import socket

from baseplate_serve._sockets.einhorn import EinhornWorker, acknowledge, worker_of

__all__ = ["NotEinhornWorker", "ack_startup", "get_socket", "get_socket_count", "is_worker"]


class NotEinhornWorker(Exception):
    """Our parent is no Einhorn master."""


def _worker() -> EinhornWorker:
    worker = worker_of(os.environ, parent_pid=os.getppid())
    if worker is None:
        raise NotEinhornWorker
    return worker


def is_worker() -> bool:
    """True if our parent is an Einhorn master."""
    return worker_of(os.environ, parent_pid=os.getppid()) is not None


def get_socket_count() -> int:
    """How many sockets Einhorn bound.  Raises `NotEinhornWorker`."""
    return len(_worker().fds)


def get_socket(index: int = 0) -> socket.socket:
    """A duplicate of the socket number *index*.  Raises `NotEinhornWorker`, `IndexError`."""
    fds = _worker().fds
    if not 0 <= index < len(fds):
        raise IndexError(index)
    return socket.socket(fileno=os.dup(fds[index]))


def ack_startup() -> None:
    """Tell the master that this worker serves.  Raises `NotEinhornWorker`."""
    acknowledge(_worker())
