"""Stream transports: asyncio's, on the sockets beneath gevent's."""

from __future__ import annotations

from asyncio import BufferedProtocol, selector_events
from typing import Any, cast

from gevent.socket import socket as gevent_socket

from compat._asyncio import SelectorEventLoop
from compat._handles import NO_SLOTS

_SelectorSocketTransport: Any = cast("Any", selector_events)._SelectorSocketTransport

# Bytes at a time.  asyncio asks for 256 KiB, for which malloc maps and unmaps memory: that takes six times as
# long as to receive a message.  This much it has at hand.
RECEIVED_MAX = 64 * 1024


class SocketTransport(_SelectorSocketTransport):  # type: ignore[misc] # untyped
    """Reads and writes past gevent, which would only find out each time that the socket doesn't block."""

    def __init__(  # noqa: PLR0913, PLR0917 (asyncio's signature)
        self, loop: Any, sock: Any, protocol: Any, waiter: Any = None, extra: Any = None, server: Any = None
    ) -> None:
        super().__init__(loop, sock, protocol, waiter, extra, server)
        self._gevent_socket = sock
        if isinstance(sock, gevent_socket):
            self._sock = sock._sock  # type: ignore[attr-defined] # no stub has it
        self._watch: Any = None

    def set_protocol(self, protocol: Any) -> None:
        super().set_protocol(protocol)
        self._has_buffer = isinstance(protocol, BufferedProtocol)

    def _add_reader(self, fd: int, *_callback: Any) -> None:
        if self.is_reading():
            self._watch = self._loop._add_receiver(fd, self._receive)

    def _receive(self) -> None:
        """What asyncio's `_read_ready` does, in one call."""
        watch = self._watch
        watch.queued = False  # Watch.taken, without the call
        if watch.idle:
            watch.taken()
        if self._has_buffer:
            self._read_ready__get_buffer()
            return
        if self._conn_lost:
            return
        try:
            data = self._sock.recv(RECEIVED_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 (the protocol hears of it)
            self._fatal_error(error, "Fatal read error on socket transport")
            return
        if not data:
            self._read_ready__on_eof()
            return
        try:
            self._protocol.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 (likewise)
            self._fatal_error(error, "Fatal error: protocol.data_received() call failed.")

    def write(self, data: Any) -> None:
        """As asyncio's; what the socket takes at once is not sliced."""
        if (
            self._buffer
            or self._eof
            or self._conn_lost
            or self._empty_waiter is not None
            or type(data) is not bytes
            or not data
        ):
            super().write(data)
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 (likewise)
            self._fatal_error(error, "Fatal write error on socket transport")
            return
        if sent != len(data):
            super().write(memoryview(data)[sent:])  # it keeps what is left

    def writelines(self, list_of_data: Any) -> None:
        """As asyncio's; after the connection is lost as `write`, which Python 3.12 and 3.13.0 forget.

        They would watch a descriptor that is closed, at which libev ends the process.
        """
        if self._conn_lost:
            super().write(b"".join(list_of_data))
        else:
            super().writelines(list_of_data)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            super()._call_connection_lost(exc)
        finally:
            self._gevent_socket.close()


class Transports(SelectorEventLoop):  # type: ignore[misc] # untyped
    """Where a loop makes its stream transports."""

    __slots__ = NO_SLOTS

    def _make_socket_transport(
        self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
    ) -> SocketTransport:
        self._ensure_fd_no_transport(sock)
        return SocketTransport(self, sock, protocol, waiter, extra, server)
