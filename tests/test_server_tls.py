"""TLS on both servers, with Python's own TLS as the client."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
import trustme
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TSSLSocket import TSSLSocket
from thrift.transport.TTransport import TFramedTransport, TTransportException

import asgi_harness
from asgi_harness import connected, everything
from baseplate_serve.errors import FileError
from baseplate_serve.health import BaseplateServiceV2
from baseplate_serve.thrift import make_server as make_thrift_server
from baseplate_serve.wsgi import make_server as make_wsgi_server
from deadline import DEADLINE_S, wait_for
from testing_idl import Testing
from thrift_harness import Handler, client

BRIEF = "120 milliseconds"
LONG = b"x" * 20_000_000


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


class Files:
    """The files of a server, and what a client of it needs."""

    def __init__(self, folder, authority):
        self.authority = authority
        self.folder = folder
        self.options = {name: str(folder / f"{name}.pem") for name in ("tls.certificate", "tls.key")}
        self.client_ca = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.client_ca)
        self.issue("localhost")

    def issue(self, name):
        issued = self.authority.issue_cert(name, "127.0.0.1")
        issued.private_key_pem.write_to_path(self.options["tls.key"])
        issued.cert_chain_pems[0].write_to_path(self.options["tls.certificate"])

    def client(self, certificate=None):
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        return context


@pytest.fixture
def files(tmp_path, authority):
    return Files(tmp_path, authority)


def wsgi_app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/long":
        return [LONG]
    told = [environ["wsgi.url_scheme"], len(body), "BEGIN CERTIFICATE" in environ.get("SSL_CLIENT_CERT", "")]
    return [json.dumps(told).encode()]


async def asgi_app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    tls = scope["extensions"]["tls"]
    assert tls["tls_version"] in (0x0303, 0x0304)
    assert tls["cipher_suite"] > 0
    body = json.dumps([scope["scheme"], size, "BEGIN CERTIFICATE" in "".join(tls["client_cert_chain"])])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": LONG if scope["path"] == "/long" else body.encode()})


@pytest.fixture(params=asgi_harness.KINDS)
def serving(request, files):
    app, always = asgi_harness.kind_of_server(request.param, wsgi_app, asgi_app)

    def serve(**options):
        return asgi_harness.serving(app, lifespan=True, **always, **files.options, **options)

    return serve


@contextmanager
def https(server, context):
    connection = http.client.HTTPSConnection(*server.address, context=context, timeout=DEADLINE_S)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def raw_tls(server, context, **options):
    with (
        socket.create_connection(server.address, timeout=DEADLINE_S) as sock,
        context.wrap_socket(sock, **{"server_hostname": "127.0.0.1", **options}) as encrypted,
    ):
        yield encrypted


def fetch(connection, path="/", body=None):
    connection.request("POST" if body else "GET", path, body=body)
    return connection.getresponse().read()


def told(server, context):
    """What the application tells of one request."""
    with https(server, context) as connection:
        return json.loads(fetch(connection))


def rest(sock):
    """What comes until the server ends the connection, in whatever way."""
    with suppress(OSError):
        return everything(sock)
    return b""


def test_requests_large_and_small_on_one_connection(serving, files):
    with serving() as server:
        with https(server, files.client()) as connection:
            for size in (0, 1, 100_000, 3_000_000):
                assert json.loads(fetch(connection, body=b"x" * size)) == ["https", size, False]
            assert fetch(connection, "/long") == LONG
        wait_for(lambda: not len(server.connections), "the end of the connection")


def test_pipelined_requests_in_one_record(serving, files):
    one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with serving() as server, raw_tls(server, files.client()) as sock:
        sock.sendall(one * 50 + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert everything(sock).count(b'["https", 0, false]') == 51


def test_the_end_of_the_connection_is_said(serving, files):
    """Without that a client cannot tell it from a connection that somebody has cut."""
    with serving() as server, raw_tls(server, files.client(), suppress_ragged_eofs=False) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"https" in everything(sock)  # raises SSLEOFError without


def test_clients_without_tls_are_turned_away(serving, files):
    with serving() as server, connected(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" not in rest(sock)
        wait_for(lambda: not len(server.connections), "the end of the connection")
        assert server.connections.tally.refused["entrance"] == 1
        assert told(server, files.client()) == ["https", 0, False]


def test_half_a_handshake_is_not_waited_for(serving):
    with serving(body_timeout=BRIEF) as server, connected(server) as sock:
        sock.sendall(b"\x16\x03\x01")
        rest(sock)
        assert server.connections.tally.refused["body_timeout"] == 1
        wait_for(lambda: not len(server.connections), "the end of the connection")


def test_idle_connections_close_when_the_server_stops(serving, files):
    with serving(stop_timeout="30 seconds") as server, raw_tls(server, files.client()) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" in idle.recv(65536)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 15
        assert not server.abandoned
        rest(idle)


def test_mutual_tls(serving, files, authority):
    with serving(**{"tls.client_ca": files.client_ca}) as server:
        known = files.client(authority.issue_cert("client@example.org"))
        assert told(server, known)[:2] == ["https", 0]
        for context in (files.client(), files.client(trustme.CA().issue_cert("a@example.org"))):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                told(server, context)


def test_the_application_sees_the_clients_certificate(files, authority):
    for app in (wsgi_app, asgi_app):
        options = {**files.options, "tls.client_ca": files.client_ca}
        with asgi_harness.serving(app, lifespan=True, **options) as server:
            context = files.client(authority.issue_cert("client@example.org"))
            assert told(server, context) == ["https", 0, True]


def test_a_new_certificate_is_for_new_connections(serving, files):
    with serving() as server, https(server, files.client()) as before:
        fetch(before)
        files.issue("elsewhere.example")
        server.entrance.reload()
        fetch(before)  # goes on
        with raw_tls(server, files.client(), server_hostname="elsewhere.example") as after:
            assert ("DNS", "elsewhere.example") in after.getpeercert()["subjectAltName"]


def test_a_bad_certificate_leaves_the_old_one(files, caplog):
    with asgi_harness.serving(wsgi_app, lifespan=True, **files.options) as server:
        with open(files.options["tls.certificate"], "w") as file:
            file.write("nothing")
        server.entrance.reload()
        assert "the certificate stays as it was" in caplog.text
        assert told(server, files.client()) == ["https", 0, False]


def encrypted(folder):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    path = folder / "encrypted.pem"
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")
        )
    )
    return str(path)


@pytest.mark.parametrize(
    ("change", "option", "problem"),
    [
        ({"tls.key": ""}, "tls.key", "is missing: a server with TLS needs both"),
        ({"tls.certificate": ""}, "tls.certificate", "is missing: a server with TLS needs both"),
        ({"tls.key": "/no/such"}, "tls.key", "cannot be read: No such file or directory"),
        ({"tls.certificate": "/no/such"}, "tls.certificate", "cannot be read: No such file or directory"),
        ({"tls.client_ca": "/no/such"}, "tls.client_ca", "cannot be read: No such file or directory"),
        ({"tls.client_ca": __file__}, "tls.client_ca", "holds no certificates"),
        ({"tls.certificate": __file__}, "tls.certificate", "no certificate and its private key"),
        ({"tls.key": encrypted}, "tls.key", "is encrypted, and nobody is here to decrypt it"),
    ],
)
def test_mistakes(files, tmp_path, change, option, problem):
    change = {name: value(tmp_path) if callable(value) else value for name, value in change.items()}
    with pytest.raises(FileError) as raised, asgi_harness.serving(wsgi_app, **{**files.options, **change}):
        pass
    assert raised.value.option == option
    assert problem in raised.value.problem


def test_a_websocket(files):
    from websockets.sync.client import connect

    async def echo(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"] * 2})

    with (
        asgi_harness.serving(echo, **files.options) as server,
        connect(f"wss://127.0.0.1:{server.address[1]}", ssl=files.client()) as websocket,
    ):
        websocket.send("x" * 200_000)
        assert websocket.recv(DEADLINE_S) == "x" * 400_000


# Thrift


@pytest.fixture
def thrift_server(files):
    listener = socket.create_server(("127.0.0.1", 0))
    options = {**files.options, "body_timeout": BRIEF, "factory": ""}
    server = make_thrift_server(options, listener, Testing.Processor(Handler()))
    server.start()
    yield server
    server.stop(timeout=0)
    listener.close()


def test_thrift_calls(thrift_server, files):
    transport = TSSLSocket(*thrift_server.address, ca_certs=files.client_ca)
    transport.open()
    calls = Testing.Client(TBinaryProtocol(TFramedTransport(transport)))
    for text in ("short", "x" * 3_000_000):
        assert calls.echo(text) == text
    transport.close()
    wait_for(lambda: not len(thrift_server.connections), "the end of the connection")


def test_half_a_frame_under_tls_is_not_waited_for(thrift_server, files):
    with raw_tls(thrift_server, files.client()) as sock:
        sock.sendall(b"\0\0\0\x20")
        assert rest(sock) == b""
    assert thrift_server.connections.tally.refused["body_timeout"] == 1


def test_thrift_clients_without_tls_are_turned_away(thrift_server):
    with client(thrift_server, "framed binary") as plain, pytest.raises((TTransportException, OSError)):
        plain.ping()


# Health checks


class Healthy(BaseplateServiceV2.Processor):
    def __init__(self):
        super().__init__(self)

    def is_healthy(self, _request):
        return True


def healthy_app(_environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b"{}"]


def check(kind, address, *arguments):
    """The exit status of a health check, and what it complains of."""
    endpoint = f"127.0.0.1:{address[1]}"
    done = subprocess.run(
        [sys.executable, "-m", "baseplate_serve.healthcheck", kind, endpoint, "--timeout", "10", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("kind", ["wsgi", "thrift"])
@pytest.mark.parametrize("mutual", [False, True])
def test_health_checks(files, authority, kind, mutual):
    options = {**files.options, "tls.client_ca": files.client_ca} if mutual else files.options
    certificate = str(files.folder / "client.pem")
    authority.issue_cert("probe@example.org").private_key_and_cert_chain_pem.write_to_path(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        make, app = {
            "wsgi": (make_wsgi_server, healthy_app),
            "thrift": (make_thrift_server, Healthy()),
        }[kind]
        server = make({**options, "factory": ""}, listener, app)
        server.start()
        try:
            assert check(kind, server.address, "--tls", "--certificate", certificate) == (0, "")
            assert check(kind, server.address, "--tls")[0] == (1 if mutual else 0)
            assert check(kind, server.address)[0] == 1
        finally:
            server.stop(timeout=0)


def test_a_check_that_gets_no_handshake_ends_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, complaint = check("wsgi", silent.getsockname(), "--tls", "--timeout", "0.2")
    assert status == 1
    assert "no complete reply within 0.2 s" in complaint


def test_a_check_with_a_certificate_that_is_not_there(files):
    with asgi_harness.serving(wsgi_app, lifespan=True, **files.options) as server:
        status, complaint = check("wsgi", server.address, "--tls", "--certificate", "/no/such")
    assert status == 1
    assert complaint.count("\n") == 1
    assert "No such file" in complaint
