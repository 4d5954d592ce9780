"""The Thrift service that all servers serve: `ping` does nothing, `items` makes structs."""

from __future__ import annotations

from typing import Any

from testing_idl import Testing
from testing_idl.ttypes import Item


def items(count: int, item: Any = Item) -> list[Any]:
    """*count* structs of the class *item*: a number, a string and a list of two strings in each."""
    return [item(id=n, name=f"item number {n}", tags=["some", "tags"]) for n in range(count)]


class Handler:
    def ping(self) -> None:
        pass

    def items(self, count: int) -> list[Any]:
        return items(count)


class AsyncHandler:
    """Likewise, in coroutine functions that don't suspend."""

    async def ping(self) -> None:
        pass

    async def items(self, count: int) -> list[Any]:
        return items(count)


def make_processor(_config: dict[str, str]) -> Any:
    """A bare processor: what generated code makes of the handler."""
    return Testing.Processor(Handler())


def make_async_processor(_config: dict[str, str]) -> Any:
    """Likewise, of coroutine functions."""
    return Testing.Processor(AsyncHandler())


def make_baseplate_processor(_config: dict[str, str]) -> Any:
    """The bare processor, with the one attribute that Baseplate's server looks at."""
    from baseplate import Baseplate  # noqa: PLC0415 (only its own environment has it)

    processor = make_processor({})
    processor.baseplate = Baseplate({"baseplate.service_name": "bench"})
    return processor
