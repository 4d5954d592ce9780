"""Any bytes where a proxy's word is expected: an address that is one, or the end of the connection."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asgi_harness
from baseplate_serve._servers.http.forwarded import Forwarded
from baseplate_serve._settings.networks import Networks
from fuzzing import DEADLINE_S, Fuzzed, examples, mutated
from http_harness import responses
from test_proxies import HEADERS, NO_HEADERS, OWN

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
PROXY = [*(data for data, _ in HEADERS.values()), *OWN.values(), *NO_HEADERS.values()]
ELEMENTS = [
    *(b"for=203.0.113.7;proto=https", b'for="[2001:db8::7]:4711";host="a\\"b"', b"for=unknown, for=10.0.0.1"),
    *(b"203.0.113.7, 10.0.0.1", b"[2001:db8::7]:4711", b'",', b'="', b"\\", b"%eth0", b":::", b"1_0"),
]


def wsgi_app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REMOTE_ADDR']} {environ['REMOTE_PORT']}".encode()]


def still_serves(address):
    with socket.create_connection(address, timeout=DEADLINE_S) as sock:
        sock.sendall(HEADERS["version 2"][0] + GET)
        assert b"203.0.113.7 4711" in asgi_harness.everything(sock)


def test_a_server_survives_any_bytes_before_the_first_request():
    options = {"proxy_protocol.from": "127.0.0.0/8"}
    with (
        asgi_harness.serving(wsgi_app, lifespan=True, **options) as server,
        Fuzzed(server, still_serves) as running,
    ):

        @examples(150)
        @given(mutated(PROXY), st.sampled_from([1, 1, 2, 7]))
        def survives(data, pieces):
            for response in responses(running.survives(data + GET, pieces)):
                if response.status == 200:
                    host, port = response.text.decode().split(" ")
                    assert host == str(ip_address(host)), data
                    assert "%" not in host, data
                    assert port == str(int(port)), data
                    assert int(port) < 65536, data

        survives()


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for"])
def test_any_bytes_in_a_header_are_an_address_or_nobodys(header):
    forwarded = Forwarded(Networks("10.0.0.0/8"), header)

    @examples(200)
    @given(mutated(ELEMENTS), mutated(ELEMENTS))
    def is_an_address(client, proxy):
        host, protocol = forwarded.origin([(header.encode(), b"%b, %b" % (client, proxy))])
        assert protocol in (None, "http", "https")
        if host is not None:
            assert ip_address(host)
            assert "%" not in host
        own = b"for=203.0.113.7" if header == "forwarded" else b"203.0.113.7"
        assert forwarded.origin([(header.encode(), b"%b, %b" % (client, own))]) == ("203.0.113.7", None)

    is_an_address()
