"""An old WSGI application, and the FastAPI application that takes over from it path by path."""

from __future__ import annotations

import json
import time

from fastapi import FastAPI, HTTPException

from baseplate_serve import config
from baseplate_serve.asgi import Mount

PRICES = {"tea": 3, "cake": 4}


def make_app(app_config):
    cfg = config.parse_config(app_config, {"currency": config.String})
    return Mount({"/prices": make_new_app(cfg.currency)}, wsgi=old_app)


def old_app(environ, start_response):
    """Everything that hasn't moved yet."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"old": environ["PATH_INFO"]}).encode() + b"\n"]


def make_new_app(currency):
    app = FastAPI()  # the server tells it that it is at /prices

    @app.get("/{name}")
    async def price(name: str):
        if name not in PRICES:
            raise HTTPException(404, "we don't sell that")
        look_up()
        return {"price": PRICES[name], "currency": currency}

    return app


def look_up():
    """A client from before asyncio: gevent makes it wait, and the coroutine that called it, nobody else."""
    time.sleep(0.01)
