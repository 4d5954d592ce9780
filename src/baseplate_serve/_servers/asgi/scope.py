"""What an application is told of a request, and of the connection that it came by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from baseplate_serve._sockets.names import client_certificate

if TYPE_CHECKING:
    from baseplate_serve._servers.asgi.connection import AsgiConnection
    from baseplate_serve._servers.asgi.head import Request

ASGI = {"version": "3.0", "spec_version": "2.4"}
TLS_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def scope_of(request: Request, path: str, connection: AsgiConnection, prefix: str) -> dict[str, Any]:
    """*prefix*: of the `Mount`.  What a proxy has stripped stands before it, as in the client's URL:
    https://asgi.readthedocs.io/en/latest/specs/www.html#wsgi-compatibility
    """
    root = connection.settings.root_path
    raw_path = request.raw_path
    if root and path != "*":
        path = root + path
        raw_path = quote(root).encode() + raw_path
    websocket = request.is_websocket
    client, scheme = connection.origin(request)
    scope = {
        "type": "websocket" if websocket else "http",
        "asgi": ASGI,
        "http_version": f"1.{request.minor}",
        "method": request.method,
        "scheme": scheme.replace("http", "ws") if websocket else scheme,
        "path": path,
        "raw_path": raw_path,
        "query_string": request.query,
        "root_path": root + prefix,
        "headers": request.headers,
        "client": client,
        "server": connection.server,
    }
    if websocket:
        del scope["method"]
    return scope


def address_of(address: Any) -> list[Any] | None:
    """As ASGI wants it: host and port; a unix socket's path and None; None if there is no name."""
    if isinstance(address, tuple):
        return [address[0], address[1]]
    path = address.decode() if isinstance(address, bytes) else address
    return [path, None] if path else None


def tls_of(sock: Any) -> dict[str, Any]:
    """ASGI's extension ``tls`` for gevent's *sock*: https://asgi.readthedocs.io/en/latest/specs/tls.html"""
    certificate = client_certificate(sock)
    numbers = {each["name"]: each["id"] & 0xFFFF for each in sock.context.get_ciphers()}
    return {
        "server_cert": None,
        "client_cert_chain": [certificate] if certificate else [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": TLS_VERSIONS.get(sock.version()),
        "cipher_suite": numbers.get(sock.cipher()[0]),
    }
