"""What goes wrong, as exceptions that hold the facts."""

from __future__ import annotations


class CompatError(RuntimeError):
    """The base of the errors below; a RuntimeError, as asyncio's own are."""


class BlockingCall(CompatError):
    """A coroutine made a call that blocks in gevent, and the loop's mode forbids that."""

    def __init__(self, task: object, where: str) -> None:
        super().__init__(f"{task!r} makes a blocking call at {where}; the loop's hand_off_mode is 'error'")
        self.task = task
        self.where = where


class WouldDeadlock(CompatError):
    """A wait for something that could only happen once the waiting callback has returned."""
