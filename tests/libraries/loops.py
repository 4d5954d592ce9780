"""Coroutines as tests: each on a loop of its own, which may not have had anything to complain about."""

from __future__ import annotations

import asyncio
import functools

import gevent
import pytest
from gevent.event import Event

from compat import StepGreenlet, attached_loop, new_event_loop, wait
from deadline import DEADLINE_S


def on_hub(test):
    """Makes a test of a coroutine function: it runs on a new loop of ours, within the deadline.

    Fails, too, when the loop's exception handler was called."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        complaints = []
        _run(within_deadline(test(*args, **kwargs)), lambda _, context: complaints.append(context))
        assert not complaints

    return run


def run_in_loop(coro, exception_handler):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.get_loop().set_exception_handler(exception_handler)
        runner.run(coro)


def run_in(greenlet_class, coro, exception_handler):
    """In a greenlet that waits for it; a `StepGreenlet` takes the first step itself."""
    loop = attached_loop()
    loop.set_exception_handler(exception_handler)
    try:
        greenlet_class.spawn(wait, coro).get(timeout=2 * DEADLINE_S)
        assert asyncio._get_running_loop() is None
        assert asyncio.all_tasks(loop) == set()
    finally:
        loop.detach()
        loop.close()


WAYS = {
    "loop": run_in_loop,
    "Greenlet": functools.partial(run_in, gevent.Greenlet),
    "StepGreenlet": functools.partial(run_in, StepGreenlet),
}
_run = run_in_loop


@pytest.fixture(params=WAYS)
def in_each_way(request, monkeypatch):
    """`on_hub`'s tests three times: in `run_until_complete`, and waited for by both kinds of greenlets."""
    monkeypatch.setitem(globals(), "_run", WAYS[request.param])


@pytest.fixture(params=["Greenlet", "StepGreenlet"])
def in_greenlets(request, monkeypatch):
    """`on_hub`'s tests twice: waited for by both kinds of greenlets."""
    monkeypatch.setitem(globals(), "_run", WAYS[request.param])


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
