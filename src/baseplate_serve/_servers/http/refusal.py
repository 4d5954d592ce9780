"""Why a client's bytes are no request that may be served, and what it is told."""

from __future__ import annotations

from http import HTTPStatus

_PHRASES = {413: "Content Too Large", 414: "URI Too Long"}  # Python 3.13 renamed the first


class Refused(Exception):
    """The connection ends here: where the next request would begin is anybody's guess.

    *why* is the server's own words: nothing from the wire stands in it, so that it may be logged and sent.
    *lines* are headers of the answer, with their ends.
    """

    def __init__(self, why: str, status: int = 400, lines: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.lines = lines


FAILED = Refused("Internal Server Error", 500)


def answer_to(refused: Refused, *, bodiless: bool) -> bytes:
    """The whole response, after which the connection closes.  *bodiless*: to a HEAD request."""
    status = refused.status
    phrase = _PHRASES.get(status) or HTTPStatus(status).phrase
    body = f"{refused}\n".encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        f"{refused.lines}Connection: close\r\n\r\n"
    )
    return head.encode() if bodiless else head.encode() + body
