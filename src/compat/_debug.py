"""What a loop reports: failed callbacks, slow ones, and steps that handed off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compat._asyncio import format_callback_source, format_handle, logger
from compat._hand_off import blocking_line

if TYPE_CHECKING:
    import asyncio

    from compat._runner import Runner
    from compat._turns import Turns


def report(loop: Turns, handle: Any, error: BaseException) -> None:
    """Tell the loop's exception handler that a callback failed, in asyncio's words; it may end the run."""
    handle = getattr(handle, "handle", handle)
    what = format_callback_source(handle._callback, handle._args)
    context = {"message": f"Exception in callback {what}", "exception": error, "handle": handle}
    if handle._source_traceback:
        context["source_traceback"] = handle._source_traceback
    try:
        loop.call_exception_handler(context)
    except (SystemExit, KeyboardInterrupt) as leaves:
        loop._failure = leaves


def run_timed(loop: Turns, runner: Runner, handle: Any) -> None:
    """Run a callback; report it when it kept the loop for `slow_callback_duration` or longer."""
    started, runner.elsewhere_s = loop.time(), 0.0
    loop._current_handle = handle
    try:
        handle._callback(*handle._args)
    finally:
        loop._current_handle = None
        took = loop.time() - started - runner.elsewhere_s
        if took >= loop.slow_callback_duration:
            loop.slow_callbacks += 1
            logger.warning("Executing %s took %.3f seconds", format_handle(handle), took)
        handle = None  # an exception of the step holds this frame, and the handle may lead to the exception


class Blocked:
    """A blocking call, from when it began to wait: which task, and in which line."""

    def __init__(self, loop: Turns, runner: Runner | None, task: asyncio.Task[Any] | None) -> None:
        self.loop = loop
        self.runner = runner
        self.task = task
        self.where = blocking_line()
        self.began = loop.time()

    def over(self, *, handed_off: bool) -> None:
        """Report it.  The report may itself block; that isn't reported again."""
        waited = self.loop.time() - self.began
        if handed_off and self.runner is not None:
            self.runner.elsewhere_s += waited
        if self.loop._reporting:
            return
        self.loop._reporting = True
        try:
            if handed_off:
                logger.warning(
                    "%r handed the loop over for %.3f seconds at %s", self.task, waited, self.where
                )
            else:
                logger.warning("The loop waited %.3f seconds at %s", waited, self.where)
        finally:
            self.loop._reporting = False
