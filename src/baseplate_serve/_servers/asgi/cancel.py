"""Cancelling a request's task, as anyio's scopes would have it: not in the middle of what is shielded."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

AGAIN_S = 0.01


def cancel_unshielded(task: asyncio.Task[Any]) -> None:
    """Cancel *task* once; while it is in a shielded scope of anyio's, as soon as it has left that.

    Once, as asyncio does it: clean-up may await.  anyio's own scopes would cancel each of its awaits.
    Switches: no.
    """
    if task.done():
        return
    if _shielded(task):
        task.get_loop().call_later(AGAIN_S, cancel_unshielded, task)
    else:
        task.cancel()


def was_cancelled() -> bool:
    """Whether somebody has cancelled the current task; its application may raise CancelledError by itself.

    Switches: no.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def cancel_later(task: asyncio.Task[Any], delay_s: float) -> None:
    """As `cancel_unshielded`, in *delay_s* seconds, unless *task* has ended by then.  Switches: no."""
    later = task.get_loop().call_later(delay_s, cancel_unshielded, task)
    task.add_done_callback(lambda _: later.cancel())


def _shielded(task: asyncio.Task[Any]) -> bool:
    backend: Any = sys.modules.get("anyio._backends._asyncio")
    if backend is None:
        return False
    state = backend._task_states.get(task)  # noqa: SLF001 (anyio has no other name for it)
    scope = None if state is None else state.cancel_scope
    while scope is not None:
        if scope.shield:
            return True
        scope = scope._parent_scope  # noqa: SLF001 (likewise)
    return False
