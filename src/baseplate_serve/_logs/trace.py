"""The trace and span of the request that is being served, for its log lines.

A server sets `current_request_headers` once per connection to a lookup that reads whichever request the
connection serves at the moment; nothing is parsed until something is logged.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

HeaderLookup = Callable[[str], str | None]
"""A header's value, or None; names are in lower case with dashes: ``'x-b3-traceid'``."""

current_request_headers: ContextVar[HeaderLookup | None] = ContextVar("current_request_headers", default=None)


class Trace(NamedTuple):
    """Both as they were received: hexadecimal, or Baseplate's decimal."""

    trace_id: str
    span_id: str


# Ids come from whoever connects and go into log lines as they are: nothing else may stand in them.
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")

# https://www.w3.org/TR/trace-context/#traceparent-header: versions after 00 may append fields after a dash,
# 'ff' is forbidden, and so are ids of zeros.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-[0-9a-f]{2}"
    r"(?P<more>-.*)?",
)

# https://github.com/openzipkin/b3-propagation#single-header: ids may be absent (`b3: 0` only says 'not
# sampled'), what follows them is of no interest here.
_B3 = re.compile(r"(?P<trace>[0-9a-fA-F]{16}(?:[0-9a-fA-F]{16})?)-(?P<span>[0-9a-fA-F]{16})(?:-.*)?")

_PAIRS = (
    ("x-b3-traceid", "x-b3-spanid"),  # B3, a header each
    ("x-trace", "x-span"),  # Baseplate over HTTP
    ("trace", "span"),  # Baseplate over THeader
)


def trace_of(headers: HeaderLookup) -> Trace | None:
    """The trace that a request's *headers* carry; None if there is none that is well-formed."""
    return (
        _from_traceparent(headers("traceparent"))
        or _from_b3(headers("b3"))
        or next((trace for pair in _PAIRS if (trace := _from_pair(headers, *pair))), None)
    )


def _from_traceparent(value: str | None) -> Trace | None:
    found = _TRACEPARENT.fullmatch(value or "")
    if found is None or (found["version"] == "00" and found["more"]):
        return None
    return Trace(found["trace"], found["span"])


def _from_b3(value: str | None) -> Trace | None:
    found = _B3.fullmatch(value or "")
    return Trace(found["trace"], found["span"]) if found else None


def _from_pair(headers: HeaderLookup, trace_name: str, span_name: str) -> Trace | None:
    trace_id, span_id = headers(trace_name) or "", headers(span_name) or ""
    return Trace(trace_id, span_id) if _ID.fullmatch(trace_id) and _ID.fullmatch(span_id) else None


def current_trace() -> Trace | None:
    """The trace of the request that is being served here: OpenTelemetry's if its span is valid, else the
    one that the request came with.  Raises: nothing.  Switches: no.
    """
    for source in (_of_opentelemetry, _of_current_request):
        # It is called by every log call of the application: whatever is wrong with a tracer or with the
        # request's headers, the log line is worth more than its trace.
        with suppress(Exception):
            if trace := source():
                return trace
    return None


def _of_opentelemetry() -> Trace | None:
    # Never imported here: a service that does not use it should not pay for it.
    opentelemetry: Any = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None:
        return None
    context = opentelemetry.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}")


def _of_current_request() -> Trace | None:
    headers = current_request_headers.get()
    return trace_of(headers) if headers is not None else None


def from_environ(environ: Mapping[str, Any]) -> HeaderLookup:
    """Headers as WSGI has them: ``HTTP_X_B3_TRACEID``."""

    def lookup(name: str) -> str | None:
        value = environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value if isinstance(value, str) else None

    return lookup


def from_pairs(headers: Iterable[tuple[bytes, bytes]]) -> HeaderLookup:
    """Headers as ASGI has them: pairs of bytes, names in lower case."""

    def lookup(name: str) -> str | None:
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in headers if key == wanted), None)

    return lookup


def from_theader(headers: Mapping[bytes, bytes]) -> HeaderLookup:
    """Headers as THeader has them: bytes, in the case that the client wrote."""

    def lookup(name: str) -> str | None:
        wanted = name.encode()
        for key, value in headers.items():
            if key.lower() == wanted:
                with suppress(UnicodeDecodeError):
                    return value.decode()
        return None

    return lookup
