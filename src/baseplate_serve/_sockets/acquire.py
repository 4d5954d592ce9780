"""Which listener to serve on: Einhorn's, else systemd's, else one bound to the endpoint asked for."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from baseplate_serve._lifecycle.forked import in_children, silence
from baseplate_serve._sockets import systemd
from baseplate_serve._sockets.bind import BACKLOG, OwnListener, bind, no_delay
from baseplate_serve._sockets.names import address_name
from baseplate_serve.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from baseplate_serve._sockets.einhorn import EinhornWorker
    from baseplate_serve.config import EndpointConfiguration


@dataclass(frozen=True)
class Listener:
    """A bound socket and where it came from."""

    sock: socket.socket
    origin: str  # 'Einhorn', 'systemd', 'reloader', 'bound here'

    @property
    def name(self) -> str:
        """``127.0.0.1:9090``, ``[::1]:9090`` or the path of a unix socket."""
        return address_name(self.sock.getsockname())

    def listen(self) -> None:
        """Let clients connect, if whoever bound the socket has not done so."""
        if not self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self.sock.listen(BACKLOG)

    def close(self) -> None:
        """Close it, and remove the socket file that `bind` made."""
        if isinstance(self.sock, OwnListener):
            self.sock.remove_file()
        self.sock.close()


RELOADER_FD = "BASEPLATE_SERVE_RELOADER_FD"  # set by --reload for its own child, nobody else


def acquire(
    endpoint: EndpointConfiguration, worker: EinhornWorker | None, environ: Mapping[str, str]
) -> Listener:
    """The listener of this process, bound but perhaps not listening yet.

    Raises `EndpointError` when it cannot be bound, or what was handed over is no stream socket.
    """
    if worker is not None and worker.fds:
        return Listener(_adopt(worker.fds[0], "EINHORN_FD_0"), "Einhorn")
    if fds := systemd.passed_fds(environ, pid=os.getpid()):
        return Listener(_adopt(fds[0], "LISTEN_FDS"), "systemd")
    if RELOADER_FD in environ:
        return Listener(_adopt(int(environ[RELOADER_FD]), RELOADER_FD), "reloader")
    return Listener(bind(endpoint), "bound here")


def _adopt(fd: int, variable: str) -> socket.socket:
    """A socket over a descriptor that another process bound; its family is read from the descriptor."""
    try:
        os.set_inheritable(fd, False)  # ours now: the application's own children have no use for it
        sock = socket.socket(fileno=fd)
        kind = sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    except OSError as error:
        raise EndpointError(f"{variable}: descriptor {fd} is no socket: {error.strerror}") from error
    if kind != socket.SOCK_STREAM:
        sock.close()
        raise EndpointError(f"{variable}: descriptor {fd} is no stream socket")
    no_delay(sock)
    in_children(sock, silence)
    return sock
