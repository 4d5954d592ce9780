"""TLS for a listener's connections."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any

from gevent.ssl import SSLContext

from baseplate_serve.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Tls:
    """The server's side of TLS, by the options of these names; *protocols* are offered by ALPN.

    Raises: FileError.
    """

    def __init__(
        self, certificate: str | None, key: str | None, client_ca: str | None, protocols: Sequence[str] = ()
    ) -> None:
        if certificate is None or key is None:
            missing = "tls.certificate" if certificate is None else "tls.key"
            raise FileError("is missing: a server with TLS needs both", option=missing)
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._protocols = list(protocols)
        self._context = self._load()

    def reload(self) -> None:
        """Read the files again, for connections that come from now on.  Raises: FileError."""
        self._context = self._load()

    def wrap(self, sock: Any) -> Any:
        """*sock*, which is given up, as a socket that does TLS.  Switches: no."""
        return self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    def _load(self) -> SSLContext:
        certificate, key, client_ca = self._certificate, self._key, self._client_ca
        _readable("tls.certificate", certificate)
        _readable("tls.key", key)
        context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except _EncryptedKey:
            raise FileError(
                "is encrypted, and nobody is here to decrypt it", option="tls.key", value=key
            ) from None
        except ssl.SSLError as error:
            problem = f"with tls.key = {key!r}: no certificate and its private key ({_reason(error)})"
            raise FileError(problem, option="tls.certificate", value=certificate) from None
        if client_ca is not None:
            _readable("tls.client_ca", client_ca)
            try:
                context.load_verify_locations(client_ca)
            except ssl.SSLError as error:
                problem = f"holds no certificates ({_reason(error)})"
                raise FileError(problem, option="tls.client_ca", value=client_ca) from None
            context.verify_mode = ssl.CERT_REQUIRED
        if self._protocols:
            context.set_alpn_protocols(self._protocols)
        return context


class NonBlocking:
    """The TLS below gevent's *sock*, for a loop: what would wait raises BlockingIOError."""

    def __init__(self, sock: Any) -> None:
        self._ssl = sock._sslobj  # noqa: SLF001 (gevent's methods wait)
        self._kernels = sock._sock  # noqa: SLF001 (likewise)
        self.fileno = self._kernels.fileno
        self.getsockname = self._kernels.getsockname
        self.shutdown = self._kernels.shutdown

    def recv(self, size: int) -> bytes:
        """A record at most, and all of it if *size* is that of the longest.  Raises: OSError."""
        try:
            return bytes(self._ssl.read(size))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def send(self, data: Any) -> int:
        """Raises: OSError."""
        try:
            return int(self._ssl.write(data))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None


class _EncryptedKey(Exception):
    pass


def _no_password() -> str:
    raise _EncryptedKey


def _readable(option: str, path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}", option=option, value=path) from None


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
