"""A client's connection that is over at a deadline.  No gevent: probes come every few seconds."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import ssl

    from baseplate_serve.config import EndpointConfiguration


class UnresolvedError(Exception):
    """The endpoint's host has no address."""


class Tls(NamedTuple):
    """TLS, with the paths of a certificate and its private key to show, if the server asks for one."""

    certificate: str | None
    key: str | None


class _Deadline:
    """Raises TimeoutError at *deadline*, however many operations are under way.

    A plain timeout starts anew with each ``recv``: a service that sends a byte a second never exceeds it.
    Sending needs no such care: what a check sends fits into any socket's buffer.
    """

    deadline: float  # as time.monotonic() counts
    settimeout: Any

    def arm(self) -> None:
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.settimeout(left_s)

    def connect(self, address: Any, /) -> None:
        self.arm()
        super().connect(address)  # type: ignore[misc] # a socket's

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        self.arm()
        data: bytes = super().recv(size, flags)  # type: ignore[misc] # likewise
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0, /) -> int:
        self.arm()
        received: int = super().recv_into(buffer, size, flags)  # type: ignore[misc] # likewise
        return received


class _Connection(_Deadline, socket.socket):
    """A client's socket."""


def connect(endpoint: EndpointConfiguration, deadline: float, tls: Tls | None = None) -> socket.socket:
    """A connection to *endpoint*, by whichever of its host's addresses answers first, in their order.

    With *tls*, the server's certificate is not verified.  What it does raises TimeoutError at *deadline*.

    Raises: OSError, that of the last address; UnresolvedError.  The lookup of a name takes as long as the
    resolver allows.  The caller closes it.
    """
    context = None if tls is None else _context(tls)
    refusal: OSError | None = None
    for family, address in _addresses(endpoint):
        connection = _Connection(family, socket.SOCK_STREAM)
        connection.deadline = deadline
        try:
            connection.connect(address)
            return connection if context is None else _encrypted(connection, context)
        except OSError as error:
            connection.close()
            refusal = error
    raise refusal or OSError("the host has no address")


def _context(tls: Tls) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 (few need it)

    class Encrypted(_Deadline, ssl.SSLSocket):  # type: ignore[misc] # its recv() takes them by position, too
        pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = Encrypted
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def _encrypted(connection: _Connection, context: ssl.SSLContext) -> socket.socket:
    encrypted: Any = context.wrap_socket(connection, do_handshake_on_connect=False)
    try:
        encrypted.deadline = connection.deadline
        encrypted.arm()
        encrypted.do_handshake()
    except OSError:
        encrypted.close()
        raise
    return encrypted  # type: ignore[no-any-return] # it is made of a class of the context's


def _addresses(endpoint: EndpointConfiguration) -> list[tuple[int, Any]]:
    if isinstance(endpoint.address, str):
        return [(endpoint.family, endpoint.address)]
    host, port = endpoint.address
    try:
        # No host means every interface to who listens, and loopback to who connects.
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise UnresolvedError(f"cannot resolve {host!r}: {error.strerror}") from error
    except UnicodeError as error:  # a label that is empty or too long
        raise UnresolvedError(f"cannot resolve {host!r}: {error}") from error
    return [(family, address) for family, _, _, _, address in found]
