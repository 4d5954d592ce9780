"""What is measured, of whom, and in which words it is shown."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import loop_basics
import loop_bridges
from loop_contestants import ASYNCIO, ASYNCIO_GEVENT, GREENLET, LOOPS, OURS
from loop_echo import echo, protocol, streams
from loop_measure import Figures, repeat_in_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BRIDGES = (ASYNCIO, OURS, ASYNCIO_GEVENT)


@dataclass(frozen=True)
class Scenario:
    """*measure* gets a contestant's name and seconds; ratios are to the first of *contestants*."""

    title: str
    measure: Callable[[str, float], Figures]
    contestants: tuple[str, ...] = LOOPS
    shows_cpu: bool = False  # the client limits the rate: the server's CPU time is shown as well
    notes: tuple[tuple[str, str], ...] = ()  # contestant, what must be known of its figure


def in_loop(work: Callable[[int], Awaitable[object]]) -> Callable[[str, float], Figures]:
    """What measures a coroutine function that does so many operations as it is told."""

    def measure(name: str, seconds: float) -> Figures:
        return repeat_in_loop(name, work, seconds)

    return measure


LIMIT = (ASYNCIO, "the limit: five plain calls, and five tasks made and run to their end")
LOOP_A_CALL = (
    ASYNCIO_GEVENT,
    "async_to_sync, which makes a loop for each call; with a loop that runs in another greenlet it hangs",
)
EXECUTOR = (ASYNCIO, "run_in_executor: a thread")
PLAIN = (GREENLET, "the same calls in plain greenlets, no loop")

_echo = functools.partial(Scenario, shows_cpu=True)

SCENARIOS = {
    "call_soon": Scenario("call_soon, a chain", in_loop(loop_basics.call_soon)),
    "sleep0": Scenario("sleep(0)", in_loop(loop_basics.sleep0)),
    "gather": Scenario("gather of 1000 tasks, a task", in_loop(loop_basics.gather)),
    "timers": Scenario("call_later, fired", in_loop(loop_basics.timers_fired)),
    "timers-cancelled": Scenario("call_later, sleep(0), cancel", in_loop(loop_basics.timers_cancelled)),
    "queue": Scenario("Queue, there and back", in_loop(loop_basics.queue)),
    "streams-1": _echo("streams echo, 1 connection", echo(streams, 1)),
    "streams-32": _echo("streams echo, 32 connections", echo(streams, 32)),
    "protocol-1": _echo("protocol echo, 1 connection", echo(protocol, 1)),
    "protocol-32": _echo("protocol echo, 32 connections", echo(protocol, 32)),
    "wait": Scenario(
        "greenlet waits for a coroutine", loop_bridges.wait_ready, BRIDGES, notes=(LIMIT, LOOP_A_CALL)
    ),
    "wait-step": Scenario(
        "... in a StepGreenlet", loop_bridges.wait_in_step_greenlet, (ASYNCIO, OURS), notes=(LIMIT,)
    ),
    "wait-sleep0": Scenario(
        "... that suspends once", loop_bridges.wait_suspending, BRIDGES, notes=(LIMIT, LOOP_A_CALL)
    ),
    "result_of": Scenario("coroutine awaits a greenlet", loop_bridges.result, BRIDGES, notes=(EXECUTOR,)),
    "hand-off": Scenario(
        "gevent.sleep(0) in a task", loop_bridges.hand_off, (GREENLET, OURS), notes=(PLAIN,)
    ),
    "hand-off-crowd": Scenario(
        "... in many tasks at once", loop_bridges.hand_off_crowd, (GREENLET, OURS), notes=(PLAIN,)
    ),
}
