"""What reads the wire takes time in proportion to what a client sends: four times, for four times the bytes.

A quadratic reader takes sixteen times as long: 60 kB of commas and quotes, say, hold up the hub for 20 s.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from time import perf_counter

import pytest

from baseplate_serve._logs.formats import JsonFormatter
from baseplate_serve._logs.trace import trace_of
from baseplate_serve._servers.asgi.head import RequestHead
from baseplate_serve._servers.http.chunks import TRAILER, Chunks
from baseplate_serve._servers.http.forwarded import Forwarded
from baseplate_serve._servers.http.head import Head
from baseplate_serve._servers.http.inbound import look_at_part
from baseplate_serve._servers.http.limits import Limits
from baseplate_serve._servers.http.refusal import Refused
from baseplate_serve._settings.networks import Networks

WIDE = Limits(head=10**9, fields=10**9)
TOO_MUCH = 8  # times as long, for four times the bytes
STANDARD = Forwarded(Networks("10.0.0.0/8"), "forwarded")
CONVENTION = Forwarded(Networks("10.0.0.0/8"), "x-forwarded-for")


def growth(read, make, size):
    """How many times as long *read* takes for ``make(4 * size)`` as for ``make(size)``, at their quickest."""
    quickest = []
    for data in (make(size), make(4 * size)):
        times = []
        for _ in range(3):
            began = perf_counter()
            with suppress(Refused):
                read(data)
            times.append(perf_counter() - began)
        quickest.append(min(times))
    return quickest[1] / quickest[0]


def forwarded(value):
    return STANDARD.apply({"HTTP_FORWARDED": value})


def forwarded_for(value):
    return CONVENTION.apply({"HTTP_X_FORWARDED_FOR": value, "HTTP_X_FORWARDED_PROTO": value})


def chunk(line):
    return Chunks(None).begin(line)


def part_of_head(data):
    return look_at_part(bytearray(b"GET / HTTP/1.1\r\n" + data), 0, None, WIDE)


def header(name):
    def read(value):
        lines = b"GET / HTTP/1.1\r\nHost: a\r\n%b: %b\r\n\r\n" % (name, value)
        for head in (Head({}, WIDE), RequestHead(WIDE)):
            with suppress(Refused):
                head.parse(lines) if type(head) is Head else head.request(lines)

    return read


def target(value):
    return Head({}, WIDE).parse(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % value)


def trace(name):
    return lambda value: trace_of({name: value}.get)


def logged(text):
    return JsonFormatter().format(logging.LogRecord("a", logging.INFO, "a", 1, "%s", (text,), None))


LONG = 4_000
LINE = 1_500  # a request line of 8 KiB is read
READERS = {
    "Forwarded, commas and quotes": (forwarded, LONG, lambda n: "," * (n // 2) + '"' * (n // 2 + 1)),
    "Forwarded, pairs of both": (forwarded, LONG, lambda n: ',"' * (n // 2)),
    "Forwarded, an open quote": (forwarded, LONG, lambda n: 'for="' + "a," * (n // 2)),
    "Forwarded, a long quote": (forwarded, LONG, lambda n: 'for="' + "a" * n + '"'),
    "Forwarded, backslashes": (forwarded, LONG, lambda n: 'for="' + "\\" * n + '"'),
    "Forwarded, quoted quotes": (forwarded, LONG, lambda n: 'for="' + '\\"' * (n // 2)),
    "Forwarded, pairs": (forwarded, LONG, lambda n: "a=b;" * (n // 4) + '"'),
    "Forwarded, quoted pairs": (forwarded, LONG, lambda n: 'a="b";' * (n // 6)),
    "Forwarded, semicolons": (forwarded, LONG, lambda n: ";" * n + "="),
    "Forwarded, blanks": (forwarded, LONG, lambda n: "for=10.0.0.1" + " " * n + "x"),
    "Forwarded, proxies": (forwarded, LONG, lambda n: ",".join(["for=10.0.0.1"] * (n // 13))),
    "X-Forwarded-For, commas": (forwarded_for, LONG, lambda n: "," * n),
    "X-Forwarded-For, proxies": (forwarded_for, LONG, lambda n: ",".join(["10.0.0.1"] * (n // 9))),
    "X-Forwarded-For, colons": (forwarded_for, LONG, lambda n: ":" * n),
    "X-Forwarded-For, digits": (forwarded_for, LONG, lambda n: "1" * n),
    "a chunk, names": (chunk, LINE, lambda n: b"1" + b";a" * (n // 2) + b"\0"),
    "a chunk, a long name": (chunk, LINE, lambda n: b"1;" + b"a" * n + b"\0"),
    "a chunk, blanks": (chunk, LINE, lambda n: b"1;a" + b" " * (n // 2) + b"=" + b" " * (n // 2)),
    "a chunk, blanks between": (chunk, LINE, lambda n: b"1" + b" ; a" * (n // 4) + b"  "),
    "a chunk, backslashes": (chunk, LINE, lambda n: b'1;a="' + b"\\a" * (n // 2)),
    "a chunk, quotes": (chunk, LINE, lambda n: b"1" + b';a="b"' * (n // 6) + b'"'),
    "a trailer's name": (TRAILER, LINE, lambda n: b"a" * n),
    "a trailer's value": (TRAILER, LINE, lambda n: b"a:" + b" " * n + b"\0"),
    "half a head, line feeds": (part_of_head, LONG, lambda n: b"\r\n" * (n // 2)),
    "half a head, carriage returns": (part_of_head, LONG, lambda n: b"\r" * n),
    "Transfer-Encoding, commas": (header(b"Transfer-Encoding"), LONG, lambda n: b", " * (n // 2)),
    "Transfer-Encoding, blanks": (header(b"Transfer-Encoding"), LONG, lambda n: b"a," + b" " * n + b"x"),
    "Transfer-Encoding, codings": (header(b"Transfer-Encoding"), LONG, lambda n: b"chunked," * (n // 8)),
    "Content-Length": (header(b"Content-Length"), LONG, lambda n: b"1" * n),
    "Connection": (header(b"Connection"), LONG, lambda n: b"a ," * (n // 3)),
    "Host, a name": (header(b"Host"), LONG, lambda n: b"a" * n + b"\x80"),
    "Host, a port": (header(b"Host"), LONG, lambda n: b"a:" + b"1" * n + b"x"),
    "Host, a bracket": (header(b"Host"), LONG, lambda n: b"[" + b"a" * n),
    "a target, slashes": (target, LINE, lambda n: b"http://a" + b"/" * n),
    "a target, percents": (target, LINE, lambda n: b"/" + b"%" * n),
    "traceparent": (trace("traceparent"), LONG, lambda n: f"01-{'a' * 32}-{'b' * 16}-00-" + "-" * n + "\n"),
    "b3": (trace("b3"), LONG, lambda n: f"{'a' * 32}-{'b' * 16}-" + "-" * n + "\n"),
    "a log line": (logged, LONG, lambda n: "\x1b" * n),
}


@pytest.mark.parametrize(("read", "size", "make"), READERS.values(), ids=READERS)
def test_four_times_the_bytes_take_about_four_times_as_long(read, size, make):
    """At one of a few looks: other processes may spoil some of them, and make no quadratic one look good."""
    looks = [growth(read, make, size)]
    while looks[-1] > TOO_MUCH and len(looks) < 5:
        looks.append(growth(read, make, size))
    assert looks[-1] < TOO_MUCH, looks
