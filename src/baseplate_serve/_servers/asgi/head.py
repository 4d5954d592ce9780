"""The head of a request as ASGI's scope has it.  What may be served is decided where it is for WSGI, too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from baseplate_serve._servers.http.head import Head

if TYPE_CHECKING:
    from baseplate_serve._servers.http.limits import Limits

_OURS = frozenset([
    b"connection", b"content-length", b"content-type", b"expect", b"host", b"transfer-encoding", b"upgrade",
])  # fmt: skip
_UPGRADE = re.compile(r"(?:.*,)?[ \t]*upgrade[ \t]*(?:,.*)?", re.IGNORECASE).fullmatch


@dataclass(slots=True)
class Request:
    """The head of a request.  Names of headers are in lower case."""

    method: str
    raw_path: bytes  # percent-encoded, without the query
    query: bytes
    minor: int  # of HTTP/1.
    headers: list[tuple[bytes, bytes]]
    length: int | None  # of the body; None: chunked
    keeps_alive: bool
    expects_continue: bool
    upgrade: str  # the protocol that it asks for; empty if it may not ask

    @property
    def is_websocket(self) -> bool:
        return self.upgrade == "websocket" and self.method == "GET"

    @property
    def path(self) -> str:
        raw = self.raw_path
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8", "replace")


class RequestHead(Head):
    """Parses the heads of one connection's requests, one after the other."""

    __slots__ = ("_headers",)

    def __init__(self, limits: Limits) -> None:
        super().__init__({}, limits)
        self._headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser for each."""
        name = name.lower()
        if b"_" in name:
            return  # dropped for WSGI, and one request is not two
        self._headers.append((name, value.rstrip(b" \t")))  # llhttp leaves what stands behind a value
        if name in _OURS:
            super().on_header(name, value)

    def request(self, head: bytes) -> Request:
        """The request that *head*, with its empty line, begins.  Raises: Refused."""
        headers: list[tuple[bytes, bytes]] = []
        self._headers = headers
        ours: dict[str, str] = {}
        self.environ = ours
        target = self.read(head).encode("ascii")
        if self.absolute:
            host = ours["HTTP_HOST"].encode("latin-1")
            headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
        raw_path, _, query = target.partition(b"?")
        return Request(
            self.method,
            raw_path,
            query,
            self.minor,
            headers,
            None if self.chunked else self.length,
            self.keeps_alive,
            expects_continue=self.minor == 1 and ours.get("HTTP_EXPECT", "").lower() == "100-continue",
            upgrade=self._upgrade(ours) if "HTTP_UPGRADE" in ours else "",
        )

    def _upgrade(self, ours: dict[str, str]) -> str:
        # RFC 9110 §7.8: ignored in HTTP/1.0, and where a proxy that doesn't know it has removed Connection.
        asked = self.minor == 1 and _UPGRADE(ours.get("HTTP_CONNECTION", ""))
        return ours["HTTP_UPGRADE"].lower() if asked else ""
