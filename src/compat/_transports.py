"""Stream transports: asyncio's, on the sockets beneath gevent's."""

from __future__ import annotations

from asyncio import selector_events
from typing import Any, cast

from gevent.socket import socket as gevent_socket

from compat._asyncio import SelectorEventLoop
from compat._handles import NO_SLOTS

_SelectorSocketTransport: Any = cast("Any", selector_events)._SelectorSocketTransport
RECEIVED_MAX = 256 * 1024  # bytes at a time, as asyncio


class SocketTransport(_SelectorSocketTransport):  # type: ignore[misc] # untyped
    """Reads and writes past gevent, which would only find out each time that the socket doesn't block.

    Receives into a buffer that the loop's transports share, and copies what came: asyncio allocates as much
    as may come, for every message, which for malloc means to map and unmap memory.
    """

    def __init__(  # noqa: PLR0913, PLR0917 (asyncio's signature)
        self, loop: Any, sock: Any, protocol: Any, waiter: Any = None, extra: Any = None, server: Any = None
    ) -> None:
        super().__init__(loop, sock, protocol, waiter, extra, server)
        self._gevent_socket = sock
        if isinstance(sock, gevent_socket):
            self._sock = sock._sock  # type: ignore[attr-defined] # no stub has it
        self._into: memoryview = loop._receive_buffer

    def _read_ready__data_received(self) -> None:
        if self._conn_lost:
            return
        try:
            length: int = self._sock.recv_into(self._into)
        except (BlockingIOError, InterruptedError):
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 (the protocol hears of it)
            self._fatal_error(error, "Fatal read error on socket transport")
            return
        if not length:
            self._read_ready__on_eof()
            return
        try:
            self._protocol.data_received(bytes(self._into[:length]))
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 (likewise)
            self._fatal_error(error, "Fatal error: protocol.data_received() call failed.")

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            super()._call_connection_lost(exc)
        finally:
            self._gevent_socket.close()


class Transports(SelectorEventLoop):  # type: ignore[misc] # untyped
    """Where a loop makes its stream transports."""

    __slots__ = NO_SLOTS

    _received: memoryview | None = None

    @property
    def _receive_buffer(self) -> memoryview:
        if self._received is None:
            self._received = memoryview(bytearray(RECEIVED_MAX))
        return self._received

    def _make_socket_transport(
        self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
    ) -> SocketTransport:
        self._ensure_fd_no_transport(sock)
        return SocketTransport(self, sock, protocol, waiter, extra, server)
