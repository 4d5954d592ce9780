"""SIGUSR1: where everything is, in the log, for a person to read.

What stands at the same place is one entry with a count: a hundred idle connections are a line and a stack.
"""

from __future__ import annotations

import gc
import linecache
import logging
import sys
import traceback
from collections import defaultdict
from dataclasses import dataclass
from types import AsyncGeneratorType
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
    greenlets, tasks = greenlets_and_tasks()
    for kind, found in (("greenlets", greenlets), ("asyncio tasks", tasks), ("native threads", threads())):
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


def greenlets_and_tasks() -> tuple[list[Standing], list[Standing]]:
    """Every greenlet of this thread that has begun and not ended; every asyncio task that isn't done.

    Looks at each object there is, once, and at its type alone: what an object says its class is, is code of
    the application's, which may fail or switch.
    """
    greenlets: list[Standing] = []
    tasks: list[Standing] = []
    # A synchronous service never imports it.
    task_type: Any = getattr(sys.modules.get("asyncio"), "Task", ())
    for each in gc.get_objects():
        kind = type(each)
        if issubclass(kind, greenlet.greenlet):
            greenlets += _greenlet(each)
        elif issubclass(kind, task_type):
            tasks += _task(each)
    return greenlets, tasks


def _greenlet(each: Any) -> Iterator[Standing]:
    here = each is greenlet.getcurrent()
    frame = sys._getframe() if here else each.gr_frame  # noqa: SLF001 (its documented name)
    if frame is not None:  # it has begun and not ended
        name = _name(each) + (", which writes this" if here else "")
        yield Standing(name, _stack(frame), *_spawned(each))


def _spawned(each: Any) -> tuple[str, str]:
    """Where, and by whom: the tree that gevent keeps."""
    stack = getattr(each, "spawning_stack", None)
    while stack and _is_constructor_of(each, stack):
        stack = stack.f_back  # who called it is the one who wants to know
    if not stack:
        return "", ""
    by = each.spawning_greenlet()
    name = "an ended greenlet" if by is None else _name(by)
    return f"{stack.f_code.co_filename}:{stack.f_lineno}", name


def _is_constructor_of(each: Any, frame: Any) -> bool:
    constructors = (kind.__dict__.get("__init__") for kind in type(each).__mro__)
    return any(getattr(each, "__code__", None) is frame.f_code for each in constructors)


def _name(each: Any) -> str:
    if each is gevent.get_hub():
        return "the hub"
    if each.parent is None:
        return "the main greenlet"
    return getattr(each, "name", None) or type(each).__name__


def _task(each: Any) -> Iterator[Standing]:
    """With the chain of what it awaits."""
    # Without a coroutine it is none yet: compat makes tasks ahead of what they will run.
    if not each.done() and (coro := each.get_coro()) is not None:
        yield Standing(each.get_name(), tuple(f"await {line}" for line in await_chain(coro)))


def await_chain(awaited: Any) -> Iterator[str]:
    """From a task's coroutine to what it waits for at last."""
    while awaited is not None:
        # Of the type, as above: what is awaited may be an object of the application's.
        kind = next((each for each in ("cr", "ag", "gi") if hasattr(type(awaited), f"{each}_frame")), None)
        if kind is None:
            # `async for` awaits an object that doesn't tell its generator.
            generators = (each for each in gc.get_referents(awaited) if type(each) is AsyncGeneratorType)
            awaited = next(generators, None)
            continue
        frame = getattr(awaited, f"{kind}_frame")
        if frame is None:
            return  # it has ended
        yield f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
        awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")


def threads() -> list[Standing]:
    """Every native thread but this one."""
    this = gevent.get_hub().thread_ident
    frames = sys._current_frames().items()  # noqa: SLF001 (its documented name)
    return [Standing(f"thread {ident:#x}", _stack(frame)) for ident, frame in frames if ident != this]


def _stack(frame: FrameType | None) -> tuple[str, ...]:
    lines = []
    while frame is not None:
        code, line = frame.f_code, frame.f_lineno
        source = linecache.getline(code.co_filename, line).strip()
        lines.append(f"{code.co_filename}:{line} {code.co_qualname}: {source}")
        frame = frame.f_back
    return tuple(reversed(lines))
