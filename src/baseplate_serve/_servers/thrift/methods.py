"""Handler methods that are coroutine functions, beside ordinary ones.

Generated code calls a handler's method and writes what it returns.  So a handler with coroutine functions is
put behind a `Bridge`, which calls them in the connection's greenlet and waits: everything around the call
(declared exceptions, instrumented processors, the trace) stays as it is.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def bridge(processor: Any) -> bool:
    """Put *processor*'s handlers with coroutine functions behind bridges; True if there were any.

    Looks into processors that hold others, too: multiplexed ones and wrappers.
    """
    found = False
    for each in _processors(processor, set()):
        handler = each._handler  # noqa: SLF001 (generated code has no other name for it)
        methods = each._processMap  # noqa: SLF001 (likewise)
        if any(makes_coroutines(getattr(handler, name, None)) for name in methods):
            each._handler = Bridge(handler)  # noqa: SLF001 (likewise)
            found = True
    return found


def _processors(processor: Any, seen: set[int]) -> Iterator[Any]:
    if id(processor) in seen:
        return
    seen.add(id(processor))
    attributes = getattr(processor, "__dict__", {})
    if "_handler" in attributes and "_processMap" in attributes:
        yield processor
    for value in list(attributes.values()):
        for held in value.values() if isinstance(value, dict) else (value,):
            if callable(getattr(held, "process", None)):
                yield from _processors(held, seen)


def makes_coroutines(function: Any) -> bool:
    """Whether calling *function* makes a coroutine; decorated with `functools.wraps` or not."""
    if function is None:
        return False
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.iscoroutinefunction(inspect.unwrap(function)):
        return True
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(type(function).__call__)


class Bridge:
    """A handler as generated code wants it: every method returns its result."""

    def __init__(self, handler: Any) -> None:
        self._bridged_handler = handler

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._bridged_handler, name)
        if inspect.ismethod(attribute) or makes_coroutines(attribute):
            if makes_coroutines(attribute):
                attribute = waits(attribute)
            setattr(self, name, attribute)  # found without __getattr__ from now on
        return attribute


def waits(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function for greenlets that calls *function*, and waits if that makes a coroutine.

    Switches: when the coroutine suspends.
    """
    from compat import async_to_sync, wait  # noqa: PLC0415 (a synchronous service must not import asyncio)

    if inspect.iscoroutinefunction(function):
        return async_to_sync(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return wait(result) if inspect.isawaitable(result) else result  # a decorator's, say

    return call
