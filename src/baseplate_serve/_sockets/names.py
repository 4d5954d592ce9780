"""Who is at the other end, as people write it."""

from __future__ import annotations

from typing import Any


def address_name(address: Any) -> str:
    """``127.0.0.1:9090``, ``[::1]:9090``, a unix socket's path, or ``unix`` for a client without a name."""
    if isinstance(address, tuple):
        host, port = address[:2]  # IPv6 has a flow and a scope after them
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(address, bytes):
        return address.decode(errors="backslashreplace")  # an abstract unix address
    return address or "unix"


def client_certificate(sock: Any) -> str | None:
    """The certificate that the client has shown on gevent's *sock*, as PEM; None for none, or without TLS."""
    if not hasattr(sock, "getpeercert"):
        return None
    import ssl  # noqa: PLC0415 (few need it)

    certificate = sock.getpeercert(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(certificate) if certificate else None
