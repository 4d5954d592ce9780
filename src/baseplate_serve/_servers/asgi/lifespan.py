"""Start-up and shutdown of an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import compat
from baseplate_serve.errors import ApplicationError

log = logging.getLogger("baseplate_serve.asgi")

ASGI = {"version": "3.0", "spec_version": "2.0"}


class Lifespan:
    """The lifespan of *app*, a task of its own.  `state` is what requests get copies of."""

    def __init__(self, app: Any, loop: Any) -> None:
        self.app = app
        self.loop = loop
        self.state: dict[str, Any] = {}
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answered: asyncio.Future[str | None] = loop.create_future()  # None, or why it failed
        self._started = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start up.  Raises: ApplicationError with the application's message.  Switches: yes."""
        self._to_app.put_nowait({"type": "lifespan.startup"})
        self._task = compat.start(self._run(), loop=self.loop)
        failure = compat.wait(self._answered, loop=self.loop)
        if failure is not None:
            raise ApplicationError(f"the application's start-up failed: {failure}")

    def stop(self, timeout_s: float) -> None:
        """Shut down, if it started.  Logs what goes wrong.  Switches: yes."""
        if not self._started or self._task is None or self._task.done():
            return
        self._answered = self.loop.create_future()
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        try:
            failure = compat.wait(self._answered, timeout_s, loop=self.loop)
        except TimeoutError:
            log.error("the application's shutdown took longer than %g seconds", timeout_s)  # noqa: TRY400 (its text says it all)
            return
        if failure is not None:
            log.error("the application's shutdown failed: %s", failure)
        else:
            compat.wait(asyncio.wait([self._task], timeout=timeout_s), loop=self.loop)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": ASGI, "state": self.state}
        try:
            await self.app(scope, self._to_app.get, self._send)
        except Exception as error:  # the specification: then it has no lifespan
            if self._started:
                log.exception("the application's lifespan failed")
                self._answer(repr(error))
            else:
                log.info("the application has no lifespan: %r", error)
        finally:
            self._answer(None)

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._started = True
            self._answer(None)
        elif kind == "lifespan.shutdown.complete":
            self._answer(None)
        elif kind in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
            self._answer(message.get("message") or "it gave no message")
        else:
            raise ValueError(f"no message of lifespan: {kind!r}")

    def _answer(self, failure: str | None) -> None:
        if not self._answered.done():
            self._answered.set_result(failure)
