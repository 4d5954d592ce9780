"""ASGI: hello world over 32 keep-alive connections, load by wrk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compare import Plan, Table, compare
from contestant import PYTHON, Contestant
from wrk import CONNECTIONS, wrk

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = f"ASGI, hello world, keep-alive, {CONNECTIONS} connections"
OURS = "baseplate-serve (wsgi, an ASGI application)"
UVICORN_FAST = "uvicorn --http httptools --loop asyncio"
GUNICORN = "gunicorn -k asgi"
UVICORN = "--no-access-log --log-level warning --loop asyncio --host 127.0.0.1 --port {port} asgi_hello:app"


def tables(plan: Plan) -> Iterator[Table]:
    """One."""
    if plan.wants(TITLE):
        yield compare(TITLE, contestants(), plan)


def contestants() -> list[Contestant]:
    """The first is what others are compared with."""
    return [
        Contestant(
            UVICORN_FAST,
            [PYTHON, "-m", "uvicorn", "--http", "httptools", *UVICORN.split()],
            wrk(),
        ),
        Contestant(
            OURS,
            [PYTHON, "-m", "baseplate_serve", "--bind", "127.0.0.1:{port}", "asgi.ini"],
            wrk(),
        ),
        Contestant(
            "uvicorn --http h11 --loop asyncio",
            [PYTHON, "-m", "uvicorn", "--http", "h11", *UVICORN.split()],
            wrk(),
        ),
        Contestant(
            GUNICORN,
            [PYTHON, "-m", "gunicorn", "-k", "asgi", "-b", "127.0.0.1:{port}", "asgi_hello:app"],
            wrk(),
        ),
    ]
