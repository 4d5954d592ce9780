"""HTTP on the wire: what is served, what is refused, and that nothing more is served after that."""

from __future__ import annotations

from urllib.parse import unquote

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseplate_serve._servers.http.head import _keys
from baseplate_serve._servers.http.remembered import REMEMBERED_MAX
from http_corpus import BAD_FIELDS, BAD_FRAMING, INVALID, VALID, chunked, get, post
from http_harness import FEEDS, Seen, exchange, responses

NEXT = get(target=b"/next", headers=b"Connection: close\r\n")


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in VALID])
def test_what_is_valid_is_served_and_so_is_what_follows(case, feed):
    seen = Seen()
    sent = exchange(seen, FEEDS[feed](case.data + NEXT))
    assert [response.status for response in responses(sent)] == [200, 200]
    assert [each[:2] for each in seen] == [case.verdict, ("/next", b"")]


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in INVALID])
def test_what_is_invalid_is_refused_and_nothing_that_follows_is_served(case, feed, caplog):
    seen = Seen()
    [response] = responses(exchange(seen, FEEDS[feed](case.data + NEXT)))
    assert response.status == case.verdict, case.reason
    assert response.headers["Connection"] == "close"
    assert not seen
    [record] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage().isprintable()


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in [*BAD_FIELDS, *BAD_FRAMING]])
def test_a_request_before_an_invalid_one_has_its_response(case):
    seen = Seen()
    first, second = responses(exchange(seen, [get() + case.data + NEXT]))
    assert (first.status, second.status) == (200, case.verdict)
    assert len(seen) == 1


@pytest.mark.parametrize("where", ["name", "value", "first of a value", "target", "query"])
def test_every_byte_where_it_may_stand_and_nowhere_else(where):
    """RFC 9110 §5.1, §5.5 and RFC 3986."""
    token = set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    visible = {*range(0x21, 0x7F)}
    value = {*visible, *range(0x80, 0x100), 0x20, 0x09}
    allowed, form = {
        "name": ({*token, ord(":")}, get(b"X%by: z\r\n")),
        "value": (value, get(b"X: y%bz\r\n")),
        "first of a value": (value, get(b"X:%bz\r\n")),
        "target": (visible - {ord("#")}, get(target=b"/x%by")),
        "query": (visible - {ord("#")}, get(target=b"/x?%by")),
    }[where]
    served = set()
    for byte in range(256):
        [response] = responses(exchange(Seen(), [form.replace(b"%b", bytes([byte]))]))
        assert response.status in (200, 400)
        if response.status == 200:
            served.add(byte)
    assert served == allowed


def test_a_name_with_an_underscore_never_stands_for_one_with_a_dash():
    """A proxy vouches for X-User and passes X_User on: it must not become the same variable."""
    seen = Seen()
    data = get(
        b"X_User: root\r\nX-User: me\r\nx_user: root\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n"
    )
    exchange(seen, [data])
    [(_, body, environ)] = seen
    assert environ["HTTP_X_USER"] == "me"
    assert body == b""
    assert "CONTENT_LENGTH" not in environ
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_what_is_remembered_of_names_has_room_for_those_in_use():
    """Names cost time when they are new; who sends new ones for ever fills no memory with them."""
    long = [b"X-%d-%b" % (number, b"x" * 60) for number in range(50)]
    short = [b"X-%d" % number for number in range(REMEMBERED_MAX)]
    for names in (long, short, [b"X-Mine"]):
        for name in names:
            exchange(Seen(), [get(name + b": y\r\n")])
    assert _keys[b"X-Mine"] == "HTTP_X_MINE"
    assert len(_keys) <= REMEMBERED_MAX
    assert not any(name in _keys for name in long)


def test_fields_of_one_name_are_joined():
    seen = Seen()
    exchange(seen, [get(b"X: a\r\nx: b\r\nCookie: c=1\r\nCookie: d=2\r\n")])
    [(_, _, environ)] = seen
    assert environ["HTTP_X"] == "a,b"
    assert environ["HTTP_COOKIE"] == "c=1; d=2"


