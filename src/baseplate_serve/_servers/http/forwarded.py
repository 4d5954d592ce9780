"""On whose behalf a proxy sends a request, by the header that it writes."""

from __future__ import annotations

import re
from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from baseplate_serve._settings.networks import Networks

HOPS_MAX = 100  # that are looked at: a client may invent thousands, each with a proxy's address

# RFC 7239 §4: pairs, with semicolons between; a value with colons is quoted, but not by everybody.
_PAIR = re.compile(r"""[ \t;]*([^\s";=]+)=("(?:[^"\\]|\\.)*"|[^\s";]*)[ \t]*(?:;|\Z)""").match
# An element with the comma behind it, of a value that is read backwards: there a quote that is part of what
# is quoted stands before its backslash.
_ELEMENT = re.compile(r""",((?:[^",]|"(?:[^"]|"(?=\\))*"(?!\\))*)(?=,|\Z)""").match

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
        return self._last_stranger(_pairs_of(element) for element in _elements(value))

    def _by_convention(self, addresses: str, protocols: str) -> Origin:
        protocol = protocols.rpartition(",")[2]  # whether one proxy says it or each
        return self._last_stranger((part, protocol) for part in reversed(addresses.split(",")))

    def _last_stranger(self, hops: Iterable[tuple[str, str]]) -> Origin:
        """Each proxy has added to the right: of *hops*, the last one first, the first that is no proxy's is
        the client's, and what comes after it may be anybody's invention.
        """
        origin: Origin = (None, None)
        for node, protocol in islice(hops, HOPS_MAX):
            host = _host(node)
            origin = host, _protocol(protocol)
            if host is None or host not in self._proxies:
                break
        return origin


def _joined(headers: list[tuple[bytes, bytes]], name: bytes) -> str:
    return ",".join(value.decode("latin-1") for found, value in headers if found == name)


def _elements(value: str) -> Iterator[str]:
    """The elements of ``Forwarded``, the last one first.

    Read from the right, where a proxy has added its own: a quote that the client has left open ends there.
    """
    backwards = "," + value[::-1]
    at = 0
    while found := _ELEMENT(backwards, at):
        yield found[1][::-1]
        at = found.end()


def _pairs_of(element: str) -> tuple[str, str]:
    """Its ``for`` and ``proto``, empty where they are missing; both if it is malformed."""
    found = {}
    element = element.rstrip(" \t;")
    at = 0
    while at < len(element):
        pair = _PAIR(element, at)
        if pair is None:
            return "", ""
        found[pair[1].lower()] = pair[2].strip('"')
        at = pair.end()
    return found.get("for", ""), found.get("proto", "")


def _host(text: str) -> str | None:
    """Without the port; None for ``unknown``, for names that hide something, and for what is no address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if "%" in text:  # a zone is the name of an interface of who wrote it, and may be any text
        return None
    try:
        ip_address(text)
    except ValueError:
        return None
    return text


def _protocol(text: str) -> str | None:
    lower = text.strip().lower()
    return lower if lower in ("http", "https") else None
