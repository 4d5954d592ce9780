"""A WebSocket's messages, from their pieces: without a server, and what they may cost."""

from __future__ import annotations

import tracemalloc

import pytest
from wsproto.events import BytesMessage, TextMessage

from baseplate_serve._servers.asgi.messages import AHEAD_MAX, Messages


def piece(data, *, last=True):
    kind = TextMessage if isinstance(data, str) else BytesMessage
    return kind(data, message_finished=last)


@pytest.fixture
def messages():
    messages = Messages(1000)
    messages.take()  # that a client connects
    return messages


@pytest.mark.parametrize(
    ("pieces", "whole"), [(["a\r\n", "", "\rü"], "a\r\n\rü"), ([b"", b"a", b"b"], b"ab")]
)
def test_pieces_are_joined(messages, pieces, whole):
    for each in pieces[:-1]:
        assert messages.add(piece(each, last=False))
        assert not messages
    assert messages.add(piece(pieces[-1]))
    key = "text" if isinstance(whole, str) else "bytes"
    assert messages.take() == {"type": "websocket.receive", key: whole}


def test_a_message_may_be_as_long_as_the_limit_and_no_longer(messages):
    assert messages.add(piece(b"x" * 999, last=False))
    assert messages.add(piece(b"x"))
    assert messages.add(piece(b"x" * 999, last=False))
    assert not messages.add(piece(b"xx", last=False))
    assert messages.add(piece(b"the next"))


def test_few_that_are_large_are_enough(messages):
    messages.add(piece(b"x" * 600))
    assert not messages.full
    messages.add(piece(b"x" * 400, last=False))
    assert messages.full
    messages.take()
    assert not messages.full  # or the other one would never come whole
    messages.add(piece(b"x" * 600))
    assert messages.full


def test_many_that_are_empty_are_enough(messages):
    for _ in range(AHEAD_MAX):
        assert not messages.full
        messages.add(piece(""))
    assert messages.full


@pytest.mark.parametrize("small", ["", "ab", b"", b"ab"])
def test_pieces_cost_what_is_in_them_however_many_there_are(small):
    count = 20_000
    messages = Messages(1_000_000)
    tracemalloc.start()
    for _ in range(count):
        messages.add(piece(small[:1] + small[1:], last=False))  # objects of their own
    cost, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cost < 4096 + 10 * count * len(small)
