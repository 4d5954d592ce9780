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
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from baseplate_serve._servers.asgi.cancel import cancel_later, cancel_unshielded, was_cancelled
from baseplate_serve._servers.asgi.news import News
from baseplate_serve._servers.asgi.outbox import ClientGone
from baseplate_serve._servers.asgi.pulse import Pulse
from baseplate_serve._servers.asgi.response import Response
from baseplate_serve._servers.forked import leave_if_forked
from baseplate_serve._servers.graceful import CLEAN_UP_S
from baseplate_serve._servers.http.refusal import FAILED, Refused

if TYPE_CHECKING:
    from baseplate_serve._servers.asgi.connection import AsgiConnection

log = logging.getLogger("baseplate_serve.asgi")

MESSAGES_AHEAD = 32  # messages that are read before the application asks for them
CLOSE_S = 2.0  # for the client to answer a close
PIECE = 64 * 1024

LISTENING = (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING)
STOPPING = Refused("the server is stopping", 503)
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
        self.accepted = False
        self.refusal = Response(bodiless=False, minor=1, keeps_alive=False)  # where it isn't
        self.failed = False  # what the client sends is not looked at any more
        self.closed: dict[str, Any] | None = None  # the websocket.disconnect message
        self._messages: deque[dict[str, Any]] = deque([{"type": "websocket.connect"}])
        self._news = News()
        self._partial: list[Any] = []
        self._partial_size = 0
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
        if self.connection.tracked.leaving:
            self.connection.refuse(STOPPING)
            self._end()
            return
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
            if not cancelled and not (self.closed and isinstance(error, OSError)):
                log.exception("%s failed", self.connection.describe())
        else:
            if not (self.accepted or self.refusal.complete or self.closed):
                what = "without a whole response" if self.refusal.started else "without a response"
                log.error("%s: the application returned %s", self.connection.describe(), what)
        if self.accepted:
            await self._close(code)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing(), CLOSE_S)
        elif not self.refusal.sent:
            self.connection.refuse(FAILED)

    async def _closing(self) -> None:
        """Until both sides have said that they close."""
        while not (self.inbox.ended or self.failed or self.protocol.state is ConnectionState.CLOSED):
            await self._news.wait(self.loop)
        await self.connection.outbox.flush()

    # What comes

    async def _pump(self) -> None:
        try:
            await self._read()
        except ClientGone:
            self._disconnected(ABNORMAL)
        except Exception:
            log.exception("%s failed: its WebSocket cannot be read", self.connection.describe())
            await self._fail(INTERNAL_ERROR)

    async def _read(self) -> None:
        """Take what arrives, for as long as the application keeps up."""
        while not self.inbox.ended:
            while self.accepted and self.inbox.buffer and len(self._messages) < MESSAGES_AHEAD:
                await self._take(self.inbox.take(PIECE))
            if self.accepted and len(self._messages) < MESSAGES_AHEAD:
                await self.inbox.more()
            else:
                await self._news.wait(self.loop)

    async def _take(self, data: bytes) -> None:
        if self.failed or self.protocol.state not in LISTENING:
            return
        self.protocol.receive_data(data)
        for event in self.protocol.events():
            await self._handle(event)

    async def _handle(self, event: Any) -> None:
        state = self.protocol.state
        if isinstance(event, Message) and self.closed is None:
            await self._join(event)
        elif isinstance(event, Ping) and state is ConnectionState.OPEN:
            await self._send(event.response())
        elif isinstance(event, CloseConnection) and state in LISTENING:  # what came was no close
            log.warning("%s broke the WebSocket protocol: %s", self.connection.name, event.reason)
            self.connection.tracked.refused("malformed")
            await self._fail(event.code)
        elif isinstance(event, CloseConnection):
            self._disconnected(event.code or NO_STATUS, event.reason or "")
            if state is ConnectionState.REMOTE_CLOSING:
                await self._send(event.response())

    async def _join(self, event: Any) -> None:
        """Another piece of a message has come."""
        data = event.data
        text = isinstance(event, TextMessage)
        self._partial.append(data)
        self._partial_size += len(data.encode() if text and not data.isascii() else data)
        if self._partial_size > self._message_max:
            log.warning("%s sent more than max_websocket_message, disconnected", self.connection.name)
            self.connection.tracked.refused("malformed")
            self._partial.clear()
            self._disconnected(TOO_BIG)
            await self._close(TOO_BIG)
        elif event.message_finished:
            key, joint = ("text", "") if text else ("bytes", b"")
            self._put({"type": "websocket.receive", key: joint.join(self._partial)})
            self._partial.clear()
            self._partial_size = 0

    async def _fail(self, code: int) -> None:
        """RFC 6455 §7.1.7: say why, look at nothing that follows, wait for nothing."""
        self.failed = True
        self._disconnected(code)
        await self._close(code)

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
        self._news.wake()  # the pump
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


def close_code(code: Any) -> int:
    """An application's *code*; wsproto sends 1000 for 1005, 1006 and 1015.  Raises: ValueError."""
    if code is None:
        return NORMAL
    if isinstance(code, int) and (1000 <= code <= 1015 or 3000 <= code <= 4999) and code != 1004:
        return code
    raise ValueError(f"no close code: {code!r} (RFC 6455 §7.4)")
