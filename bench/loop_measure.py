"""How long an operation takes: the clock, and how often the same is done."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

from loop_contestants import loop_factory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

REPETITION_S = 0.04  # long against starting and stopping a loop, which is in it

CORES = sorted(
    os.sched_getaffinity(0)
)  # the contestant goes to the first; a client, if there is one, to the last


class Figures(NamedTuple):
    """Of one operation, in microseconds."""

    wall_us: float
    cpu_us: float  # of the whole process


def repeat(work: Callable[[int], object], seconds: float) -> Figures:
    """The medians of as many repetitions as *seconds* allow; *work* does so many operations as it is told."""
    operations = 64  # a multiple of what any scenario does at once
    while _timed(work, operations).wall_us * operations < REPETITION_S * 1e6:
        operations *= 2  # this warms it, too
    found = []
    until = time.perf_counter() + seconds
    while not found or time.perf_counter() < until:
        found.append(_timed(work, operations))
    return Figures(*(statistics.median(column) for column in zip(*found, strict=True)))


def _timed(work: Callable[[int], object], operations: int) -> Figures:
    cpu, wall = time.process_time(), time.perf_counter()
    work(operations)
    return Figures(
        (time.perf_counter() - wall) / operations * 1e6, (time.process_time() - cpu) / operations * 1e6
    )


def repeat_in_loop(name: str, work: Callable[[int], Awaitable[object]], seconds: float) -> Figures:
    """As `repeat`, for a coroutine function, in the contestant's loop."""

    async def begin(operations: int) -> None:
        await work(operations)

    with asyncio.Runner(loop_factory=loop_factory(name)) as runner:
        return repeat(lambda operations: runner.run(begin(operations)), seconds)
