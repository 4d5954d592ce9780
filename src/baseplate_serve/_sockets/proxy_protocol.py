"""The PROXY protocol, versions 1 and 2: a proxy says on whose behalf it connects.

https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt
"""

from __future__ import annotations

import re
import socket
import struct
from ipaddress import ip_address
from typing import Any

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SHORTEST = len(b"PROXY UNKNOWN")  # and no longer than the other version's signature
LINE_MAX = 107  # bytes, with the line's end: the specification's limit
BLOCK_MAX = 4096  # bytes of addresses and extensions
BEGIN = struct.Struct("!BBH")  # behind the signature: version and command, family, length of what follows
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21
UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n").fullmatch
# `int` would take signs and the digits of other scripts, too.
KNOWN = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([0-9]{1,5}) ([0-9]{1,5})\r\n"
).fullmatch
ADDRESSES = {TCP4: struct.Struct("!4s4sHH"), TCP6: struct.Struct("!16s16sHH")}


class NoProxyHeader(OSError):
    """What came first is no header of the PROXY protocol.  An OSError, as the connection ends for it."""


def receive(sock: Any) -> Any:
    """Take the header from *sock*, and nothing behind it; the client's address as sockets have it.

    None: the proxy speaks for itself, as its health checks do, or doesn't know.
    Raises: NoProxyHeader, OSError.  Switches: yes.
    """
    begin = _exactly(sock, SHORTEST)
    if begin.startswith(SIGNATURE):
        return _binary(sock, begin[len(SIGNATURE) :])
    if begin.startswith(b"PROXY "):
        return _text(_line(sock, begin))
    raise NoProxyHeader("the connection doesn't begin with a header of the PROXY protocol")


def _binary(sock: Any, begin: bytes) -> Any:
    command, family, size = BEGIN.unpack(begin + _exactly(sock, BEGIN.size - len(begin)))
    if command not in (LOCAL, PROXY) or size > BLOCK_MAX:
        raise NoProxyHeader("a PROXY header of an unknown kind")
    block = _exactly(sock, size)
    layout = ADDRESSES.get(family)
    if command == LOCAL or layout is None:
        return None
    if size < layout.size:
        raise NoProxyHeader("a PROXY header without its addresses")
    source, _, port, _ = layout.unpack_from(block)
    return _address(str(ip_address(source)), port)


def _line(sock: Any, begin: bytes) -> bytes:
    line = begin
    while not line.endswith(b"\n"):
        coming = sock.recv(LINE_MAX - len(line), socket.MSG_PEEK) if len(line) < LINE_MAX else b""
        if not coming:
            raise NoProxyHeader("a PROXY header without an end")
        line += _exactly(sock, coming.find(b"\n") + 1 or len(coming))
    return line


def _text(line: bytes) -> Any:
    if UNKNOWN(line):
        return None
    found = KNOWN(line)
    if found is None:
        raise NoProxyHeader("a PROXY header that is none")
    version, *hosts = (word.decode() for word in found.groups()[:3])
    ports = [int(port) for port in found.groups()[3:]]
    family = socket.AF_INET6 if version == "6" else socket.AF_INET
    try:
        source, _destination = [socket.inet_pton(family, host) for host in hosts]
    except OSError:
        raise NoProxyHeader("a PROXY header without its addresses") from None
    if max(ports) > 65535:
        raise NoProxyHeader("a PROXY header without its ports")
    return _address(str(ip_address(source)), ports[0])


def _address(host: str, port: int) -> Any:
    return (host, port, 0, 0) if ":" in host else (host, port)


def _exactly(sock: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise NoProxyHeader("the client left before the end of its PROXY header")
        data += more
    return data
