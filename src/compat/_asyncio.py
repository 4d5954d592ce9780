"""What the loop uses of asyncio beyond its public interface, in one place.

asyncio documents the six functions on tasks and running loops for loops like this one; the rest are its own
classes' innards, which typeshed doesn't know.
"""

from __future__ import annotations

import asyncio
from asyncio import base_events, events, format_helpers, futures, tasks, unix_events
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import logging

_base = cast("Any", base_events)
BaseEventLoop: Any = base_events.BaseEventLoop
SelectorEventLoop: Any = asyncio.SelectorEventLoop
UnixSubprocessTransport: Any = getattr(unix_events, "_UnixSubprocessTransport")  # noqa: B009 (typeshed)

get_running_loop: Any = events._get_running_loop
set_running_loop: Any = events._set_running_loop
enter_task: Any = tasks._enter_task
leave_task: Any = tasks._leave_task
register_task: Any = tasks._register_task
unregister_task: Any = tasks._unregister_task

logger: logging.Logger = _base.logger  # who configured it for asyncio gets our reports too
MIN_SCHEDULED_TIMER_HANDLES: int = _base._MIN_SCHEDULED_TIMER_HANDLES
MIN_CANCELLED_TIMER_HANDLES_FRACTION: float = _base._MIN_CANCELLED_TIMER_HANDLES_FRACTION
format_handle: Any = _base._format_handle
format_callback_source: Any = format_helpers._format_callback_source
convert_future_exception: Any = cast(
    "Any", futures
)._convert_future_exc  # concurrent.futures' CancelledError is another
extract_stack: Any = format_helpers.extract_stack
