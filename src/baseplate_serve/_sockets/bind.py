"""A listener bound here.

Binding and listening are two steps: the port is taken (or found taken) before the application is
loaded, and nobody is told to connect before it is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

from baseplate_serve._lifecycle.forked import in_children, silence
from baseplate_serve.errors import EndpointError

if TYPE_CHECKING:
    from baseplate_serve.config import EndpointConfiguration

BACKLOG = 1024  # the kernel caps it at net.core.somaxconn


class OwnListener(socket.socket):
    """A listener that this process bound itself: no other process holds its descriptor."""

    _file: tuple[str, int, int] | None = None  # path, device and inode of what bind() made of a unix address

    def remember_file(self, path: str) -> None:
        """Note that binding has made the socket file *path*."""
        found = os.stat(path)
        self._file = (path, found.st_dev, found.st_ino)

    def _leave_to_parent(self) -> None:
        self._file = None
        silence(self)

    def remove_file(self) -> None:
        """Remove the socket file, unless somebody has put another in its place.  It may be closed by now."""
        if self._file is None:
            return
        path, device, inode = self._file
        self._file = None
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(path)
            if (found.st_dev, found.st_ino) == (device, inode):
                os.unlink(path)


def bind(endpoint: EndpointConfiguration) -> OwnListener:
    """A socket bound to *endpoint*, not listening yet.

    TCP listeners share their port with other workers (SO_REUSEPORT).  A socket file that nobody
    listens on is replaced.  Raises `EndpointError`: in use, not permitted, no such host.
    """
    if isinstance(endpoint.address, str):
        _remove_stale_file(endpoint.address)
        family: int = endpoint.family
        address: Any = endpoint.address
    else:
        family, address = _resolve(endpoint, *endpoint.address)
    listener = OwnListener(family, socket.SOCK_STREAM)
    in_children(listener, OwnListener._leave_to_parent)  # noqa: SLF001 (this module's own class)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family != socket.AF_UNIX:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        if isinstance(address, str):
            listener.remember_file(address)
        no_delay(listener)
    except OSError as error:
        listener.close()
        raise EndpointError(f"{endpoint}: cannot be bound: {error.strerror or error}") from error
    return listener


def _resolve(endpoint: EndpointConfiguration, host: str, port: int) -> tuple[int, Any]:
    # An empty host means every address, as the socket module has it.
    try:
        found = socket.getaddrinfo(
            host or None, port, endpoint.family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that IDNA refuses
        reason = getattr(error, "strerror", None) or error
        raise EndpointError(f"{endpoint}: cannot be bound: {reason}") from error
    family, _, _, _, address = found[0]
    return family, address


def _remove_stale_file(path: str) -> None:
    """Remove the socket file of a server that is gone.  Raises `EndpointError` if one answers."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise EndpointError(f"{path}: cannot be bound: a file that is no socket stands there")
    except OSError:
        return  # nothing there; and what else is wrong with the path, bind() says better
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):  # another worker removed it first
                os.unlink(path)
        except OSError as error:
            raise EndpointError(f"{path}: cannot be bound: {error.strerror or error}") from error
        else:
            raise EndpointError(f"{path}: cannot be bound: another server listens there")


def no_delay(listener: socket.socket) -> None:
    """Send replies without waiting for the client's ACK; accepted sockets inherit it.

    Without it a reply written in two pieces waits 44 ms in keep-alive: Nagle against delayed ACK.
    """
    if listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
