"""Requests as bytes, each with the verdict and the reason.  RFC 9110 and 9112, and the known attacks."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    name: str
    data: bytes
    verdict: int | tuple[str, bytes]  # a status; or what the application sees: path with query, and body
    reason: str


def get(headers=b"", target=b"/", method=b"GET", version=b"HTTP/1.1", host=b"Host: a\r\n"):
    return b"%b %b %b\r\n%b%b\r\n" % (method, target, version, host, headers)


def post(headers, body):
    return get(headers, method=b"POST") + body


def chunked(body, coding=b"chunked"):
    return post(b"Transfer-Encoding: %b\r\n" % coding, body)


FINE = ("/", b"")
HI = ("/", b"hi")
CHUNKED_HI = b"2\r\nhi\r\n0\r\n\r\n"

VALID = [
    Case("plain", get(), FINE, "nothing special"),
    Case("http 1.0", get(version=b"HTTP/1.0", headers=b"Connection: keep-alive\r\n"), FINE, "kept alive if asked"),
    Case("http 1.0, no host", get(version=b"HTTP/1.0", host=b"", headers=b"Connection: Keep-Alive\r\n"), FINE,
         "RFC 9112 §3.2 asks it of HTTP/1.1 only"),
    Case("an empty line before", b"\r\n" + get(), FINE, "RFC 9112 §2.2"),
    Case("query", get(target=b"/a%20b?c=%20"), ("/a b?c=%20", b""), "only the path is decoded"),
    Case("absolute", get(target=b"http://b:1/x?y"), ("/x?y", b""), "RFC 9112 §3.2.2"),
    Case("absolute, no path", get(target=b"HTTP://b"), FINE, "RFC 9110 §4.2.3"),
    Case("absolute, query only", get(target=b"http://b?y"), ("/?y", b""), "RFC 9110 §4.2.3"),
    Case("asterisk", get(method=b"OPTIONS", target=b"*"), ("*", b""), "RFC 9112 §3.2.4"),
    Case("two slashes", get(target=b"//b/c"), ("//b/c", b""), "a path, no authority"),
    Case("empty host", get(host=b"Host:\r\n"), FINE, "RFC 9112 §3.2: for a URI without an authority"),
    Case("v6 host", get(host=b"Host: [::1]:80\r\n"), FINE, "RFC 3986 §3.2.2"),
    Case("an empty value", get(b"X:\r\n"), FINE, "RFC 9110 §5.5"),
    Case("whitespace around a value", get(b"X: \t a \t \r\n"), FINE, "RFC 9110 §5.5"),
    Case("bytes above ASCII in a value", get(b"X: \xe4\xff\r\n"), FINE, "obs-text, RFC 9110 §5.5"),
    Case("length", post(b"Content-Length: 2\r\n", b"hi"), HI, "RFC 9112 §6.3"),
    Case("length zero", post(b"Content-Length: 0\r\n", b""), FINE, "RFC 9112 §6.3"),
    Case("length with zeros", post(b"Content-Length: 002\r\n", b"hi"), HI, "1*DIGIT"),
    Case("chunked", chunked(CHUNKED_HI), HI, "RFC 9112 §7.1"),
    Case("chunked in capitals", chunked(CHUNKED_HI, b"Chunked"), HI, "codings are case-insensitive"),
    Case("two chunks", chunked(b"1\r\nh\r\n1\r\ni\r\n000\r\n\r\n"), HI, "RFC 9112 §7.1"),
    Case("a chunk in hexadecimal", chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), ("/", b"0123456789"), "in capitals, too"),
    Case("chunk extensions", chunked(b'2;a;b=c; d = "e\\"\tf"\r\nhi\r\n0;x\r\n\r\n'), HI, "RFC 9112 §7.1.1"),
    Case("trailers", chunked(b"2\r\nhi\r\n0\r\nX: y\r\nZ:\r\n\r\n"), HI, "ignored, RFC 9112 §7.1.2"),
    Case("a body that looks like a request", post(b"Content-Length: 27\r\n", b"GET /no HTTP/1.1\r\nHost: a\r\n"),
         ("/", b"GET /no HTTP/1.1\r\nHost: a\r\n"), "it is counted, not looked at"),
]  # fmt: skip

BAD_LINES = [
    Case("no version", get(version=b""), 400, "HTTP/0.9 is gone"),
    Case("two words", b"GET /\r\n", 400, "refused before the rest comes"),
    Case("HTTP/2.0", get(version=b"HTTP/2.0"), 505, "another protocol"),
    Case("HTTP/1.2", get(version=b"HTTP/1.2"), 505, "unknown here"),
    Case("a version of another kind", get(version=b"ICE/1.0"), 400, "no HTTP"),
    Case("a version in small letters", get(version=b"http/1.1"), 400, "case-sensitive, RFC 9112 §2.3"),
    Case("a version with more digits", get(version=b"HTTP/1.10"), 400, "one digit each"),
    Case("two spaces", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 §3: one"),
    Case("a tab", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 §3: a space"),
    Case("a space before", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 §3"),
    Case("a space behind", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "RFC 9112 §3"),
    Case(
        "a space in the target", get(target=b"/a b"), 400, "RFC 9112 §3.2: an attack on what decides by path"
    ),
    Case("two empty lines before", b"\r\n\r\n" + get(), 400, "one is enough for old clients"),
    Case("an unknown method", get(method=b"BREW"), 501, "RFC 9110 §9.1"),
    Case("a method in small letters", get(method=b"get"), 501, "case-sensitive, RFC 9110 §9.1"),
    Case("no token for a method", get(method=b"G@T"), 400, "RFC 9110 §9.1"),
    Case("CONNECT", get(method=b"CONNECT", target=b"a:1"), 501, "this is no proxy"),
    Case("an authority", get(target=b"a:1"), 400, "of CONNECT alone, RFC 9112 §3.2.3"),
    Case("an asterisk", get(target=b"*"), 400, "of OPTIONS alone, RFC 9112 §3.2.4"),
    Case("no slash", get(target=b"x"), 400, "RFC 9112 §3.2"),
    Case("another scheme", get(target=b"ftp://a/"), 400, "not ours"),
    Case("a user", get(target=b"http://u@a/"), 400, "RFC 9110 §4.2.4"),
    Case("a URL without a host", get(target=b"http:///x"), 400, "RFC 9110 §4.2.1"),
    Case("a fragment", get(target=b"/a#b"), 400, "never sent, RFC 9112 §3.2.1"),
    Case("NUL in the target", get(target=b"/\0"), 400, "no visible character"),
    Case("DEL in the target", get(target=b"/\x7f"), 400, "no visible character"),
    Case("escape in the target", get(target=b"/\x1b[31m"), 400, "no visible character"),
    Case("bytes above ASCII in the target", get(target=b"/\xc3\xa4"), 400, "percent-encoded, RFC 3986 §2"),
    Case(
        "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n", 400, "a client of another protocol"
    ),
]

BAD_FIELDS = [
    Case("no host", get(host=b""), 400, "RFC 9112 §3.2"),
    Case("two hosts", get(b"Host: b\r\n"), 400, "RFC 9112 §3.2"),
    Case("the same host twice", get(b"host: a\r\n"), 400, "RFC 9112 §3.2"),
    Case("an absolute target and no host", get(host=b"", target=b"http://a/"), 400, "RFC 9112 §3.2.2"),
    Case("a host with a path", get(host=b"Host: a/b\r\n"), 400, "RFC 3986 §3.2"),
    Case("a host with a user", get(host=b"Host: u@a\r\n"), 400, "RFC 9110 §4.2.4"),
    Case("a list of hosts", get(host=b"Host: a b\r\n"), 400, "RFC 9112 §3.2"),
    Case(
        "two content types", get(b"Content-Type: a/b\r\nContent-Type: c/d\r\n"), 400, "which one would it be?"
    ),
    Case("a space before the colon", get(b"X : a\r\n"), 400, "RFC 9112 §5.1"),
    Case("a tab before the colon", get(b"X\t: a\r\n"), 400, "RFC 9112 §5.1"),
    Case("no colon", get(b"X\r\n"), 400, "RFC 9112 §5"),
    Case("no name", get(b": a\r\n"), 400, "RFC 9112 §5"),
    Case("a space before the name", get(host=b" X: a\r\nHost: a\r\n"), 400, "RFC 9112 §2.2"),
    Case("folding by a space", get(b"X: a\r\n b\r\n"), 400, "obsolete, RFC 9112 §5.2"),
    Case("folding by a tab", get(b"X: a\r\n\tb\r\n"), 400, "obsolete, RFC 9112 §5.2"),
    Case("a folded nothing", get(b"X:\r\n \r\n"), 400, "obsolete, RFC 9112 §5.2"),
    Case("NUL in a name", get(b"X\0: a\r\n"), 400, "RFC 9110 §5.1"),
    Case("a control character in a name", get(b"X\x01: a\r\n"), 400, "RFC 9110 §5.1"),
    Case("bytes above ASCII in a name", get(b"X\xe4: a\r\n"), 400, "RFC 9110 §5.1"),
    Case("a bracket in a name", get(b"X(: a\r\n"), 400, "RFC 9110 §5.1"),
    Case("NUL in a value", get(b"X: a\0b\r\n"), 400, "RFC 9110 §5.5"),
    Case("escape in a value", get(b"X: \x1b[31m\r\n"), 400, "RFC 9110 §5.5"),
    Case("DEL in a value", get(b"X: \x7f\r\n"), 400, "RFC 9110 §5.5"),
    Case("a lone CR in a value", get(b"X: a\rY: b\r\n"), 400, "RFC 9112 §2.2"),
    Case("two CRs", get(b"X: a\r\r\n"), 400, "RFC 9112 §2.2"),
    Case("a lone LF after a header", get(b"X: a\nY: b\r\n"), 400, "we don't take RFC 9112 §2.2's licence"),
    Case("a lone LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "likewise"),
    Case("lone LFs everywhere", b"GET / HTTP/1.1\nHost: a\n\n", 400, "likewise, and at once"),
    Case("a lone LF at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "likewise"),
]

BAD_FRAMING = [
    Case("both lengths", post(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", CHUNKED_HI), 400,
         "RFC 9112 §6.3: a smuggling attempt"),
    Case("both, the other way", post(b"Transfer-Encoding: chunked\r\nContent-Length: 12\r\n", CHUNKED_HI), 400,
         "RFC 9112 §6.3: a smuggling attempt"),
    Case("two lengths", post(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"hi"), 400, "RFC 9112 §6.3"),
    Case("the same length twice", post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"hi"), 400,
         "RFC 9110 §8.6 lets us"),
    Case("a list of lengths", post(b"Content-Length: 2, 2\r\n", b"hi"), 400, "RFC 9110 §8.6 lets us"),
    Case("a signed length", post(b"Content-Length: +2\r\n", b"hi"), 400, "digits only"),
    Case("a negative length", post(b"Content-Length: -2\r\n", b"hi"), 400, "digits only"),
    Case("an underscored length", post(b"Content-Length: 1_0\r\n", b"hi"), 400, "digits only: Python takes it"),
    Case("a hexadecimal length", post(b"Content-Length: 0x2\r\n", b"hi"), 400, "digits only"),
    Case("an empty length", post(b"Content-Length:\r\n", b"hi"), 400, "digits only"),
    Case("a length with a space", post(b"Content-Length: 2 2\r\n", b"hi"), 400, "digits only"),
    Case("a length of 64 bits and more", post(b"Content-Length: 18446744073709551618\r\n", b"hi"), 400,
         "2 where numbers wrap"),
    Case("an unknown coding", chunked(b"hi", b"gzip"), 501, "RFC 9112 §6.1"),
    Case("chunked under another coding", chunked(CHUNKED_HI, b"gzip, chunked"), 501, "RFC 9112 §6.1"),
    Case("a coding that only looks like it", chunked(CHUNKED_HI, b"xchunked"), 501, "RFC 9112 §6.1"),
    Case("chunked, not last", chunked(CHUNKED_HI, b"chunked, gzip"), 400, "RFC 9112 §6.3"),
    Case("chunked twice", chunked(CHUNKED_HI, b"chunked, chunked"), 400, "RFC 9112 §6.1"),
    Case("two codings", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKED_HI), 400,
         "RFC 9112 §6.3"),
    Case("an empty coding", chunked(CHUNKED_HI, b""), 400, "RFC 9112 §6.1"),
    Case("a quoted coding", chunked(CHUNKED_HI, b'"chunked"'), 501, "RFC 9112 §6.1"),
    Case("a coding behind a control character", chunked(CHUNKED_HI, b"\x0bchunked"), 400, "RFC 9110 §5.5"),
    Case("chunked in HTTP/1.0", get(b"Transfer-Encoding: chunked\r\n", version=b"HTTP/1.0") + CHUNKED_HI, 400,
         "RFC 9112 §6.1: faulty framing"),
]  # fmt: skip

BAD_CHUNKS = [
    Case("no size", chunked(b"\r\nhi\r\n0\r\n\r\n"), 400, "RFC 9112 §7.1"),
    Case("a size with 0x", chunked(b"0x2\r\nhi\r\n0\r\n\r\n"), 400, "Python's int() takes it"),
    Case("a signed size", chunked(b"+2\r\nhi\r\n0\r\n\r\n"), 400, "Python's int() takes it"),
    Case("an underscored size", chunked(b"0_2\r\nhi\r\n0\r\n\r\n"), 400, "Python's int() takes it"),
    Case("a space before a size", chunked(b" 2\r\nhi\r\n0\r\n\r\n"), 400, "Python's int() takes it"),
    Case("a space behind a size", chunked(b"2 \r\nhi\r\n0\r\n\r\n"), 400, "some readers stop there"),
    Case(
        "a size of more than 64 bits",
        chunked(b"10000000000000002\r\nhi\r\n0\r\n\r\n"),
        400,
        "2 where it wraps",
    ),
    Case("a lone LF after a size", chunked(b"2\nhi\r\n0\r\n\r\n"), 400, "RFC 9112 §7.1"),
    Case(
        "a lone LF in an extension",
        chunked(b"2;a\nb\r\nhi\r\n0\r\n\r\n"),
        400,
        "hides the rest from some readers",
    ),
    Case("a lone CR in an extension", chunked(b"2;a\rb\r\nhi\r\n0\r\n\r\n"), 400, "likewise"),
    Case("NUL in an extension", chunked(b"2;a\0\r\nhi\r\n0\r\n\r\n"), 400, "no token"),
    Case("an extension without a name", chunked(b"2;\r\nhi\r\n0\r\n\r\n"), 400, "RFC 9112 §7.1.1"),
    Case("a quote that doesn't end", chunked(b'2;a="b\r\nhi\r\n0\r\n\r\n'), 400, "RFC 9112 §7.1.1"),
    Case("a chunk longer than its size", chunked(b"1\r\nhi\r\n0\r\n\r\n"), 400, "RFC 9112 §7.1"),
    Case("a chunk shorter than its size", chunked(b"3\r\nhi\r\n0\r\n\r\n"), 400, "RFC 9112 §7.1"),
    Case("a lone LF after a chunk", chunked(b"2\r\nhi\n0\r\n\r\n"), 400, "RFC 9112 §7.1"),
    Case(
        "a trailer that is a request line",
        chunked(b"2\r\nhi\r\n0\r\nGET /no HTTP/1.1\r\n\r\n"),
        400,
        "no header",
    ),
    Case("a folded trailer", chunked(b"2\r\nhi\r\n0\r\nX: a\r\n b\r\n\r\n"), 400, "RFC 9112 §5.2"),
    Case(
        "a trailer about the framing",
        chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        400,
        "RFC 9110 §6.5.1",
    ),
    Case("NUL in a trailer", chunked(b"2\r\nhi\r\n0\r\nX: \0\r\n\r\n"), 400, "RFC 9110 §5.5"),
]

TOO_LARGE = [
    Case("a long request line", get(target=b"/" + b"x" * 9000), 414, "RFC 9112 §3"),
    Case("a request line without an end", b"GET /" + b"x" * 9000, 414, "refused before it ends"),
    Case("a large head", get(b"".join(b"X-%d: %b\r\n" % (i, b"y" * 8000) for i in range(9))), 431, "RFC 6585 §5"),
    Case("a head without an end", get(b"".join(b"X-%d: %b\r\n" % (i, b"y" * 8000) for i in range(9)))[:-2], 431,
         "refused before it ends"),
    Case("many headers", get(b"X: y\r\n" * 101), 431, "RFC 6585 §5"),
    Case("a long chunk extension", chunked(b"2;a=" + b"b" * 5000 + b"\r\nhi\r\n0\r\n\r\n"), 400, "it carries nothing"),
    Case("many chunk extensions", chunked(b"".join(b"1;a=" + b"b" * 2000 + b"\r\nh\r\n" for _ in range(9))), 400,
         "RFC 9112 §7.1.1"),
    Case("many trailers", chunked(b"0\r\n" + b"X: y\r\n" * 2000 + b"\r\n"), 400, "RFC 9112 §7.1.2"),
]  # fmt: skip

INVALID = [*BAD_LINES, *BAD_FIELDS, *BAD_FRAMING, *BAD_CHUNKS, *TOO_LARGE]
