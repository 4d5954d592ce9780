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
    TextMessage,
)
from wsproto.utilities import LocalProtocolError

from baseplate_serve._lifecycle.forked import leave_if_forked
from baseplate_serve._servers.asgi.cancel import cancel_later, cancel_unshielded, was_cancelled
from baseplate_serve._servers.asgi.close_codes import (
    ABNORMAL,
    INTERNAL_ERROR,
    NO_STATUS,
    NORMAL,
    SERVICE_RESTART,
    TOO_BIG,
    close_code,
)
from baseplate_serve._servers.asgi.handshake import opened
from baseplate_serve._servers.asgi.messages import Messages
from baseplate_serve._servers.asgi.news import News
from baseplate_serve._servers.asgi.outbox import ClientGone
from baseplate_serve._servers.asgi.pulse import Pulse
from baseplate_serve._servers.asgi.response import Response
from baseplate_serve._servers.graceful import CLEAN_UP_S
from baseplate_serve._servers.http.refusal import FAILED, Refused

if TYPE_CHECKING:
    from baseplate_serve._servers.asgi.connection import AsgiConnection
    from baseplate_serve._servers.asgi.head import Request

log = logging.getLogger("baseplate_serve.asgi")

CLOSE_S = 2.0  # for the client to answer a close
PIECE = 64 * 1024
TURN = 64  # frames, before others have their turn

STOPPING = Refused("the server is stopping", 503)


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
        self.accepted = False
        self.refusal = Response(bodiless=False, minor=1, keeps_alive=False)  # where it isn't
        self.closed: dict[str, Any] | None = None  # the websocket.disconnect message
        self._ending = False  # the application is to end, or is cancelled
        self._news = News()
        settings = connection.settings
        self._messages = Messages(settings.max_websocket_message)
        interval, timeout = settings.websocket_ping_interval, settings.websocket_ping_timeout
        self._pulse = Pulse(
            self.loop, interval.total_seconds(), timeout.total_seconds(), self._ping, self._lost
        )

    def start(self) -> None:
        """Serve it until it is closed.  Switches: no."""
        if self.connection.tracked.leaving:
            self.connection.refuse(STOPPING)
            self._end()
            return
        self.connection.tracked.hang_up = lambda: self.loop.call_soon(self._restart)
        self.inbox.changed = self._changed
        self.pump = self.loop.create_task(self._pump())
        self.task = self.connection.start_task(self._serve(), self.scope)
        self.task.add_done_callback(self._over)
        self._changed()

    def _over(self, task: asyncio.Task[None]) -> None:
        self.pump.cancel()
        self._pulse.stop()
        self.connection.task_over(task)
        self._end()

    def _end(self) -> None:
        self.connection.tracked.began_at = None  # no request that has a duration
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
        else:
            if not (self.accepted or self.refusal.complete or self.closed):
                what = "without a whole response" if self.refusal.started else "without a response"
                log.error("%s: the application returned %s", self.connection.describe(), what)
        if self.accepted:
            self._disconnected(code)  # what still comes is dropped
            await self._close(code)
            if not self.connection.outbox.broken:  # else the client has got nothing to answer
                await asyncio.wait([self.pump], timeout=CLOSE_S)
        elif not self.refusal.sent:
            self.connection.refuse(FAILED)

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
        except Exception:
            log.exception("%s failed: its WebSocket cannot be read", self.connection.describe())
            self._disconnected(INTERNAL_ERROR)
            await self._close(INTERNAL_ERROR)
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
        state = self.protocol.state
        if isinstance(event, Message) and self.closed is None:
            if not self._messages.add(event):
                log.warning("%s sent more than max_websocket_message, closed", self.connection.name)
                self.connection.tracked.refused("malformed")
                self._disconnected(TOO_BIG)
                await self._close(TOO_BIG)
            self._news.wake()
        elif isinstance(event, Ping) and state is ConnectionState.OPEN:
            await self._send(event.response())
        elif isinstance(event, CloseConnection):
            code = event.code or NO_STATUS
            self._disconnected(code, event.reason or "")
            if state is ConnectionState.REMOTE_CLOSING:
                await self._send(event.response())
            elif state is not ConnectionState.CLOSED:  # wsproto's way to say that it gives up
                log.warning("%s broke the WebSocket protocol: %s", self.connection.name, event.reason)
                self.connection.tracked.refused("malformed")
                await self._close(code)

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
        else:
            self.loop.create_task(self._send_ping())

    async def _send_ping(self) -> None:
        if self.protocol.state is ConnectionState.OPEN:
            with suppress(ClientGone):  # which ends the inbox, too
                await self._send(Ping())

    def _lost(self) -> None:
        """It has not answered."""
        log.info("%s: websocket_ping_timeout is over, disconnected", self.connection.name)
        self.connection.tracked.time_out("websocket_ping_timeout")

    def _restart(self) -> None:
        """The server stops."""
        self.loop.create_task(self._say_restart())

    async def _say_restart(self) -> None:
        if self.refusal.started:
            return  # and what of it is under way comes to its end
        self._disconnected(SERVICE_RESTART)
        if self.accepted:
            await self._close(SERVICE_RESTART)
        else:
            self.refusal.sent = True
            self.connection.refuse(STOPPING)

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
            self.refusal.start(message)
        elif kind == "websocket.http.response.body" and not self.accepted:
            await self._write(self.refusal.body(message))
        elif kind == "websocket.accept" and not (self.accepted or self.refusal.started):
            await self._accept(message)
        elif kind == "websocket.close" and self.accepted:
            code = close_code(message.get("code"))
            self._disconnected(code)
            await self._close(code, message.get("reason") or "")
        elif kind == "websocket.close" and self.closed is None and not self.refusal.started:
            self.refusal.start({"status": 403})
            await self._write(self.refusal.body({}))
        elif kind == "websocket.send" and self.accepted:
            text = message.get("text")
            await self._send(TextMessage(text) if text is not None else BytesMessage(message["bytes"]))
        elif kind != "websocket.close":
            raise RuntimeError(f"{kind!r} may not be sent now")

    async def _accept(self, message: dict[str, Any]) -> None:
        headers = list(message.get("headers", ()))
        answer = self.protocol.send(
            AcceptConnection(subprotocol=message.get("subprotocol"), extra_headers=headers)
        )
        self.accepted = True
        self._pulse.start()
        self.inbox.wake()  # the pump
        await self._write(answer)

    async def _close(self, code: int, reason: str = "") -> None:
        if self.protocol.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            try:
                await self._send(CloseConnection(code, reason))
            except (ClientGone, LocalProtocolError) as error:
                log.debug("%s: %s", self.connection.name, error)

    async def _send(self, event: Any) -> None:
        await self._write(self.protocol.send(event))

    async def _write(self, data: bytes) -> None:
        await self.connection.outbox.write(data)
