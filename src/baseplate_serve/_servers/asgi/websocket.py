"""One WebSocket: the application's task, and the `receive` and `send` that it gets."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
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
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from baseplate_serve._lifecycle.forked import leave_if_forked
from baseplate_serve._servers.asgi.cancel import cancel_later, cancel_unshielded, was_cancelled
from baseplate_serve._servers.asgi.news import News
from baseplate_serve._servers.asgi.outbox import ClientGone
from baseplate_serve._servers.asgi.pulse import Pulse
from baseplate_serve._servers.graceful import CLEAN_UP_S
from baseplate_serve._servers.http.refusal import FAILED, Refused

if TYPE_CHECKING:
    from baseplate_serve._servers.asgi.connection import AsgiConnection

log = logging.getLogger("baseplate_serve.asgi")

MESSAGES_AHEAD = 32  # messages that are read before the application asks for them
CLOSE_S = 2.0  # for the client to answer a close
PIECE = 64 * 1024

NORMAL, NO_STATUS, ABNORMAL, TOO_BIG, INTERNAL_ERROR, SERVICE_RESTART = 1000, 1005, 1006, 1009, 1011, 1012


class WebSocket:
    """One WebSocket on *connection*, opened by the request with *head*."""

    def __init__(self, connection: AsgiConnection, head: bytes, app: Any, scope: dict[str, Any]) -> None:
        self.connection = connection
        self.head = head
        self.app = app
        self.scope = scope
        self.inbox = connection.inbox
        self.loop = connection.loop
        self.protocol = WSConnection(ConnectionType.SERVER)
        self.task: asyncio.Task[None] | None = None
        self.accepted = self.denied = False
        self.closed: dict[str, Any] | None = None  # the websocket.disconnect message
        self._messages: deque[dict[str, Any]] = deque([{"type": "websocket.connect"}])
        self._news = News()
        self._partial: list[Any] = []
        self._partial_size = 0
        self._denial: dict[str, Any] | None = None
        settings = connection.settings
        self._message_max = settings.max_websocket_message
        interval, timeout = settings.websocket_ping_interval, settings.websocket_ping_timeout
        self._pulse = Pulse(
            self.loop, interval.total_seconds(), timeout.total_seconds(), self._ping, self._lost
        )

    def start(self) -> None:
        """Serve it until it is closed.  Raises: Refused.  Switches: no."""
        try:
            self.protocol.receive_data(self.head)
            request: Any = next(self.protocol.events())
        except RemoteProtocolError as error:
            raise Refused(f"it opens no WebSocket: {error}") from error
        self.scope["subprotocols"] = list(request.subprotocols)
        self.scope.setdefault("extensions", {})["websocket.http.response"] = {}
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
            if not cancelled and not (self.closed and isinstance(error, OSError)):
                log.exception("%s failed", self.connection.describe())
        if self.denied:
            return
        if not self.accepted:
            if self.closed is None:
                self.connection.refuse(FAILED)
            return
        await self._close(code)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing(), CLOSE_S)

    async def _closing(self) -> None:
        while not self.inbox.ended and self.protocol.state is not ConnectionState.CLOSED:
            await self._news.wait(self.loop)

    # What comes

    async def _pump(self) -> None:
        """Take what arrives, for as long as the application keeps up."""
        while not self.inbox.ended:
            while self.inbox.buffer and len(self._messages) < MESSAGES_AHEAD:
                await self._take(self.inbox.take(PIECE))
            if len(self._messages) < MESSAGES_AHEAD:
                await self.inbox.more()
            else:
                await self._news.wait(self.loop)

    async def _take(self, data: bytes) -> None:
        try:
            self.protocol.receive_data(data)
            for event in self.protocol.events():
                await self._handle(event)
        except RemoteProtocolError as error:
            log.warning("%s broke the WebSocket protocol: %s", self.connection.name, error)
            code = int(getattr(error.event_hint, "code", 1002))
            await self._close(code)
            self._disconnected(code)
        except ClientGone:
            self._disconnected(ABNORMAL)

    async def _handle(self, event: Any) -> None:
        if isinstance(event, Message):
            self._partial.append(event.data)
            self._partial_size += len(event.data)
            if self._partial_size > self._message_max:
                self._partial.clear()
                await self._close(TOO_BIG)
                self._disconnected(TOO_BIG)
            elif event.message_finished and self.closed is None:
                key, joint = ("text", "") if isinstance(event, TextMessage) else ("bytes", b"")
                self._put({"type": "websocket.receive", key: joint.join(self._partial)})
                self._partial.clear()
                self._partial_size = 0
        elif isinstance(event, Ping):
            await self._send(event.response())
        elif isinstance(event, CloseConnection):
            if self.protocol.state is ConnectionState.REMOTE_CLOSING:
                await self._send(event.response())
            self._disconnected(event.code or NO_STATUS, event.reason or "")

    def _put(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._news.wake()

    def _disconnected(self, code: int, reason: str = "") -> None:
        """The application is told, once; if it doesn't end then, it is cancelled."""
        if self.closed is None:
            self.closed = {"type": "websocket.disconnect", "code": int(code), "reason": reason}
            if self.task is not None and not self.task.done():
                cancel_later(self.task, CLEAN_UP_S)
        self._news.wake()

    def _changed(self) -> None:
        """Something came; or the client is gone, without a word or after it."""
        self._pulse.heard()
        if self.inbox.ended:
            self._disconnected(ABNORMAL)

    def _ping(self) -> None:
        if self.inbox.buffer:
            self._pulse.heard()  # and it is we who don't listen
        elif self.protocol.state is ConnectionState.OPEN:
            self.loop.create_task(self._send_ping())

    async def _send_ping(self) -> None:
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
        if self.accepted:
            await self._close(SERVICE_RESTART)
        self._disconnected(SERVICE_RESTART)

    async def receive(self) -> dict[str, Any]:
        """ASGI's.  Suspends until there is a message."""
        while not self._messages:
            if self.closed is not None:
                return self.closed
            await self._news.wait(self.loop)
        message = self._messages.popleft()
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
            self.denied = True
            start: Any = self._denial
            await self._send(
                RejectConnection(
                    status_code=start["status"], headers=list(start.get("headers", ())), has_body=True
                )
            )
        await self._send(RejectData(message.get("body", b""), body_finished=not more))

    async def _close(self, code: int, reason: str = "") -> None:
        if self.protocol.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            try:
                await self._send(CloseConnection(code, reason))
            except (ClientGone, LocalProtocolError) as error:
                log.debug("%s: %s", self.connection.name, error)

    async def _send(self, event: Any) -> None:
        await self.connection.outbox.write(self.protocol.send(event))
