"""One WebSocket: the application's task, and the `receive` and `send` that it gets."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError

from baseplate_serve._servers.asgi.cancel import cancel_later, cancel_unshielded, was_cancelled
from baseplate_serve._servers.asgi.handshake import opened
from baseplate_serve._servers.asgi.messages import Messages
from baseplate_serve._servers.asgi.news import News
from baseplate_serve._servers.asgi.outbox import ClientGone
from baseplate_serve._servers.asgi.pulse import Pulse
from baseplate_serve._servers.forked import leave_if_forked
from baseplate_serve._servers.graceful import CLEAN_UP_S
from baseplate_serve._servers.http.refusal import FAILED

if TYPE_CHECKING:
    from baseplate_serve._servers.asgi.connection import AsgiConnection
    from baseplate_serve._servers.asgi.head import Request

log = logging.getLogger("baseplate_serve.asgi")

CLOSE_S = 2.0  # for the client to answer a close
PIECE = 64 * 1024
TURN = 64  # frames, before others have their turn

NORMAL, NO_STATUS, ABNORMAL, TOO_BIG, INTERNAL_ERROR, SERVICE_RESTART = 1000, 1005, 1006, 1009, 1011, 1012


class WebSocket:
    """One WebSocket on *connection*, opened by *request* with *head*.  Raises: Refused."""

    def __init__(
        self, connection: AsgiConnection, head: bytes, request: Request, app: Any, scope: dict[str, Any]
    ) -> None:
        self.connection = connection
        self.app = app
        self.scope = scope
        self.inbox = connection.inbox
        self.loop = connection.loop
        self.protocol = WSConnection(ConnectionType.SERVER)
        scope["subprotocols"] = opened(self.protocol, head, request)
        scope.setdefault("extensions", {})["websocket.http.response"] = {}
        self.task: asyncio.Task[None] | None = None
        self.accepted = self.denied = False
        self.closed: dict[str, Any] | None = None  # the websocket.disconnect message
        self._ending = False  # the application is to end, or is cancelled
        self._news = News()
        self._denial: dict[str, Any] | None = None
        settings = connection.settings
        self._messages = Messages(settings.max_websocket_message)
        interval, timeout = settings.websocket_ping_interval, settings.websocket_ping_timeout
        self._pulse = Pulse(
            self.loop, interval.total_seconds(), timeout.total_seconds(), self._ping, self._lost
        )

    def start(self) -> None:
        """Serve it until it is closed.  Switches: no."""
        self.connection.tracked.hang_up = lambda: self.loop.call_soon(self._restart)
        self.inbox.changed = self._changed
        self.task = self.connection.start_task(self._serve(), self.scope)
        pump = self.loop.create_task(self._pump())
        self.task.add_done_callback(lambda task: self._over(task, pump))
        self._changed()

    def _over(self, task: asyncio.Task[None], pump: asyncio.Task[None]) -> None:
        pump.cancel()
        self._pulse.stop()
        self.connection.tracked.began_at = None  # no request that has a duration
        self.connection.task_over(task)
        self.connection.over(reusable=False)

    def cut_off(self) -> None:
        """The server goes without it.  Switches: no."""
        task: Any = self.task
        cancel_unshielded(task)
        self.connection.close_after(task)

    async def _serve(self) -> None:
        code = NORMAL
        try:
            await self.app(self.scope, self.receive, self.send)
        except GeneratorExit:
            raise
        except BaseException as error:
            leave_if_forked(error)
            cancelled = isinstance(error, asyncio.CancelledError) and was_cancelled()
            code = SERVICE_RESTART if cancelled else INTERNAL_ERROR
            if not cancelled and not (self._ending and isinstance(error, OSError)):
                log.exception("%s failed", self.connection.describe())
        if self.denied:
            return
        if not self.accepted:
            if self.closed is None:
                self.connection.refuse(FAILED)
            return
        await self._close(code)
        self._disconnected(code)  # what still comes is dropped
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing(), CLOSE_S)

    async def _closing(self) -> None:
        while not self.inbox.ended and self.protocol.state is not ConnectionState.CLOSED:
            await self._news.wait(self.loop)

    # What comes

    async def _pump(self) -> None:
        """Take what arrives, for as long as the application keeps up; tell it when there is no more."""
        try:
            while True:
                if self.accepted and self.inbox.buffer:
                    self.protocol.receive_data(self.inbox.take(PIECE))
                    if not await self._take():
                        return
                elif self.inbox.ended:
                    return
                else:
                    await self.inbox.more()
        except ClientGone:
            return
        finally:
            self._disconnected(ABNORMAL)

    async def _take(self) -> bool:
        """Handle what the protocol has read, which it parses frame by frame; False: it reads no more."""
        for number, event in enumerate(self.protocol.events(), 1):
            await self._handle(event)
            if isinstance(event, CloseConnection):
                return False
            while self._messages.full and self.closed is None:
                await self._news.wait(self.loop)
            if not number % TURN:
                await asyncio.sleep(0)
        return True

    async def _handle(self, event: Any) -> None:
        if isinstance(event, Message):
            if self.closed is not None:
                return
            if not self._messages.add(event):
                await self._close(TOO_BIG)
                self._disconnected(TOO_BIG)
            self._news.wake()
        elif isinstance(event, Ping):
            if self.protocol.state is ConnectionState.OPEN:
                await self._send(event.response())
        elif isinstance(event, CloseConnection):
            code = event.code or NO_STATUS
            if self.protocol.state is ConnectionState.REMOTE_CLOSING:
                await self._send(event.response())
            elif self.protocol.state is ConnectionState.OPEN:  # wsproto's way to say that it gives up
                log.warning("%s broke the WebSocket protocol, closed with %d", self.connection.name, code)
                await self._close(code)
            self._disconnected(code, event.reason or "")

    def _disconnected(self, code: int, reason: str = "") -> None:
        """The application is told, once."""
        if self.closed is None:
            self.closed = {"type": "websocket.disconnect", "code": int(code), "reason": reason}
            self._end_soon()
        self._news.wake()

    def _end_soon(self) -> None:
        """The application is cancelled if it doesn't end by itself, which it has a moment for."""
        if not self._ending and self.task is not None and not self.task.done():
            self._ending = True
            cancel_later(self.task, CLEAN_UP_S)

    def _changed(self) -> None:
        """Something came; or the client is gone, without a word or after it."""
        self._pulse.heard()
        if self.inbox.ended:
            self._end_soon()  # whether or not it receives what came before the end
            self._news.wake()

    def _ping(self) -> None:
        if self.inbox.buffer:
            self._pulse.heard()  # and it is we who don't listen
        elif self.protocol.state is ConnectionState.OPEN:
            self.loop.create_task(self._send_ping())

    async def _send_ping(self) -> None:
        with suppress(ClientGone, LocalProtocolError):  # which ends the inbox, too; or it closes meanwhile
            await self._send(Ping())

    def _lost(self) -> None:
        """It has not answered."""
        log.info("%s: websocket_ping_timeout is over, disconnected", self.connection.name)
        self.connection.tracked.time_out("websocket_ping_timeout")

    def _restart(self) -> None:
        """The server stops."""
        self.loop.create_task(self._say_restart())

    async def _say_restart(self) -> None:
        if self.accepted:
            await self._close(SERVICE_RESTART)
        self._disconnected(SERVICE_RESTART)

    async def receive(self) -> dict[str, Any]:
        """ASGI's.  Suspends until there is a message."""
        while not self._messages:
            if self.closed is not None:
                return self.closed
            await self._news.wait(self.loop)
        message = self._messages.take()
        self._news.wake()  # the pump
        return message

    # What goes

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's.  Suspends while the client takes less than there is."""
        kind = message["type"]
        if self.closed is not None and kind != "websocket.close":
            raise ClientGone(f"the WebSocket is closed ({self.closed['code']})")
        if kind == "websocket.http.response.start" and not self.accepted:
            self._denial = message
        elif kind == "websocket.http.response.body" and self._denial is not None:
            await self._deny(message)
        elif kind == "websocket.accept" and not (self.accepted or self.denied):
            headers = list(message.get("headers", ()))
            await self._send(AcceptConnection(subprotocol=message.get("subprotocol"), extra_headers=headers))
            self.accepted = True
            self.inbox.wake()  # the pump
            self._pulse.start()
        elif kind == "websocket.close" and not (self.accepted or self.denied):
            self.denied = True
            await self._send(RejectConnection(status_code=403, headers=[(b"content-length", b"0")]))
        elif kind == "websocket.close":
            await self._close(message.get("code") or NORMAL, message.get("reason") or "")
            self._disconnected(message.get("code") or NORMAL)
        elif kind == "websocket.send" and self.accepted:
            text = message.get("text")
            await self._send(TextMessage(text) if text is not None else BytesMessage(message["bytes"]))
        else:
            raise RuntimeError(f"{kind!r} may not be sent now")

    async def _deny(self, message: dict[str, Any]) -> None:
        more = message.get("more_body", False)
        if not self.denied:
            start: Any = self._denial
            headers = list(start.get("headers", ()))
            head = self.protocol.send(
                RejectConnection(status_code=start["status"], headers=headers, has_body=True)
            )
            self.denied = True  # not before: who makes a mistake in it has sent nothing
            await self.connection.outbox.write(head)
        await self._send(RejectData(message.get("body", b""), body_finished=not more))

    async def _close(self, code: int, reason: str = "") -> None:
        if self.protocol.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            try:
                await self._send(CloseConnection(code, reason))
            except (ClientGone, LocalProtocolError) as error:
                log.debug("%s: %s", self.connection.name, error)

    async def _send(self, event: Any) -> None:
        await self.connection.outbox.write(self.protocol.send(event))
