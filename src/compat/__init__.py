"""asyncio on gevent: an event loop that is the hub, and a bridge between greenlets and coroutines."""

from __future__ import annotations

from typing import Any

from compat._first_step import StepGreenlet
from compat._hand_off import HandOff, no_handoff
from compat.bridge import (
    async_to_sync,
    attached_loop,
    result_of,
    run_in_native_thread,
    start,
    sync_to_async,
    wait,
)
from compat.errors import BlockingCall, CompatError, WouldDeadlock
from compat.loop import HubEventLoop, new_event_loop
from compat.policy import install

__all__ = [
    "BlockingCall",
    "CompatError",
    "HandOff",
    "HubEventLoop",
    "HubEventLoopPolicy",
    "StepGreenlet",
    "WouldDeadlock",
    "async_to_sync",
    "attached_loop",
    "install",
    "new_event_loop",
    "no_handoff",
    "result_of",
    "run_in_native_thread",
    "start",
    "sync_to_async",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name == "HubEventLoopPolicy":  # made when it is asked for: Python 3.16 has no policies
        from compat import policy  # noqa: PLC0415 (an attribute that may not be there to import)

        return policy.HubEventLoopPolicy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
