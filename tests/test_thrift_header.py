"""The THeader envelope, against Apache Thrift's own."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thrift.protocol.TProtocol import TProtocolException
from thrift.transport.THeaderTransport import THeaderClientType, THeaderTransport
from thrift.transport.TTransport import TMemoryBuffer

from baseplate_serve._servers.thrift.header import (
    MalformedMessage,
    build_frame,
    parse_envelope,
    undo_transforms,
)

HEADERS = st.dictionaries(st.binary(max_size=200), st.binary(max_size=200), max_size=5)
PLAIN = {"flags": 0, "sequence_id": 7, "protocol_id": 0, "transforms": [], "headers": {}}
PING = bytes.fromhex("80010001 00000004 70696e67 00000001 00")


def apache(written=b"", read=b""):
    buffer = TMemoryBuffer(read)
    transport = THeaderTransport(buffer, (THeaderClientType.HEADERS,))
    if written:
        transport.write(written)
    return transport, buffer


@given(
    headers=HEADERS, payload=st.binary(min_size=1, max_size=500), sequence_id=st.integers(-(2**31), 2**31 - 1)
)
def test_apache_thrift_reads_what_we_build(headers, payload, sequence_id):
    frame = build_frame(payload, **{**PLAIN, "headers": headers, "sequence_id": sequence_id})
    transport, _ = apache(read=frame)
    transport.readFrame(0)
    assert transport.get_headers() == headers
    assert transport.sequence_id == sequence_id
    assert transport.read(len(payload)) == payload


@given(headers=HEADERS, payload=st.binary(min_size=1, max_size=500), compressed=st.booleans())
def test_we_read_what_apache_thrift_builds(headers, payload, compressed):
    transport, buffer = apache(written=payload)
    for key, value in headers.items():
        transport.set_header(key, value)
    if compressed:
        transport.add_transform(1)
    transport.flush()
    frame = buffer.getvalue()
    envelope = parse_envelope(frame, 4)
    assert envelope.headers == headers
    assert undo_transforms(frame[envelope.payload_at :], envelope.transforms, limit=1000) == payload


@given(st.binary(max_size=60))
def test_any_bytes_are_an_envelope_or_malformed(frame):
    try:
        envelope = parse_envelope(b"\x0f\xff" + frame)
    except MalformedMessage:
        return
    assert envelope.payload_at <= len(frame) + 2


def test_a_bomb_costs_no_more_than_the_limit():
    """A megabyte of zeros is a kilobyte compressed."""
    bomb = zlib.compress(zlib.compress(b"\0" * 50_000_000))
    with pytest.raises(MalformedMessage, match="more than 1000 bytes") as raised:
        undo_transforms(bomb, (1, 1), limit=1000)
    assert raised.value.type == TProtocolException.SIZE_LIMIT


@pytest.mark.parametrize(
    ("payload", "transforms", "problem"),
    [
        pytest.param(b"no zlib", (1,), "zlib", id="not compressed"),
        pytest.param(zlib.compress(b"x" * 100)[:-5], (1,), "ends early", id="cut short"),
        pytest.param(b"", (2,), "unknown THeader transform 2", id="unknown transform"),
    ],
)
def test_a_transform_that_cannot_be_undone_is_malformed(payload, transforms, problem):
    with pytest.raises(MalformedMessage, match=problem):
        undo_transforms(payload, transforms, limit=1000)


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        pytest.param("0fff 0000", "shorter than its fixed part", id="cut in the fixed part"),
        pytest.param(
            "0fff 0000 00000001 ffff", "longer than their frame", id="headers longer than the frame"
        ),
        pytest.param("0fff 0000 00000001 0001 00 ff ff ff", "does not end", id="endless varint"),
        pytest.param("0fff 0000 00000001 0001 00 7f 00 00", "127 THeader transforms", id="many transforms"),
        pytest.param("0fff 0000 00000001 0001 00 00 01 7f", "does not end", id="headers that do not come"),
        pytest.param(
            "0fff 0000 00000001 0002 00 00 01 01 7f 61 00 00", "longer than the headers", id="long string"
        ),
    ],
)
def test_a_malformed_envelope_says_what_is_wrong(frame, problem):
    with pytest.raises(MalformedMessage, match=problem):
        parse_envelope(bytes.fromhex(frame))
