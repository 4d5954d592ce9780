"""What the fuzz tests share: mutations of what is valid, and what must be true of a server after any bytes.

`make fuzz` makes many times as many examples: FUZZ_EXAMPLES in the environment.  An input that found a fault
is kept: as a file in tests/corpus, or as a row of tests/http_corpus.py.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

import gevent
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from deadline import DEADLINE_S, wait_for

CORPUS = Path(__file__).parent / "corpus"


def examples(count):
    """Hypothesis' settings for a test that makes *count* examples in CI."""
    return settings(
        max_examples=int(os.environ.get("FUZZ_EXAMPLES", count)),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def kept(kind):
    """The inputs of tests/corpus/*kind*, by name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / kind).iterdir())}


# What tends to be mistaken: lengths at the edges of their types, ends of lines, bytes that begin something.
NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
TOKENS = [struct.pack("!I", number) for number in NUMBERS] + [
    *(bytes([byte]) for byte in (0, 1, 2, 0x0B, 0x0C, 0x0F, 0x7F, 0x80, 0x82, 0x88, 0xFF)),
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b",", b";", b"\0", b"\r\n\r\n", b"0\r\n\r\n"),
    *(b"chunked", b"gzip", b"-1", b"+1", b"0x1", b"99999999999999999999", b"HTTP/1.0", b"HTTP/9.9"),
]


@st.composite
def mutated(draw, seeds):
    """One of *seeds*, or two, with some bytes changed, put in, taken out, repeated or cut off."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.integers(0, 7))
        if how == 0:
            data[at:at] = draw(st.sampled_from(TOKENS))
        elif how == 1:
            token = draw(st.sampled_from(TOKENS))
            data[at : at + len(token)] = token
        elif how == 2:
            data[at : at + 1] = draw(st.binary(max_size=3))
        elif how == 3:
            del data[at : at + draw(st.integers(1, 8))]
        elif how == 4:
            del data[at:]
        elif how == 5:
            end = draw(st.integers(at, min(len(data), at + 40)))
            data[at:at] = data[at:end] * draw(st.integers(1, 20))
        elif how == 6:
            data += draw(st.sampled_from(seeds))
        elif data and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


class Fuzzed:
    """A *server* under fire; *still_serves*, called with its address, asserts that a client is served."""

    def __init__(self, server, still_serves):
        self.server = server
        self.address = server.address[:2]
        self._still_serves = still_serves
        self._records = []
        self._handler = logging.Handler()
        self._handler.emit = self._records.append
        self._tries = 0
        self._before = None

    def __enter__(self):
        logging.getLogger().addHandler(self._handler)
        self._still_serves(self.address)
        return self

    def __exit__(self, *_exc_info):
        logging.getLogger().removeHandler(self._handler)

    def survives(self, data, pieces=1):
        """Send *data* and no more; what the server answers until it closes the connection."""
        self._records.clear()
        reply = bytearray()
        with socket.create_connection(self.address, timeout=DEADLINE_S) as sock:
            # A reset, too, is an end: the server has closed without reading all.
            with suppress(ConnectionResetError, BrokenPipeError):
                step = max(1, -(-len(data) // pieces))
                for at in range(0, len(data), step):
                    sock.sendall(data[at : at + step])
                    if pieces > 1:
                        gevent.sleep(0)
                with suppress(OSError):  # after a reset it isn't connected
                    sock.shutdown(socket.SHUT_WR)
                while piece := sock.recv(65536):
                    reply += piece
        wait_for(lambda: not self.server.connections, "the connection is forgotten")
        told = [record for record in self._records if record.exc_info]
        assert not told, (data, [record.getMessage() for record in told], told[0].exc_info)
        loud = [record for record in self._records if record.levelno >= logging.ERROR]
        assert not loud, (data, [record.getMessage() for record in loud])
        self._tries += 1
        if self._tries % 50 == 0:
            self._still_serves(self.address)
            self._nothing_left()
        return bytes(reply)

    def _nothing_left(self):
        wait_for(lambda: not self.server.connections, "nobody is connected")
        gc.collect()
        left = {
            "descriptors": len(os.listdir("/proc/self/fd")),
            "greenlets": sum(isinstance(each, gevent.Greenlet) for each in gc.get_objects()),
        }
        self._before = self._before or left
        assert all(left[what] <= self._before[what] for what in left), (self._before, left)
