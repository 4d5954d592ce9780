"""The services of soak.py, which tell how much of everything there is: WSGI, ASGI and Thrift."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time

import gevent

from testing_idl import Testing
from testing_idl.ttypes import Item, Refused


def counts():
    """What must not grow, in this process, right now."""
    gc.collect()
    objects = gc.get_objects()
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "greenlets": sum(isinstance(each, gevent.Greenlet) for each in objects),
        "tasks": sum(isinstance(each, asyncio.Task) for each in objects),
        "watchers": gevent.get_hub().loop.activecnt,
        "objects": len(objects),
        "memory_kib": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
    }


def make_wsgi(config):
    def app(environ, start_response):
        path = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/counts":
            return [json.dumps(counts()).encode()]
        if path == "/fail":
            raise RuntimeError("asked to")
        if path == "/sleep":
            time.sleep(0.05)
        if path == "/large":
            return (b"x" * 65536 for _ in range(40))
        if path == "/body":
            return [str(len(environ["wsgi.input"].read())).encode()]
        return [b"hello"]

    return app


def make_asgi(config):  # noqa: C901 (a path for each way to answer)
    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
            return
        assert scope["type"] == "http"
        path, reply = scope["path"], b"hello"
        if path == "/counts":
            reply = json.dumps(counts()).encode()
        elif path == "/fail":
            raise RuntimeError("asked to")
        elif path == "/sleep":
            await asyncio.sleep(0.05)
        elif path == "/body":
            size, more = 0, True
            while more:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
            reply = str(size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if path == "/large":
            for _ in range(40):
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await send({"type": "http.response.body", "body": reply})

    return app


class Handler:
    def ping(self):
        pass

    def echo(self, text):
        return json.dumps(counts()) if text == "counts" else text

    async def items(self, count):
        await asyncio.sleep(0.01)
        return [Item(id=n, name="item", tags=["a"]) for n in range(count)]

    def refuse(self, why):
        raise Refused(why)

    def fail(self):
        raise RuntimeError("asked to")

    def note(self, text):
        time.sleep(0.01)


def make_thrift(config):
    return Testing.Processor(Handler())
