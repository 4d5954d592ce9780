"""SIGUSR1: where everything is, in the log, for a person to read.

What stands at the same place is one entry with a count: a hundred idle connections are a line and a stack.
"""

from __future__ import annotations

import gc
import inspect
import linecache
import logging
import sys
import traceback
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gevent
import greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

    from baseplate_serve._lifecycle.connections import InFlight

log = logging.getLogger("baseplate_serve.dump")

NAMES_MAX = 3  # of what stands at the same place


@dataclass(frozen=True)
class Standing:
    """Something that runs or waits somewhere."""

    name: str
    where: tuple[str, ...]  # a stack, innermost last, as `file:line name`
    spawned_at: str = ""  # file:line
    spawned_by: str = ""  # another one's name


def log_interrupted(signal: str, frame: FrameType | None) -> None:
    """Log the stack of what *signal* interrupted."""
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "nothing"
    log.warning("%s interrupted:\n%s", signal, stack.rstrip())


def log_everything(in_flight: Callable[[], list[InFlight]]) -> None:
    """Log the requests in flight with their age, every greenlet, every asyncio task, every native thread.

    Switches: no.
    """
    requests = in_flight()
    listing = "".join(f"\n  {request}" for request in requests)
    log.warning("SIGUSR1: %d requests in flight%s", len(requests), listing)
    for kind, standing in (
        ("greenlets", greenlets()),
        ("asyncio tasks", tasks()),
        ("native threads", threads()),
    ):
        found = list(standing)
        if found or kind != "asyncio tasks":
            log.warning("SIGUSR1: %d %s\n%s", len(found), kind, grouped(found))


def grouped(standing: Iterable[Standing]) -> str:
    """One paragraph for each place, the most crowded first."""
    places: dict[tuple[str, tuple[str, ...]], list[Standing]] = defaultdict(list)
    for each in standing:
        places[each.spawned_at, each.where].append(each)
    paragraphs = []
    for (spawned_at, where), there in sorted(places.items(), key=lambda item: -len(item[1])):
        lines = [f"{len(there)} x {_some(each.name for each in there)}"]
        if spawned_at:
            by = dict.fromkeys(each.spawned_by for each in there)  # each once, in order
            lines[0] += f", spawned by {_some(by)} at {spawned_at}"
        paragraphs.append("\n  ".join([*lines, *where]))
    return "\n".join(paragraphs)


def _some(names: Iterable[str]) -> str:
    """The first few of *names*."""
    names = list(names)
    return ", ".join(names[:NAMES_MAX]) + (", …" if len(names) > NAMES_MAX else "")


def greenlets() -> Iterator[Standing]:
    """Every greenlet of this thread that has begun and not ended."""
    here = greenlet.getcurrent()
    for each in gc.get_objects():
        if isinstance(each, greenlet.greenlet) and each:
            frame = sys._getframe(1) if each is here else each.gr_frame  # noqa: SLF001 (its documented name)
            if frame is not None:
                name = _name(each)
                if each is here:
                    name += ", which writes this"
                yield Standing(name, _stack(frame), *_spawned(each))


def _spawned(each: Any) -> tuple[str, str]:
    """Where, and by whom: the tree that gevent keeps."""
    stack = getattr(each, "spawning_stack", None)
    if not stack:
        return "", ""
    by = each.spawning_greenlet()
    name = "an ended greenlet" if by is None else _name(by)
    return f"{stack.f_code.co_filename}:{stack.f_lineno}", name


def _name(each: Any) -> str:
    if each is gevent.get_hub():
        return "the hub"
    if each.parent is None:
        return "the main greenlet"
    return getattr(each, "name", None) or type(each).__name__


def tasks() -> Iterator[Standing]:
    """Every asyncio task that isn't done, of whichever loop, with the chain of what it awaits."""
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None:
        return  # a synchronous service never imports it
    for each in gc.get_objects():
        # Without a coroutine it is none yet: compat makes tasks ahead of what they will run.
        if isinstance(each, asyncio.Task) and not each.done() and (coro := each.get_coro()) is not None:
            chain = tuple(f"await {line}" for line in await_chain(coro))
            yield Standing(each.get_name(), chain)


def await_chain(awaited: Any) -> Iterator[str]:
    """From a task's coroutine to what it waits for at last."""
    while awaited is not None:
        kind = next((prefix for prefix in ("cr", "ag", "gi") if hasattr(awaited, f"{prefix}_frame")), None)
        if kind is None:
            # `async for` awaits an object that doesn't tell its generator.
            awaited = next(filter(inspect.isasyncgen, gc.get_referents(awaited)), None)
            continue
        frame = getattr(awaited, f"{kind}_frame")
        if frame is None:
            return  # it has ended
        yield f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
        awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")


def threads() -> Iterator[Standing]:
    """Every native thread but this one."""
    this = gevent.get_hub().thread_ident
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 (its documented name)
        if ident != this:
            yield Standing(f"thread {ident:#x}", _stack(frame))


def _stack(frame: FrameType | None) -> tuple[str, ...]:
    lines = []
    while frame is not None:
        code, line = frame.f_code, frame.f_lineno
        source = linecache.getline(code.co_filename, line).strip()
        lines.append(f"{code.co_filename}:{line} {code.co_qualname}: {source}")
        frame = frame.f_back
    return tuple(reversed(lines))
