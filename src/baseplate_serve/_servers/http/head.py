"""The head of a request, for WSGI as an environ, refused where two readers could understand it differently.

llhttp reads it (RFC 9112's grammar, names, values and targets byte by byte, no folding, no lone line feed,
nothing before a colon).  What it leaves to a server is checked here.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import httptools

from baseplate_serve._servers.http.grammar import TOKEN
from baseplate_serve._servers.http.limits import LINE_MAX, Limits
from baseplate_serve._servers.http.refusal import Refused
from baseplate_serve._servers.http.remembered import remember

_METHOD = re.compile(TOKEN).fullmatch
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]").fullmatch
# RFC 3986 §3.2: a name, an IPv4 address or a bracketed IPv6 address, and a port.  No user: RFC 9110 §4.2.4.
_AUTHORITY = re.compile(r"(?:\[[0-9A-Za-z:.%~_-]+\]|[0-9A-Za-z\-._~!$&'()*+,;=%]*)(?::[0-9]*)?").fullmatch
_ABSOLUTE = re.compile(r"https?://([^/?]+)(.*)", re.IGNORECASE).fullmatch
_CHUNKED_LAST = re.compile(r"(?:.*,)?[ \t]*chunked", re.IGNORECASE).fullmatch
_DIGITS = re.compile(r"[0-9]{1,19}").fullmatch

# A header's name as it was sent, and its name in the environ; empty for those that are dropped.  Clients
# write few names: to look one up costs a tenth of making it.
_keys: dict[bytes, str] = {}
_ONCE = frozenset(["HTTP_HOST", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_TRANSFER_ENCODING"])


class Head:
    """Parses the heads of one connection's requests, one after the other.

    The attributes are those of the last one.  *base* is what every environ of the connection begins with.
    """

    __slots__ = (
        "_base", "_host", "_limits", "_parser", "_short", "absolute", "chunked", "environ",
        "keeps_alive", "length", "line", "method", "minor",
    )  # fmt: skip

    def __init__(self, base: dict[str, Any], limits: Limits) -> None:
        self._base = _roomy(base)
        self._limits = limits
        self._short = min(limits.head, 4 * limits.fields)  # bytes that can be over no limit
        self._parser: Any = None  # used again where it can be: to make one takes 0.15 µs
        self._host = ""  # the last one that was found to be well-formed; to look again takes 0.1 µs
        self.environ: dict[str, Any] = base
        self.line = ""  # the request line
        self.method = ""
        self.absolute = False  # the target was, and names the host
        self.minor = 1  # of HTTP/1.
        self.keeps_alive = True
        self.length = 0  # bytes of the body, unless it is chunked
        self.chunked = False

    def parse(self, head: bytes) -> dict[str, Any]:
        """The environ of the request that *head*, with its empty line, begins.  Raises: Refused."""
        environ = self.environ = self._base.copy()
        target = self.read(head)
        environ["REQUEST_METHOD"] = self.method
        environ["SERVER_PROTOCOL"] = "HTTP/1.1" if self.minor else "HTTP/1.0"
        path, _, query = target.partition("?")
        environ["PATH_INFO"] = unquote(path, "latin-1") if "%" in path else path
        environ["QUERY_STRING"] = query
        return environ

    def read(self, head: bytes) -> str:
        """The target of the request that *head* begins, as ``/path?query``; headers go to `on_header`.

        Raises: Refused.
        """
        end = head.find(b"\r\n")
        target = self.look(head[:end])
        if len(head) > self._short:
            self._check_size(head)
        self._feed(head)
        self.absolute = False
        if target[0] != "/" or "#" in target:
            target = self._origin_form(target)
        host = self.environ.get("HTTP_HOST")
        if host != self._host:
            self._check_host(host)
        self._frame()
        return target

    def _feed(self, head: bytes) -> None:
        """Have llhttp read *head*; it calls `on_header`."""
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._parser = None  # it has stopped
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserInvalidMethodError:
            raise Refused("the method is not known here", 501) from None  # RFC 9110 §9.1
        except httptools.HttpParserError as error:
            self._check_coding()  # which has an answer of its own
            raise Refused(f"no HTTP request: {error}") from None  # llhttp's words, nothing from the wire

    def look(self, line: bytes) -> str:
        """Split the request *line*; its target.  Raises: Refused."""
        if len(line) > LINE_MAX:
            raise Refused("the request line is too long", 414)
        self.line = text = line.decode("latin-1")
        try:
            self.method, target, version = text.split(" ")
        except ValueError:
            raise Refused("the request line is not three words with a space between") from None
        if version == "HTTP/1.1":
            self.minor = 1
        elif version == "HTTP/1.0":
            self.minor = 0
        elif _VERSION(version):
            raise Refused("HTTP/1.0 and HTTP/1.1 are spoken here", 505)
        else:
            raise Refused("the request line ends in no HTTP version")
        if not target or not _METHOD(self.method):
            raise Refused("the request line is not three words with a space between")
        return target

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser for each."""
        key = _keys.get(name)
        if not key:
            key = key_of(name) if key is None else key
            if not key:
                return
        environ = self.environ
        text = value.decode("latin-1").rstrip(" \t")  # llhttp leaves what stands behind a value
        if key in environ:
            if key in _ONCE:
                raise Refused(f"two headers {name.decode().title()}")
            # RFC 6265 §5.4 for cookies, RFC 9110 §5.3 for all others.
            text = f"{environ[key]}{'; ' if 'COOKIE' in key else ','}{text}"
        environ[key] = text

    def _check_size(self, head: bytes) -> None:
        if len(head) > self._limits.head:
            raise Refused("the head is too large", 431)
        if head.count(b"\n") - 2 > self._limits.fields:
            raise Refused("too many headers", 431)

    def _origin_form(self, target: str) -> str:
        """``/path?query`` of a *target* that is not clearly that (RFC 9112 §3.2)."""
        if "#" in target:
            raise Refused("the target has a fragment")  # RFC 3986 §3.5: never sent; who reads on, differs
        if self.method == "CONNECT":
            raise Refused("this server is no proxy", 501)
        if target == "*" and self.method == "OPTIONS":
            return target
        absolute = _ABSOLUTE(target)
        if absolute is None:
            raise Refused("the target is neither a path nor an http URL")
        self._check_host(absolute[1])
        if self.minor and "HTTP_HOST" not in self.environ:
            raise Refused("no header Host")
        self.absolute = True
        self.environ["HTTP_HOST"] = absolute[1]  # §3.2.2: and not what the header says
        rest = absolute[2]
        if not rest and self.method == "OPTIONS":
            return "*"
        return rest if rest[:1] == "/" else f"/{rest}"

    def _check_host(self, host: str | None) -> None:
        if host is None:
            if self.minor:
                raise Refused("no header Host")  # RFC 9112 §3.2
        elif _AUTHORITY(host):
            self._host = host
        else:
            raise Refused("Host is no host")

    def _frame(self) -> None:
        """Where the body ends, and whether the connection does then (RFC 9112 §6.3, §9.3)."""
        environ = self.environ
        self.length = 0
        self.chunked = False
        self.keeps_alive = self.minor == 1
        if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            self._find_length(environ)
        if "HTTP_CONNECTION" in environ:
            options = environ["HTTP_CONNECTION"].lower().replace(" ", "").replace("\t", "").split(",")
            self.keeps_alive = "close" not in options and (self.minor == 1 or "keep-alive" in options)

    def _find_length(self, environ: dict[str, Any]) -> None:
        self._parser = None  # it would wait for the body
        self._check_coding()
        length = environ.get("CONTENT_LENGTH")
        if "HTTP_TRANSFER_ENCODING" in environ:
            # Both lengths is a smuggling attempt; llhttp refuses it, too.
            if length is not None or not self.minor:
                raise Refused("Transfer-Encoding beside Content-Length, or in HTTP/1.0")
            self.chunked = True
        elif length is not None:
            if not _DIGITS(length):
                raise Refused("Content-Length is no number")
            self.length = int(length)
            if self._limits.body is not None and self.length > self._limits.body:
                raise Refused("the body is too large", 413)

    def _check_coding(self) -> None:
        coding = self.environ.get("HTTP_TRANSFER_ENCODING")
        if coding is None or coding.lower() == "chunked":
            return
        if _CHUNKED_LAST(coding) or "chunked" not in coding.lower().replace(" ", "").split(","):
            raise Refused("of transfer codings only 'chunked' is known here", 501)
        raise Refused("chunked is not the last transfer coding")


def key_of(name: bytes) -> str:
    """The environ's key for a header's *name*; empty if it is to be dropped."""
    if b"_" in name:
        key = ""  # as the environ has it, X_User could be X-User, which a proxy before us may vouch for
    else:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
    remember(_keys, name, key)
    return key


def _roomy(environ: dict[str, Any]) -> dict[str, Any]:
    """*environ* with room for a request's headers: a copy has that, too, and need not grow: 0.3 µs."""
    names = [f"\0{number}" for number in range(len(environ) // 3)]
    environ.update(dict.fromkeys(names))
    for name in names:
        del environ[name]
    return environ
