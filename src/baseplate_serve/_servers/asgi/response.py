"""An application's messages as the bytes of a response."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from baseplate_serve._servers.http.fields import date_line, declared_length
from baseplate_serve._servers.http.grammar import TOKEN_BYTES

_NAME = re.compile(TOKEN_BYTES).fullmatch
_UNSAFE = re.compile(rb"[\x00\r\n]").search
_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_OURS = frozenset([b"content-length", b"transfer-encoding", b"connection"])  # what the server looks at


class Response:
    """The state of one response; gives bytes to send, in order.

    *bodiless*: the request was HEAD.  *minor* of HTTP/1.
    """

    def __init__(self, *, bodiless: bool, minor: int, keeps_alive: bool) -> None:
        self.bodiless = bodiless
        self.minor = minor
        self.keeps_alive = keeps_alive
        self.started = False  # the application has begun it
        self.sent = False  # bytes of it have been given away
        self.complete = False
        self._start: dict[str, Any] = {}
        self._chunked = False
        self._left: int | None = None  # bytes of the declared length that are missing

    @property
    def status(self) -> int | None:
        """None: the application didn't start it."""
        return self._start.get("status")

    def start(self, message: dict[str, Any]) -> None:
        """``http.response.start``.  Raises: RuntimeError, TypeError or ValueError for the application."""
        if self.started:
            raise RuntimeError("the response was started twice")
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 999:
            raise ValueError(f"the status is {status!r}")
        for name, value in message.get("headers", ()):
            if not _NAME(name):
                raise ValueError("a header's name is none")
            if _UNSAFE(value):  # a session's, perhaps, and what is raised is logged
                raise ValueError(f"carriage return, newline or NUL in the value of a header: {name!r}")
        self._start = message
        self.started = True

    def body(self, message: dict[str, Any], *, leaving: bool = False) -> bytes:
        """``http.response.body``: the bytes to send.  *leaving*: the connection closes after it.

        Raises: RuntimeError for what the application must not do.
        """
        if not self.started:
            raise RuntimeError("the response has a body and was not started")
        if self.complete:
            raise RuntimeError("the response is complete and gets more")
        data = message.get("body", b"")
        more = message.get("more_body", False)
        head = b"" if self.sent else self._head(len(data), more=more, leaving=leaving)
        if self._left is not None and not self.bodiless:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("the response is longer than its Content-Length")
            if self._left and not more:
                raise RuntimeError(f"the response is {self._left} bytes shorter than its Content-Length")
        self.sent = True
        self.complete = not more
        if self.bodiless:
            return head
        if self._chunked:
            framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            return b"%b%b%b" % (head, framed, b"" if more else b"0\r\n\r\n")
        return head + data if head else bytes(data)

    def _head(self, length: int, *, more: bool, leaving: bool) -> bytes:
        status = self._start["status"]
        self.bodiless = self.bodiless or status in (204, 304)
        lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        given = set()
        for name, value in self._start.get("headers", ()):
            lower = name.lower()
            if lower in _OURS:
                if lower == b"connection" and b"close" in value.lower():
                    self.keeps_alive = False
                if lower != b"content-length" or status == 204:
                    continue
                self._left = declared_length(value, self._left)
            given.add(lower)
            lines.append(b"%b: %b\r\n" % (name, value))
        if self._left is None and status not in (204, 304):
            lines.append(self._framing(length, more=more))
        if b"date" not in given:
            lines.append(date_line())
        if leaving or not self.keeps_alive:
            self.keeps_alive = False
            lines.append(b"connection: close\r\n")
        elif not self.minor:
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def _framing(self, length: int, *, more: bool) -> bytes:
        """The field that tells where the body ends, if the application didn't."""
        if not more and not self.bodiless:
            return b"content-length: %d\r\n" % length
        if self.minor:
            self._chunked = True
            return b"transfer-encoding: chunked\r\n"
        if not self.bodiless:
            self.keeps_alive = False  # HTTP/1.0: the end of the connection is the end of the body
        return b""
