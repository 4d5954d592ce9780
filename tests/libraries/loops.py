"""Coroutines as tests: each on a loop of its own, which may not have had anything to complain about."""

from __future__ import annotations

import asyncio
import functools

from gevent.event import Event

from compat import new_event_loop
from deadline import DEADLINE_S


def on_hub(test):
    """Makes a test of a coroutine function: it runs on a new loop of ours, within the deadline.

    Fails, too, when the loop's exception handler was called."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        complaints = []
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
            runner.run(within_deadline(test(*args, **kwargs)))
        assert not complaints

    return run


async def within_deadline(awaitable, deadline_s=DEADLINE_S):
    """What *awaitable* gives; `TimeoutError` after the deadline."""
    async with asyncio.timeout(deadline_s):
        return await awaitable


class Gate:
    """A door between greenlets: a gevent lock, in other words, that is closed until somebody opens it."""

    def __init__(self):
        self._event = Event()

    def open(self):
        self._event.set()

    def wait_in_gevent(self):
        """Block, as old synchronous code does.  Fails when nobody opens within the deadline.

        In a coroutine: passes only if other tasks of the loop go on meanwhile, for one of them opens."""
        assert self._event.wait(DEADLINE_S), "nobody opened the gate: the loop stood still"
