"""Start-up and shutdown of an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Any

import compat
from baseplate_serve._lifecycle.forked import leave_if_forked
from baseplate_serve._lifecycle.signals import StoppedWhileStarting
from baseplate_serve._servers.asgi.cancel import was_cancelled
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
        deadline = monotonic() + timeout_s
        self._answered = self.loop.create_future()
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        try:
            failure = compat.wait(self._answered, timeout_s, loop=self.loop)
        except TimeoutError:
            log.error("the application's shutdown took longer than %.3g seconds", timeout_s)  # noqa: TRY400 (its text says it all)
            return
        if failure is not None:
            log.error("the application's shutdown failed: %s", failure)
        else:
            left_s = max(0.0, deadline - monotonic())
            compat.wait(asyncio.wait([self._task], timeout=left_s), loop=self.loop)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": ASGI, "state": self.state}
        try:
            await self.app(scope, self._to_app.get, self._send)
        except GeneratorExit:
            raise
        except StoppedWhileStarting as error:  # came while the application's code ran
            if not self._answered.done():
                self._answered.set_exception(error)
        except BaseException as error:
            leave_if_forked(error)
            if isinstance(error, asyncio.CancelledError) and was_cancelled():
                raise
            self._failed(error)
        else:
            if not self._answered.done() and not self._started:
                self._is_without("returned")
        finally:
            self._answer(None)

    def _failed(self, error: BaseException) -> None:
        if self._started:
            log.error("the application's lifespan failed", exc_info=error)
        elif self._answered.done():
            return  # it has said why itself
        elif isinstance(error, Exception):
            self._is_without(f"raised {error!r}")
        failure = error.code if isinstance(error, SystemExit) and isinstance(error.code, str) else repr(error)
        self._answer(failure)

    def _is_without(self, how: str) -> None:
        """The specification: an application that doesn't answer has no lifespan, and is served.

        One that took the event might have meant something else.
        """
        if self._to_app.empty():
            log.warning("the application %s in its start-up: it is served without a lifespan", how)
        else:
            log.info("the application has no lifespan: it %s", how)
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
