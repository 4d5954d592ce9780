"""The loop's tasks: what it means to cancel a task in the middle of its own step."""

from __future__ import annotations

import asyncio
from typing import Any


class Interrupted:
    """The cancellations that reached a task while its step was blocked in gevent.

    Elsewhere in asyncio a task can only be cancelled while it awaits something; `asyncio.timeout`,
    `TaskGroup` and anyio's scopes count on that.  Up to Python 3.12 a cancellation in the middle of a step
    stays behind when its scope takes it back, and hits the next `await` outside.  So they are kept until
    the step is over, and a scope that is left in the meantime takes back its own.
    """

    __slots__ = ("delivered", "messages")

    def __init__(self) -> None:
        self.messages: list[Any] = []  # to be delivered when the step is over
        self.delivered = 0  # passed on to what the step waits for, and so raised there

    def cancel(self, message: Any, waits_for: asyncio.Future[Any] | None) -> bool:
        """True when the cancellation is news, False when the task had one coming.

        It goes on to *waits_for*, what the step waits for in `compat.wait`, and comes back as that one's
        result.
        """
        first = not self.messages and not self.delivered
        if waits_for is not None and waits_for.cancel(message):
            self.delivered += 1
        else:
            self.messages.append(message)
        return first

    def uncancel(self) -> bool:
        """Take one back; False when there is none."""
        if self.messages:
            self.messages.pop()
        elif self.delivered:
            self.delivered -= 1
        else:
            return False
        return True


class HubTask(asyncio.Task[Any]):
    """A task whose cancellation waits until its step, if it is blocked in gevent, is over."""

    __slots__ = ()

    _loop: Any

    def cancel(self, msg: Any | None = None) -> bool:
        """As `asyncio.Task.cancel`; while the task's step is blocked, once it is over."""
        loop = self._loop
        interrupted = _interrupted(loop, self)
        if interrupted is None or self.done() or self._has_control():
            return super().cancel(msg)
        if not interrupted.cancel(msg, loop._waits_for.get(self)):
            loop._cancelled_in_vain = True
        return True

    def uncancel(self) -> int:
        """As `asyncio.Task.uncancel`."""
        loop = self._loop
        if loop._interrupted and (interrupted := loop._interrupted.get(self)) and interrupted.uncancel():
            return self.cancelling()
        return super().uncancel()

    def cancelling(self) -> int:
        """As `asyncio.Task.cancelling`."""
        loop = self._loop
        interrupted = _interrupted(loop, self)
        pending = 0 if interrupted is None else len(interrupted.messages) + interrupted.delivered
        return super().cancelling() + pending

    def _has_control(self) -> bool:
        return asyncio.current_task(self._loop) is self

    def _interrupt(self, runner: Any) -> None:
        """Its step, in *runner*, is blocked."""
        self._loop._interrupted[self] = cancellations = Interrupted()
        runner.interrupted.append((self, cancellations))

    def _step_is_over(self, interrupted: Interrupted) -> None:
        """Deliver the cancellations that nobody took back."""
        del self._loop._interrupted[self]
        if not self.done():
            for message in interrupted.messages:
                super().cancel(message)


def _interrupted(loop: Any, task: asyncio.Task[Any]) -> Interrupted | None:
    found: dict[asyncio.Task[Any], Interrupted] = loop._interrupted
    return found.get(task) if found else None
