"""What a connection goes through before its first request: the PROXY protocol's header, then TLS."""

from __future__ import annotations

import logging
import ssl
from time import monotonic
from typing import TYPE_CHECKING, Any

from baseplate_serve._sockets import proxy_protocol
from baseplate_serve._sockets.names import address_name
from baseplate_serve.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseplate_serve._lifecycle.connections import Connection
    from baseplate_serve._settings.options import ServerSettings
    from baseplate_serve._sockets.tls import Tls

log = logging.getLogger("baseplate_serve")


class Entrance:
    """As *settings* say; *protocols* are offered by TLS.  Raises: FileError."""

    def __init__(self, settings: ServerSettings, protocols: Sequence[str]) -> None:
        self._proxies = settings.proxy_protocol_from
        self.tls: Tls | None = None
        if settings.tls_certificate or settings.tls_key or settings.tls_client_ca:
            from baseplate_serve._sockets.tls import Tls  # noqa: PLC0415 (few need it)

            self.tls = Tls(settings.tls_certificate, settings.tls_key, settings.tls_client_ca, protocols)

    @property
    def is_open(self) -> bool:
        """Whether a connection's first byte is its first request's."""
        return self.tls is None and self._proxies is None

    def reload(self) -> None:
        """Read the files of TLS again; what is wrong is logged, and the old ones stay.  Switches: no."""
        try:
            if self.tls is not None:
                self.tls.reload()
        except FileError as error:
            log.error("the certificate stays as it was: %s", error)  # noqa: TRY400 (its text says it all)
        else:
            log.info("read the certificate again")

    def enter(self, sock: Any, address: Any, connection: Connection) -> tuple[Any, Any] | None:
        """The socket to go on with, and the client's address; None for who doesn't get in.

        Switches: yes, until the client has done its part, or `body_timeout` is over.
        """
        connection.body_since = monotonic()
        try:
            if self._proxies is not None and self._proxies.has_peer(address):
                address = proxy_protocol.receive(sock) or address
                connection.peer = address_name(address)
            if self.tls is not None:
                sock = connection.sock = self.tls.wrap(sock)
                sock.do_handshake()
        except (proxy_protocol.NoProxyHeader, ssl.SSLError) as error:
            log.info("%s: no connection: %s", connection.peer, error)
            if connection.timed_out is None:
                connection.refused("entrance")
            return None
        except OSError as error:
            log.debug("%s: %s", connection.peer, error)
            return None
        finally:
            connection.body_since = None
        return sock, address
