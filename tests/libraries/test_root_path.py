"""Behind a proxy that strips a prefix: the URLs that applications make lead back through the proxy."""

import json

import flask
import httpx
import pytest
from fastapi import FastAPI, Request, WebSocket
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from websockets.sync.client import connect

from asgi_harness import exchange, serving, url
from baseplate_serve import wsgi
from baseplate_serve.asgi import Mount
from baseplate_serve.errors import UsageError

PUBLIC = {"host": "example.org"}  # the client asked the proxy for http://example.org/shop/…


def fastapi_app():
    app = FastAPI()

    @app.get("/items/{number}")
    def item(request: Request, number: int):
        return {
            "self": str(request.url),
            "next": str(request.url_for("item", number=number + 1)),
            "path": request.scope["path"],
            "raw_path": request.scope["raw_path"].decode(),
            "root_path": request.scope["root_path"],
        }

    @app.get("/slash/")
    def slash():
        return "slash"

    @app.websocket("/news")
    async def news(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_json([str(websocket.url), str(websocket.url_for("item", number=1))])
        await websocket.close()

    return app


def flask_app():
    app = flask.Flask(__name__)

    @app.get("/items/<name>")
    def item(name):
        environ = flask.request.environ
        return {
            "self": flask.request.url,
            "next": flask.url_for("item", name="next"),
            "SCRIPT_NAME": environ["SCRIPT_NAME"],
            "PATH_INFO": environ["PATH_INFO"],
        }

    return app


def test_the_urls_of_an_asgi_application():
    with serving(fastapi_app(), root_path="/shop") as server:
        assert httpx.get(url(server, "/items/1?a=%C3%A9"), headers=PUBLIC).json() == {
            "self": "http://example.org/shop/items/1?a=%C3%A9",
            "next": "http://example.org/shop/items/2",
            "path": "/shop/items/1",
            "raw_path": "/shop/items/1",
            "root_path": "/shop",
        }
        slash = httpx.get(url(server, "/slash"), headers=PUBLIC)
        assert slash.headers["location"] == "http://example.org/shop/slash/"
        with connect(url(server, "/news", "ws"), proxy=None) as websocket:
            here = f"127.0.0.1:{server.address[1]}"
            assert json.loads(websocket.recv()) == [f"ws://{here}/shop/news", f"http://{here}/shop/items/1"]


def test_openapi_names_the_prefix_and_its_page_finds_it():
    with serving(fastapi_app(), root_path="/shop") as server:
        assert httpx.get(url(server, "/openapi.json")).json()["servers"] == [{"url": "/shop"}]
        assert "'/shop/openapi.json'" in httpx.get(url(server, "/docs")).text


def test_what_is_mounted_in_the_application_comes_after_it(tmp_path):
    (tmp_path / "a.txt").write_text("a")

    def here(request):
        return PlainTextResponse(f"{request.scope['root_path']} {request.url_for('files', path='a.txt')}")

    routes = [
        StarletteMount("/files", StaticFiles(directory=tmp_path), name="files"),
        Route("/here", here),
    ]
    with serving(Starlette(routes=routes), root_path="/shop/eu") as server:
        assert httpx.get(url(server, "/files/a.txt")).text == "a"
        assert httpx.get(url(server, "/here"), headers=PUBLIC).text == (
            "/shop/eu http://example.org/shop/eu/files/a.txt"
        )


def test_the_servers_own_mount_comes_after_it():
    mount = Mount({"/new": fastapi_app()}, wsgi=flask_app())
    with serving(mount, root_path="/shop") as server:
        new = httpx.get(url(server, "/new/items/1"), headers=PUBLIC).json()
        assert new["next"] == "http://example.org/shop/new/items/2"
        assert (new["path"], new["root_path"]) == ("/shop/new/items/1", "/shop/new")
        old = httpx.get(url(server, "/items/1"), headers=PUBLIC).json()
        assert (old["SCRIPT_NAME"], old["PATH_INFO"]) == ("/shop", "/items/1")


@pytest.mark.parametrize("options", [{}, {"handler": "gevent.pywsgi:WSGIHandler"}], ids=["ours", "pywsgi's"])
def test_the_urls_of_a_wsgi_application(options):
    with serving(flask_app(), lifespan=True, root_path="/shop", **options) as server:
        for _ in range(2):
            assert httpx.get(url(server, "/items/1"), headers=PUBLIC).json() == {
                "self": "http://example.org/shop/items/1",
                "next": "/shop/items/next",
                "SCRIPT_NAME": "/shop",
                "PATH_INFO": "/items/1",
            }


def test_a_prefix_with_other_characters_is_encoded_where_a_url_is():
    with serving(fastapi_app(), root_path="/läden eu") as server:
        found = httpx.get(url(server, "/items/1"), headers=PUBLIC).json()
        assert found["root_path"] == "/läden eu"
        assert found["path"] == "/läden eu/items/1"
        assert found["raw_path"] == "/l%C3%A4den%20eu/items/1"
    with serving(flask_app(), lifespan=True, root_path="/läden") as server:
        found = httpx.get(url(server, "/items/1"), headers=PUBLIC).json()
        assert found["SCRIPT_NAME"] == "/läden".encode().decode("latin-1")  # as PEP 3333 has it


def test_a_request_for_no_path_has_no_prefix():
    async def app(scope, receive, send):
        text = f"{scope['path']} {scope['raw_path'].decode()} {scope['root_path']}".encode()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": text})

    with serving(app, root_path="/shop") as server:
        reply = exchange(server, b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert reply.endswith(b"\r\n\r\n* * /shop")


@pytest.mark.parametrize("value", ["shop", "/shop/", "/"])
def test_a_prefix_has_a_form(value):
    with pytest.raises(UsageError, match="a path such as '/api'"):
        wsgi.make_server({"factory": "", "root_path": value}, None, flask_app())
