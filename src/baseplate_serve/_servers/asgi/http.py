"""One request: the application's task, and the `receive` and `send` that it gets."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from baseplate_serve._lifecycle.forked import leave_if_forked
from baseplate_serve._servers.asgi.body import Body
from baseplate_serve._servers.asgi.cancel import cancel_later, cancel_unshielded, was_cancelled
from baseplate_serve._servers.asgi.outbox import ClientGone
from baseplate_serve._servers.asgi.response import Response
from baseplate_serve._servers.http.body import CONTINUE
from baseplate_serve._servers.http.limits import DISCARD_MAX
from baseplate_serve._servers.http.refusal import FAILED, Refused

if TYPE_CHECKING:
    from baseplate_serve._servers.asgi.connection import AsgiConnection
    from baseplate_serve._servers.asgi.head import Request

log = logging.getLogger("baseplate_serve.asgi")

TOLD_S = 1.0  # for an application that heard of the client's leaving
DISCONNECT = {"type": "http.disconnect"}


class Exchange:
    """One request and its response, on *connection*."""

    __slots__ = (
        "_bad",
        "_body_given",
        "_continued",
        "_discarded",
        "_listening",
        "app",
        "body",
        "connection",
        "gone",
        "inbox",
        "outbox",
        "over",
        "response",
        "scope",
        "task",
    )

    def __init__(self, connection: AsgiConnection, request: Request, app: Any, scope: dict[str, Any]) -> None:
        self.connection = connection
        self.app = app
        self.scope = scope
        self.inbox = connection.inbox
        self.outbox = connection.outbox
        self.body = Body(connection.inbox, request.length, connection.limits.body)
        self.response = Response(
            bodiless=request.method == "HEAD", minor=request.minor, keeps_alive=request.keeps_alive
        )
        self.task: asyncio.Task[None] | None = None
        self.gone = False  # the client is
        self.over = False  # the connection may go on without us
        self._body_given = False
        self._listening = 0  # who waits in `receive`
        self._continued = not request.expects_continue
        self._bad: Refused | None = None
        self._discarded = 0  # bytes of the body that nobody read

    def start(self) -> None:
        """Serve it.  Switches: no."""
        self.inbox.changed = self._changed
        self.task = self.connection.start_task(self._serve(), self.scope)
        if self.inbox.ended:
            self._client_gone()

    def cut_off(self) -> None:
        """The server goes without it.  Switches: no."""
        task = self.task
        if task is None or self.over:
            self.connection.over(reusable=False)
            return
        self.over = True
        cancel_unshielded(task)
        self.connection.close_after(task)

    def _finish(self) -> None:
        """The response is complete, or will never be: on to the next request, or close."""
        if self.over:
            return
        self.over = True
        if self.response.complete and not self.gone:
            self.connection.answered(failed=(self.response.status or 0) >= 500)
        if self.gone or not self.response.keeps_alive or not self.response.complete:
            self.connection.over(reusable=False)
        elif self.body.ended:
            self.connection.over(reusable=True)
        elif not self._continued:
            self.connection.over(reusable=False)  # whether the client sends the body now is anybody's guess
        else:
            self.inbox.changed = self._discard
            self._discard()

    def _discard(self) -> None:
        """Take what nobody read of the body, as it comes."""
        tracked = self.connection.tracked
        tracked.body_since = None
        try:
            while not self.body.ended and (piece := self.body.piece()) is not None:
                self._discarded += len(piece)
        except Refused as error:
            self._malformed(error)
        if self._bad or self._discarded > DISCARD_MAX or (self.inbox.ended and not self.body.ended):
            self.connection.over(reusable=False)
        elif self.body.ended:
            self.connection.over(reusable=True)
        else:
            tracked.body_since = monotonic()

    def _malformed(self, error: Refused) -> None:
        log.warning("%s sent a body that is none, disconnected: %s", self.connection.name, error)
        self._bad = error
        self.connection.tracked.refused("malformed")

    def _changed(self) -> None:
        """Something came, or the client has gone."""
        if not self.inbox.ended:
            return
        if self.connection.tracked.timed_out == "body_timeout" and not self.gone:
            self._bad = Refused("the body took too long", 408)
        else:
            self._client_gone()

    def _client_gone(self) -> None:
        """The client sends no more: in HTTP one that waits for its response doesn't do that.

        An application that listens is told, and has a moment to end by itself; another is cancelled now.
        """
        self.gone = self.over = True
        task: Any = self.task
        if self._listening:
            cancel_later(task, TOLD_S)
        else:
            cancel_unshielded(task)
        self.inbox.wake()
        self.connection.close_after(task)

    async def _serve(self) -> None:
        try:
            await self.app(self.scope, self.receive, self.send)
        except GeneratorExit:
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                if self.gone:
                    return
                if self.over or was_cancelled():
                    raise
            leave_if_forked(error)
            if self._bad is None and not (self.gone and isinstance(error, OSError)):
                log.exception("%s failed", self.connection.describe())
            self._break_off()
        else:
            if not self.response.complete and not self.gone and self._bad is None:
                what = "without a whole response" if self.response.started else "without a response"
                log.error("%s: the application returned %s", self.connection.describe(), what)
            self._break_off()
        finally:
            self.connection.task_over(self.task)
            self._finish()

    def _break_off(self) -> None:
        """End what the application didn't."""
        if self.response.complete or self.gone:
            return
        self.response.keeps_alive = False
        if not self.response.sent:
            self.response.sent = True
            self.connection.refuse(self._bad or FAILED)
            if self._bad is None:
                self.connection.answered(failed=True)

    async def receive(self) -> dict[str, Any]:
        """ASGI's.  Suspends until there is something to tell."""
        if self.gone or self.response.complete:
            return DISCONNECT
        if not self._body_given:
            try:
                while (piece := self.body.piece()) is None and not self.inbox.ended:
                    await self._more_body()
            except Refused as error:
                self._malformed(error)
                self._body_given = True
                return DISCONNECT
            if piece is None:
                self.gone = self._bad is None
                self._body_given = True
                return DISCONNECT
            self._body_given = self.body.ended
            return {"type": "http.request", "body": piece, "more_body": not self.body.ended}
        while not (self.gone or self.response.complete or self._bad):
            await self._more()
        return DISCONNECT

    async def _more_body(self) -> None:
        tracked = self.connection.tracked
        tracked.body_since = monotonic()
        try:
            await self._more()
        finally:
            tracked.body_since = None

    async def _more(self) -> None:
        if not self._continued and not self.body.ended:
            self._continued = True
            if not self.response.sent:
                await self.outbox.write(CONTINUE)
        self._listening += 1
        try:
            await self.inbox.more()
        finally:
            self._listening -= 1

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's.  Suspends while the client takes less than there is."""
        kind = message["type"]
        if kind == "http.response.start":
            self.response.start(message)
            return
        if kind != "http.response.body":
            raise ValueError(f"no message of http: {kind!r}")
        if self.gone:
            raise ClientGone
        if self._bad is not None:
            raise ClientGone("the request's body is malformed")
        data = self.response.body(message, leaving=self.connection.leaving)
        if data:
            try:
                await self.outbox.write(data)
            except BaseException:  # gone; or cancelled, and nothing can follow half a message
                self.gone = True
                raise
        if self.response.complete:
            self._finish()
            self.inbox.wake()
