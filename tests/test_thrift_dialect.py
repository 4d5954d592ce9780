"""Which dialect, from the first bytes: whole, halved, byte by byte."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseplate_serve._servers.thrift.dialect import Dialect, NotThrift, dialect_of

OPENINGS = [
    pytest.param(bytes.fromhex("8001000100000004"), Dialect.UNFRAMED_BINARY, id="unframed binary"),
    pytest.param(bytes.fromhex("8221000470696e67"), Dialect.UNFRAMED_COMPACT, id="unframed compact"),
    pytest.param(bytes.fromhex("0000001180010001"), Dialect.FRAMED_BINARY, id="framed binary"),
    pytest.param(bytes.fromhex("0000000a82210004"), Dialect.FRAMED_COMPACT, id="framed compact"),
    pytest.param(bytes.fromhex("000000200fff0000"), Dialect.HEADER, id="header"),
    pytest.param(bytes.fromhex("7fffffff0fff0000"), Dialect.HEADER, id="header, longest frame"),
]

GARBAGE = [
    pytest.param(b"GET / HTTP/1.1\r\n", "neither", id="http"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "neither", id="tls hello"),
    pytest.param(b"\xff\xff\xff\xff\xff\xff", "neither", id="all ones"),
    pytest.param(b"\x80\x02\x00\x01", "known version", id="binary of another version"),
    pytest.param(b"\x82\x22\x00\x01", "known version", id="compact of another version"),
    pytest.param(b"\0" * 8, "neither", id="zeros"),
    pytest.param(bytes.fromhex("00000004") + b"ping", "neither", id="unversioned binary"),
]


@pytest.mark.parametrize(("opening", "dialect"), OPENINGS)
def test_a_dialect_is_known_from_its_first_bytes(opening, dialect):
    assert dialect_of(opening) is dialect


@pytest.mark.parametrize(("opening", "dialect"), OPENINGS)
def test_byte_by_byte_it_asks_for_more_and_never_changes_its_mind(opening, dialect):
    answers = [dialect_of(opening[:size]) for size in range(len(opening) + 1)]
    decided = answers.index(dialect)
    assert answers[:decided] == [None] * decided
    assert set(answers[decided:]) == {dialect}
    assert decided <= 6


@pytest.mark.parametrize(("opening", "problem"), GARBAGE)
def test_what_is_no_thrift_is_told_from_it(opening, problem):
    with pytest.raises(NotThrift, match=problem):
        dialect_of(opening)


@given(st.binary(min_size=6))
def test_six_bytes_always_decide(opening):
    with suppress(NotThrift):
        assert isinstance(dialect_of(opening), Dialect)
