"""One request: the application's task, and the `receive` and `send` that it gets."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from gevent.event import Event

from baseplate_serve._servers.asgi.body import Body
from baseplate_serve._servers.asgi.cancel import cancel_later, cancel_unshielded
from baseplate_serve._servers.asgi.head import BadRequest
from baseplate_serve._servers.asgi.outbox import ClientGone
from baseplate_serve._servers.asgi.response import Response, plain

if TYPE_CHECKING:
    from baseplate_serve._servers.asgi.handler import Peer
    from baseplate_serve._servers.asgi.head import Request

log = logging.getLogger("baseplate_serve.asgi")

DISCARD_MAX = 256 * 1024  # bytes of a body that nobody read, for which a connection is worth keeping
TOLD_S = 1.0  # for an application that heard of the client's leaving
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
DISCONNECT = {"type": "http.disconnect"}


class Exchange:
    """One request and its response, on *peer*'s connection."""

    def __init__(self, peer: Peer, request: Request, app: Any, scope: dict[str, Any]) -> None:
        self.peer = peer
        self.request = request
        self.app = app
        self.scope = scope
        self.inbox = peer.inbox
        self.outbox = peer.outbox
        self.body = Body(peer.inbox, request.length)
        self.response = Response(
            bodiless=request.method == "HEAD", minor=request.minor, keeps_alive=request.keeps_alive
        )
        self.task: asyncio.Task[None] | None = None
        self.gone = False  # the client is
        self.over = False  # the connection's greenlet may go on
        self._over: Event | None = None
        self._body_given = False
        self._listening = 0  # who waits in `receive`
        self._continued = not request.expects_continue
        self._bad: BadRequest | None = None

    def run(self) -> bool:
        """Serve it; True if the connection may be used again.  Switches: yes.

        Returns with the end of the response, though the application's task may go on.  Killed, it cancels
        that task and waits for its clean-up.
        """
        task = self.task = self.peer.start(self._serve(), self.scope)
        if not self.over:
            self._over = Event()
            self.inbox.watch(self.peer.loop, self.client_gone)
            try:
                self._over.wait()
                if self.gone:
                    self.peer.wait_for_end(task)
            except BaseException:
                cancel_unshielded(task)
                self.peer.wait_for_end(task)
                raise
        self.inbox.unwatch()
        return self._reusable()

    def _reusable(self) -> bool:
        if self.gone or not self.response.keeps_alive or not self.response.complete:
            return False
        if not self._continued and not self.body.ended:
            return False  # whether the client sends the body now is anybody's guess
        try:
            return self.body.discard(DISCARD_MAX)
        except BadRequest as error:
            self._malformed(error)
            return False

    def _malformed(self, error: BadRequest) -> None:
        log.warning("%s sent a body that is none, disconnected: %s", self.peer.name, error)
        self._bad = error

    def client_gone(self) -> None:
        """The client sends no more: in HTTP one that waits for its response doesn't do that.

        An application that listens is told, and has a moment to end by itself; another is cancelled now.
        """
        self.gone = True
        if not self.over and self.task is not None:
            if self._listening:
                cancel_later(self.task, TOLD_S)
            else:
                cancel_unshielded(self.task)
            self._finish()
        self.inbox.wake()

    def _finish(self) -> None:
        self.over = True
        if self._over is not None:
            self._over.set()

    async def _serve(self) -> None:
        try:
            await self.app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self.gone:
                raise
        except Exception as error:
            if self._bad is None and not (self.gone and isinstance(error, OSError)):
                log.exception("%s failed", self.peer.describe())
            self._break_off()
        else:
            if not self.response.complete and not self.gone and self._bad is None:
                what = "without a whole response" if self.response.started else "without a response"
                log.error("%s: the application returned %s", self.peer.describe(), what)
            self._break_off()
        finally:
            self._finish()

    def _break_off(self) -> None:
        """End what the application didn't."""
        if self.response.complete or self.gone:
            return
        self.response.keeps_alive = False
        if not self.response.sent:
            self.response.sent = True
            self.peer.write_last(plain(self._bad.status if self._bad else 500))

    async def receive(self) -> dict[str, Any]:
        """ASGI's.  Suspends until there is something to tell."""
        if self.gone or self.response.complete:
            return DISCONNECT
        if not self._body_given:
            try:
                while (piece := self.body.piece()) is None and not self.inbox.ended:
                    await self._more()
            except BadRequest as error:
                self._malformed(error)
                self._body_given = True
                return DISCONNECT
            if piece is None:
                self.gone = self._body_given = True
                return DISCONNECT
            self._body_given = self.body.ended
            return {"type": "http.request", "body": piece, "more_body": not self.body.ended}
        while not (self.gone or self.response.complete or self._bad):
            await self._more()
        return DISCONNECT

    async def _more(self) -> None:
        if not self._continued and not self.body.ended:
            self._continued = True
            if not self.response.sent:
                await self.outbox.write(CONTINUE)
        self.inbox.watch(self.peer.loop, self.client_gone)
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
        data = self.response.body(message, leaving=self.peer.leaving)
        if data:
            try:
                await self.outbox.write(data)
            except ClientGone:
                self.gone = True
                raise
        if self.response.complete:
            self._finish()
            self.inbox.wake()
