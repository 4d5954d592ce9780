"""HTTP: every WSGI server and ASGI server that people put in our place, under every load of `wrk.LOADS`."""

from __future__ import annotations

from contestant import PYTHON, Contestant, Load
from wrk import LOADS, wrk

__all__ = ["tables", "wrk"]

ADDRESS = "127.0.0.1:{port}"
UVICORN = "--no-access-log --log-level warning --host 127.0.0.1 --port {port} http_apps:asgi"
GRANIAN = "--no-ws --workers 1 --log-level error --host 127.0.0.1 --port {port}"
# Name and arguments to Python.  The first is what others are compared with.
SERVERS = {
    "pywsgi + TCP_NODELAY": "servers.py pywsgi-nodelay {port}",
    "baseplate-serve (wsgi)": f"-m baseplate_serve --bind {ADDRESS} http.ini",
    "... with handler = gevent.pywsgi:WSGIHandler": f"-m baseplate_serve --bind {ADDRESS} http_pywsgi.ini",
    "pywsgi as Baseplate binds it": "servers.py pywsgi {port}",
    "gunicorn -k gevent": f"-m gunicorn -k gevent -b {ADDRESS} http_apps:wsgi",
    "gunicorn -k gthread --threads 32": f"-m gunicorn -k gthread --threads 32 -b {ADDRESS} http_apps:wsgi",
    "gunicorn -k asgi": f"-m gunicorn -k asgi -b {ADDRESS} http_apps:asgi",
    "uvicorn --http h11 --loop asyncio": f"-m uvicorn --http h11 --loop asyncio {UVICORN}",
    "uvicorn --http h11 --loop uvloop": f"-m uvicorn --http h11 --loop uvloop {UVICORN}",
    "uvicorn --http httptools --loop asyncio": f"-m uvicorn --http httptools --loop asyncio {UVICORN}",
    "uvicorn --http httptools --loop uvloop": f"-m uvicorn --http httptools --loop uvloop {UVICORN}",
    "hypercorn": f"-m hypercorn --bind {ADDRESS} http_apps:asgi",
    "granian --interface wsgi": f"-m granian --interface wsgi {GRANIAN} http_apps:wsgi",
    "waitress --threads 8": f"-m waitress --threads 8 --listen {ADDRESS} http_apps:wsgi",
    "limit: a gevent socket, constant reply": "servers.py constant {port}",
}
# It answers what it receives, whatever that is.
NOT_FOR_THE_LIMIT = ("a body of 10 kB up", "a body of 10 kB down", "16 requests pipelined")


def tables() -> list[tuple[str, list[Contestant]]]:
    """A title and contestants for each load."""
    return [
        (
            f"HTTP, {title}, 32 connections (wrk)",
            [
                contestant(name, load())
                for name in SERVERS
                if not (name.startswith("limit") and title in NOT_FOR_THE_LIMIT)
            ],
        )
        for title, load in LOADS.items()
    ]


def contestant(name: str, load: Load) -> Contestant:
    """The server of that *name* under *load*."""
    return Contestant(name, [PYTHON, *SERVERS[name].split()], load)
