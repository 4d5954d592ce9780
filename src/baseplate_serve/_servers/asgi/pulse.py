"""Whether a WebSocket's client is still there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baseplate_serve._lifecycle.forked import in_children

if TYPE_CHECKING:
    from collections.abc import Callable


class Pulse:
    """Has a client pinged that says nothing for *interval* seconds, and gives it up after *timeout* more.

    *interval* 0: never.  *ping* sends one, *lost* ends the connection.  Runs in *loop* until `stop`.
    """

    def __init__(
        self, loop: Any, interval: float, timeout: float, ping: Callable[[], None], lost: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._interval = interval
        self._timeout = timeout
        self._ping = ping
        self._lost = lost
        self._heard_at = 0.0
        self._timer: Any = None

    def start(self) -> None:
        """Switches: no."""
        self._heard_at = self._loop.time()
        if self._interval:
            self._timer = self._loop.call_later(self._interval, self._look)
            in_children(self, Pulse.stop)

    def stop(self) -> None:
        """Switches: no."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def heard(self) -> None:
        """Bytes have come from the client.  Switches: no."""
        self._heard_at = self._loop.time()

    def _look(self) -> None:
        again_at = self._heard_at + self._interval
        if again_at > self._loop.time():
            self._timer = self._loop.call_at(again_at, self._look)
            return
        self._timer = self._loop.call_later(self._timeout, self._answered, self._heard_at)
        self._ping()

    def _answered(self, heard_before: float) -> None:
        if self._heard_at > heard_before:
            self._look()
        else:
            self._lost()
