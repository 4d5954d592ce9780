"""A certificate authority that lives as long as the tests, and contexts that believe it."""

from __future__ import annotations

import functools
import ssl

import trustme


@functools.cache
def authority():
    return trustme.CA()


@functools.cache
def _certificate():
    return authority().issue_cert("localhost", "127.0.0.1")


def server_context(*, ask_client=False):
    """For a server that is called localhost; with *ask_client* it demands a certificate of the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _certificate().configure_cert(context)
    if ask_client:
        authority().configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(*, show=False):
    """For a client that believes our authority; with *show* it has a certificate of its own to show."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    if show:
        authority().issue_cert("client@example.org").configure_cert(context)
    return context


def write_pem(folder):
    """The paths of the server's key and certificate, in files that only their owner may read."""
    key, certificate = folder / "server.key", folder / "server.pem"
    _certificate().private_key_pem.write_to_path(key)
    key.chmod(0o600)
    _certificate().cert_chain_pems[0].write_to_path(certificate)
    return key, certificate
