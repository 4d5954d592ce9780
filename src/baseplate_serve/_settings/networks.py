"""Sets of addresses: ``10.0.0.0/8, ::1, unix``."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any


class Networks:
    """The networks that *text* names, with commas between; ``unix`` is whoever connects to a unix socket.

    Raises: ValueError.
    """

    def __init__(self, text: str) -> None:
        names = [name.strip() for name in text.split(",")]
        self._unix = "unix" in names
        self._networks = [ip_network(name) for name in names if name != "unix"]

    def __contains__(self, host: object) -> bool:
        """*host* is an IP address as text; what is none is in no network."""
        try:
            address = ip_address(str(host).partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)

    def has_peer(self, address: Any) -> bool:
        """Whether *address*, as sockets have it, is in here."""
        return address[0] in self if isinstance(address, tuple) else self._unix
