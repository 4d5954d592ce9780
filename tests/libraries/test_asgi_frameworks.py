"""ASGI frameworks, unchanged, on the server; and asyncio libraries inside their handlers."""

import asyncio
import time
from contextlib import asynccontextmanager
from typing import Annotated

import anyio
import gevent
import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, UploadFile, WebSocket
from fastapi.responses import StreamingResponse
from gevent import monkey
from litestar import Litestar, get
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route
from websockets.sync.client import connect

import compat
from asgi_harness import connected, serving, until, url
from baseplate_serve.asgi import Mount
from deadline import DEADLINE_S, wait_for

log = []
sleeping = [0]  # how many requests, after each change


def made(app, **options):
    return serving(app, lifespan=True, **options)


def fastapi_app():  # noqa: C901 (many small endpoints)
    @asynccontextmanager
    async def lifespan(_app):
        async with httpx.AsyncClient() as client:
            log.append("up")
            yield {"client": client}
            log.append("down")

    app = FastAPI(lifespan=lifespan)

    async def session():
        log.append("open")
        try:
            yield "session"
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    @app.get("/async/{number}")
    async def async_endpoint(number: int, text: str = "default"):
        await asyncio.sleep(0)
        return {"number": number, "text": text}

    @app.get("/sync/{number}")
    def sync_endpoint(number: int):
        time.sleep(0.01)  # in anyio's thread pool
        return {"number": number}

    @app.get("/gevent")
    async def gevent_endpoint():
        sleeping.append(sleeping[-1] + 1)
        time.sleep(0.1)  # suspends this request only
        sleeping.append(sleeping[-1] - 1)
        return "slept"

    @app.get("/depends")
    async def depends(got: Annotated[str, Depends(session)]):
        return got

    @app.get("/background")
    async def background(tasks: BackgroundTasks):
        async def later():
            await asyncio.sleep(0.01)
            log.append("later")

        tasks.add_task(later)
        tasks.add_task(log.append, "sync later")
        return "now"

    @app.get("/stream")
    async def stream():
        async def pieces():
            try:
                for n in range(1_000_000):
                    yield f"piece {n}\n" * 100
                    await asyncio.sleep(0.001)
            finally:
                log.append("stream closed")

        return StreamingResponse(pieces())

    @app.post("/upload")
    async def upload(file: UploadFile):
        return {"name": file.filename, "size": len(await file.read())}

    @app.get("/relay")
    async def relay(to: str):
        async with httpx.AsyncClient() as client, anyio.create_task_group() as group:
            answers = []

            async def ask():
                answers.append((await client.get(to)).json()["number"])

            for _ in range(3):
                group.start_soon(ask)
        return answers

    @app.websocket("/ws")
    async def ws(websocket: WebSocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_json({"got": text})

    return app


@pytest.fixture
def fastapi():
    log.clear()
    with made(fastapi_app()) as server:
        yield server


def test_endpoints_of_both_colours(fastapi):
    assert httpx.get(url(fastapi, "/async/3?text=x")).json() == {"number": 3, "text": "x"}
    assert httpx.get(url(fastapi, "/sync/4")).json() == {"number": 4}
    assert httpx.get(url(fastapi, "/async/no")).status_code == 422
    assert httpx.get(url(fastapi, "/nowhere")).status_code == 404
    assert httpx.get(url(fastapi, "/openapi.json")).json()["openapi"]


def test_gevent_in_an_endpoint_suspends_that_request_only(fastapi):
    calls = [gevent.spawn(httpx.get, url(fastapi, "/gevent"), timeout=20) for _ in range(20)]
    assert {call.get(timeout=DEADLINE_S).json() for call in calls} == {"slept"}
    assert max(sleeping) > 1


def test_a_dependency_with_yield_and_background_tasks(fastapi):
    assert httpx.get(url(fastapi, "/depends")).json() == "session"
    wait_for(lambda: log == ["up", "open", "closed"])
    assert httpx.get(url(fastapi, "/background")).json() == "now"
    wait_for(lambda: log[-2:] == ["later", "sync later"])


def test_a_stream_ends_when_its_client_goes(fastapi):
    with connected(fastapi) as sock:
        sock.sendall(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
        until(sock, b"piece 3\n")
    wait_for(lambda: "stream closed" in log)
    wait_for(lambda: not fastapi.tasks)


def test_an_upload(fastapi):
    got = httpx.post(url(fastapi, "/upload"), files={"file": ("name.bin", bytes(3_000_000))})
    assert got.json() == {"name": "name.bin", "size": 3_000_000}


def test_an_asyncio_client_in_a_task_group_calls_the_same_server(fastapi):
    got = httpx.get(url(fastapi, "/relay"), params={"to": url(fastapi, "/async/7")})
    assert got.json() == [7, 7, 7]


def test_a_websocket(fastapi):
    with connect(url(fastapi, "/ws", "ws")) as client:
        client.send("hello")
        assert client.recv(DEADLINE_S) == '{"got":"hello"}'


def test_lifespan():
    log.clear()
    with made(fastapi_app()):
        assert log == ["up"]
    assert log == ["up", "down"]


def test_a_fastapi_lifespan_that_fails():
    @asynccontextmanager
    async def lifespan(_app):
        raise ConnectionError("no database")
        yield

    with (
        pytest.raises(Exception, match=r"(?s)start-up failed: .*no database"),
        made(FastAPI(lifespan=lifespan)),
    ):
        pass


def test_beside_a_wsgi_application():
    def old(environ, start_response):
        start_response("200 OK", [])
        return [b"old " + environ["PATH_INFO"].encode()]

    log.clear()
    with made(Mount({"/api": fastapi_app()}, wsgi=old)) as server:
        assert httpx.get(url(server, "/api/async/3")).json()["number"] == 3
        assert httpx.get(url(server, "/async/3")).text == "old /async/3"
    assert log == ["up", "down"]


def test_starlette_with_its_middleware(tmp_path):
    (tmp_path / "file.txt").write_text("content " * 1000)

    async def home(request):
        return PlainTextResponse(f"{request.url.path} {request.client.host}")

    async def file(_request):
        return FileResponse(tmp_path / "file.txt")

    async def disconnected(request):
        while not await request.is_disconnected():
            await asyncio.sleep(0.001)
        log.append("disconnected")

    class Header(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            response = await call_next(request)
            response.headers["x-middleware"] = "was here"
            return response

    routes = [Route("/", home), Route("/file", file), Route("/gone", disconnected)]
    app = Starlette(
        routes=[*routes, StarletteMount("/below", routes=routes)],
        middleware=[Middleware(Header), Middleware(GZipMiddleware)],
    )
    log.clear()
    with made(app) as server:
        got = httpx.get(url(server, "/below/"))
        assert (got.text, got.headers["x-middleware"]) == ("/below/ 127.0.0.1", "was here")
        assert httpx.get(url(server, "/file")).text == "content " * 1000
        assert httpx.head(url(server, "/file")).headers["x-middleware"] == "was here"
        with connected(server) as sock:
            sock.sendall(b"GET /gone HTTP/1.1\r\nHost: h\r\n\r\n")
            gevent.sleep(0.05)
        wait_for(lambda: not server.tasks)


def test_litestar():
    @get("/hello", sync_to_thread=True)
    def hello() -> str:
        return "hello"

    @get("/later")
    async def later() -> dict[str, int]:
        await asyncio.sleep(0.001)
        return {"answer": 42}

    with made(Litestar([hello, later])) as server:
        assert httpx.get(url(server, "/hello")).text == "hello"
        assert httpx.get(url(server, "/later")).json() == {"answer": 42}


def test_quart():
    app = Quart(__name__)

    @app.get("/")
    async def home():
        await asyncio.sleep(0.001)
        return "quart"

    with made(app) as server:
        assert httpx.get(url(server)).text == "quart"


def thread():
    return monkey.get_original("_thread", "get_ident")()


def test_where_synchronous_code_runs():
    """docs/adopting-async.md tells which may share gevent's clients, and which may block."""
    fastapi, quart = FastAPI(), Quart("where")

    @fastapi.get("/endpoint")
    def endpoint():
        return thread()

    @fastapi.get("/native")
    def native():
        return compat.wait(compat.run_in_native_thread(thread))

    @fastapi.get("/to_thread")
    async def to_thread():
        return await asyncio.to_thread(thread)

    @fastapi.get("/anyio")
    async def in_anyios():
        return await anyio.to_thread.run_sync(thread)

    @quart.get("/view")
    def view():
        return str(thread())

    @get("/view", sync_to_thread=True)
    def handler() -> int:
        return thread()

    hubs, real = ["/endpoint", "/anyio"], ["/native", "/to_thread", "/quart/view", "/litestar/view"]
    with made(Mount({"/quart": quart, "/litestar": Litestar([handler])}, asgi=fastapi)) as server:
        where = {path: int(httpx.get(url(server, path)).text) for path in [*hubs, *real]}
    assert [path for path, its_thread in where.items() if its_thread == thread()] == hubs
