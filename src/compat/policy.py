"""How a program gets the loop without naming it: policies, which Python 3.16 removes, and `install`."""

from __future__ import annotations

import asyncio
import sys
from asyncio import events
from typing import TYPE_CHECKING, Any

from compat.loop import HubEventLoop

if TYPE_CHECKING:
    HubEventLoopPolicy: Any


def _make_policy() -> type:
    """The class, made when it is asked for: from Python 3.14 on its base is deprecated."""
    base: Any = asyncio.unix_events._UnixDefaultEventLoopPolicy
    return type("HubEventLoopPolicy", (base,), {"_loop_factory": HubEventLoop, "__doc__": _POLICY})


_POLICY = """A policy whose loops are `HubEventLoop`s; for Python up to 3.15.  `loop_factory` needs none."""


def __getattr__(name: str) -> Any:
    if name == "HubEventLoopPolicy":
        globals()[name] = policy = _make_policy()
        return policy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def install() -> None:
    """From now on `asyncio.run` and `asyncio.new_event_loop` use the loop where they are not told another."""
    if sys.version_info < (3, 14):
        asyncio.set_event_loop_policy(_make_policy()())
    elif sys.version_info < (3, 16):
        events._set_event_loop_policy(_make_policy()())  # type: ignore[attr-defined] # the public one warns
    else:
        events.new_event_loop = asyncio.new_event_loop = HubEventLoop