def test_the_authority_of_an_absolute_target_is_the_host():
    """RFC 9112 §3.2.2: whatever the Host header says."""
    seen = Seen()
    exchange(seen, [get(target=b"http://real:81/", host=b"Host: other\r\n")])
    assert seen[0][2]["HTTP_HOST"] == "real:81"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(post(b"Content-Length: 6\r\n", b"123456"), id="announced"),
        pytest.param(chunked(b"3\r\n123\r\n3\r\n456\r\n0\r\n\r\n"), id="chunked"),
    ],
)
def test_a_body_over_the_limit_is_refused(data):
    seen = Seen()
    assert responses(exchange(seen, [data], max_body_size=6))[0].status == 200
    [response] = responses(exchange(seen, [data + NEXT], max_body_size=5))
    assert response.status == 413
    assert len(seen) == 1


def test_limits_are_options():
    data = get(b"X: y\r\n" * 2)
    assert responses(exchange(Seen(), [data], max_headers=3))[0].status == 200
    assert responses(exchange(Seen(), [data], max_headers=2))[0].status == 431
    assert responses(exchange(Seen(), [data], max_head_size=len(data)))[0].status == 200
    assert responses(exchange(Seen(), [data], max_head_size=len(data) - 1))[0].status == 431


def test_a_client_that_leaves_within_its_head_or_body_gets_nothing():
    for data in (
        get()[:-2],
        b"\r",
        b"\r\n",
        b"GET",
        post(b"Content-Length: 5\r\n", b"123"),
        chunked(b"5\r\n12"),
    ):
        for feed in FEEDS.values():
            assert exchange(Seen(), feed(data)) == b""


# What others understand

PIECES = [
    b"GET", b"POST", b" ", b"/", b"/a?b", b"http://h/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r",
    b"\t", b"Host: a\r\n", b"Content-Length: 3\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding", b"Content-Length", b"chunked", b"Connection: close\r\n", b"X-Name: value\r\n", b":",
    b"abc", b"3\r\nabc\r\n", b"0\r\n", b"0\r\n\r\n", b";ext", b";a=b", b"\0", b"\x7f", b"\xff", b"_", b",",
]  # fmt: skip
SOUND = [case.data for case in VALID]


@st.composite
def nearly_sound(draw):
    """A sound request with some of its bytes replaced, or anything made of the usual pieces."""
    data = draw(st.sampled_from(SOUND))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from(PIECES)) + data[at + draw(st.integers(0, 3)) :]
    return data


def understood_by_h11(data):
    """Method, target, headers and body of the first request; None for none that is whole."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
    connection.receive_data(data)
    connection.receive_data(b"")
    head, body = (), b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head = event.method, event.target, event.headers
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return *head, body
            else:
                return None
    except h11.RemoteProtocolError:
        return None


@settings(max_examples=1500, deadline=None)
@given(nearly_sound())
def test_what_is_served_h11_understands_likewise(data):
    """We may refuse more; what we serve must mean to another strict reader what it means to us."""
    seen = Seen()
    exchange(seen, [data])
    if seen:
        target, body, environ = seen[0]
        theirs = understood_by_h11(data.removeprefix(b"\r\n"))  # which it doesn't skip
        assert theirs is not None
        method, their_target, headers, their_body = theirs
        assert (method.decode(), their_body) == (environ["REQUEST_METHOD"], body)
        if their_target.startswith(b"/"):
            path, mark, query = their_target.decode().partition("?")
            assert target == unquote(path, "latin-1") + (mark + query if query else "")
        joined = {}
        for name, value in headers:
            if b"_" not in name and name not in (
                b"host",
                b"transfer-encoding",
            ):  # of the target; in lower case
                joined.setdefault(name.decode().upper().replace("-", "_"), []).append(value.decode("latin-1"))
        for name, values in joined.items():
            ours = environ[name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"]
            assert ours == ("; " if "COOKIE" in name else ",").join(values)
