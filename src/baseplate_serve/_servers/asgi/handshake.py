"""The request that opens a WebSocket: RFC 6455 §4.2.1."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from wsproto.utilities import RemoteProtocolError

from baseplate_serve._servers.http.refusal import Refused

if TYPE_CHECKING:
    from wsproto import WSConnection

    from baseplate_serve._servers.asgi.head import Request

# RFC 6455 §4.4.
_WHAT_IS_SPOKEN = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: upgrade\r\n"
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==").fullmatch  # 16 bytes in base64


def opened(protocol: WSConnection, head: bytes, request: Request) -> list[str]:
    """The subprotocols that the client offers; *protocol* has read its *request*, which *head* is.

    Raises: Refused.
    """
    keys = [value for name, value in request.headers if name == b"sec-websocket-key"]
    versions = [value for name, value in request.headers if name == b"sec-websocket-version"]
    if request.length != 0:
        raise Refused("it opens no WebSocket: it has a body")  # a proxy may see one where we see frames
    if versions and versions != [b"13"]:
        raise Refused("it opens no WebSocket: the version spoken here is 13", 426, _WHAT_IS_SPOKEN)
    if len(keys) != 1 or not _KEY(keys[0]):
        raise Refused("it opens no WebSocket: it needs one Sec-WebSocket-Key, of 16 bytes")
    try:
        protocol.receive_data(head)
        event: Any = next(protocol.events())
    except RemoteProtocolError as error:
        raise Refused(f"it opens no WebSocket: {error}") from error  # wsproto's words, nothing from the wire
    except UnicodeError as error:
        raise Refused("it opens no WebSocket: a header is not what it should be") from error
    return list(event.subprotocols)
