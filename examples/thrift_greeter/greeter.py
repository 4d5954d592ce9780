"""A Thrift service: the handler, and the factory that app.ini names."""

from __future__ import annotations

import asyncio
import logging

from greeter_idl import Greeter
from greeter_idl.ttypes import NobodyToGreet

from baseplate_serve import config
from baseplate_serve.health.ttypes import IsHealthyProbe
from baseplate_serve.state import SERVER_STATE

log = logging.getLogger(__name__)


class Handler:
    def __init__(self, greeting):
        self.greeting = greeting

    def is_healthy(self, request):
        if request.probe == IsHealthyProbe.READINESS:
            return not SERVER_STATE.shutting_down
        return True

    def greet(self, name):
        if not name:
            raise NobodyToGreet(hint="say who")
        log.debug("greeting %s", name)
        return f"{self.greeting}, {name}!"

    # A coroutine function beside ordinary methods: converted alone, and nothing around it changed.
    async def greet_slowly(self, name, seconds):
        await asyncio.sleep(seconds)
        return self.greet(name)


def make_processor(app_config):
    cfg = config.parse_config(app_config, {"greeting": config.Optional(config.String, default="Hello")})
    return Greeter.Processor(Handler(cfg.greeting))
