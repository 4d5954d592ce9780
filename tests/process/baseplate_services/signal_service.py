"""A service with a SIGUSR2 of its own."""

import logging
import signal

from baseplate import Baseplate

logger = logging.getLogger(__name__)


def make_app(app_config):
    Baseplate(app_config)
    signal.signal(signal.SIGUSR2, lambda _signum, _frame: logger.info("caches dumped"))
    return app


def app(environ, start_response):
    start_response("200 OK", [])
    return [b"serves on"]
