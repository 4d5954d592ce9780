"""SIGUSR1: where everything is, in the log."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from gevent.util import format_run_info

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from baseplate_serve._lifecycle.connections import InFlight

log = logging.getLogger("baseplate_serve.dump")


def log_interrupted(frame: FrameType | None) -> None:
    """Log the stack of what the signal interrupted."""
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "nothing"
    log.warning("SIGUSR1 interrupted:\n%s", stack.rstrip())


def log_everything(in_flight: Callable[[], list[InFlight]]) -> None:
    """Log the requests in flight with their age, every native thread and every greenlet with its tree."""
    requests = in_flight()
    listing = "".join(f"\n  {request}" for request in requests)
    log.warning("SIGUSR1: %d requests in flight%s", len(requests), listing)
    lines: list[str] = format_run_info()  # type: ignore[func-returns-value,assignment] # the stubs are wrong
    log.warning("SIGUSR1: threads and greenlets:\n%s", "\n".join(lines))
