"""`select.poll` with a timeout of zero, which asks and doesn't wait.

gevent's waits a turn of the hub for the answer.  In a coroutine that would be a hand-off where nobody expects
one: httpcore asks in this way whether its idle connections are still good, between two looks at a list that
other tasks change.
"""

from __future__ import annotations

import functools
import select as names
from typing import TYPE_CHECKING, Any

import gevent.select
from gevent import monkey

from compat._asyncio import get_running_loop

if TYPE_CHECKING:
    from collections.abc import Callable

_READ, _WRITE = 1, 2  # gevent's


@functools.cache
def answer_at_once() -> None:
    """From now on gevent's poll objects do so, in loops."""
    gevent.select.poll.poll = _at_once(gevent.select.poll.poll)  # type: ignore[method-assign] # that is the idea


def _at_once(wait: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(wait)
    def poll(self: Any, timeout: float | None = None) -> Any:
        if timeout == 0 and get_running_loop() is not None:
            return _ask(self.fds)
        return wait(self, timeout)

    return poll


def _ask(wanted: dict[int, int]) -> list[tuple[int, int]]:
    """The kernel's answer for gevent's *wanted* events, by descriptor.  Switches: no."""
    kernels = monkey.get_original("select", "poll")()
    for fd, flags in wanted.items():
        mask = names.POLLIN if flags & _READ else 0
        kernels.register(fd, mask | names.POLLOUT if flags & _WRITE else mask)
    answer: list[tuple[int, int]] = kernels.poll(0)
    return answer
