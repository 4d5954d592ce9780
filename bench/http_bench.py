"""HTTP: every WSGI server and ASGI server that people put in our place, under every load of `wrk.LOADS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compare import Plan, Table, compare
from contestant import PYTHON, Contestant
from wrk import CONNECTIONS, LOADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contestant import Load

OURS = "baseplate-serve (wsgi)"
PYWSGI = "pywsgi + TCP_NODELAY"
UVICORN_FAST = "uvicorn --http httptools --loop uvloop"
LIMIT = "limit: a gevent socket, constant reply"
KERNEL_LIMIT = "limit: the kernel's socket below it, likewise"
ADDRESS = "127.0.0.1:{port}"
UVICORN = "--no-access-log --log-level warning --host 127.0.0.1 --port {port} http_apps:asgi"
GRANIAN = "--no-ws --workers 1 --log-level error --host 127.0.0.1 --port {port}"
# Name and arguments to Python.  The first is what others are compared with.
SERVERS = {
    PYWSGI: "servers.py pywsgi-nodelay {port}",
    OURS: f"-m baseplate_serve --bind {ADDRESS} http.ini",
    "... with handler = gevent.pywsgi:WSGIHandler": f"-m baseplate_serve --bind {ADDRESS} http_pywsgi.ini",
    "pywsgi as Baseplate binds it": "servers.py pywsgi {port}",
    "gunicorn -k gevent": f"-m gunicorn -k gevent -b {ADDRESS} http_apps:wsgi",
    "gunicorn -k gthread --threads 32": f"-m gunicorn -k gthread --threads 32 -b {ADDRESS} http_apps:wsgi",
    "gunicorn -k asgi": f"-m gunicorn -k asgi -b {ADDRESS} http_apps:asgi",
    "uvicorn --http h11 --loop asyncio": f"-m uvicorn --http h11 --loop asyncio {UVICORN}",
    "uvicorn --http h11 --loop uvloop": f"-m uvicorn --http h11 --loop uvloop {UVICORN}",
    "uvicorn --http httptools --loop asyncio": f"-m uvicorn --http httptools --loop asyncio {UVICORN}",
    UVICORN_FAST: f"-m uvicorn --http httptools --loop uvloop {UVICORN}",
    "hypercorn": f"-m hypercorn --bind {ADDRESS} http_apps:asgi",
    "granian --interface wsgi": f"-m granian --interface wsgi {GRANIAN} http_apps:wsgi",
    "waitress --threads 8": f"-m waitress --threads 8 --listen {ADDRESS} http_apps:wsgi",
    LIMIT: "servers.py constant {port}",
    KERNEL_LIMIT: "servers.py constant-below {port}",
}
# They answer what they receive, whatever that is.
LIMITS = (LIMIT, KERNEL_LIMIT)
NOT_FOR_LIMITS = ("a body of 10 kB up", "a body of 10 kB down", "16 requests pipelined")


def title_of(load: str) -> str:
    return f"HTTP, {load}, {CONNECTIONS} connections"


def tables(plan: Plan) -> Iterator[Table]:
    """One for each load."""
    for load, drive in LOADS.items():
        if plan.wants(title_of(load)):
            names = [name for name in SERVERS if name not in LIMITS or load not in NOT_FOR_LIMITS]
            yield compare(title_of(load), [contestant(name, drive) for name in names], plan)


def contestant(name: str, load: Load | None) -> Contestant:
    """The server of that *name* under *load*."""
    return Contestant(name, [PYTHON, *SERVERS[name].split()], load)
