"""What all HTTP servers serve: ``/`` says hello, ``/up`` reads a body, ``/down`` sends one."""

from __future__ import annotations

from typing import Any

HELLO = b"hello"
LARGE = b"x" * 10_000


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """For WSGI servers."""
    path = environ["PATH_INFO"]
    if path == "/up":
        environ["wsgi.input"].read()
    body = LARGE if path == "/down" else HELLO
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """For ASGI servers."""
    if scope["type"] != "http":
        raise NotImplementedError
    path = scope["path"]
    if path == "/up":
        while (await receive()).get("more_body"):
            pass
    body = LARGE if path == "/down" else HELLO
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
