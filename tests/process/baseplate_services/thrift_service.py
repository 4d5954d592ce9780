"""A Thrift service as a user of Baseplate writes it: nothing here knows of us."""

import asyncio
import gc
import logging

from baseplate import Baseplate, BaseplateObserver, ServerSpanObserver
from baseplate.clients.thrift import ThriftClient
from baseplate.frameworks.thrift import baseplateify_processor
from baseplate.lib import config
from baseplate.observers.logging import LoggingBaseplateObserver
from baseplate.server import SERVER_STATE, ServerLifecycle, make_listener
from baseplate.thrift import BaseplateServiceV2
from baseplate.thrift.ttypes import IsHealthyProbe
from gevent import monkey

logger = logging.getLogger(__name__)
assert callable(make_listener)  # a name that only the installed package has


class Handler:
    def is_healthy(self, context, request):
        leaving = SERVER_STATE.state is ServerLifecycle.SHUTTING_DOWN
        logger.info("asked by %s, leaving: %s", context.headers.get(b"User-Agent"), leaving)
        if request.probe == IsHealthyProbe.READINESS:
            return not SERVER_STATE.shutting_down
        return True


class AsyncHandler(Handler):
    async def is_healthy(self, context, request):
        await asyncio.sleep(0.01)
        logger.info("in the coroutine: %s", context.span.trace_id)
        return super().is_healthy(context, request)


class HeavyHandler(Handler):
    async def is_healthy(self, context, request):
        gc.collect()
        monkey.get_original("time", "sleep")(0.3)  # as a computation does: nobody else runs meanwhile
        return True


class SpanRecorder(ServerSpanObserver):
    def __init__(self, span):
        self.span = span

    def on_start(self):
        logger.info("span of trace %s started", self.span.trace_id)

    def on_finish(self, exc_info):
        logger.info("span of trace %s finished: %s", self.span.trace_id, exc_info)


class Recorder(BaseplateObserver):
    def on_server_span_created(self, context, server_span):
        server_span.register(SpanRecorder(server_span))


def make_processor(app_config, handler_class=Handler):
    config.parse_config(app_config, {"foo": config.Integer})
    baseplate = Baseplate(app_config)
    baseplate.configure_observers()
    baseplate.register(LoggingBaseplateObserver())
    baseplate.register(Recorder())
    if "greeter.endpoint" in app_config:
        baseplate.configure_context({"greeter": ThriftClient(BaseplateServiceV2.Client)})
    processor = BaseplateServiceV2.Processor(handler_class())
    return baseplateify_processor(processor, logger, baseplate)


def make_async_processor(app_config):
    return make_processor(app_config, AsyncHandler)


def make_heavy_processor(app_config):
    return make_processor(app_config, HeavyHandler)
