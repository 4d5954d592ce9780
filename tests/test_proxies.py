"""Who the client is, where a proxy says so: the PROXY protocol, and the headers of HTTP."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import suppress

import pytest

import asgi_harness
from asgi_harness import connected, everything
from baseplate_serve._servers.http.forwarded import HOPS_MAX, Forwarded
from baseplate_serve._settings.networks import Networks
from baseplate_serve._sockets.proxy_protocol import SIGNATURE
from baseplate_serve.errors import UsageError
from baseplate_serve.thrift import make_server as make_thrift_server
from deadline import wait_for
from testing_idl import Testing
from thrift_harness import Handler

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b\r\n"


def wsgi_app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    found = [environ["REMOTE_ADDR"], environ.get("REMOTE_PORT"), environ["wsgi.url_scheme"]]
    return [json.dumps(found).encode()]


async def asgi_app(scope, _receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    host, port = scope["client"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = json.dumps([host, str(port), scope["scheme"]]).encode()
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(params=asgi_harness.KINDS)
def serving(request):
    app, always = asgi_harness.kind_of_server(request.param, wsgi_app, asgi_app)
    return lambda **options: asgi_harness.serving(app, lifespan=True, **always, **options)


def told(sock):
    """What the application has told of the request that was sent on *sock*; None for no reply."""
    reply = everything(sock)
    return json.loads(reply.partition(b"\r\n\r\n")[2].strip(b"\r\n")) if reply else None


def version_2(source, port, command=0x21, extra=b""):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    address = socket.inet_pton(family, source)
    block = address + bytes(len(address)) + struct.pack("!HH", port, 80) + extra
    kind = 0x21 if family is socket.AF_INET6 else 0x11
    return SIGNATURE + struct.pack("!BBH", command, kind, len(block)) + block


HEADERS = {
    "version 1": (b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n", ["203.0.113.7", "4711", "http"]),
    "version 1, IPv6": (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", ["2001:db8::7", "4711", "http"]),
    "version 2": (version_2("203.0.113.7", 4711), ["203.0.113.7", "4711", "http"]),
    "version 2, IPv6": (version_2("2001:db8::7", 4711), ["2001:db8::7", "4711", "http"]),
    "version 2, extensions": (
        version_2("203.0.113.7", 1, extra=b"\x04\0\x01x" * 99),
        ["203.0.113.7", "1", "http"],
    ),
}
OWN = {
    "unknown": b"PROXY UNKNOWN\r\n",
    "unknown, and more": b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
    "a health check": version_2("203.0.113.7", 4711, command=0x20),
}
TRUSTED = {"proxy_protocol.from": "127.0.0.0/8"}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
def test_the_proxy_protocol(serving, header, pieces):
    data, origin = HEADERS[header]
    with serving(**TRUSTED) as server, connected(server) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [data] if pieces == "whole" else [data[i : i + 1] for i in range(len(data))]:
            sock.sendall(piece)
        sock.sendall(GET % b"")
        assert told(sock) == origin


@pytest.mark.parametrize("header", OWN.values(), ids=OWN)
def test_a_proxy_that_speaks_for_itself(serving, header):
    with serving(**TRUSTED) as server, connected(server) as sock:
        own = sock.getsockname()[1]
        sock.sendall(header + GET % b"")
        assert told(sock) == ["127.0.0.1", str(own), "http"]


NO_HEADERS = {
    "none": GET % b"",
    "too many words": b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80 1\r\n",
    "too few words": b"PROXY TCP4 203.0.113.7\r\n",
    "no address": b"PROXY TCP4 here there 4711 80\r\n",
    "of another family": b"PROXY TCP6 203.0.113.7 192.0.2.1 4711 80\r\n",
    "no port": b"PROXY TCP4 203.0.113.7 192.0.2.1 99999 80\r\n",
    "a signed port": b"PROXY TCP4 203.0.113.7 192.0.2.1 +1 80\r\n",
    "a port as Python writes it": b"PROXY TCP4 203.0.113.7 192.0.2.1 1_0 80\r\n",
    "a port behind a blank": b"PROXY TCP4 203.0.113.7 192.0.2.1 \xa01 80\r\n",
    "no port of ours": b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 here\r\n",
    "no address of ours": b"PROXY TCP4 203.0.113.7 here 4711 80\r\n",
    "a zone": b"PROXY TCP6 fe80::1%eth0\x1b[31m ::1 4711 80\r\n",
    "a mix of families": b"PROXY TCP6 2001:db8::7 192.0.2.1 4711 80\r\n",
    "an unknown word": b"PROXY UNKNOWNX\r\n",
    "a lone LF": b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\n",
    "without an end": b"PROXY TCP4 " + b"2" * 200,
    "another version": SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
    "another command": SIGNATURE + b"\x22\x11\0\x0c" + bytes(12),
    "too short": SIGNATURE + b"\x21\x11\0\x04" + bytes(4),
    "endless": SIGNATURE + b"\x21\x11\xff\xff" + bytes(100),
}


@pytest.mark.parametrize("data", NO_HEADERS.values(), ids=NO_HEADERS)
def test_a_proxy_must_send_it(serving, data):
    with serving(**TRUSTED) as server, connected(server) as sock:
        sock.sendall(data + GET % b"")
        with suppress(ConnectionResetError):  # there was more than the server has read
            assert everything(sock) == b""
        wait_for(lambda: not len(server.connections), "the end of the connection")
        assert server.connections.tally.refused["entrance"] == 1


def test_nobody_else_may_send_it(serving):
    with serving(**{"proxy_protocol.from": "192.0.2.1"}) as server:
        with connected(server) as sock:
            sock.sendall(HEADERS["version 1"][0] + GET % b"")
            assert b" 400 " in everything(sock).partition(b"\r\n")[0]
        with connected(server) as sock:
            sock.sendall(GET % b"")
            assert told(sock)[0] == "127.0.0.1"


def test_half_a_header_is_not_waited_for(serving):
    with serving(**TRUSTED, body_timeout="120 milliseconds") as server, connected(server) as sock:
        sock.sendall(b"PROXY TCP4 203.0")
        assert everything(sock) == b""
        assert server.connections.tally.refused["body_timeout"] == 1


def test_thrift_behind_a_proxy(caplog):
    seen = []

    class Processor(Testing.Processor):
        def process(self, iprot, oprot):
            seen.extend(request.peer for request in server.in_flight())
            return super().process(iprot, oprot)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_thrift_server({**TRUSTED, "factory": ""}, listener, Processor(Handler()))
        server.start()
        try:
            with connected(server) as sock:
                sock.sendall(HEADERS["version 2"][0] + bytes.fromhex("8001000100000004 70696e67 00000001 00"))
                assert sock.recv(100)
        finally:
            server.stop(timeout=0)
    assert seen == ["203.0.113.7:4711"]


# Headers

BELIEVED = {"forwarded.from": "127.0.0.1, 10.0.0.0/8"}


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        (b"", ["127.0.0.1", None, "http"]),
        (b"X-Forwarded-For: 203.0.113.7\r\n", ["203.0.113.7", "0", "http"]),
        (b"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n", ["203.0.113.7", "0", "https"]),
        (b"X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.1.1.1\r\n", ["203.0.113.7", "0", "http"]),
        (b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.7\r\n", ["203.0.113.7", "0", "http"]),
        (b"X-Forwarded-Proto: gopher\r\n", ["127.0.0.1", None, "http"]),
        (b"Forwarded: for=6.6.6.6;proto=https\r\n", ["127.0.0.1", None, "http"]),  # not the one they write
    ],
)
def test_the_headers_of_a_proxy_that_is_believed(serving, headers, origin):
    with serving(**BELIEVED) as server, connected(server) as sock:
        sock.sendall(GET % headers)
        found = told(sock)
        assert found[0] == origin[0]
        assert found[2] == origin[2]
        assert origin[1] in (None, found[1])


def test_the_headers_of_others_are_not_believed(serving):
    for options in ({}, {"forwarded.from": "192.0.2.1, unix"}):
        with serving(**options) as server, connected(server) as sock:
            sock.sendall(GET % b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n")
            host, _, scheme = told(sock)
            assert (host, scheme) == ("127.0.0.1", "http")


def test_both_together(serving):
    """HAProxy in front of a web server in front of us, say."""
    with serving(**TRUSTED, **{"forwarded.from": "10.0.0.1"}) as server, connected(server) as sock:
        sock.sendall(b"PROXY TCP4 10.0.0.1 192.0.2.1 4711 80\r\n" + GET % b"X-Forwarded-For: 203.0.113.7\r\n")
        assert told(sock)[0] == "203.0.113.7"


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("for=203.0.113.7", ("203.0.113.7", None)),
        ("For=203.0.113.7:4711;Proto=HTTPS;by=10.0.0.1", ("203.0.113.7", "https")),
        ('for="[2001:db8::7]:4711"', ("2001:db8::7", None)),
        ("for=6.6.6.6;proto=http, for=203.0.113.7;proto=https, for=10.1.1.1", ("203.0.113.7", "https")),
        ('for="6.6.6.6, for=7.7.7.7", for=203.0.113.7', ("203.0.113.7", None)),
        ("for=_hidden, for=10.1.1.1", (None, None)),
        ("for=unknown;proto=https", (None, "https")),
        ("for=10.2.2.2, for=10.1.1.1", ("10.2.2.2", None)),
        ("xfor=6.6.6.6", (None, None)),
        # What a client may put into Host, or leave open:
        ('for=203.0.113.7;host="a;for=6.6.6.6"', ("203.0.113.7", None)),
        (r'for=203.0.113.7;host="a\",for=6.6.6.6"', ("203.0.113.7", None)),
        (r'for=203.0.113.7;host="a\\"', ("203.0.113.7", None)),
        ('for="6.6.6.6, for=203.0.113.7', ("203.0.113.7", None)),
        (r'for=6.6.6.6;host="\, for=203.0.113.7;proto=https', ("203.0.113.7", "https")),
        ('for=6.6.6.6;host=", for=10.1.1.1;host="a"', ("10.1.1.1", None)),
        ('for=6.6.6.6;host="a"b', (None, None)),
        (";for=203.0.113.7; ;proto=https;", ("203.0.113.7", "https")),
        ('for="[fe80::1%eth0]"', (None, None)),
        ("", (None, None)),
    ],
)
def test_forwarded_of_rfc_7239(value, origin):
    forwarded = Forwarded(Networks("10.0.0.0/8"), "forwarded")
    assert forwarded.origin([(b"forwarded", value.encode())]) == origin


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("6.6.6.6, beef", None),
        ("6.6.6.6, ....", None),
        ("6.6.6.6, :::", None),
        ("6.6.6.6, 1.2.3.4.5", None),
        ("6.6.6.6, 10.0.0.0/8", None),
        ("6.6.6.6, fe80::1%eth0\x1b[31m", None),
        ("6.6.6.6, \xb2.0.0.1", None),  # a digit, by Unicode
        ("6.6.6.6, ", None),
    ],
)
def test_what_counts_as_an_address(value, host):
    forwarded = Forwarded(Networks("10.0.0.0/8"), "x-forwarded-for")
    assert forwarded.origin([(b"x-forwarded-for", value.encode("latin-1"))]) == (host, None)


@pytest.mark.parametrize(("header", "hop"), [("x-forwarded-for", "{}"), ("forwarded", "for={}")])
def test_there_is_an_end_to_the_proxies_that_are_looked_past(header, hop):
    """Who writes a proxy's address thousands of times has each looked up in all networks."""
    forwarded = Forwarded(Networks("10.0.0.0/8"), header)
    for proxies, host in ((HOPS_MAX - 1, "203.0.113.7"), (HOPS_MAX, "10.0.0.1")):
        value = ", ".join(hop.format(address) for address in ["203.0.113.7"] + ["10.0.0.1"] * proxies)
        assert forwarded.origin([(header.encode(), value.encode())]) == (host, None)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("proxy_protocol.from", "here"),
        ("proxy_protocol.from", "10.0.0.1/8"),
        ("forwarded.from", "10.0.0.0/8 ::1"),
        ("forwarded.header", "x-real-ip"),
    ],
)
def test_mistakes(option, value):
    with pytest.raises(UsageError, match=option), asgi_harness.serving(wsgi_app, **{option: value}):
        pass
