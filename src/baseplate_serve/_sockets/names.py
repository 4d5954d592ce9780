"""Addresses as people write them."""

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
