"""On whose behalf a proxy sends a request, by the header that it writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baseplate_serve._settings.networks import Networks

# RFC 7239 §4: pairs, with semicolons between; a value with colons is quoted.
_PAIR = re.compile(r'(?:^|;)[ \t]*(for|proto)=("[^"]*"|[^;\s"]*)', re.IGNORECASE).findall
_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)').split  # one that stands in no quotes
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]+").fullmatch

Origin = tuple[str | None, str | None]  # an address, and http or https; None for what nobody says


class Forwarded:
    """Believes *proxies*, which write *header*: ``x-forwarded-for`` or ``forwarded``."""

    def __init__(self, proxies: Networks, header: str) -> None:
        self._proxies = proxies
        self._standard = header == "forwarded"

    def believes(self, address: Any) -> bool:
        """Whether *address*, as sockets have it, is one of the proxies."""
        return self._proxies.has_peer(address)

    def apply(self, environ: dict[str, Any]) -> None:
        """Have the WSGI *environ* of a request that a proxy sent say who is behind it."""
        if self._standard:
            host, protocol = self._by_the_standard(environ.get("HTTP_FORWARDED", ""))
        else:
            host, protocol = self._by_convention(
                environ.get("HTTP_X_FORWARDED_FOR", ""), environ.get("HTTP_X_FORWARDED_PROTO", "")
            )
        if host is not None:
            environ["REMOTE_ADDR"] = host
            environ["REMOTE_PORT"] = "0"
        if protocol is not None:
            environ["wsgi.url_scheme"] = protocol

    def origin(self, headers: list[tuple[bytes, bytes]]) -> Origin:
        """Who is behind a request with *headers*, as ASGI has them, that a proxy sent."""
        if self._standard:
            return self._by_the_standard(_joined(headers, b"forwarded"))
        return self._by_convention(
            _joined(headers, b"x-forwarded-for"), _joined(headers, b"x-forwarded-proto")
        )

    def _by_the_standard(self, value: str) -> Origin:
        return self._last_stranger([_element(part) for part in _COMMA(value)])

    def _by_convention(self, addresses: str, protocols: str) -> Origin:
        protocol = _protocol(protocols.rsplit(",", maxsplit=1)[-1])  # whether one proxy says it or each
        return self._last_stranger([(_host(part), protocol) for part in addresses.split(",")])

    def _last_stranger(self, hops: list[Origin]) -> Origin:
        """Each proxy has added to the right: the last address that is no proxy's is the client's, and what
        stands before it may be anybody's invention.
        """
        for host, protocol in reversed(hops):
            if host is None or host not in self._proxies:
                return host, protocol
        return hops[0]


def _joined(headers: list[tuple[bytes, bytes]], name: bytes) -> str:
    return ",".join(value.decode("latin-1") for found, value in headers if found == name)


def _element(part: str) -> Origin:
    found = {name.lower(): value.strip('"') for name, value in _PAIR(part)}
    return _host(found.get("for", "")), _protocol(found.get("proto", ""))


def _host(text: str) -> str | None:
    """Without the port; None for ``unknown`` and for names that hide something."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return text if _ADDRESS(text) else None


def _protocol(text: str) -> str | None:
    lower = text.strip().lower()
    return lower if lower in ("http", "https") else None
