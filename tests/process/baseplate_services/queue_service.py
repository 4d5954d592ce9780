"""A queue consumer whose broker is a list."""

import logging
import time

from baseplate import Baseplate
from baseplate.server.queue_consumer import (
    MessageHandler,
    PumpWorker,
    QueueConsumerFactory,
    make_simple_healthchecker,
)

logger = logging.getLogger(__name__)


class Pump(PumpWorker):
    def __init__(self, work_queue):
        self.work_queue = work_queue

    def run(self):
        for number in range(20):
            self.work_queue.put(number)

    def stop(self):
        logger.info("pump stopped")


class Handler(MessageHandler):
    def handle(self, message):
        time.sleep(0.001)
        logger.info("handled %d", message)


class Factory(QueueConsumerFactory):
    def __init__(self, baseplate):
        self.baseplate = baseplate

    def build_pump_worker(self, work_queue):
        return Pump(work_queue)

    def build_message_handler(self):
        return Handler()

    def build_health_checker(self, listener):
        return make_simple_healthchecker(listener)


def make_consumer_factory(app_config):
    return Factory(Baseplate(app_config))
