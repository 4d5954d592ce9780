"""Callbacks to be called: asyncio's handles, made with fewer calls.

A loop makes one for every step of every task, so what asyncio's constructors look up each time is passed over
here: the loop's debug mode is an attribute, and only it records where a handle was made.
"""

from __future__ import annotations

import sys
from asyncio import events
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, cast

from compat._asyncio import extract_stack

if TYPE_CHECKING:
    from collections.abc import Callable

_Handle: Any = cast("Any", events.Handle)
_TimerHandle: Any = cast("Any", events.TimerHandle)
NO_SLOTS: Any = ()  # more than the bases have


class Handle(_Handle):  # type: ignore[misc] # untyped
    """What `call_soon` returns."""

    __slots__ = NO_SLOTS

    def __init__(self, callback: Callable[..., Any], args: Any, loop: Any, context: Context | None) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = extract_stack(sys._getframe(2)) if loop._debug else None


class TimerHandle(_TimerHandle):  # type: ignore[misc] # untyped
    """What `call_later` and `call_at` return."""

    __slots__ = NO_SLOTS

    def __init__(
        self, when: float, callback: Callable[..., Any], args: Any, loop: Any, context: Context | None
    ) -> None:
        self._when = when
        self._scheduled = True  # in the heap
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = extract_stack(sys._getframe(3)) if loop._debug else None
