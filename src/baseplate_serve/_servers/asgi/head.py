"""The head of a request (RFC 9112): parsed, and refused where two readers could understand it differently."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

HEADERS_MAX = 200
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(?:\r\n)*(%s) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])\r\n" % TOKEN).match
# A name, no space before the colon, no control characters in the value but tabs.
_FIELDS = re.compile(rb"(?<=\r\n)(%s):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*(?=\r\n)" % TOKEN).findall
_DIGITS = re.compile(rb"[0-9]{1,18}").fullmatch
_MEANT_FOR_US = frozenset(
    [b"content-length", b"transfer-encoding", b"host", b"expect", b"upgrade", b"connection"]
)


class BadRequest(Exception):
    """What the client sent is no request that may be served."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


class HeadTooLarge(BadRequest):
    def __init__(self) -> None:
        super().__init__("the head is too large", 431)


@dataclass(slots=True)
class Request:
    """The head of a request.  Names of headers are in lower case."""

    method: str
    raw_path: bytes  # percent-encoded, without the query
    query: bytes
    minor: int  # of HTTP/1.
    headers: list[tuple[bytes, bytes]]
    length: int | None = 0  # of the body; None: chunked
    expects_continue: bool = False
    keeps_alive: bool = True
    upgrade: bytes = b""

    @property
    def is_websocket(self) -> bool:
        return self.upgrade == b"websocket" and self.method == "GET"

    @property
    def path(self) -> str:
        raw = self.raw_path
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8", "replace")


def parse(head: bytes) -> Request:
    """The request that *head*, with its empty line, begins.  Raises: BadRequest."""
    line = _REQUEST_LINE(head)
    if line is None:
        raise BadRequest("no request line of HTTP/1.0 or HTTP/1.1")
    rest = head[line.end() - 2 :]  # from the end of the request line on
    headers = [(name.lower(), value) for name, value in _FIELDS(rest)]
    lines = rest.count(b"\r\n") - 2
    if lines > HEADERS_MAX:
        raise HeadTooLarge
    if len(headers) != lines:
        raise BadRequest("a line of the head is no header field")
    minor = line[3] == b"1"
    raw_path, _, query = _origin_form(line[2]).partition(b"?")
    request = Request(line[1].decode(), raw_path, query, int(minor), headers, keeps_alive=minor)
    given: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _MEANT_FOR_US:
            before = given.setdefault(name, value)
            if before is not value:
                given[name] = _joined(name, before, value)
    _apply(request, given)
    return request


def _joined(name: bytes, before: bytes, value: bytes) -> bytes:
    """What two fields of one name say together, where that is allowed."""
    if name in (b"connection", b"upgrade"):
        return b"%b,%b" % (before, value)
    if name == b"content-length" and before == value:
        return value
    raise BadRequest(f"two fields {name.decode()}")


def _apply(request: Request, given: dict[bytes, bytes]) -> None:
    """What the fields in *given* say of the body and the connection."""
    if b"host" not in given and request.minor:
        raise BadRequest("no Host")
    if b"transfer-encoding" in given:
        encoding = given[b"transfer-encoding"].lower()
        if encoding != b"chunked" or not request.minor:
            raise BadRequest(f"Transfer-Encoding is {encoding[:80]!r}", 501)
        if b"content-length" in given:
            raise BadRequest("both Transfer-Encoding and Content-Length")
        request.length = None
    elif b"content-length" in given:
        length = given[b"content-length"]
        if not _DIGITS(length):
            raise BadRequest(f"Content-Length is {length[:80]!r}")
        request.length = int(length)
    if b"connection" in given:
        options = given[b"connection"].lower().replace(b" ", b"").split(b",")
        request.keeps_alive = b"close" not in options and (bool(request.minor) or b"keep-alive" in options)
    request.expects_continue = bool(request.minor) and given.get(b"expect", b"").lower() == b"100-continue"
    request.upgrade = given.get(b"upgrade", b"").lower()


def _origin_form(target: bytes) -> bytes:
    """``/path?query``, also where the client sent ``http://host/path?query``."""
    if target[:1] == b"/" or target == b"*":
        return target
    scheme, _, rest = target.partition(b"://")
    if scheme.lower() not in (b"http", b"https"):
        raise BadRequest(f"the target is {target[:80]!r}")
    slash = rest.find(b"/")
    return rest[slash:] if slash >= 0 else b"/"
