"""The asyncio side of a server: one loop, attached to the hub for as long as the server runs.

Imported by servers whose application has coroutines, and by no others.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import gevent

import compat

log = logging.getLogger("baseplate_serve")


class Coroutines:
    """The loop that the application's coroutines run on, and all its tasks, whoever made them."""

    def __init__(self) -> None:
        self.loop = compat.attached_loop()

    def stop(self, timeout_s: float) -> None:
        """Cancel every task, let all clean up for *timeout_s* seconds at most, close the loop.

        Logs the tasks that don't end, and those that ended with an error nobody asked for.  A second call
        does nothing, unless there were some.  Switches: yes.
        """
        if self.loop.is_closed():
            return
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        with suppress(gevent.Timeout), gevent.Timeout(timeout_s):
            if tasks:
                compat.wait(asyncio.wait(tasks), loop=self.loop)
            self._close()
        for task in tasks:
            if not task.done():
                log.error("does not end, left behind: %r", task)
            elif not task.cancelled() and task.exception() is not None:
                log.error("%r failed in its clean-up", task.get_name(), exc_info=task.exception())

    def _close(self) -> None:
        compat.wait(self.loop.shutdown_asyncgens(), loop=self.loop)
        compat.wait(self.loop.shutdown_default_executor(), loop=self.loop)
        self.loop.detach()
        self.loop.close()
