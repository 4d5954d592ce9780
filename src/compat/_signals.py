"""Signal handlers: asyncio's, in a process in which somebody else may want to hear of signals too."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from compat._asyncio import SelectorEventLoop
from compat._handles import NO_SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable


class Signals(SelectorEventLoop):  # type: ignore[misc] # untyped
    """Where a loop handles signals.

    The interpreter tells one descriptor of signals.  asyncio puts its own there; whose it was before (a
    server's, which stops on SIGTERM) hears of them from the loop, and gets its place back afterwards.
    """

    __slots__ = NO_SLOTS

    _wakeup_before = -1
    _signal_handlers: dict[int, Any]

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:
        """As asyncio's."""
        before = -1 if self._signal_handlers else _wakeup_descriptor()
        super().add_signal_handler(sig, callback, *args)
        if before != -1:
            self._wakeup_before = before

    def remove_signal_handler(self, sig: int) -> bool:
        """As asyncio's."""
        removed: bool = super().remove_signal_handler(sig)
        if removed and not self._signal_handlers and self._wakeup_before != -1:
            signal.set_wakeup_fd(self._wakeup_before, warn_on_full_buffer=False)
            self._wakeup_before = -1
        return removed

    def _process_self_data(self, data: bytes) -> None:
        if self._wakeup_before != -1:
            with suppress(BlockingIOError):  # full: it will wake up all the same
                os.write(self._wakeup_before, data)
        super()._process_self_data(data)


def _wakeup_descriptor() -> int:
    """The descriptor that the interpreter writes signals to; -1: none, or another thread's affair."""
    try:
        descriptor = signal.set_wakeup_fd(-1)
        if descriptor != -1:
            signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    except ValueError:
        return -1
    return descriptor
