"""A server process with TLS: its certificate is renewed while it serves."""

from __future__ import annotations

import signal
import socket
import ssl

import pytest
import trustme

from deadline import DEADLINE_S
from processes import HELLO, run_to_end, serve, write_service

pytestmark = pytest.mark.process

TLS = """
    factory = baseplate_serve.wsgi
    tls.certificate = server.pem
    tls.key = server.key
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

def make_app(config):
    return app
"""


@pytest.fixture
def authority():
    return trustme.CA()


def issue(folder, authority, name):
    issued = authority.issue_cert(name)
    issued.private_key_pem.write_to_path(folder / "server.key")
    issued.cert_chain_pems[0].write_to_path(folder / "server.pem")


def connect(server, authority, name):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    sock = socket.create_connection(server.wait_until_ready(), timeout=DEADLINE_S)
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except ssl.SSLError:
        sock.close()
        raise


def ask(sock):
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    reply = b""
    while not reply.endswith(b"hello"):
        piece = sock.recv(4096)
        assert piece, reply
        reply += piece


@pytest.mark.parametrize("code", [HELLO, ASGI], ids=["wsgi", "asgi"])
def test_sighup_reads_the_certificate_again(tmp_path, authority, code):
    write_service(tmp_path, server=TLS, code=code)
    issue(tmp_path, authority, "old.example")
    with serve(tmp_path) as server, connect(server, authority, "old.example") as kept:
        ask(kept)
        issue(tmp_path, authority, "new.example")
        server.signal(signal.SIGHUP)
        server.wait_until_logged("read the certificate again")
        with connect(server, authority, "new.example") as new:
            ask(new)
        ask(kept)

        (tmp_path / "server.pem").write_text("half a fi")
        server.signal(signal.SIGHUP)
        server.wait_until_logged("the certificate stays as it was: tls.certificate = 'server.pem'")
        with connect(server, authority, "new.example") as new:
            ask(new)
        assert server.stop() == 0


def test_a_missing_certificate_is_one_line(tmp_path):
    write_service(tmp_path, server=TLS)
    for arguments in ([], ["--check"]):
        ended = run_to_end(tmp_path, "--bind", "127.0.0.1:0", *arguments, "app.ini")
        assert ended.returncode == 2
        [line] = ended.stderr.splitlines()
        assert "app.ini: [server:main] tls.certificate = 'server.pem': cannot be read" in line
